"""How long something took, as counts of how many took no longer than each of a few bounds. No I/O, no clock."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

__all__ = ["SECONDS", "Histogram", "Spread"]

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Bounds for what a person would call quick at one end and an outage at the other."""


class Spread(NamedTuple):
    """What a `Histogram` holds: ``counts`` are of all up to each of ``bounds``, the last of them of all there were."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


class Histogram:
    """Counts values by ``bounds``, which rise; a value that is a bound is within it."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """Count ``count`` times ``value``."""
        self._counts[bisect_left(self._bounds, value)] += count
        self._total += value * count

    def spread(self) -> Spread:
        """Return what was counted so far."""
        return Spread(self._bounds, tuple(accumulate(self._counts)), self._total)
