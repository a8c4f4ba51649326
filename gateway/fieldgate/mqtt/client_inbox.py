"""What a client receives: who takes it, and who stands there where nobody asked for anything.

A `ClientInbox` lives as long as one connection. The session hands it whole runs of PUBLISHes and writes what it says
is due, so that one read is acknowledged by one write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from fieldgate.mqtt.packets import Publish, Reason
from fieldgate.mqtt.violation import Violation

__all__ = ["ClientInbox", "OpenInbox", "Unasked", "unasked"]


class ClientInbox(Protocol):
    """Who takes what the server publishes on one connection."""

    def take(self, publishes: Sequence[Publish], now_s: float) -> None:
        """Take a run of PUBLISHes, in order; raises `Violation` when one of them breaks a rule."""

    def release(self, packet_id: int) -> bool:
        """PUBREL: forget a QoS 2 id; answers whether it was known."""

    def due(self) -> bytes:
        """The acknowledgements that may leave now, in order of receipt [MQTT-4.6.0-2]."""

    def end(self) -> None:
        """The connection is over; called once."""


OpenInbox = Callable[[int, bool], ClientInbox]
"""Makes the inbox of a connection that was just accepted, from the protocol level and session present."""


class Unasked:
    """The inbox of a client that subscribes to nothing.

    What comes all the same is another program's, which used this client id before: it is not acknowledged, and more of
    it than ``receive_maximum`` ends the connection.
    """

    def __init__(self, receive_maximum: int) -> None:
        self._receive_maximum = receive_maximum
        self._waiting = 0

    def take(self, publishes: Sequence[Publish], now_s: float) -> None:
        """See `ClientInbox`."""
        del now_s
        if any(packet.qos > 1 for packet in publishes):
            raise Violation(Reason.QOS_NOT_SUPPORTED, "a PUBLISH of QoS 2, never asked for")
        self._waiting += sum(packet.qos for packet in publishes)
        if self._waiting > self._receive_maximum:
            raise Violation(Reason.RECEIVE_MAXIMUM_EXCEEDED, "more PUBLISHes than Receive Maximum")

    def release(self, packet_id: int) -> bool:
        """See `ClientInbox`."""
        del packet_id
        return False

    def due(self) -> bytes:
        """See `ClientInbox`."""
        return b""

    def end(self) -> None:
        """See `ClientInbox`."""


def unasked(receive_maximum: int) -> OpenInbox:
    """Return what opens an `Unasked` for each connection."""
    return lambda _version, _is_session_present: Unasked(receive_maximum)
