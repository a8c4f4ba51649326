"""Holes in what an uplink gets, and the event that tells it so (P4).

A hole is events of one run and lane that one uplink was to get and never will. Its gap event is made when the
uplink's cursor passes it and is never stored: the hole itself is, in the uplink's state, until the far side has
acknowledged the gap event.
"""

from __future__ import annotations

import msgspec

from fieldgate_devices.event import Address, Event, Lane, Stamp

__all__ = ["GAP_TYPE", "Hole", "gap_event", "join_holes"]

GAP_TYPE = "gap"
_MAX_HOLES = 1_000


class Hole(msgspec.Struct, array_like=True, frozen=True):
    """``count`` events with sequence numbers within ``first_seq`` … ``last_seq`` of ``run`` in ``lane`` are gone."""

    lane: int
    reason: str
    count: int
    run: int
    first_seq: int
    last_seq: int


def join_holes(holes: list[Hole], hole: Hole) -> None:
    """Add ``hole`` to ``holes``, joined with the last one where both are of the same lane, reason and run."""
    for index in range(len(holes) - 1, -1, -1):
        last = holes[index]
        same = last.lane == hole.lane and last.reason == hole.reason and last.run == hole.run
        if same and (index == len(holes) - 1 or len(holes) >= _MAX_HOLES):
            holes[index] = Hole(
                last.lane,
                last.reason,
                last.count + hole.count,
                last.run,
                min(last.first_seq, hole.first_seq),
                max(last.last_seq, hole.last_seq),
            )
            return
        if len(holes) < _MAX_HOLES:
            break
    holes.append(hole)


def gap_event(hole: Hole, *, gateway: str, stamp: Stamp) -> Event:
    """Return the event that tells an uplink of ``hole``.

    It bears the run and the last sequence number of what is lost; the encoder tells its id from the lost event's
    by the suffix ``-gap``.
    """
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
    return Event(
        address=Address(gateway, GAP_TYPE, "fieldgate/gap"),
        stamp=Stamp(hole.run, stamp.wall_ns, stamp.boot_ns, stamp.quality),
        data=data,
        is_json=True,
        content_id=0,
        lane=hole.lane,
        seq=hole.last_seq,
    )
