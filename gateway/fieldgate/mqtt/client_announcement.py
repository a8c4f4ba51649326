"""Messages that a client sends beside all others, such as its birth: QoS 1, never sent again, in no count."""

from __future__ import annotations

import msgspec

from fieldgate.mqtt.client_happenings import Announced
from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.in_flight import InFlight
from fieldgate.mqtt.packets import PubAck, Publish

__all__ = ["Announcements"]


class Announcements:
    """``waiting`` are the packet ids of those that wait for their PUBACK on this connection."""

    def __init__(self, in_flight: InFlight) -> None:
        self.waiting: set[int] = set()
        self._in_flight = in_flight

    def packet(self, message: Publish, version: int) -> tuple[int, bytes]:
        """Return the packet id of a message that waits from now on, and the PUBLISH to write; 0 when no id is free."""
        packet_id = self._in_flight.reserve()
        if not packet_id:
            return 0, b""
        self.waiting.add(packet_id)
        return packet_id, encode(msgspec.structs.replace(message, packet_id=packet_id), version)

    def answered(self, packet: PubAck) -> Announced:
        """The PUBACK of one of them has come."""
        self._in_flight.release(packet.packet_id)
        self.waiting.remove(packet.packet_id)
        text = packet.properties.reason_string if packet.properties is not None else None
        return Announced(packet.packet_id, packet.reason, text or "")
