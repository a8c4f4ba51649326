"""Notice that another client uses our client id: the server says so in MQTT 5, in 3.1.1 it only hangs up.

Two clients of one id throw each other out at every connect. Each success of one is the end of the other, so success
must not make it try again sooner.

A server that has refused a message and then hangs up (mosquitto does) has said why: nobody else is suspected then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from fieldgate.mqtt.endings import Cause, End

__all__ = ["TakeoverWatch"]

_SOON_S: Final = 30.0
_CLOSES_BEFORE_SUSPICION: Final = 3


class TakeoverWatch:
    """Follows how the connections of one client end."""

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self._closes = 0
        self._denied_at: int | None = None

    def denied(self, *, acked: int) -> None:
        """The server does not permit a message; it had taken ``acked`` of them by then."""
        self._denied_at = acked

    def ended(self, end: End, *, lasted_s: float, acked: int, is_fruitless: bool = False) -> End:
        """A connection that was accepted is over; return its end, with what may be behind it.

        ``acked``: how many messages the server has taken by now. ``is_fruitless``: messages were on the way and none
        was acknowledged, so one of them may be what ended it.
        """
        was_denied, self._denied_at = self._denied_at == acked, None
        if was_denied and end.cause is Cause.SERVER:
            self._closes = 0
            text = f"{end.text}, after it had refused a message as not authorized (0x87)"
            return replace(end, text=f"{text}; does its access control allow this client our topics?")
        if end.is_takeover:
            text = f"another client uses the same client id {self._client_id!r}; give each its own"
            return replace(end, text=f"{text}: session taken over (0x8e)")
        if end.cause is not Cause.SERVER or end.is_too_large or is_fruitless or lasted_s > _SOON_S:
            self._closes = 0
            return end
        self._closes += 1
        if self._closes < _CLOSES_BEFORE_SUSPICION:
            return end
        text = f"{end.text}, again and again soon after connecting; perhaps "
        return replace(end, text=f"{text}another client uses the same client id {self._client_id!r}", is_takeover=True)
