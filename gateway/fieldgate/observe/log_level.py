"""How much the log says: one of four levels, changed while the gateway runs, for a while or for good.

No I/O, no clock.
"""

from __future__ import annotations

from typing import Final, Literal

__all__ = ["LEVELS", "Level", "LogLevel"]

Level = Literal["debug", "info", "warning", "error"]
LEVELS: Final[tuple[Level, ...]] = ("debug", "info", "warning", "error")

_RANK: Final = {"debug": 0, "info": 1, "warning": 2, "error": 3, "exception": 3, "critical": 3}


class LogLevel:
    """``usual`` is the level of the start, or the last one that was set for good."""

    def __init__(self, usual: Level = "info") -> None:
        self.usual: Level = usual
        self._for_now: Level | None = None
        self._until_s = 0.0
        self._has_gone_back = False

    def set(self, level: Level, *, now_s: float, for_s: float | None = None) -> None:
        """From now on this level; with ``for_s`` the usual one is back after so long."""
        if for_s is None:
            self.usual, self._for_now = level, None
        else:
            self._for_now, self._until_s = level, now_s + for_s

    def current(self, now_s: float) -> Level:
        """Return the level in force."""
        if self._for_now is not None and now_s >= self._until_s:
            self._has_gone_back |= self._for_now != self.usual
            self._for_now = None
        return self._for_now or self.usual

    def has_gone_back(self, now_s: float) -> bool:
        """Whether the usual level is back by itself, and was not there before; told once."""
        self.current(now_s)
        has_gone_back, self._has_gone_back = self._has_gone_back, False
        return has_gone_back

    def left_s(self, now_s: float) -> float | None:
        """How long the level in force stays so, None: for good."""
        self.current(now_s)
        return None if self._for_now is None else self._until_s - now_s

    def takes(self, method: str, now_s: float) -> bool:
        """Whether a line of that method of a logger is said."""
        return _RANK[method] >= _RANK[self.current(now_s)]
