"""Ask one rule: about an event, because a timer has ended, because a window has ended. What it does goes into the turn.

Whatever a rule does on one event costs nothing else (P7): it is noted as an error, and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from fieldgate_devices.event import Event, Lane
from fieldgate_rules.condition import Facts, Reading
from fieldgate_rules.effects import Cause
from fieldgate_rules.engine.acting import Altered, Out, act_on_event, altered_event, fire, resolve_alerts, tell
from fieldgate_rules.engine.decisions import Acted, Decision
from fieldgate_rules.engine.event_fields import NOTHING, FieldsReader
from fieldgate_rules.engine.excerpts import LONG_BYTES
from fieldgate_rules.engine.memory import Memory
from fieldgate_rules.engine.moment import Moment
from fieldgate_rules.engine.part import Part
from fieldgate_rules.engine.quick import ask_quickly, does_nothing, gather
from fieldgate_rules.engine.slot import Slot
from fieldgate_rules.engine.stages.stage import Signal, Stage
from fieldgate_rules.engine.turn import MAX_FOLLOWING, MAX_HOPS, Turn, age_of, is_replayed
from fieldgate_rules.engine.windows.window import Window

__all__ = ["Asker"]


class Asker:
    """``memory`` is what rules remember; ``gateway`` stands for a device where there is none."""

    def __init__(self, memory: Memory, *, gateway: str) -> None:
        self._memory = memory
        self._gateway = gateway
        self._fields_of = FieldsReader()

    # -- an event -----------------------------------------------------------------------------------------------------

    def ask_all(self, parts: Sequence[Part], event: Event, place: int, now: Moment) -> tuple[Event | None, Turn | None]:
        """Ask rules about event ``place`` of a read; return the event as it goes on (None: nowhere), and the turn.

        There is none if all that came of it is an entry in rings.
        """
        memory, latest, address = self._memory, self._memory.latest, event.address
        seen, fields = event, self._fields_of(event)
        read = fields
        if len(event.data) > LONG_BYTES or len(event.raw or b"") > LONG_BYTES:
            seen, read = memory.excerpts.of(event, fields)
        facts = Facts(read, address.device, now.boot_s, now.wall_s)
        if latest.is_needed:
            facts.prev = latest.of(address.device)
        altered: Altered | None = None
        turn: Turn | None = None
        for part in parts:
            slot = part.slots.get(address.device)
            if slot is not None:
                try:
                    if part.is_quick and ask_quickly(memory, part, slot, facts, seen, now):
                        continue
                except Exception as error:  # noqa: BLE001 - whatever a rule does costs nothing else (P7)
                    self._failed(part, slot, Turn(now, Out(), "", seen), facts, error)
                    continue
            elif part.is_simple and does_nothing(part, facts, seen, now):
                continue
            if turn is None:
                mark = f"{now.stamp.run:x}-{now.stamp.boot_ns}-{place}"
                turn = Turn(now, Out(), mark, seen, age_s=age_of(event, now), is_replayed=is_replayed(event))
            altered = self.ask(part, facts, turn, altered)
        if latest.is_needed:
            latest.hears(address.device, read, now.boot_s)
        return (event if altered is None else altered_event(event, fields, altered)), turn

    def ask(self, part: Part, facts: Facts, turn: Turn, altered: Altered | None) -> Altered | None:
        """Ask a rule; return how the event is to be altered by now."""
        try:
            return self._ask(part, facts, turn, altered)
        except Exception as error:  # noqa: BLE001 - whatever a rule does costs nothing else (P7)
            self._failed(part, None, turn, facts, error)
            return altered

    def _ask(self, part: Part, facts: Facts, turn: Turn, altered: Altered | None) -> Altered | None:
        rule, memory = part.rule, self._memory
        if rule.reads.last:
            facts = msgspec.structs.replace(facts, last=memory.latest.last(sorted(rule.reads.last)))
        group = part.group_of(facts)
        if group is None:
            self.note(part, None, turn, facts, "no_group", "group_by")
            return altered
        signal: Signal = True if part.when is None else part.when(facts)  # type: ignore[assignment]  # a condition is a truth
        slot = part.slots.get(group)
        if signal is not True and part.is_plain and (slot is None or not (slot.is_holding or slot.stages)):
            self.note(part, slot, turn, facts, _word(signal), "when")
            return altered
        slot = slot or self._new_slot(part, group, turn)
        if rule.spec.window is not None:
            if signal is True:
                gather(memory, part, slot, facts, turn.event, turn.now)
            else:
                self.note(part, slot, turn, facts, _word(signal), "when")
            return altered
        before = slot.signature()
        try:
            return self._go_on(part, slot, signal, facts, turn, altered)
        finally:
            memory.changed(part, slot, before)

    def _new_slot(self, part: Part, group: str, turn: Turn) -> Slot:
        """Remember a group from now on; alerts of those that had to go for it end."""
        slot, memory = self._memory.slot(part, group), self._memory
        while memory.evicted:
            old_part, old = memory.evicted.pop()
            facts = old.facts or Facts(NOTHING, old.group, turn.now.boot_s, turn.now.wall_s)
            out = Out() if old_part.rule.is_shadow else turn.out
            resolve_alerts(
                old_part.rule, old, facts, Cause(turn.mark), turn.now, out, reason="too many states", is_forced=True
            )
        return slot

    def _go_on(
        self, part: Part, slot: Slot, signal: Signal, facts: Facts, turn: Turn, altered: Altered | None
    ) -> Altered | None:
        """Take the signal of the condition to its end."""
        rule = part.rule
        if signal is True or (slot.facts is None and part.when is None):
            slot.facts, slot.age_s, slot.is_replayed = facts, turn.age_s, turn.is_replayed
        was_waiting = bool(slot.due())
        what, last, stopped = slot.feed(signal, facts)
        if slot.due() and not was_waiting:
            slot.mark = turn.mark
        outcome, stopped, acted = self._come_to(part, slot, facts, turn, what, signal, stopped)
        if turn.event is not None and slot.applies(last):
            own = Altered() if rule.is_shadow else altered or Altered()
            about = act_on_event(rule, slot, facts, own)
            if about:
                acted += tuple(about)
                altered = altered if rule.is_shadow else own
        self.note(part, slot, turn, facts, outcome, stopped, acted=acted)
        return altered

    def _come_to(
        self, part: Part, slot: Slot, facts: Facts, turn: Turn, what: str, signal: Signal, stopped: str
    ) -> tuple[str, str, tuple[Acted, ...]]:
        """Do what a signal has come to; return the outcome, the key that stopped it, and what was done."""
        match what:
            case "fire":
                return self.fire(part, slot, facts, turn)
            case "resolve":
                self._resolve(part, slot, facts, turn)
                return "resolved", stopped, ()
            case "held":
                return "kept" if stopped == "until" else "held", stopped, ()
        if signal is not True:
            return _word(signal), stopped or "when", ()
        return "unchanged" if stopped == "changed" else "waiting", stopped, ()

    # -- a timer ------------------------------------------------------------------------------------------------------

    def timer_ended(self, part: Part, slot: Slot, stage: Stage, turn: Turn) -> None:
        """A stage has waited long enough; facts are those of the last event for which the condition was true."""
        known = slot.facts
        fields, device = (NOTHING, self._device_of(part, slot)) if known is None else (known.fields, known.device)
        facts = self._facts(part, fields, device, turn)
        if known is not None:  # not what came since, and as long before as it was then
            waited_s = facts.boot_s - known.boot_s
            facts.prev = {name: Reading(one.value, one.boot_s + waited_s) for name, one in known.prev.items()}
        if part.rule.spec.absent is None:  # silence is no older than it is
            turn.age_s, turn.is_replayed = turn.age_s + slot.age_s, slot.is_replayed
        before = slot.signature()
        try:
            what, signal, stopped = slot.tick(stage, turn.now.boot_s)
            outcome, stopped, acted = self._come_to(part, slot, facts, turn, what, signal, stopped)
            self.note(part, slot, turn, facts, outcome, stopped, acted=acted)
        except Exception as error:  # noqa: BLE001 - whatever a rule does costs nothing else (P7)
            self._failed(part, slot, turn, facts, error)
        self._memory.changed(part, slot, before)

    def alerts_waited(self, part: Part, slot: Slot, turn: Turn) -> None:
        """What alerts say now, after a second without a word."""
        before = slot.signature()
        for change, device in slot.alerts.tick(turn.now.boot_s):
            if not part.rule.is_shadow:
                tell(change, device, turn.now, turn.out)
        self._memory.changed(part, slot, before)

    def _device_of(self, part: Part, slot: Slot) -> str:
        """The device that a group is, or the gateway."""
        return slot.group if part.rule.spec.group_by == "device" else self._gateway

    def _facts(self, part: Part, fields: Mapping[str, object], device: str, turn: Turn) -> Facts:
        """The facts of what no event brings."""
        latest, wanted = self._memory.latest, part.rule.reads.last
        last = latest.last(sorted(wanted)) if wanted else {}
        return Facts(fields, device, turn.now.boot_s, turn.now.wall_s, latest.of(device), last)

    # -- windows ------------------------------------------------------------------------------------------------------

    def window_ended(self, part: Part, slot: Slot, window: Window, turn: Turn) -> None:
        """A pane of a window has ended, and with it a window, if it says anything."""
        rule = part.rule
        if slot.window is not window:  # given up
            return
        try:
            ended = window.tick(turn.now)
        except Exception as error:  # noqa: BLE001 - whatever a rule does costs nothing else (P7)
            slot.window = None  # the next event begins it anew
            facts = self._facts(part, NOTHING, self._device_of(part, slot), turn)
            self._failed(part, slot, turn, facts, error)
            return
        self._memory.timers.begin(window, (part, slot))
        self._memory.slow[slot.key] = None
        if ended is None:
            return
        slot.ended = ended
        facts = self._facts(part, ended.fields(), self._device_of(part, slot), turn)
        before = slot.signature()
        acted: tuple[Acted, ...] = ()
        try:
            truth = True if rule.having is None else rule.having.evaluate(facts)
            if truth is True:
                slot.is_holding = True
                outcome, stopped, acted = self.fire(part, slot, facts, turn)
            else:
                outcome, stopped = "not_having", "window.having"
                if slot.is_holding and truth is False:
                    slot.is_holding = False
                    self._resolve(part, slot, facts, turn)
            self.note(part, slot, turn, facts, outcome, stopped, acted=acted)
        except Exception as error:  # noqa: BLE001 - whatever a rule does costs nothing else (P7)
            self._failed(part, slot, turn, facts, error)
        self._memory.changed(part, slot, before)

    # -- firing -------------------------------------------------------------------------------------------------------

    def fire(self, part: Part, slot: Slot, facts: Facts, turn: Turn) -> tuple[str, str, tuple[Acted, ...]]:
        """Fire, unless the gate is closed; return the outcome, the key that stopped it, and what was done."""
        rule, now = part.rule, turn.now
        if slot.gate is not None:
            closed = slot.gate.closed_by(now)
            if closed:
                part.tally.suppressed += 1
                self._memory.totals.suppressed += 1
                return "throttled" if closed == "throttle" else "used_up", closed, ()
            slot.gate.passed(now)
            self._memory.urgent[slot.key] = None
        part.tally.fired += 1
        self._memory.totals.fired += 1
        cause = Cause(turn.mark, turn.event, turn.is_replayed, turn.age_s)
        lane = Lane.NORMAL if turn.event is None else turn.event.lane
        acted = fire(rule, slot, facts, cause, now, Out() if rule.is_shadow else turn.out, lane=lane)
        for one in acted:
            if one.stopped_by and not one.stopped_by.endswith(".if"):
                part.tally.note_stopped(one.stopped_by)
        self._tell_others(part, facts, turn, "fired")
        return "fired", "mode" if rule.is_shadow else "", acted

    def _resolve(self, part: Part, slot: Slot, facts: Facts, turn: Turn) -> None:
        out = Out() if part.rule.is_shadow else turn.out
        cause = Cause(turn.mark, turn.event, turn.is_replayed, turn.age_s)
        resolve_alerts(part.rule, slot, facts, cause, turn.now, out)
        self._tell_others(part, facts, turn, "resolved")

    def _tell_others(self, part: Part, facts: Facts, turn: Turn, firing: str) -> None:
        """Ask the rules that are on this one."""
        if part.rule.is_shadow:
            return
        severity = next((one.spec.alert.severity for one in part.rule.actions if one.spec.alert is not None), "")
        for other in self._memory.on_rule.get(part.rule.id, ()):
            if firing == "resolved" and not other.wants_resolved:
                continue
            told = {"rule": part.rule.id, "firing": firing, "severity": severity}
            own = Facts(told, facts.device, facts.boot_s, facts.wall_s, facts.prev)
            following = turn.following
            if turn.hops >= MAX_HOPS or following.is_too_much:
                self.too_far(other, own, turn)
                continue
            following.firings += 1
            event, mark = turn.event, turn.mark
            turn.event, turn.mark = None, f"{mark}+{following.firings}"  # one rule may hear of two in one turn
            turn.hops += 1
            self.ask(other, own, turn, None)
            turn.hops -= 1
            turn.event, turn.mark = event, mark

    def too_far(self, part: Part, facts: Facts, turn: Turn) -> None:
        """Rules follow from each other without end: this one is not asked any more."""
        part.tally.errors += 1
        self._memory.totals.errors += 1
        if turn.following.is_too_much:
            part.tally.last_error = f"more than {MAX_FOLLOWING:,} firings and events followed from one"
        else:
            part.tally.last_error = f"more than {MAX_HOPS} rules followed from each other"
        self.note(part, None, turn, facts, "hops", "on")

    # -- for explanations ---------------------------------------------------------------------------------------------

    def _failed(self, part: Part, slot: Slot | None, turn: Turn, facts: Facts, error: Exception) -> None:
        part.tally.errors += 1
        self._memory.totals.errors += 1
        part.tally.last_error = f"{type(error).__name__}: {error}"
        self.note(part, slot, turn, facts, "error", "", why=part.tally.last_error)

    def note(
        self,
        part: Part,
        slot: Slot | None,
        turn: Turn,
        facts: Facts,
        outcome: str,
        stopped: str,
        *,
        why: str = "",
        acted: tuple[Acted, ...] = (),
    ) -> None:
        """Keep a decision."""
        shown: dict[str, Any] = {} if slot is None else slot.shown(turn.now)
        group = "" if slot is None else slot.group
        decision = Decision(
            group, facts.device, turn.event, facts.boot_s, facts.wall_s, facts, outcome, stopped, why, shown, acted
        )
        part.ring.append(decision)
        if slot is not None:
            slot.last = decision


def _word(signal: Signal) -> str:
    return "unknown" if signal is None else "false"
