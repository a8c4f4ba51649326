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

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, cast

from fieldgate_devices.event import Event, Stamp
from fieldgate_devices.fast_json import Known
from fieldgate_rules.condition import Facts
from fieldgate_rules.effects import AlertChange, Cause, Decided, Derived, Notice
from fieldgate_rules.engine.acting import Altered, Out, altered_event, resolve_alerts, tell
from fieldgate_rules.engine.alerts import Alerts
from fieldgate_rules.engine.asker import Asker
from fieldgate_rules.engine.decisions import Decision
from fieldgate_rules.engine.event_fields import NOTHING, fields_of
from fieldgate_rules.engine.excerpts import LONG_BYTES
from fieldgate_rules.engine.memory import EngineLimits, Memory, why_gone
from fieldgate_rules.engine.moment import Moment, moment_of
from fieldgate_rules.engine.part import Part, Tally
from fieldgate_rules.engine.quick import pass_by
from fieldgate_rules.engine.rows import RowKey, Rows
from fieldgate_rules.engine.schedules import Schedule
from fieldgate_rules.engine.slot import Slot
from fieldgate_rules.engine.stages.absence import Absent
from fieldgate_rules.engine.stages.stage import Stage
from fieldgate_rules.engine.storage import Storage
from fieldgate_rules.engine.timetable import SCHEDULES, Timetable
from fieldgate_rules.engine.turn import MAX_HOPS, Turn
from fieldgate_rules.engine.windows.window import Window
from fieldgate_rules.rule import EventTrigger, RuleSet

__all__ = ["Engine"]

_NS: Final = 1e9
_GLOB: Final = frozenset("*?[")
_LIMITS: Final = EngineLimits()
_WENT_BY: Final = "its time went by unnoticed"


