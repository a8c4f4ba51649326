"""Reads that came to anything but one event of their lane per message: several, of several lanes, none, or more.

A message is settled when all its events are and all that rules made of them, a dead letter when it is on the disk,
one that nobody wants, or of which rules have left nothing, at once. Causes and what rules made of them are on disk
together, or neither is (DESIGN.md section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec

from fieldgate.ingest.causes import Causes
from fieldgate.ingest.decode import Odd, Refused
from fieldgate.ingest.source import Received, Settler
from fieldgate.journal.dead_letter import UNKNOWN_DEVICE, DeadLetter
from fieldgate.journal.dead_letter_box import Replay
from fieldgate.journal.dead_letter_keeper import DeadLetters
from fieldgate.journal.outbox import Outbox
from fieldgate_devices.event import LANES, Event, Extra, Stamp, TimeQuality
from fieldgate_devices.trace_context import child_of
from fieldgate_rules.effects import Decided, Derived

__all__ = ["OddReads"]

_NO_EXTRA = Extra()


class OddReads:
    """Divides them between the outbox and the dead letters."""

    def __init__(self, outbox: Outbox, dead_letters: DeadLetters, *, rng: Random | None = None) -> None:
        """``rng`` gives the ids of spans."""
        self._rng = rng or Random()
        self._outbox = outbox
        self._dead_letters = dead_letters

    def take(
        self,
        events: Sequence[Event],
        odd: Odd | None,
        received: Sequence[Received],
        settler: Settler,
        first: int,
        *,
        stamp: Stamp,
        decided: Decided | None = None,
    ) -> None:
        """Take what a read came to; see `Decoded`. ``odd`` None: message n is the cause of event n.

        ``decided`` is what rules made of it, where they did anything.
        """
        causes: Sequence[int] = range(len(events)) if odd is None else odd.causes
        if decided is None:
            self._accept(events, causes, [], [], received, settler, first, stamp)
        elif odd is None and _is_altered_only(events, decided):
            size_bytes = sum(message.size_bytes for message in received)
            altered, now_s = decided.events, stamp.boot_ns / 1e9
            is_routed = _is_routed(altered)
            self._outbox.accept(altered, settler, first, now_s=now_s, size_bytes=size_bytes, is_routed=is_routed)
        else:
            passed = [causes[place] for place in decided.causes]
            of_derived = [None if one.cause is None else causes[one.cause] for one in decided.derived]
            self._hand_down_traces(events, decided.derived)
            self._accept(decided.events, passed, decided.derived, of_derived, received, settler, first, stamp)
            _name_causes(decided, stamp.run)
            for message in sorted(set(causes) - set(passed) - set(of_derived)):
                self._outbox.settle(settler, first + message)
        if odd is None:
            return
        for refused in odd.refused:
            self._bury(refused, received[refused.index], settler, first, stamp)
        for index in odd.rejected:
            if isinstance(settler, Replay):  # a letter that is kept stays kept
                own_lane = settler.letters[first + index].lane
                unknown = Refused(index, "", 0, UNKNOWN_DEVICE, "no profile takes it", own_lane)
                self._bury(unknown, received[index], settler, first, stamp)
            else:
                self._dead_letters.box.reject(UNKNOWN_DEVICE, settler, first + index, 1)

    def take_made(self, derived: Sequence[Derived], stamp: Stamp) -> None:
        """Take events that rules made of no message: of time, or of what happens to the gateway."""
        for lane in LANES:
            events = [one.event for one in derived if one.event.lane == lane]
            if events:
                size_bytes = sum(len(event.data) for event in events)
                now_s, is_routed = stamp.boot_ns / 1e9, _is_routed(events)
                self._outbox.accept(events, None, 0, now_s=now_s, size_bytes=size_bytes, is_routed=is_routed)

    def _accept(
        self,
        events: Sequence[Event],
        causes: Sequence[int],
        derived: Sequence[Derived],
        of_derived: Sequence[int | None],
        received: Sequence[Received],
        settler: Settler,
        first: int,
        stamp: Stamp,
    ) -> None:
        """Causes come first, so that they are there before what came of them, in each lane."""
        together = Causes(settler, first, [*causes, *of_derived])
        now_s, is_bound = stamp.boot_ns / 1e9, False

        def accept(of_lane: list[Event], positions: list[int], size_bytes: int) -> None:
            is_routed = _is_routed(of_lane)
            self._outbox.accept(
                of_lane, together, positions, now_s=now_s, size_bytes=size_bytes, is_bound=is_bound, is_routed=is_routed
            )

        for lane in LANES:
            places = [place for place, event in enumerate(events) if event.lane == lane]
            if places:
                size_bytes = sum(received[cause].size_bytes for cause in {causes[place] for place in places})
                accept([events[place] for place in places], places, size_bytes)
                is_bound = bool(derived)
        made = [one.event for one in derived]
        for lane in LANES:
            places = [place for place, event in enumerate(made) if event.lane == lane]
            if places:
                of_lane = [made[place] for place in places]
                positions = [len(events) + place for place in places]
                accept(of_lane, positions, sum(len(event.data) for event in of_lane))
                is_bound = True

    def _hand_down_traces(self, events: Sequence[Event], derived: Sequence[Derived]) -> None:
        """What rules made of an event belongs to its trace, with a parent of its own; a dropped one's, too."""
        for one in derived:
            cause = None if one.cause is None else events[one.cause].extra
            if cause is not None and cause.trace is not None:
                extra = one.event.extra or _NO_EXTRA
                one.event.extra = msgspec.structs.replace(extra, trace=child_of(cause.trace, self._rng))

    def _bury(self, refused: Refused, message: Received, settler: Settler, first: int, stamp: Stamp) -> None:
        letter = DeadLetter(
            number=0,
            received_wall_ns=stamp.wall_ns,
            source=settler.source,
            topic=message.topic,
            payload=message.payload,
            content_id=message.content_id,
            lane=refused.lane,
            profile=refused.profile,
            version=refused.version,
            reason=refused.code,
            detail=refused.detail,
            is_synced=stamp.quality == TimeQuality.SYNCED,
        )
        self._dead_letters.put(letter, settler, first + refused.index)


def _is_routed(events: Sequence[Event]) -> bool:
    """Whether a rule has said of any of these where they go; see `Outbox.accept`."""
    for event in events:
        extra = event.extra
        if extra is not None and (extra.uplinks is not None or extra.notify or extra.publish is not None):
            return True
    return False


def _is_altered_only(events: Sequence[Event], decided: Decided) -> bool:
    """Whether all events of a read go on, in one lane, and nothing was made of them."""
    altered = decided.events
    if decided.derived or not altered or len(altered) < len(events):
        return False
    lane = altered[0].lane
    return all(event.lane == lane for event in altered)


def _name_causes(decided: Decided, run: int) -> None:
    """Say in each event that rules have made of which one it comes; one that was dropped has no number."""
    if not decided.derived:
        return
    number_of = {place: event.seq for event, place in zip(decided.events, decided.causes, strict=True)}
    for one in decided.derived:
        seq = None if one.cause is None else number_of.get(one.cause)
        if seq is not None:
            extra = one.event.extra or _NO_EXTRA
            one.event.extra = msgspec.structs.replace(extra, cause=f"{run:016x}-{seq}")
