"""What most events come to where a rule remembers something of their device: nothing new, in a fifth of the time.

`Asker` would come to the same, and makes a turn, compares states and works out what to show; here is only what it takes
to see that none of it is needed. Whatever is not as simple as that is left to it.
"""

from __future__ import annotations

from fieldgate_devices.event import Event
from fieldgate_devices.fast_json import Known
from fieldgate_rules.condition import Facts
from fieldgate_rules.engine.decisions import Gathered, Passed, Stayed
from fieldgate_rules.engine.excerpts import LONG_BYTES
from fieldgate_rules.engine.memory import Memory
from fieldgate_rules.engine.moment import Moment
from fieldgate_rules.engine.part import Part
from fieldgate_rules.engine.slot import Slot
from fieldgate_rules.engine.turn import age_of, is_replayed
from fieldgate_rules.engine.windows.window import Window

__all__ = ["ask_quickly", "does_nothing", "gather", "pass_by", "window_of"]


def pass_by(parts: tuple[Part, ...], event: Event, known: Known, facts: Facts, now: Moment) -> tuple[Part, ...]:
    """Ask rules about an event that was decoded already; return those that are still to be asked, mostly none.

    One that remembers something of its device, and whoever stands behind it, is not asked. ``facts`` is there to be
    used again and again; nobody keeps it.
    """
    if len(event.data) > LONG_BYTES or (event.raw is not None and len(event.raw) > LONG_BYTES):
        return parts
    device = event.address.device
    facts.fields, facts.device = known, device  # type: ignore[assignment]  # conditions only `get`
    for number, part in enumerate(parts):
        if not part.is_simple or device in part.slots or not does_nothing(part, facts, event, now, is_kept=False):
            return parts[number:]
    return ()


def does_nothing(part: Part, facts: Facts, event: Event, now: Moment, *, is_kept: bool = True) -> bool:
    """Ask a rule that is simple and remembers nothing of a device; return whether that was all (else: ask it anew).

    ``is_kept``: nobody changes ``facts`` any more.
    """
    try:
        truth = part.when(facts)  # type: ignore[misc]  # is_simple says that there is one
    except Exception:  # noqa: BLE001 - the asker finds it too, and notes it (P7)
        return False
    if truth is True:
        return False
    part.ring.append(Passed(event, now, truth, facts if is_kept else None))  # type: ignore[arg-type]  # a truth
    return True


def ask_quickly(memory: Memory, part: Part, slot: Slot, facts: Facts, event: Event, now: Moment) -> bool:
    """Ask a rule that gathers or stays (`Part.is_quick`); False: nothing was done, and `Asker` is to ask it.

    Raises whatever a window does that cannot go on.
    """
    try:
        truth = True if part.when is None else part.when(facts)
    except Exception:  # noqa: BLE001 - the asker finds it too, and notes it (P7)
        return False
    if part.gathers:
        if truth is True:
            gather(memory, part, slot, facts, event, now)
        else:
            part.ring.append(Passed(event, now, truth, facts))  # type: ignore[arg-type]  # a condition is a truth
        return True
    return slot.is_holding and _stays(memory, part, slot, truth, facts, event, now)


def _stays(memory: Memory, part: Part, slot: Slot, truth: object, facts: Facts, event: Event, now: Moment) -> bool:
    """It holds, fires no more, and goes on so, unless it waits for something or ends."""
    until, stages = part.rule.until, slot.stages
    held = stages[0] if stages else None
    since_s = None
    if held is not None:
        since_s = held.since_s  # type: ignore[attr-defined]  # `Part.is_quick`: there is none but `for`
        if held.due_s is not None or (truth is True and since_s is None):
            return False
    if until is None:
        if truth is not True:
            return False
    elif until.evaluate(facts) is True:
        return False
    if truth is True:
        slot.facts, slot.age_s, slot.is_replayed = facts, age_of(event, now), is_replayed(event)
    elif truth is False and held is not None:
        held.feed(False, facts)
        since_s = None
    if held is not None:
        memory.slow[slot.key] = None
    if memory.is_crowded:
        memory.used(slot.key)
    slot.last = stayed = Stayed(slot.group, event, facts, until is not None, held is not None, since_s)
    part.ring.append(stayed)
    return True


def gather(memory: Memory, part: Part, slot: Slot, facts: Facts, event: Event | None, now: Moment) -> None:
    """Put an event into the window of its group."""
    window = slot.window or window_of(part, slot)
    slot.facts = facts
    due_s = window.due_s
    try:
        is_in_time = window.add(facts, now, event)
    except Exception:  # what it has gathered is worth nothing any more; the caller notes it, and the next begins anew
        slot.window = None
        raise
    if window.due_s != due_s:
        memory.timers.begin(window, (part, slot))
    memory.slow[slot.key] = None
    if memory.is_crowded:
        memory.used(slot.key)
    slot.last = gathered = Gathered(slot.group, event, facts, is_in_time, window.events, window.due_s, window.late)
    part.ring.append(gathered)


def window_of(part: Part, slot: Slot) -> Window:
    """Return the window of a group; a new one where there is none."""
    if slot.window is None:
        spec = part.rule.spec.window
        assert spec is not None
        slot.window = Window(spec, part.rule.window, part.adders, since_s=part.since_s)
    return slot.window