class Engine:
    """See the laws above. ``gateway`` is the gateway's id, ``os_boot`` the kernel's boot id."""

    def __init__(
        self, rules: RuleSet, *, gateway: str, stamp: Stamp, os_boot: str, limits: EngineLimits = _LIMITS
    ) -> None:
        self._now = moment_of(stamp)
        self._gateway = gateway
        self._memory = Memory(limits)
        self.totals = self._memory.totals
        self._timetable = Timetable(self._memory)
        self._asker = Asker(self._memory, gateway=gateway)
        self._storage = Storage(self._memory, self._timetable, os_boot=os_boot)
        self._rules = rules
        self._memory.use(rules, now_s=self._now.boot_s)
        self._timetable.use()

    def _moment(self, stamp: Stamp) -> Moment:
        """Take the time; a stamp may be a little older than the last one, and time never goes back."""
        now = moment_of(stamp)
        behind_s = self._now.boot_s - now.boot_s
        if behind_s > 0.0:
            now = Moment(self._now.boot_s, None if now.wall_s is None else now.wall_s + behind_s, stamp)
        self._now = now
        if self._timetable.look_at_clock(now):
            self._note_missed(now)
        return now

    def _note_missed(self, now: Moment) -> None:
        turn, facts = Turn(now, Out(), ""), Facts(NOTHING, self._gateway, now.boot_s, now.wall_s)
        for part in self._timetable.missed():
            self._asker.note(part, None, turn, facts, "skipped", "on", why=_WENT_BY)

    # -- events -------------------------------------------------------------------------------------------------------

    def feed(self, events: Sequence[Event], stamp: Stamp, known: Sequence[Known] | None = None) -> Decided | None:
        """Return what becomes of events that came together; None: all go on as they are, and nothing is made.

        ``known`` is what each of them says, where that was decoded already.
        """
        # For an event that no rule takes this is one lookup in a dictionary; for one whose conditions are not true and
        # of which nothing is remembered it is those, an entry in each rule's ring, and a decoding if it is not known.
        index, latest = self._memory.index, self._memory.latest
        by_lane, find, hears = index.by_lane, index.find, latest.is_needed
        now: Moment | None = None
        decided: Decided | None = None
        due_s = self._memory.timers.due_s
        if due_s is not None and due_s * _NS <= stamp.boot_ns:
            decided = self.tick(stamp)  # what was due before these events came is not changed by them
        for place, event in enumerate(events):
            address = event.address
            parts = by_lane[event.lane].get(address)
            if parts is None:
                parts = find(address, event.lane)
            after: Event | None = event
            turn: Turn | None = None
            if parts or (hears and latest.wants(address.device)):
                if now is None:
                    now = self._moment(stamp)
                    brief = Facts(NOTHING, "", now.boot_s, now.wall_s)
                self.totals.asked += len(parts)
                if known is not None and not hears:
                    parts = pass_by(parts, event, known[place], brief, now)
                    if not parts:
                        continue
                after, turn = self._asker.ask_all(parts, event, place, now)
            if decided is None:
                if after is event and (turn is None or not (turn.out.effects or turn.out.made)):
                    continue
                decided = Decided(list(events[:place]), list(range(place)), [], [])
            self._add(decided, place, (event, after), turn)
        return decided

    def _add(self, decided: Decided, place: int, event: tuple[Event, Event | None], turn: Turn | None) -> None:
        """Add an event as it came and as it goes on (None: nowhere), and what has come of it."""
        before, after = event
        if after is not None:
            decided.events.append(after)
            decided.causes.append(place)
            if after is not before:
                decided.altered.append((before, after))
        if turn is not None:
            self._collect(turn, place, decided)

    def _collect(self, turn: Turn, place: int | None, decided: Decided) -> None:
        """Add what a turn has made; new events go through the rules themselves."""
        decided.effects += turn.out.effects
        waiting = deque((made, turn.hops + 1) for made in turn.out.made)
        count = 0
        while waiting:
            made, hops = waiting.popleft()
            count += 1
            own = Turn(
                turn.now, Out(), f"{turn.mark}.{count}", made.event, hops, turn.age_s, turn.is_replayed, turn.following
            )
            event = self._derived(own)
            if event is not None:
                decided.derived.append(Derived(event, place, made.rule))
                if event is not made.event:
                    decided.altered.append((made.event, event))
            decided.effects += own.out.effects
            waiting.extend((one, hops + 1) for one in own.out.made)

    def _derived(self, turn: Turn) -> Event | None:
        """Ask the rules about an event that a rule has made; return it as it goes on."""
        event = turn.event
        assert event is not None
        address, latest = event.address, self._memory.latest
        parts = () if address.type == "publish" else self._memory.index.find_derived(address, event.lane)
        if not parts:
            return event
        self.totals.asked += len(parts)
        fields = read = fields_of(event)
        if len(event.data) > LONG_BYTES:
            turn.event, read = self._memory.excerpts.of(event, fields)
        key = f"{address.type}\x00{address.device}"  # not what the device itself said last
        facts = Facts(read, address.device, turn.now.boot_s, turn.now.wall_s, latest.of(key))
        altered: Altered | None = None
        for part in parts:
            if turn.hops > MAX_HOPS:
                self._asker.too_far(part, facts, turn)
                continue
            if turn.following.is_too_much:
                self._asker.too_far(part, facts, turn)
                break
            turn.following.events += turn.hops > 1  # what rules emit of an event itself is bounded by the rules
            altered = self._asker.ask(part, facts, turn, altered)
        latest.hears(key, read, turn.now.boot_s)
        return event if altered is None else altered_event(event, fields, altered)

    def _answer(self, turn: Turn) -> Decided:
        decided = Decided([], [], [], [])
        self._collect(turn, None, decided)
        return decided

    # -- the gateway, and time ----------------------------------------------------------------------------------------

    def notice(self, notice: Notice, stamp: Stamp) -> Decided | None:
        """Something has happened to the gateway."""
        now = self._moment(stamp)
        turn = Turn(now, Out(), f"{stamp.run:x}-{stamp.boot_ns}-{notice.kind}-{notice.device}")
        fields = {"kind": notice.kind, **notice.fields}
        facts = Facts(fields, notice.device, now.boot_s, now.wall_s, self._memory.latest.of(notice.device))
        for part in self._memory.on_gateway.get(notice.kind, ()):
            if part.is_on(notice):
                self._asker.ask(part, facts, turn, None)
        return _something(self._answer(turn))

    def start(self, stamp: Stamp) -> Decided | None:
        """Begin, once what was saved is back: what lasts is said again, and rules hear that the gateway has started."""
        now = self._moment(stamp)
        for part in self._memory.parts.values():
            self._arm(part, now)
        self._timetable.begin(now)
        self._note_missed(now)
        decided = self.notice(Notice("started", self._gateway), stamp) or Decided([], [], [], [])
        decided.effects[:0] = self.alerts()
        self._end_lost(decided, now)
        return _something(decided)

    def _end_lost(self, decided: Decided, now: Moment) -> None:
        """End alerts that were saved by rules that are not the same any more."""
        turn = Turn(now, Out(), f"{now.stamp.run:x}-{now.stamp.boot_ns}-start")
        for rule, alerts, device, why in self._storage.lost:
            reason = why or why_gone(rule, self._rules)
            for key in list(alerts.lasting):
                tell(alerts.ended(key, Cause(turn.mark), reason=reason), device, now, turn.out)
        self._storage.lost.clear()
        self._collect(turn, None, decided)

    def _arm(self, part: Part, now: Moment) -> None:
        """Devices that a rule names are missed from the start on."""
        if part.rule.spec.absent is None or part.rule.spec.group_by != "device":
            return
        for trigger in part.rule.triggers:
            for name in trigger.devices if isinstance(trigger, EventTrigger) else ():
                if _GLOB & set(name):
                    continue
                slot = self._memory.slot(part, name)
                before = slot.signature()
                for stage in slot.stages:
                    if isinstance(stage, Absent):
                        stage.arm(now.boot_s)
                        slot.mark = slot.mark or f"{now.stamp.run:x}-{now.stamp.boot_ns}-armed"
                self._memory.changed(part, slot, before)

    def tick(self, stamp: Stamp) -> Decided | None:
        """Do what is due, each thing at its own moment in the order of time."""
        now = self._moment(stamp)
        decided = Decided([], [], [], [])
        while (popped := self._memory.timers.pop(now.boot_s)) is not None:
            due_s, one, owner = popped
            part, slot = cast("tuple[Part, Slot | None]", owner)
            if self._memory.parts.get(part.rule.id) is not part:
                continue
            turn = Turn(now, Out(), f"{stamp.run:x}-{round(due_s * _NS)}-t", age_s=max(0.0, now.boot_s - due_s))
            if isinstance(one, Schedule):
                self._scheduled(part, one, turn)
            elif slot is None or part.slots.get(slot.group) is not slot:
                continue
            elif isinstance(one, Window):
                self._asker.window_ended(part, slot, one, turn)
            elif isinstance(one, Alerts):
                self._asker.alerts_waited(part, slot, turn)
            elif isinstance(one, Stage):
                turn.mark = slot.mark or turn.mark
                self._asker.timer_ended(part, slot, one, turn)
            self._collect(turn, None, decided)
        return _something(decided)

    def _scheduled(self, part: Part, schedule: Schedule, turn: Turn) -> None:
        came = schedule.look(turn.now)
        self._memory.timers.begin(schedule, (part, None))
        if came == "not_yet":
            return
        self._memory.urgent[part.rule.id, SCHEDULES] = None
        facts = Facts(NOTHING, self._gateway, turn.now.boot_s, turn.now.wall_s)
        if came == "skipped":
            self._asker.note(part, None, turn, facts, "skipped", "on", why=_WENT_BY)
        else:
            self._asker.ask(part, facts, turn, None)

    @property
    def due_s(self) -> float | None:
        """When `tick` is to be called, in boot time."""
        return self._memory.timers.due_s

    # -- other rules, and alerts --------------------------------------------------------------------------------------

    def use(self, rules: RuleSet, stamp: Stamp) -> Decided:
        """From now on by these rules; one that means the same goes on where it is, alerts of the others end."""
        now, memory = self._moment(stamp), self._memory
        turn = Turn(now, Out(), f"{stamp.run:x}-{stamp.boot_ns}-use")
        self._rules = rules
        before = set(memory.parts)
        gone = memory.use(rules, now_s=now.boot_s)
        self._timetable.use()
        for id_, part in gone.items():
            reason = why_gone(id_, rules)
            memory.urgent[id_, SCHEDULES] = None
            for slot in list(part.slots.values()):
                facts = slot.facts or Facts(NOTHING, slot.group, now.boot_s, now.wall_s)
                out = Out() if part.rule.is_shadow else turn.out
                resolve_alerts(part.rule, slot, facts, Cause(turn.mark), now, out, reason=reason, is_forced=True)
                memory.forget(part, slot.group)
        for id_, part in memory.parts.items():
            if id_ in gone or id_ not in before:
                self._arm(part, now)
        self._timetable.begin(now)
        return self._answer(turn)

    def alerts(self, rule: str | None = None) -> Iterator[AlertChange]:
        """Go through the alerts that last, of all rules or one, as they were said."""
        for slot in self._memory.slots.values() if rule is None else self.slots(rule):
            if not slot.rule.is_shadow:
                for alert in slot.alerts.lasting.values():
                    yield slot.alerts.change(alert, "raised", Cause(slot.mark))

    def alert_count(self, rule: str | None = None) -> int:
        """Return how many alerts last, of all rules or one."""
        slots = self._memory.slots.values() if rule is None else self.slots(rule)
        return sum(len(slot.alerts.lasting) for slot in slots if not slot.rule.is_shadow)

    def resolve(self, rule: str, key: str | None, stamp: Stamp) -> Decided:
        """End alerts of a rule by hand: that of one key, or all."""
        now = self._moment(stamp)
        turn = Turn(now, Out(), f"{stamp.run:x}-{stamp.boot_ns}-resolve")
        for slot in list(self.slots(rule)):
            for one in list(slot.alerts.lasting):
                if key in (None, one) and not slot.rule.is_shadow:
                    change = slot.alerts.ended(one, Cause(turn.mark), reason="resolved by hand")
                    tell(change, slot.facts.device if slot.facts is not None else slot.group, now, turn.out)
                    self._memory.urgent[rule, slot.group] = None
        return self._answer(turn)

    # -- over a restart: see `Storage` --------------------------------------------------------------------------------

    @property
    def urgent(self) -> int:
        """How many rows are to be written soon."""
        return len(self._memory.urgent)

    def changes(self, limit: int = 1 << 30, *, is_all: bool) -> dict[RowKey, bytes | None]:
        """Return rows that have changed; see `Storage.changes`."""
        return self._storage.changes(self._now, limit=limit, is_all=is_all)

    def everything(self) -> dict[RowKey, bytes | None]:
        """Return all rows, for an empty file."""
        return self._storage.everything(self._now)

    def stop(self, stamp: Stamp) -> None:
        """The process ends: what waits is written once more, with this moment; the next one may not know the time."""
        self._now = moment_of(stamp)
        for key, slot in self._memory.slots.items():
            if slot.due() or slot.window is not None:
                self._memory.urgent[key] = None

    def restore(self, rows: Rows, *, was_stopped: bool, formerly: Iterable[str] = ()) -> None:
        """Go on where an earlier process ended; once, before `start`. ``formerly`` are ids that the gateway has had."""
        others = frozenset(formerly) - {self._gateway}
        self._storage.restore(rows, self._now, was_stopped=was_stopped, formerly=others)

    # -- for whoever asks ---------------------------------------------------------------------------------------------

    def tally(self, rule: str) -> Tally:
        """Return how often a rule has done what."""
        part = self._memory.parts.get(rule)
        return Tally() if part is None else part.tally

    @property
    def errors(self) -> Mapping[str, str]:
        """Rules that failed on an event, and how at last."""
        return {id_: part.tally.last_error for id_, part in self._memory.parts.items() if part.tally.errors}

    @property
    def forgotten(self) -> int:
        """How many states had to go for newer ones."""
        return self._memory.forgotten

    def decisions(self, rule: str, device: str | None = None) -> list[Decision]:
        """Return what is kept of a rule's decisions, of one device (or group) or all, the newest last."""
        self._memory.excerpts.number()
        part = self._memory.parts.get(rule)
        if part is None:
            return []
        known = set(map(id, part.ring))
        older = [slot.last for slot in part.slots.values() if slot.last is not None and id(slot.last) not in known]
        both = [one if isinstance(one, Decision) else one.decision() for one in (*older, *part.ring)]
        return [one for one in sorted(both, key=lambda one: one.boot_s) if device in (None, one.device, one.group)]

    def slots(self, rule: str) -> Iterable[Slot]:
        """Return what a rule remembers, by group."""
        part = self._memory.parts.get(rule)
        return () if part is None else part.slots.values()


def _something(decided: Decided) -> Decided | None:
    return decided if decided.effects or decided.derived else None
