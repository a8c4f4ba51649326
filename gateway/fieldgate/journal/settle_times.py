"""How long events take to become safe: from the read in which they came to the turn in which they are acknowledged.

On the hot path it costs an entry in a list for each batch (or part of one); the counting is done once a turn. No I/O,
no clock.
"""

from __future__ import annotations

from fieldgate.observe.histogram import Histogram

__all__ = ["SettleTimes"]


class SettleTimes:
    """`Histogram` of seconds. ``noted`` are the batches of this turn: when each was taken, and how many events."""

    __slots__ = ("noted", "times")

    def __init__(self) -> None:
        self.times = Histogram()
        self.noted: list[tuple[float, int]] = []

    def turn_ends(self, now_s: float) -> None:
        """What was noted is acknowledged now."""
        noted, self.noted = self.noted, []
        observe = self.times.observe
        for taken_s, count in noted:
            observe(now_s - taken_s, count)
