"""What a client receives: each PUBLISH is acknowledged when its owner says so, in order of receipt [MQTT-4.6.0-2]."""

from __future__ import annotations

from fieldgate.mqtt.ack_line import AckLine
from fieldgate.mqtt.client_happenings import Incoming
from fieldgate.mqtt.packets import Publish, Reason
from fieldgate.mqtt.violation import Violation

__all__ = ["ClientInbox"]


class ClientInbox:
    """The messages of one connection that wait for their PUBACK; at most ``receive_maximum`` (None: any number)."""

    def __init__(self, receive_maximum: int | None) -> None:
        self._receive_maximum = receive_maximum
        self._line = AckLine()

    def take(self, packet: Publish) -> Incoming:
        """Take a PUBLISH.

        Raises:
            Violation: QoS 2, which nobody subscribed to, or more than the server may have on the way [MQTT5 4.9].
        """
        if packet.qos > 1:
            raise Violation(Reason.QOS_NOT_SUPPORTED, "a PUBLISH of QoS 2, never asked for")
        if not packet.qos:
            return Incoming(packet, self._line, -1)
        if self._receive_maximum is not None and self._line.in_flight >= self._receive_maximum:
            raise Violation(Reason.RECEIVE_MAXIMUM_EXCEEDED, "more PUBLISHes than Receive Maximum")
        return Incoming(packet, self._line, self._line.add_events([packet.packet_id], (0,), len(packet.payload)))

    def settled(self, incoming: Incoming) -> bytes:
        """Note that a message is safe; return the PUBACKs that are due. Nothing is due for an earlier connection."""
        if incoming.position >= 0:
            incoming.line.settled(incoming.position, 1)
        return self._line.take_due()[0] if incoming.line is self._line else b""
