"""Runs of events that were handed out: cut, taken out, passed over.

A segment is ``[batch, start, stop]``: ``events[start:stop]`` of a batch. It is a list because the oldest one is cut in
place with every acknowledgement.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import groupby

from fieldgate.journal.intervals import IntervalSet
from fieldgate.journal.window import Batch
from fieldgate_devices.event import Event

__all__ = ["Segment", "cut_through", "first_seq", "last_seq", "not_in", "parts", "stop_at", "take_out"]

Segment = list[object]


def first_seq(segment: Segment) -> int:
    """Return the sequence number of the first event of a segment."""
    batch, start, _ = segment
    assert isinstance(batch, Batch)
    assert isinstance(start, int)
    return batch.events[start].seq


def last_seq(segment: Segment) -> int:
    """Return the sequence number of the last event of a segment."""
    batch, _, stop = segment
    assert isinstance(batch, Batch)
    assert isinstance(stop, int)
    return batch.events[stop - 1].seq


def take_out(segments: deque[Segment], batch: Batch, start: int, stop: int) -> bool:
    """Take ``events[start:stop]`` out of the segment that holds them; return whether there is one."""
    for index, (other, first, end) in enumerate(segments):
        if other is batch and first <= start and stop <= end:  # type: ignore[operator]  # a segment is [Batch, int, int]
            pieces: list[Segment] = [[batch, first, start]] if first < start else []  # type: ignore[operator]
            if stop < end:  # type: ignore[operator]  # as above
                pieces.append([batch, stop, end])
            del segments[index]
            for piece in reversed(pieces):
                segments.insert(index, piece)
            return True
    return False


def cut_through(segments: deque[Segment], seq: int) -> None:
    """Drop what has sequence numbers up to ``seq``."""
    while segments:
        batch, start, stop = segments[0]
        assert isinstance(batch, Batch)
        assert isinstance(start, int)
        assert isinstance(stop, int)
        kept = stop_at(batch.events, start, stop, seq)
        if kept == start:
            return
        segments.popleft()
        if kept < stop:
            segments.appendleft([batch, kept, stop])
            return


def not_in(passed: IntervalSet, batch: Batch, runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the parts of ``runs`` whose events are not passed over."""
    kept: list[tuple[int, int]] = []
    for first, end in runs:
        for index in range(first, end):
            if batch.events[index].seq in passed:
                continue
            if kept and kept[-1][1] == index:
                kept[-1] = (kept[-1][0], index + 1)
            else:
                kept.append((index, index + 1))
    return kept


def parts(events: list[Event], handed: Sequence[tuple[int, int]]) -> list[tuple[list[Event], bool]]:
    """Split events into runs that were handed out before they were written, and runs that were not."""
    if not events:
        return []
    if not handed:
        return [(events, False)]
    known = IntervalSet(handed)
    return [(list(part), is_in) for is_in, part in groupby(events, key=lambda event: event.seq in known)]


def stop_at(events: Sequence[Event], start: int, stop: int, last_seq: int) -> int:
    """Return the first index in ``[start, stop)`` whose sequence number is above ``last_seq``, or ``stop``."""
    while start < stop:
        middle = (start + stop) // 2
        if events[middle].seq <= last_seq:
            start = middle + 1
        else:
            stop = middle
    return start
