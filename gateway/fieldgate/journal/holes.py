"""What is missing between two blocks of a lane, given what is known to be gone. Core: plain numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Gone", "Hole", "find_hole"]


class Gone(NamedTuple):
    """Blocks of a lane, by ordinal, that were removed or booked as lost, and how many events they held."""

    first_ordinal: int
    last_ordinal: int
    events: int


class Hole(NamedTuple):
    """Blocks of a lane that are missing without a record; ``events`` is exact where what is known is."""

    first_ordinal: int
    last_ordinal: int
    events: int


def find_hole(
    *, after_ordinal: int, events_until: int, next_ordinal: int, events_before: int, gone: Iterable[Gone]
) -> Hole | None:
    """Return what is missing between block ``after_ordinal`` and block ``next_ordinal`` of a lane.

    ``events_until`` counts the lane's events up to and with the former, ``events_before`` those before the latter.
    Known gaps inside are left out of the count; the range is the smallest that holds all that is missing.
    """
    missing: list[tuple[int, int]] = []
    events = events_before - events_until
    start = after_ordinal + 1
    for gap in sorted(gone):
        if gap.last_ordinal < start or gap.first_ordinal >= next_ordinal:
            continue
        if gap.first_ordinal > start:
            missing.append((start, gap.first_ordinal - 1))
        if gap.first_ordinal > after_ordinal:
            events -= gap.events
        start = gap.last_ordinal + 1
    if start < next_ordinal:
        missing.append((start, next_ordinal - 1))
    if not missing:
        return None
    return Hole(missing[0][0], missing[-1][1], max(events, 0))
