"""Watch the server of a client session: ping it when it is silent, give it up when it is dead or forgets messages.

A dead link is noticed after 1.25 x keep-alive at most, a server that answers pings and nothing else after
``puback_timeout_s``, and so is one that leaves one message behind all others. Times are the caller's.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ServerWatch"]

_PING_AFTER: Final = 0.75  # of the keep-alive: silence after which the server is asked
_PING_PATIENCE: Final = 0.5  # of the keep-alive: how long it may take to answer


class ServerWatch:
    """``keep_alive_s`` is what the server wants (0: none). The session notes here when it hears and writes."""

    def __init__(self, *, keep_alive_s: int, puback_timeout_s: float) -> None:
        self.keep_alive_s = keep_alive_s
        self.puback_timeout_s = puback_timeout_s
        self.heard_s = self.written_s = 0.0
        self.waiting_since_s = 0.0  # last PUBACK, or when the first message since was sent
        self.head_since_s = 0.0  # when the oldest message was overtaken
        self._pinged_s: float | None = None
        self._is_reading = True

    def begins(self, now_s: float) -> None:
        """A connection begins."""
        self._is_reading = True
        self._pinged_s = None
        self.heard_s = now_s

    def set_reading(self, is_reading: bool, now_s: float) -> None:
        """The owner reads the socket, or does not for now: then the server's silence means nothing."""
        self._is_reading = is_reading
        self.heard(now_s)

    def heard(self, now_s: float) -> None:
        """The server said something."""
        self.heard_s = now_s
        self._pinged_s = None

    @property
    def poll_interval_s(self) -> float:
        """How often to look: often enough for each limit to be kept to within a twentieth."""
        limits_s = [1.0, self.puback_timeout_s / 20]
        if self.keep_alive_s:
            limits_s.append(self.keep_alive_s / 20)
        return max(min(limits_s), 0.01)

    def gives_up(self, now_s: float, *, sent_count: int, is_overtaken: bool) -> str:
        """Return why nothing is to be expected of this connection any more; empty while something is."""
        if self._pinged_s is not None and now_s - self._pinged_s >= _PING_PATIENCE * self.keep_alive_s:
            return f"the server has been silent for {now_s - self.heard_s:.0f} s: the link is dead"
        patience_s = self.puback_timeout_s
        if sent_count and now_s - self.waiting_since_s >= patience_s:
            return f"no PUBACK for {patience_s:g} s with {sent_count} messages on the way"
        if is_overtaken and now_s - self.head_since_s >= patience_s:
            return f"the server has passed over a message for {patience_s:g} s"
        return ""

    def is_ping_due(self, now_s: float) -> bool:
        """Whether to send a PINGREQ now; it is taken as sent.

        While nothing is read the server must hear of us all the same; its answers wait in the socket.
        """
        if not self.keep_alive_s or self._pinged_s is not None:
            return False
        quiet_since_s = min(self.heard_s, self.written_s) if self._is_reading else self.written_s
        if now_s - quiet_since_s < _PING_AFTER * self.keep_alive_s:
            return False
        if self._is_reading:
            self._pinged_s = now_s
        return True
