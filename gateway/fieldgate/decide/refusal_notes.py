"""Which of the messages that were refused before they were commands leave a trace: few, and the others are counted.

Whoever may publish on the topics of commands can send rubbish without end; the trail of what was really told to devices
must not be pushed out by it, nor the flash be worn.

No I/O, no clock.
"""

from __future__ import annotations

from typing import Final

import msgspec

from fieldgate.decide.orders import Answer

__all__ = ["RefusalNotes"]

_AT_ONCE: Final = 20
_EVERY_S: Final = 60.0


class RefusalNotes:
    """``left_out`` is how many left no trace, ever."""

    def __init__(self) -> None:
        self.left_out = 0
        self._since = 0  # the last trace
        self._tokens = float(_AT_ONCE)
        self._at_s: float | None = None

    def take(self, answer: Answer, now_s: float) -> Answer | None:
        """Return ``answer`` as it is to be recorded, with the count of those that were not; None if it is not to be."""
        if self._at_s is not None:
            self._tokens = min(_AT_ONCE, self._tokens + (now_s - self._at_s) / _EVERY_S)
        self._at_s = now_s
        if self._tokens < 1:
            self.leave_out()
            return None
        self._tokens -= 1
        more, self._since = self._since, 0
        if not more:
            return answer
        return msgspec.structs.replace(answer, reason=f"{answer.reason} ({more:,} more before it left no trace)")

    def leave_out(self) -> None:
        """Count one that left no trace."""
        self.left_out += 1
        self._since += 1
