"""When the state of rules is written: a timer is safe soon, and no rule wears the flash out.

What cannot wait (a timer that starts or stops, a firing) goes after ``commit_delay``, stretched to half a second while
the transaction would hold few rows. Who keeps that up for a minute is written every 5 s from then on: it is a rule that
flaps, and its timer will soon be another one. The rest (windows, earlier values) goes every 30 s, and less often where
it is much: half a kibibyte a second in the long run.
"""

from __future__ import annotations

from typing import Final

__all__ = ["WritePace"]

_FEW_ROWS: Final = 10
_STRETCHED_DELAY_S: Final = 0.5
_BURST: Final = 120  # transactions that may go at once, made good one in 5 s
_SUSTAINED_S: Final = 5.0
_REST_EVERY_S: Final = 30.0
_REST_AT_LAST_S: Final = 900.0
_REST_BYTES_PER_S: Final = 512
_PAGE_BYTES: Final = 4096


class WritePace:
    """Asked when to write, told what was written."""

    def __init__(self, *, commit_delay_s: float, now_s: float) -> None:
        self._commit_delay_s = commit_delay_s
        self._since_s: float | None = None
        self._free_at_s = now_s - _BURST * _SUSTAINED_S
        self._not_before_s = now_s
        self._rest_at_s = now_s + _REST_EVERY_S

    def due_s(self, now_s: float, *, urgent: int) -> float:
        """Return when to write next, if nothing comes meanwhile; ``urgent`` is how many rows cannot wait."""
        if not urgent:
            self._since_s = None
            return self._rest_at_s
        if self._since_s is None:
            self._since_s = now_s
        delay_s = self._commit_delay_s
        if urgent < _FEW_ROWS:
            delay_s = max(delay_s, _STRETCHED_DELAY_S)
        due_s = max(self._since_s + delay_s, self._not_before_s, self._free_at_s + _SUSTAINED_S)
        return min(due_s, self._rest_at_s)

    def is_rest_due(self, now_s: float) -> bool:
        """Whether the rest goes, too."""
        return now_s >= self._rest_at_s

    def wrote(self, now_s: float) -> None:
        """A transaction has begun with all that could not wait."""
        self._since_s = None
        self._not_before_s = now_s + self._commit_delay_s
        self._free_at_s = max(self._free_at_s, now_s - _BURST * _SUSTAINED_S) + _SUSTAINED_S

    def wrote_rest(self, now_s: float, *, size_bytes: int) -> None:
        """The rest was written, ``size_bytes`` of it (0: nothing had changed)."""
        pause_s = (size_bytes + _PAGE_BYTES) / _REST_BYTES_PER_S if size_bytes else 0.0
        self._rest_at_s = now_s + min(max(_REST_EVERY_S, pause_s), _REST_AT_LAST_S)
