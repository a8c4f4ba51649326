"""Holes in what an uplink gets, and the events that tell it so (P4).

A hole is events of one run and lane that one uplink was to get and never will. Its gap event is made when the
uplink's cursor passes it and is never stored: the hole itself is, in the uplink's state, until the far side has
acknowledged the gap event.

Each lost event is told exactly once, by one id: before a gap event is handed out its hole is closed (it grows no more
and its time stands) and saved so; what is lost afterwards is another hole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from fieldgate_devices.event import Address, Event, Lane, Stamp

__all__ = ["GAP_TYPE", "GapLine", "Hole", "gap_event"]

GAP_TYPE: Final = "gap"
_MAX_HOLES: Final = 1_000  # of an uplink that is away; beyond that, what is alike becomes one
_CLOSED_AT_ONCE: Final = 100


class Hole(msgspec.Struct, array_like=True, frozen=True):
    """``count`` events with sequence numbers within ``first_seq`` … ``last_seq`` of ``run`` in ``lane`` are gone.

    ``told_at`` is the time that its gap event bears; None while it may still grow.
    """

    lane: int
    reason: str
    count: int
    run: int
    first_seq: int
    last_seq: int
    told_at: Stamp | None = None

    def is_like(self, other: Hole) -> bool:
        """Whether both may be told as one."""
        return (self.lane, self.reason, self.run) == (other.lane, other.reason, other.run)

    def joined(self, other: Hole) -> Hole:
        """Return the hole that both make."""
        first, last = min(self.first_seq, other.first_seq), max(self.last_seq, other.last_seq)
        return Hole(self.lane, self.reason, self.count + other.count, self.run, first, last)


class GapLine:
    """The holes that one uplink is still to be told of. ``holes`` is what is saved; the rest follows from it."""

    __slots__ = ("_closed", "_ready", "_saving", "holes")

    def __init__(self, holes: list[Hole]) -> None:
        self.holes = holes
        self._closed: list[Hole] = []
        self._saving: list[Hole] = []
        self._ready = [hole for hole in holes if hole.told_at is not None]

    def add(self, hole: Hole) -> None:
        """Add a hole, joined with the newest one where they are alike, and with any when there are too many."""
        holes = self.holes
        is_crowded = len(holes) >= _MAX_HOLES
        for index in range(len(holes) - 1, -1 if is_crowded else max(-1, len(holes) - 2), -1):
            if holes[index].told_at is None and holes[index].is_like(hole):
                holes[index] = holes[index].joined(hole)
                return
        holes.append(hole)

    def close(self, has_passed: Callable[[Hole], bool], stamp: Stamp) -> bool:
        """Close what the cursor has passed; return whether the state must be saved for that."""
        found = 0
        for index, hole in enumerate(self.holes):
            if hole.told_at is None and has_passed(hole):
                closed = msgspec.structs.replace(hole, told_at=stamp)
                self.holes[index] = closed
                self._closed.append(closed)
                found += 1
                if found == _CLOSED_AT_ONCE:
                    break
        return found > 0

    @property
    def wants_save(self) -> bool:
        """Whether something was closed and waits for the next save."""
        return bool(self._closed)

    def saving(self) -> None:
        """The holes as they are now are on their way to disk; if that fails, this is called again."""
        self._saving += self._closed
        self._closed = []

    def saved(self) -> None:
        """They are on disk: what was closed may be told."""
        self._ready += self._saving
        self._saving = []

    def next(self) -> Hole | None:
        """Return the hole to be told next, if one is ready."""
        return self._ready[0] if self._ready else None

    def told(self) -> None:
        """The far side has the gap event of `next`."""
        self.holes.remove(self._ready.pop(0))


def gap_event(hole: Hole, *, gateway: str) -> Event:
    """Return the event that tells an uplink of a closed hole, the same however often.

    It bears the run and the last sequence number of what is lost; the encoder tells its id from the lost event's
    by the suffix ``-gap``.
    """
    assert hole.told_at is not None
    data = msgspec.json.encode(
        {
            "reason": hole.reason,
            "lane": Lane(hole.lane).name.lower(),
            "count": hole.count,
            "run": f"{hole.run:016x}",
            "first": hole.first_seq,
            "last": hole.last_seq,
        }
    )
    told_at = hole.told_at
    return Event(
        address=Address(gateway, GAP_TYPE, "fieldgate/gap"),
        stamp=Stamp(hole.run, told_at.wall_ns, told_at.boot_ns, told_at.quality),
        data=data,
        is_json=True,
        content_id=0,
        lane=hole.lane,
        seq=hole.last_seq,
    )
