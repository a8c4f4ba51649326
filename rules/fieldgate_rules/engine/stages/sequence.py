"""``sequence``: one thing after the other, within a time."""

from __future__ import annotations

from collections.abc import Sequence as Many
from fnmatch import fnmatchcase
from typing import Any

from fieldgate_rules.condition import Facts
from fieldgate_rules.engine.stages.stage import Move, Signal, Stage
from fieldgate_rules.rule import Step

__all__ = ["Sequence"]


class Sequence(Stage):
    """True at the event that completes it. The first step, seen again, begins it anew."""

    key = "sequence"

    def __init__(self, steps: Many[Step], within_s: float) -> None:
        self._steps = tuple(steps)
        self._within_s = within_s
        self._next = 0
        self._since_s = 0.0

    def feed(self, signal: Signal, facts: Facts) -> Signal:
        """See `Stage`. The signal is that there is an event at all; the steps have the conditions."""
        del signal
        if self._next and facts.boot_s - self._since_s > self._within_s:
            self._next = 0
        if self._is(self._next, facts):
            if self._next == 0:
                self._since_s = facts.boot_s
            self._next += 1
            if self._next == len(self._steps):
                self._next = 0
                return True
        elif self._next and self._is(0, facts):
            self._next, self._since_s = 1, facts.boot_s
        return None

    def _is(self, number: int, facts: Facts) -> bool:
        step = self._steps[number]
        if step.devices and not any(fnmatchcase(facts.device, glob) for glob in step.devices):
            return False
        return step.when.evaluate(facts) is True

    def shown(self) -> dict[str, Any]:
        """See `Stage`."""
        return {"next": self._next, "steps": len(self._steps), "since_s": self._since_s if self._next else None}

    def save(self) -> Any:
        """See `Stage`."""
        return [self._next, self._since_s] if self._next else None

    def restore(self, saved: Any, move: Move) -> None:
        """See `Stage`."""
        number, since_s = saved
        if 0 < number < len(self._steps):
            self._next, self._since_s = number, move(since_s)
