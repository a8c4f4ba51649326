"""Rules at work: fed with events, with what happens to the gateway and with time; answers with what is to be done.

Laws of this file:

- Each rule is asked about each event as it was decoded, in the order of the files; what rules say of the event itself
  is applied once, after all of them (decision 0027).
- Unknown changes nothing. Time is boot time; nothing fires early or twice, whatever the clock does (P6).
- A rule that fails on one event is noted, and nothing else: neither the event nor another rule suffers (P7).
- The same events at the same times give the same answers.

No I/O, no clock: every call is given a `Stamp`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from fieldgate_devices.event import GENERIC, Event, Extra, Lane, Stamp
from fieldgate_devices.generic import flatten
from fieldgate_rules.condition import Facts, Reading, Reads
from fieldgate_rules.effects import AlertChange, Cause, Decided, Derived, Notice
from fieldgate_rules.engine.acting import Altered, Out, act_on_event, fire, resolve_alerts, tell
from fieldgate_rules.engine.decisions import Acted, Decision
from fieldgate_rules.engine.index import Index
from fieldgate_rules.engine.latest import Latest
from fieldgate_rules.engine.moment import Moment, moment_of
from fieldgate_rules.engine.part import Part, Tally
from fieldgate_rules.engine.rows import STATE, VALUES, RowKey, Rows, decode_row, encode_body, encode_row
from fieldgate_rules.engine.schedules import Cron, Every, Schedule
from fieldgate_rules.engine.slot import Slot
from fieldgate_rules.engine.stages.absence import Absent
from fieldgate_rules.engine.stages.stage import Signal
from fieldgate_rules.engine.timers import Timers
from fieldgate_rules.engine.windows.window import Window
from fieldgate_rules.restart import Restart, restart_of
from fieldgate_rules.rule import CronTrigger, EventTrigger, EveryTrigger, RuleSet

__all__ = ["Engine", "EngineLimits"]

_MAX_HOPS: Final = 8
_NS: Final = 1e9
_NOTHING: Final[Mapping[str, object]] = {}
_KEPT_DECISIONS: Final = 50
_SCHEDULES: Final = "\x00schedules"  # in the place of a group, which no device can be called
_STEP_S: Final = 0.5
_LEAST_DECISIONS: Final = 5
_FINITE: Final = 1.7976931348623157e308
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What may be kept in memory, over all rules."""

    max_states: int = 20_000
    max_devices: int = 10_000
    max_decisions: int = 5_000


class _Turn(msgspec.Struct):
    """One call: what it answers, and the moment it is."""

    now: Moment
    out: Out
    event: Event | None = None
    index: int | None = None
    hops: int = 0
    mark: str = ""


