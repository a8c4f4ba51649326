"""``absent``: no event for which the condition is true for so long."""

from __future__ import annotations

from fieldgate_rules.condition import Facts
from fieldgate_rules.engine.stages.stage import Signal, Timed

__all__ = ["Absent"]


class Absent(Timed):
    """Waits from `arm`, or from the first event, on.

    Each event puts it off, which is no reason to write: after a kill it waits anew (`wait_anew`), because nobody knows
    what was heard last.
    """

    key = "absent"

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        super().__init__()

    def arm(self, now_s: float) -> None:
        """Begin to wait, unless it does already."""
        if self.since_s is None:
            self.since_s, self.due_s = now_s, now_s + self._after_s

    @property
    def news(self) -> object:
        """See `Stage`."""
        return self.due_s is None

    def wait_anew(self, now_s: float) -> None:
        """Events may have come of which nothing is known."""
        if self.due_s is not None:
            self.since_s, self.due_s = now_s, now_s + self._after_s

    def feed(self, signal: Signal, facts: Facts) -> Signal:
        """See `Stage`."""
        if signal is not True:
            self.arm(facts.boot_s)
            return None
        self.since_s, self.due_s = facts.boot_s, facts.boot_s + self._after_s
        return False
