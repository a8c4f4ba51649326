"""How many dead letters are kept in a time: a broken device must not wear the flash, nor push out what others left.

What is allowed is handed out in bursts: ten a second are the first ten of each second, not one every 100 ms. So they
share a write, and what comes after them in that second waits for none.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

__all__ = ["Allowance", "LetterRates"]

_MAX_BUCKETS: Final = 1_000
_TOTAL: Final = 10  # topics whose whole rate all of them together may use


class Allowance:
    """``per_s`` on average, as whole letters of a period of a second or more; for all together ``times`` as many."""

    __slots__ = ("_burst", "_left", "_period_s", "_until_s")

    def __init__(self, per_s: float, *, times: int = 1) -> None:
        burst = max(1, round(per_s))
        self._burst = burst * times
        self._period_s = burst / per_s
        self._left = 0
        self._until_s = 0.0

    def has_room(self, now_s: float) -> bool:
        """Whether one more may be kept now."""
        if now_s >= self._until_s:
            self._until_s = now_s + self._period_s
            self._left = self._burst
        return self._left > 0

    def take(self) -> None:
        """One is kept."""
        self._left -= 1


class LetterRates:
    """An allowance for each topic of a source, and ten times as much over all.

    The allowances of the topics that were heard longest ago are forgotten, so a device that invents topics gets
    a new one for each; the one over all holds it.
    """

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._total = Allowance(per_s, times=_TOTAL)
        self._topics: OrderedDict[int, Allowance] = OrderedDict()

    def takes(self, source: str, topic: str, now_s: float) -> bool:
        """Whether one more of this topic may be kept; then it counts."""
        key = hash((source, topic))  # a topic can be long
        one = self._topics.get(key)
        if one is None:
            one = self._topics[key] = Allowance(self._per_s)
            if len(self._topics) > _MAX_BUCKETS:
                self._topics.popitem(last=False)
        else:
            self._topics.move_to_end(key)
        if not (one.has_room(now_s) and self._total.has_room(now_s)):
            return False
        one.take()
        self._total.take()
        return True