class Engine:
    """See the laws above. ``gateway`` is the gateway's id, ``os_boot`` the kernel's boot id."""

    def __init__(
        self, rules: RuleSet, *, gateway: str, stamp: Stamp, os_boot: str, limits: EngineLimits = EngineLimits()
    ) -> None:
        self.gateway = gateway
        self.os_boot = os_boot
        self.forgotten = 0
        self._limits = limits
        self._now = moment_of(stamp)
        self._parts: dict[str, Part] = {}
        self._timers = Timers()
        self._slots: dict[tuple[str, str], Slot] = {}
        self._urgent: dict[tuple[str, str], None] = {}
        self._slow: dict[tuple[str, str], None] = {}
        self._given: dict[tuple[str, str], int] = {}  # of each row that was given to be written: its content
        self._latest = Latest(Reads(), max_devices=limits.max_devices)
        self._schedules: dict[tuple[str, int], tuple[Part, Schedule]] = {}
        self._began_s = self._now.boot_s
        self._scale_s = _scale_s(self._now)
        self._install(rules)

    def _install(self, rules: RuleSet) -> None:
        enabled = [rule for rule in rules.rules if rule.spec.enabled]
        share = max(_LEAST_DECISIONS, min(_KEPT_DECISIONS, self._limits.max_decisions // max(1, len(enabled))))
        parts: dict[str, Part] = {}
        reads = Reads()
        for rule in enabled:
            part = self._parts.get(rule.id)
            if part is None or part.rule.fingerprint != rule.fingerprint:
                part = Part(rule, decisions=share)
            parts[rule.id] = part
            reads |= rule.reads
        self._parts = parts
        self._latest.use(reads)
        self._index: Index[Part] = Index([(part.rule, part) for part in parts.values()])
        self._by_lane = self._index.by_lane
        before, self._schedules = self._schedules, {}
        for part in parts.values():
            for number, trigger in enumerate(part.rule.triggers):
                if isinstance(trigger, EveryTrigger | CronTrigger):
                    key = (part.rule.id, number)
                    known = before.get(key)
                    schedule = known[1] if known is not None and known[0] is part else _schedule(trigger)
                    self._schedules[key] = (part, schedule)

    def _moment(self, stamp: Stamp) -> Moment:
        """Return the moment; whoever goes by the wall clock hears if it was set."""
        now = self._now = moment_of(stamp)
        if self._schedules and abs(_scale_s(now) - self._scale_s) > _STEP_S:
            self._scale_s = _scale_s(now)
            for part, schedule in self._schedules.values():
                schedule.clock_changed(now)
                self._timers.begin(schedule, (part, None))
        return now

    def _begin_schedules(self, now: Moment) -> None:
        for part, schedule in self._schedules.values():
            schedule.begin(now)
            self._timers.begin(schedule, (part, None))

    # -- what happens -------------------------------------------------------------------------------------------------

    def feed(self, events: Sequence[Event], stamp: Stamp) -> Decided | None:
        """Return what becomes of events that came together; None: all go on as they are, and nothing is made."""
        # The fast path: for events that no rule takes this is one lookup in a dictionary.
        by_lane, find = self._by_lane, self._index.find
        decided: Decided | None = None
        now: Moment | None = None
        hears = self._latest.is_needed
        for index, event in enumerate(events):
            address = event.address
            parts = by_lane[event.lane].get(address)
            if parts is None:
                parts = find(address, event.lane)
            if not parts and not (hears and self._latest.wants(address.device)):
                if decided is not None:
                    decided.events.append(event)
                    decided.causes.append(index)
                continue
            if now is None:
                now = self._moment(stamp)
            fields = _fields(event)
            facts = self._facts(fields, address.device, now)
            turn = _Turn(now, Out(), event, index, 0, "")
            altered: Altered | None = None
            for part in parts:
                altered = self._ask(part, facts, turn, altered)
            if hears:
                self._latest.hears(address.device, fields, now.boot_s)
            after = event if altered is None else _altered(event, fields, altered)
            if decided is None and (after is not event or turn.out.effects or turn.out.made):
                decided = Decided(list(events[:index]), list(range(index)), [], [])
            if decided is not None:
                if after is not None:
                    decided.events.append(after)
                    decided.causes.append(index)
                self._collect(turn, decided)
        return decided

    def notice(self, notice: Notice, stamp: Stamp) -> Decided | None:
        """Something has happened to the gateway."""
        now = self._moment(stamp)
        turn = _Turn(now, Out())
        fields = {"kind": notice.kind, **notice.fields}
        facts = Facts(fields, notice.device, now.boot_s, now.wall_s)
        for part in self._parts.values():
            if any(_takes(one, notice) for one in part.gateway):
                self._ask(part, facts, turn, None)
        return self._answer(turn)

    def start(self, stamp: Stamp) -> Decided | None:
        """Begin, once what was saved is back: what lasts is said again, and rules hear that the gateway has started."""
        now = self._moment(stamp)
        for part in self._parts.values():
            self._arm(part, now)
        self._begin_schedules(now)
        decided = self.notice(Notice("started", self.gateway), stamp) or Decided([], [], [], [])
        decided.effects[:0] = self.alerts()
        return decided

    def _arm(self, part: Part, now: Moment) -> None:
        """Devices that a rule names are missed from the start on."""
        if part.rule.spec.absent is None or part.rule.spec.group_by != "device":
            return
        for trigger in part.rule.triggers:
            for name in trigger.devices if isinstance(trigger, EventTrigger) else ():
                if not any(sign in name for sign in "*?["):
                    slot = self._slot(part, name)
                    for stage in slot.stages:
                        if isinstance(stage, Absent):
                            stage.arm(now.boot_s)
                            self._timers.begin(stage, (part, slot))

    def tick(self, stamp: Stamp) -> Decided | None:
        """Do what is due."""
        now = self._moment(stamp)
        decided: Decided | None = None
        while (popped := self._timers.pop(now.boot_s)) is not None:
            due_s, stage, owner = popped
            part, slot = cast("tuple[Part, Slot | None]", owner)
            if self._parts.get(part.rule.id) is not part:
                continue
            turn = _Turn(now, Out(), mark=f"{now.stamp.run:x}-{round(due_s * _NS)}-t")
            if slot is None:
                assert isinstance(stage, Schedule)
                self._scheduled(part, stage, turn)
            elif part.slots.get(slot.group) is not slot:
                continue
            elif isinstance(stage, Window):
                self._window_ended(part, slot, stage, due_s, turn)
            else:
                turn.mark = slot.mark or turn.mark
                self._timer_ended(part, slot, stage, due_s, turn)
            if turn.out.effects or turn.out.made:
                decided = decided or Decided([], [], [], [])
                self._collect(turn, decided)
        return decided

    @property
    def due_s(self) -> float | None:
        """When `tick` is to be called, in boot time."""
        return self._timers.due_s

    def _scheduled(self, part: Part, schedule: Schedule, turn: _Turn) -> None:
        came = schedule.look(turn.now)
        self._timers.begin(schedule, (part, None))
        if came == "not_yet":
            return
        self._urgent[part.rule.id, _SCHEDULES] = None
        facts = self._facts(_NOTHING, self.gateway, turn.now)
        if came == "skipped":
            self._note(part, None, turn, facts, "skipped", "on", why="its time went by unnoticed")
        else:
            self._ask(part, facts, turn, None)

    # -- asking one rule ----------------------------------------------------------------------------------------------

    def _facts(self, fields: Mapping[str, object], device: str, now: Moment) -> Facts:
        return Facts(fields, device, now.boot_s, now.wall_s, self._latest.of(device))

    def _ask(self, part: Part, facts: Facts, turn: _Turn, altered: Altered | None) -> Altered | None:
        """Ask a rule about an event; return how the event is to be altered by now."""
        try:
            return self._asked(part, facts, turn, altered)
        except Exception as error:  # noqa: BLE001 - whatever a rule does on one event must cost nothing else (P7)
            self._failed(part, None, turn, facts, error)
            return altered

    def _asked(self, part: Part, facts: Facts, turn: _Turn, altered: Altered | None) -> Altered | None:
        part.tally.asked += 1
        rule = part.rule
        if rule.reads.last:
            facts = msgspec.structs.replace(facts, last=self._latest.last(sorted(rule.reads.last)))
        signal: Signal = True if part.when is None else part.when(facts)  # type: ignore[assignment]  # a condition is a truth
        group = part.group_of(facts)
        if group is None:
            self._note(part, None, turn, facts, "no_group", "group_by")
            return altered
        slot = part.slots.get(group)
        if signal is not True and part.is_plain and (slot is None or not slot.is_holding):
            self._note(part, slot, turn, facts, "unknown" if signal is None else "false", "when")
            return altered
        if slot is None:
            slot = self._slot(part, group)
        if rule.spec.window is not None:
            self._gather(part, slot, signal, facts, turn)
            return altered
        before = slot.signature()
        if signal is True or (slot.facts is None and part.when is None):
            slot.facts = facts
        turn.mark = turn.mark or _mark(turn)
        was_waiting = bool(slot.due())
        what, last, stopped = slot.feed(signal, facts)
        if slot.due() and not was_waiting:
            slot.mark = turn.mark
        acted: tuple[Acted, ...] = ()
        outcome = _outcome(what, signal, stopped, slot)
        if what == "fire":
            outcome, stopped, acted = self._fire(part, slot, facts, turn, turn.mark)
        elif what == "resolve":
            acted = self._resolve(part, slot, facts, turn)
        holds = last is True or (slot.is_holding and (last is None or rule.until is not None) and not part.is_plain)
        holds = holds or (slot.is_holding and rule.until is not None)
        if holds and turn.event is not None:
            own = altered or Altered()
            about = act_on_event(rule, slot, facts, Altered() if rule.is_shadow else own)
            if about:
                acted += tuple(about)
                altered = altered if rule.is_shadow else own
        self._note(part, slot, turn, facts, outcome, stopped, acted=acted)
        self._changed(part, slot, before)
        return altered

    def _gather(self, part: Part, slot: Slot, signal: Signal, facts: Facts, turn: _Turn) -> None:
        """Put an event into the window of its group."""
        if signal is not True:
            self._note(part, slot, turn, facts, "unknown" if signal is None else "false", "when")
            return
        window = self._window(part, slot)
        slot.facts = facts
        due_s = window.due_s
        extra = None if turn.event is None else turn.event.extra
        at_s = None if extra is None or extra.at_ns is None else extra.at_ns / _NS
        is_in_time = window.add(facts, turn.now, at_s)
        if window.due_s != due_s:
            self._timers.begin(window, (part, slot))
        self._slow[part.rule.id, slot.group] = None
        self._note(part, slot, turn, facts, "gathered", "window" if is_in_time else "window.late")

    def _window(self, part: Part, slot: Slot) -> Window:
        if slot.window is None:
            spec = part.rule.spec.window
            assert spec is not None
            slot.window = Window(spec, part.rule.window, since_s=self._began_s)
        return slot.window

    def _window_ended(self, part: Part, slot: Slot, window: Window, due_s: float, turn: _Turn) -> None:
        now, rule = turn.now, part.rule
        ended = window.tick(now)
        self._timers.begin(window, (part, slot))
        self._slow[rule.id, slot.group] = None
        if ended is None:
            return
        device = slot.group if rule.spec.group_by == "device" else self.gateway
        facts = Facts(ended.fields(), device, now.boot_s, now.wall_s)
        slot.ended = ended
        acted: tuple[Acted, ...] = ()
        try:
            truth = True if rule.having is None else rule.having.evaluate(facts)
            if truth is True:
                slot.is_holding = True
                outcome, stopped, acted = self._fire(part, slot, facts, turn, turn.mark, age_s=now.boot_s - due_s)
            else:
                outcome, stopped = "not_having", "window.having"
                if slot.is_holding and truth is False:
                    slot.is_holding = False
                    acted = self._resolve(part, slot, facts, turn)
            self._note(part, slot, turn, facts, outcome, stopped, acted=acted)
        except Exception as error:  # noqa: BLE001 - as in `_ask`
            self._failed(part, slot, turn, facts, error)

    def _failed(self, part: Part, slot: Slot | None, turn: _Turn, facts: Facts, error: Exception) -> None:
        part.tally.errors += 1
        part.tally.last_error = f"{type(error).__name__}: {error}"
        self._note(part, slot, turn, facts, "error", "", why=part.tally.last_error)

    def _timer_ended(self, part: Part, slot: Slot, stage: Any, due_s: float, turn: _Turn) -> None:
        now = turn.now
        before = slot.signature()
        known = slot.facts
        fields, device = (known.fields, known.device) if known is not None else (_NOTHING, slot.group)
        facts = Facts(fields, device, now.boot_s, now.wall_s, self._latest.of(device))
        try:
            what, _, stopped = slot.tick(stage, now.boot_s)
            acted: tuple[Acted, ...] = ()
            outcome = _outcome(what, True, stopped, slot)
            if what == "fire":
                outcome, stopped, acted = self._fire(part, slot, facts, turn, turn.mark, age_s=now.boot_s - due_s)
            elif what == "resolve":
                acted = self._resolve(part, slot, facts, turn)
            self._note(part, slot, turn, facts, outcome, stopped, acted=acted)
        except Exception as error:  # noqa: BLE001 - as in `_ask`
            self._failed(part, slot, turn, facts, error)
        self._changed(part, slot, before)

    def _fire(
        self, part: Part, slot: Slot, facts: Facts, turn: _Turn, mark: str, *, age_s: float | None = None
    ) -> tuple[str, str, tuple[Acted, ...]]:
        """Fire, unless the gate is closed; return the outcome, the key that stopped it, and what was done."""
        rule, now = part.rule, turn.now
        if slot.gate is not None and (closed := slot.gate.closed_by(now)):
            part.tally.suppressed += 1
            return "throttled" if closed == "throttle" else "used_up", closed, ()
        if slot.gate is not None:
            slot.gate.passed(now)
            self._urgent[rule.id, slot.group] = None
        part.tally.fired += 1
        event = turn.event
        is_replayed = event is not None and event.extra is not None and event.extra.is_replayed
        cause = Cause(mark, event, is_replayed, _age_s(event, now) if age_s is None else age_s)
        out = Out() if rule.is_shadow else turn.out
        lane = Lane.NORMAL if event is None else event.lane
        lasting = len(slot.alerts.lasting)
        acted = fire(rule, slot, facts, cause, now, out, lane=lane)
        if len(slot.alerts.lasting) != lasting:
            self._urgent[rule.id, slot.group] = None
        if rule.is_shadow:
            slot.alerts.lasting.clear()
        self._tell_others(part, slot, facts, turn, "fired")
        return "fired", "mode" if rule.is_shadow else "", acted

    def _resolve(self, part: Part, slot: Slot, facts: Facts, turn: _Turn) -> tuple[Acted, ...]:
        cause = Cause(turn.mark or _mark(turn), turn.event)
        out = Out() if part.rule.is_shadow else turn.out
        resolve_alerts(part.rule, slot, facts, cause, turn.now, out)
        self._tell_others(part, slot, facts, turn, "resolved")
        return ()

    def _tell_others(self, part: Part, slot: Slot, facts: Facts, turn: _Turn, firing: str) -> None:
        """Ask the rules that are on this one."""
        if part.rule.is_shadow:
            return
        severity = next((one.spec.alert.severity for one in part.rule.actions if one.spec.alert is not None), "")
        for other in self._parts.values():
            if part.rule.id not in other.of_rules or (firing == "resolved" and not other.wants_resolved):
                continue
            told = {"rule": part.rule.id, "firing": firing, "severity": severity}
            own = Facts(told, facts.device, facts.boot_s, facts.wall_s, facts.prev)
            if turn.hops >= _MAX_HOPS:
                self._note(other, None, turn, own, "hops", "on")
                other.tally.errors += 1
                other.tally.last_error = f"more than {_MAX_HOPS} rules in a row"
                continue
            turn.hops += 1
            event, turn.event = turn.event, None
            self._ask(other, own, turn, None)
            turn.event = event
            turn.hops -= 1

    # -- what is remembered -------------------------------------------------------------------------------------------

    def _slot(self, part: Part, group: str) -> Slot:
        def made(slot: Slot) -> None:
            self._slots[part.rule.id, group] = slot
            if len(self._slots) > self._limits.max_states:
                self._forget(next(iter(self._slots)))

        return part.slot(group, made)

    def _forget(self, key: tuple[str, str]) -> None:
        del self._slots[key]
        self.forgotten += 1
        self._parts[key[0]].slots.pop(key[1], None)
        self._urgent[key] = None

    def _changed(self, part: Part, slot: Slot, before: tuple[object, ...]) -> None:
        """Wait for what is due now, and have it written."""
        key = (part.rule.id, slot.group)
        after = slot.signature()
        if after != before:
            for stage in slot.due():
                self._timers.begin(stage, (part, slot))
            self._urgent[key] = None
            self._slots[key] = self._slots.pop(key)
        elif slot.stages or slot.sampling:
            self._slow[key] = None
        if part.is_plain and slot.is_idle:
            part.slots.pop(slot.group, None)
            self._slots.pop(key, None)

    def _note(
        self, part: Part, slot: Slot | None, turn: _Turn, facts: Facts, outcome: str, stopped: str, *, why: str = "",
        acted: tuple[Acted, ...] = (),
    ) -> None:  # fmt: skip
        shown = slot.shown() if slot is not None and slot.stages else {}
        if slot is not None and slot.gate is not None:
            shown |= slot.gate.shown(turn.now)
        decision = Decision(
            "" if slot is None else slot.group, facts.device, turn.event, facts.boot_s, facts.wall_s, facts, outcome,
            stopped, why, shown, acted,
        )  # fmt: skip
        part.ring.append(decision)
        if slot is not None:
            slot.last = decision

    # -- answers ------------------------------------------------------------------------------------------------------

    def _answer(self, turn: _Turn) -> Decided | None:
        if not turn.out.effects and not turn.out.made:
            return None
        decided = Decided([], [], [], [])
        self._collect(turn, decided)
        return decided

    def _collect(self, turn: _Turn, decided: Decided) -> None:
        """Add what a turn made; new events go through the rules themselves."""
        waiting = [(made, 1) for made in turn.out.made]
        decided.effects += turn.out.effects
        while waiting:
            made, hops = waiting.pop(0)
            event: Event | None = made.event
            assert event is not None
            further = self._derived(event, hops, turn.now, decided)
            event, more = further
            if event is not None:
                decided.derived.append(Derived(event, turn.index, made.rule))
            waiting += [(one, hops + 1) for one in more.made]

    def _derived(self, event: Event, hops: int, now: Moment, decided: Decided) -> tuple[Event | None, Out]:
        """Ask the rules about an event that a rule has made."""
        if event.address.type == "publish":
            return event, Out()
        parts = self._index.find_derived(event.address, event.lane)
        if not parts:
            return event, Out()
        address, fields = event.address, _fields(event)
        key = f"{address.type}\x00{address.device}"  # not what the device itself said last
        facts = Facts(fields, address.device, now.boot_s, now.wall_s, self._latest.of(key))
        turn = _Turn(now, Out(), event, None, hops)
        altered: Altered | None = None
        for part in parts:
            if hops >= _MAX_HOPS:
                part.tally.errors += 1
                part.tally.last_error = f"more than {_MAX_HOPS} events in a row, each of another"
                self._note(part, None, turn, facts, "hops", "on")
            else:
                altered = self._ask(part, facts, turn, altered)
        self._latest.hears(key, fields, now.boot_s)
        decided.effects += turn.out.effects
        return (event if altered is None else _altered(event, fields, altered)), turn.out

    # -- over a restart -----------------------------------------------------------------------------------------------

    @property
    def urgent(self) -> int:
        """How many rows are to be written soon."""
        return len(self._urgent)

    def changes(self, limit: int = 1 << 30, *, is_all: bool) -> dict[RowKey, bytes | None]:
        """Return up to ``limit`` rows that have changed, which count as written from then on; the urgent ones first.

        ``is_all``: windows, values and what else is not urgent too.
        """
        rows: dict[RowKey, bytes | None] = {}
        while self._urgent and len(rows) < limit:
            key = next(iter(self._urgent))
            del self._urgent[key]
            rows[key[0], key[1], STATE] = self._row(key)
        while is_all and self._slow and len(rows) < limit:
            key = next(iter(self._slow))
            del self._slow[key]
            known = self._given.get(key)
            row = self._row(key)
            if self._given.get(key) != known or row is None:  # asked about, and the same as before: no write
                rows[key[0], key[1], STATE] = row
        while is_all and self._latest.changed and len(rows) < limit:
            device = next(iter(self._latest.changed))
            del self._latest.changed[device]
            rows["", device, VALUES] = self._values_row(device)
        return rows

    def everything(self) -> dict[RowKey, bytes | None]:
        """Return all rows, for an empty file."""
        scheduled = dict.fromkeys((id_, _SCHEDULES) for id_, _ in self._schedules)
        self._urgent = dict.fromkeys(self._slots) | scheduled
        self._slow.clear()
        self._latest.changed = dict.fromkeys(self._latest.devices)
        return self.changes(is_all=True)

    def _row(self, key: tuple[str, str]) -> bytes | None:
        part = self._parts.get(key[0])
        if part is None:
            return None
        if key[1] == _SCHEDULES:
            body = {str(number): one.save() for (id_, number), (_, one) in self._schedules.items() if id_ == key[0]}
            return encode_row(part.rule.fingerprint, self._now, self.os_boot, body)
        slot = part.slots.get(key[1])
        if slot is None:
            self._given.pop(key, None)
            return None
        body = slot.save()
        self._given[key] = hash(encode_body(body))
        return encode_row(part.rule.fingerprint, self._now, self.os_boot, body)

    def _values_row(self, device: str) -> bytes | None:
        values = self._latest.devices.get(device)
        if values is None:
            return None
        body = {name: [reading.value, reading.boot_s] for name, reading in values.items()}
        return encode_row("", self._now, self.os_boot, body)

    def restore(self, rows: Rows, *, was_stopped: bool) -> None:
        """Go on where an earlier process ended; once, before `start`. ``was_stopped``: it had time to write all."""
        for (id_, group, kind), data in sorted(rows.items()):
            row = None if data is None else decode_row(data)
            if row is None:
                continue
            now = self._now
            restart = restart_of(row.saved, boot_s=now.boot_s, wall_s=now.wall_s, os_boot=self.os_boot)
            if kind == VALUES:
                self._latest.devices[group] = {
                    name: Reading(value, restart.move(at_s)) for name, (value, at_s) in row.body.items()
                }
                continue
            part = self._parts.get(id_)
            if part is None or part.rule.fingerprint != row.fingerprint:
                self._urgent[id_, group] = None
            elif group == _SCHEDULES:
                for number, saved in row.body.items():
                    if saved is not None and (id_, int(number)) in self._schedules:
                        self._schedules[id_, int(number)][1].restore(saved, restart.move, now)
            else:
                self._restore_slot(
                    part, group, row.body, restart, is_partial=not (was_stopped and restart.is_same_boot)
                )

    def _restore_slot(
        self, part: Part, group: str, body: Mapping[str, Any], restart: Restart, *, is_partial: bool
    ) -> None:
        slot = self._slot(part, group)
        is_reset = part.rule.spec.on_restart == "reset"
        slot.restore(body, restart.move, is_reset=is_reset)
        slot.note = restart.note
        if body.get("window") is not None and not is_reset:
            window = self._window(part, slot)
            window.restore(body["window"], restart.move, is_partial=is_partial)
            self._timers.begin(window, (part, slot))
        for stage in slot.due():
            self._timers.begin(stage, (part, slot))

    # -- alerts, and others who ask -----------------------------------------------------------------------------------

    def alerts(self) -> list[AlertChange]:
        """Return the alerts that last, as they were said."""
        return [
            slot.alerts.change(alert, "raised", Cause(slot.mark))
            for slot in self._slots.values()
            for alert in slot.alerts.lasting.values()
        ]

    def resolve(self, rule: str, key: str | None, stamp: Stamp) -> Decided:
        """End alerts of a rule by hand: of one key, or all."""
        now = self._now = moment_of(stamp)
        turn = _Turn(now, Out(), mark=f"{stamp.run:x}-{stamp.boot_ns}-r")
        part = self._parts.get(rule)
        for slot in list(part.slots.values()) if part is not None else ():
            for one in list(slot.alerts.lasting):
                if key in (None, one):
                    change = slot.alerts.ended(one, Cause(turn.mark), reason="resolved by hand")
                    tell(change, slot.facts.device if slot.facts is not None else slot.group, now, turn.out)
                    self._urgent[rule, slot.group] = None
        return self._answer(turn) or Decided([], [], [], [])

    def use(self, rules: RuleSet, stamp: Stamp) -> Decided:
        """From now on by these rules; one whose meaning is the same goes on where it is, alerts of the others end."""
        now = self._now = moment_of(stamp)
        turn = _Turn(now, Out(), mark=f"{stamp.run:x}-{stamp.boot_ns}-u")
        before = self._parts
        self._install(rules)
        for id_, part in before.items():
            if self._parts.get(id_) is part:
                continue
            reason = "the rule has changed" if id_ in self._parts else "the rule is gone"
            for slot in list(part.slots.values()):
                facts = slot.facts or Facts({}, slot.group, now.boot_s, now.wall_s)
                resolve_alerts(part.rule, slot, facts, Cause(turn.mark), now, turn.out, reason=reason, is_forced=True)
                self._slots.pop((id_, slot.group), None)
                self._urgent[id_, slot.group] = None
        for part in self._parts.values():
            if before.get(part.rule.id) is not part:
                self._arm(part, now)
        self._begin_schedules(now)
        return self._answer(turn) or Decided([], [], [], [])

    def tally(self, rule: str) -> Tally:
        """Return how often a rule has done what."""
        part = self._parts.get(rule)
        return Tally() if part is None else part.tally

    @property
    def errors(self) -> Mapping[str, str]:
        """Rules that failed on an event, and how at last."""
        return {id_: part.tally.last_error for id_, part in self._parts.items() if part.tally.errors}

    def decisions(self, rule: str, device: str | None = None) -> list[Decision]:
        """Return what is kept of a rule's decisions, of one device or all, the newest last."""
        part = self._parts.get(rule)
        if part is None:
            return []
        kept = list(part.ring)
        known = set(map(id, kept))
        older = [slot.last for slot in part.slots.values() if slot.last is not None and id(slot.last) not in known]
        both = sorted((*older, *kept), key=lambda one: one.boot_s)
        return [one for one in both if device in (None, one.device, one.group)]

    def slots(self, rule: str) -> Iterable[Slot]:
        """Return what a rule remembers, by group."""
        part = self._parts.get(rule)
        return () if part is None else part.slots.values()


def _scale_s(now: Moment) -> float:
    """What UTC is ahead of boot time; 0 while nobody knows."""
    return 0.0 if now.wall_s is None else now.wall_s - now.boot_s


def _schedule(trigger: EveryTrigger | CronTrigger) -> Schedule:
    return Every(trigger.every_s) if isinstance(trigger, EveryTrigger) else Cron(trigger.text, trigger.zone)


def _takes(trigger: Any, notice: Notice) -> bool:
    if notice.kind not in trigger.kinds:
        return False
    return "buffer" not in notice.kind or notice.fields.get("above", trigger.percent) == trigger.percent


def _fields(event: Event) -> Mapping[str, object]:
    """The fields of an event, finite numbers only; none where it is no JSON mapping."""
    if not event.is_json:
        return _NOTHING
    text = flatten(event.data) if event.address.type == GENERIC else event.data
    if text is None:
        return _NOTHING
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return _NOTHING


def _altered(event: Event, fields: Mapping[str, object], altered: Altered) -> Event | None:
    """The event as rules want it; None: it goes nowhere."""
    if altered.is_dropped:
        return None
    changes: dict[str, Any] = {}
    if altered.fields or altered.added:
        changes["data"] = _encode({**altered.added, **fields, **altered.fields})
        changes["is_json"] = True
    if altered.lane is not None:
        changes["lane"] = altered.lane
    if altered.is_routed:
        changes["extra"] = msgspec.structs.replace(event.extra or Extra(), uplinks=tuple(altered.routes))
    return msgspec.structs.replace(event, **changes) if changes else event


def _mark(turn: _Turn) -> str:
    stamp = turn.now.stamp
    return f"{stamp.run:x}-{stamp.boot_ns}-{turn.index if turn.index is not None else 'n'}"


def _age_s(event: Event | None, now: Moment) -> float:
    """How old an event is: by the device's own time where both clocks are known, else since it was received."""
    if event is None:
        return 0.0
    extra = event.extra
    if extra is not None and extra.at_ns is not None and now.wall_s is not None:
        return max(0.0, now.wall_s - extra.at_ns / _NS)
    return max(0.0, now.boot_s - event.stamp.boot_ns / _NS)


def _outcome(what: str, signal: Signal, stopped: str, slot: Slot) -> str:
    """The word for what a signal has come to."""
    match what:
        case "fire":
            return "fired"
        case "resolve":
            return "resolved"
        case "held":
            return "kept" if stopped == "until" else "held"
    if signal is None:
        return "unknown"
    if signal is False:
        return "false"
    return "unchanged" if stopped == "changed" else "waiting"
