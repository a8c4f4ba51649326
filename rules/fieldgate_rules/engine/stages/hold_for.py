"""``for``: it has been true for so long without a break."""

from __future__ import annotations

from fieldgate_rules.condition import Facts
from fieldgate_rules.engine.stages.stage import Signal, Timed

__all__ = ["HoldFor"]


class HoldFor(Timed):
    """A timer: it ends without a further event."""

    key = "for"

    def __init__(self, hold_s: float) -> None:
        self._hold_s = hold_s
        super().__init__()

    def feed(self, signal: Signal, facts: Facts) -> Signal:
        """See `Stage`."""
        return self.hear(signal, facts.boot_s)

    def hear(self, signal: Signal, now_s: float) -> Signal:
        """Take a signal that no event brings."""
        if signal is None:
            return None
        if not signal:
            self.since_s = self.due_s = None
            return False
        if self.since_s is None:
            self.since_s = now_s
            self.due_s = now_s + self._hold_s if self._hold_s else None
        return True if self.due_s is None else None
