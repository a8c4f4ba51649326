"""``count``: so many events for which the condition is true, within a time."""

from __future__ import annotations

from collections import deque
from typing import Any

from fieldgate_rules.condition import Facts
from fieldgate_rules.engine.stages.stage import Move, Signal, Stage

__all__ = ["Count"]


class Count(Stage):
    """``begins_anew``: once there are enough, counting begins anew; else it is true until they are too few again."""

    key = "count"

    def __init__(self, at_least: int, within_s: float, *, begins_anew: bool) -> None:
        self._at_least = at_least
        self._within_s = within_s
        self._begins_anew = begins_anew
        self._times: deque[float] = deque(maxlen=at_least)

    def feed(self, signal: Signal, facts: Facts) -> Signal:
        """See `Stage`."""
        if signal is not True:
            return None
        times, now_s = self._times, facts.boot_s
        while times and times[0] <= now_s - self._within_s:
            times.popleft()
        times.append(now_s)
        if len(times) < self._at_least:
            return None
        if self._begins_anew:
            times.clear()
            return True
        self.due_s = times[0] + self._within_s
        return True

    def tick(self, now_s: float) -> Signal:
        """See `Stage`: the oldest counts no more."""
        while self._times and self._times[0] <= now_s - self._within_s:
            self._times.popleft()
        self.due_s = None
        return False

    def shown(self) -> dict[str, Any]:
        """See `Stage`."""
        return {
            "count": len(self._times),
            "at_least": self._at_least,
            "since_s": self._times[0] if self._times else None,
        }

    def save(self) -> Any:
        """See `Stage`."""
        return [list(self._times), self.due_s] if self._times else None

    def restore(self, saved: Any, move: Move) -> None:
        """See `Stage`."""
        times, due_s = saved
        self._times.extend(move(one) for one in times)
        self.due_s = None if due_s is None else move(due_s)
