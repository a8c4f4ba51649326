"""One message that a client sends beside all others, such as its birth: QoS 1, never sent again, in no count."""

from __future__ import annotations

import msgspec

from fieldgate.mqtt.client_happenings import Announced
from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.in_flight import InFlight
from fieldgate.mqtt.packets import PubAck, Publish

__all__ = ["Announcement"]


class Announcement:
    """``packet_id`` is that of the message that waits for its PUBACK on this connection; 0 when none does."""

    def __init__(self, in_flight: InFlight) -> None:
        self.packet_id = 0
        self._in_flight = in_flight

    def packet(self, message: Publish, version: int) -> bytes:
        """Return the PUBLISH to write, which waits from now on; empty when no packet id is free."""
        packet_id = self._in_flight.reserve()
        if not packet_id:
            return b""
        self.packet_id = packet_id
        return encode(msgspec.structs.replace(message, packet_id=packet_id), version)

    def answered(self, packet: PubAck) -> Announced:
        """Its PUBACK has come."""
        self._in_flight.release(self.packet_id)
        self.packet_id = 0
        text = packet.properties.reason_string if packet.properties is not None else None
        return Announced(packet.reason, text or "")
