"""A sorted set of closed integer intervals: which sequence numbers are done above a floor."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

__all__ = ["IntervalSet"]


class IntervalSet:
    """Disjoint closed intervals ``(first, last)`` in rising order; touching ones are joined."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, intervals: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in intervals:
            self.add(first, last)

    def __len__(self) -> int:
        return len(self._firsts)

    def __contains__(self, value: int) -> bool:
        index = bisect_right(self._firsts, value) - 1
        return index >= 0 and value <= self._lasts[index]

    def pairs(self) -> list[tuple[int, int]]:
        """Return the intervals, lowest first."""
        return list(zip(self._firsts, self._lasts, strict=True))

    def add(self, first: int, last: int) -> None:
        """Add ``first`` … ``last``, joining what it overlaps or touches."""
        firsts, lasts = self._firsts, self._lasts
        low = bisect_right(firsts, first)
        if low and lasts[low - 1] >= first - 1:
            low -= 1
            first = firsts[low]
        high = bisect_right(firsts, last + 1)
        if high > low:
            last = max(last, lasts[high - 1])
        firsts[low:high] = [first]
        lasts[low:high] = [last]

    def drop_through(self, floor: int) -> None:
        """Forget everything up to and including ``floor``."""
        count = bisect_right(self._lasts, floor)
        del self._firsts[:count], self._lasts[:count]
        if self._firsts and self._firsts[0] <= floor:
            self._firsts[0] = floor + 1

    def overlaps(self, first: int, last: int) -> bool:
        """Whether any of ``first`` … ``last`` is in the set."""
        index = bisect_right(self._firsts, last) - 1
        return index >= 0 and self._lasts[index] >= first

    def uncovered(self, first: int, last: int) -> list[tuple[int, int]]:
        """Return what of ``first`` … ``last`` is not in the set, lowest first."""
        rest = []
        for begin, end in zip(self._firsts, self._lasts, strict=True):
            if begin > last:
                break
            if begin > first:
                rest.append((first, begin - 1))
            first = max(first, end + 1)
        if first <= last:
            rest.append((first, last))
        return rest
