"""``for``: it has been true for so long without a break."""

from __future__ import annotations

from typing import Any

from fieldgate_rules.condition import Facts
from fieldgate_rules.engine.stages.stage import Move, Signal, Stage

__all__ = ["HoldFor"]


class HoldFor(Stage):
    """A timer: it ends without a further event."""

    key = "for"

    def __init__(self, hold_s: float) -> None:
        self._hold_s = hold_s
        self._since_s: float | None = None

    def feed(self, signal: Signal, facts: Facts) -> Signal:
        """See `Stage`."""
        return self.hear(signal, facts.boot_s)

    def hear(self, signal: Signal, now_s: float) -> Signal:
        """Take a signal that no event brings."""
        if signal is None:
            return None
        if not signal:
            self._since_s = self.due_s = None
            return False
        if self._since_s is None:
            self._since_s = now_s
            self.due_s = now_s + self._hold_s if self._hold_s else None
        return True if self.due_s is None else None

    def tick(self, now_s: float) -> Signal:
        """See `Stage`."""
        del now_s
        self.due_s = None
        return True

    def shown(self) -> dict[str, Any]:
        """See `Stage`."""
        return {"since_s": self._since_s, "due_s": self.due_s}

    def save(self) -> Any:
        """See `Stage`."""
        return None if self._since_s is None else [self._since_s, self.due_s]

    def restore(self, saved: Any, move: Move) -> None:
        """See `Stage`."""
        since_s, due_s = saved
        self._since_s = move(since_s)
        self.due_s = None if due_s is None else move(due_s)
