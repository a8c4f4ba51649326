"""The one subscription by which an uplink hears commands, and what to do about a server that does not grant it.

Laws of this file:

- It is asked for on every connection, also where the session is kept: that costs little, and nobody can ask MQTT.
- Refused, it is asked for again now and then. A server that ends the connection over it (AWS IoT does) is asked ever
  more rarely; the uplink goes on without commands.

Sans-io: it is told what happened and answers what to send.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fieldgate.mqtt.client_happenings import reason_text
from fieldgate.mqtt.packets import Reason, Subscription

__all__ = ["CommandSubscription"]

_PATIENCE_S: Final = 30.0
_REFUSED_S: Final = (60.0, 3600.0)  # the first wait, and the longest
_CLOSED_S: Final = (5.0, 600.0, 6 * 3600.0)  # once may be chance; then the first wait, and the longest
_NO_RETAINED: Final = 2  # Retain Handling [MQTT5 3.8.3.1]
_WORDS: Final[dict[int, str]] = {
    Reason.NOT_AUTHORIZED: "this client may not read it",
    Reason.TOPIC_FILTER_INVALID: "the broker does not take this filter",
    Reason.QUOTA_EXCEEDED: "the broker's quota is used up",
    Reason.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED: "the broker has no wildcards",
}


class CommandSubscription:
    """``problem`` is why there is none, in words; empty while it is granted or only just asked for.

    ``is_granted``: the server of the present connection has said so. ``qos`` is what it granted.
    """

    def __init__(self, topic_filter: str) -> None:
        self.filter = topic_filter
        self.is_granted = False
        self.qos = 0
        self.problem = ""
        self._packet_id = 0  # of the SUBSCRIBE that is not answered
        self._sent_s = 0.0
        self._due_s: float | None = None
        self._refusals = self._closes = 0

    @property
    def is_asking(self) -> bool:
        """Whether the server has a SUBSCRIBE that it has not answered."""
        return self._packet_id != 0

    def connected(self) -> None:
        """A connection was accepted."""
        self.is_granted = False
        self._packet_id = 0
        if self._due_s is None or not self._closes:
            self._due_s = 0.0

    def next(self, now_s: float, *, max_packet_bytes: int | None) -> Subscription | None:
        """Return what to subscribe to now; it is to be followed by `sent`."""
        if self._packet_id:
            if now_s - self._sent_s >= _PATIENCE_S:
                self._packet_id = 0
                self._refused(f"the broker has not answered SUBSCRIBE for {_PATIENCE_S:g} s", now_s)
            return None
        if self._due_s is None or now_s < self._due_s:
            return None
        self._due_s = None
        if max_packet_bytes is not None and len(self.filter.encode()) + 13 > max_packet_bytes:
            self._refused(f"it is too long for this broker, which takes packets of {max_packet_bytes} bytes", now_s)
            return None
        # Retain As Published: a command that its sender has retained is known as such also where it comes at once.
        return Subscription(self.filter, 1, no_local=True, retain_as_published=True, retain_handling=_NO_RETAINED)

    def sent(self, packet_id: int, now_s: float) -> None:
        """It was asked for under that id; 0: there was none free."""
        if packet_id:
            self._packet_id, self._sent_s = packet_id, now_s
        else:
            self._due_s = now_s

    def answered(self, packet_id: int, reasons: Sequence[int], *, version: int, now_s: float) -> bool:
        """Take a SUBACK; return whether it is this one's."""
        if packet_id != self._packet_id or not packet_id:
            return False
        self._packet_id = 0
        reason = reasons[0] if reasons else Reason.UNSPECIFIED_ERROR
        if reason < Reason.UNSPECIFIED_ERROR:
            self.is_granted, self.qos, self.problem = True, reason, ""
            self._refusals = self._closes = 0
            return True
        known = _WORDS.get(reason) if version == 5 else "the broker does not grant it"
        self._refused(known or f"the broker says {reason_text(reason)}", now_s)
        return True

    def lost(self, now_s: float, *, is_by_server: bool) -> bool:
        """The connection is over; return whether the server ended it instead of answering SUBSCRIBE."""
        was_asking, self._packet_id = self.is_asking, 0
        self.is_granted = False
        if not was_asking or not is_by_server:
            return False
        self._closes += 1
        once_s, first_s, longest_s = _CLOSED_S
        wait_s = once_s if self._closes == 1 else min(longest_s, first_s * 2 ** min(self._closes - 2, 10))
        self._due_s = now_s + wait_s
        if self._closes > 1:
            self.problem = (
                f"the broker closed the connection after SUBSCRIBE {self.filter!r}; does its policy allow that? "
                f"asked again in {wait_s / 60:.0f} min"
            )
        return True

    def wakes_in_s(self, now_s: float) -> float | None:
        """In how many seconds to ask `next` again."""
        if self._packet_id:
            return max(0.0, self._sent_s + _PATIENCE_S - now_s)
        return None if self._due_s is None else max(0.0, self._due_s - now_s)

    def _refused(self, why: str, now_s: float) -> None:
        first_s, longest_s = _REFUSED_S
        self.problem = why
        self._due_s = now_s + min(longest_s, first_s * 2 ** min(self._refusals, 10))
        self._refusals += 1
