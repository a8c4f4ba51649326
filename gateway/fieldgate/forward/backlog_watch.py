"""How old a message can be that a server delivers: no protocol says when it was published.

What comes while a session's backlog is delivered may have waited since the gateway was heard of last. The backlog is at
its end when nothing waits to be acknowledged and the server answers a PINGREQ without having sent anything before: it
reads our acknowledgements first, and with each sends what still waits.

Sans-io; times are boot times.
"""

from __future__ import annotations

from typing import Final

from fieldgate.mqtt.client_session import ClientSession

__all__ = ["BacklogWatch"]

_ANY_AGE_S: Final = 365 * 86_400.0  # of a server that keeps sessions for ever


class BacklogWatch:
    """``is_open``: what comes now may be of the backlog. ``away_since_s`` is None where nobody knows.

    ``is_inherited``: that may be one of an earlier process.
    """

    def __init__(self, away_since_s: float | None = None) -> None:
        self.is_open = False
        self.is_inherited = True
        self.away_since_s = away_since_s
        self._kept_s = _ANY_AGE_S
        self._ping = 0  # the PINGREQ that was sent for this, by number; 0: none
        self._received = 0  # how much had come by then

    def connected(self, *, is_session_present: bool, kept_s: float | None) -> None:
        """A connection was accepted; ``kept_s`` is how long the server keeps sessions, if it says so."""
        self.is_open = is_session_present
        self.is_inherited = self.is_inherited and is_session_present
        self._kept_s = _ANY_AGE_S if kept_s is None else kept_s
        self._ping = 0

    def lost(self, heard_s: float) -> None:
        """The connection is over; the server was heard last at ``heard_s``. An older backlog may not be at its end."""
        if not self.is_open:
            self.away_since_s = heard_s
        self.is_open = True

    def oldest_s(self, now_s: float) -> float:
        """Return how old a message can be that comes now."""
        if not self.is_open:
            return 0.0
        return self._kept_s if self.away_since_s is None else max(0.0, now_s - self.away_since_s)

    def wants_pong(self, session: ClientSession, *, received: int, is_idle: bool) -> bool:
        """Look whether the backlog is at its end; return whether to ask the server for a PINGRESP.

        ``received`` counts what has come, ``is_idle``: nothing of it waits to be acknowledged.
        """
        if not is_idle:
            self._ping = 0
            return False
        if self._ping and session.pongs >= self._ping:
            if received == self._received:
                self.is_open = self.is_inherited = False
                return False
            self._ping = 0
        if self._ping:
            return False
        self._ping, self._received = session.pings + 1, received
        return True
