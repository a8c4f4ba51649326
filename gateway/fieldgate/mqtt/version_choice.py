"""Which MQTT version to speak to a server that may not know 5."""

from __future__ import annotations

from typing import Final, Literal

__all__ = ["VersionChoice"]

_LEVELS: Final = {"3.1.1": 4, "5": 5}
_CLOSES_BEFORE_SWITCH: Final = 2


class VersionChoice:
    """What to try, and what was learnt.

    ``auto`` begins with 5 and falls back to 3.1.1 when the server says that it does not know 5, or twice closes the
    connection or stays silent instead of answering the CONNECT. What was accepted once is kept; while nothing was, a
    server that does not answer 3.1.1 either is asked in 5 again.
    """

    def __init__(self, wanted: Literal["auto", "5", "3.1.1"]) -> None:
        self._is_free = wanted == "auto"
        self.level = _LEVELS.get(wanted, 5)
        self._accepted: int | None = None
        self._closes = 0

    def accepted(self) -> None:
        """The server has accepted the connection."""
        self._accepted = self.level
        self._closes = 0

    def refused(self) -> bool:
        """The server does not speak this version; return whether to try another at once."""
        if not self._is_free:
            return False
        was = self.level
        self._switch()
        return was == 5

    def closed(self) -> bool:
        """The server gave no CONNACK; return whether to try another version at once."""
        if not self._is_free or self._accepted is not None:
            return False
        self._closes += 1
        if self._closes < _CLOSES_BEFORE_SWITCH:
            return False
        was = self.level
        self._switch()
        return was == 5

    def _switch(self) -> None:
        self._closes = 0
        self.level = 4 if self.level == 5 else 5
