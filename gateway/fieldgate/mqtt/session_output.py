"""What the server has to say to one client: encoded within the client's limits, gathered, written once per read.

A packet larger than the client's Maximum Packet Size is not sent [MQTT-3.1.2-24]: its reason string goes first
[MQTT-3.2.2-19, MQTT-3.4.2-2 and so on], then the connection. A client that asked for no problem information gets
reason strings in CONNACK and DISCONNECT only [MQTT-3.1.2-29].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.packets import ConnAck, Disconnect, Packet, PingReq, PingResp, Properties, Reason
from fieldgate.mqtt.session_roles import Link
from fieldgate.mqtt.violation import Violation

__all__ = ["LARGEST_PACKET", "MAX_PROBLEM", "SessionOutput"]

LARGEST_PACKET: Final = 268_435_460
MAX_PROBLEM: Final = 200  # characters; a problem may quote what the client sent
_GATHER_BYTES: Final = 65_536


class SessionOutput:
    """The outgoing side of a session. ``overfull`` is called when the socket holds more than ``max_unsent_bytes``."""

    __slots__ = (
        "_is_over", "_link", "_max_unsent_bytes", "_out", "_out_bytes", "_overfull", "is_stuck", "max_packet",
        "tells_problems", "version",
    )  # fmt: skip

    def __init__(self, link: Link, *, max_unsent_bytes: int, overfull: Callable[[], None]) -> None:
        self.version = 4
        self.max_packet = LARGEST_PACKET
        self.tells_problems = True  # Request Problem Information
        self.is_stuck = False  # the socket holds more than it should: how much more is looked at
        self._link = link
        self._max_unsent_bytes = max_unsent_bytes
        self._overfull = overfull
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._is_over = False

    def send(self, packet: Packet) -> None:
        """Gather a packet; raises like `fitting`."""
        self.gather(self.fitting(packet))

    def gather(self, encoded: bytes) -> None:
        """Gather bytes; much of them is written at once."""
        if self._is_over:
            return
        self._out.append(encoded)
        self._out_bytes += len(encoded)
        if self._out_bytes > _GATHER_BYTES:
            self.write()

    def write(self, due: bytes = b"") -> None:
        """Write what was gathered, and ``due`` behind it; one write."""
        out = self._out
        if due:
            out.append(due)
        if not out:
            return
        chunk = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self._out_bytes = 0
        self._link.write(chunk)
        if self.is_stuck and self._link.unsent_bytes() > self._max_unsent_bytes:
            self._overfull()

    def finish(self, *, due: bytes, goodbye: bytes) -> None:
        """The last write: what was gathered, ``due``, ``goodbye``. Nothing follows it."""
        chunk = b"".join((*self._out, due, goodbye))
        self.drop()
        if chunk:
            self._link.write(chunk)

    def drop(self) -> None:
        """Forget what was gathered, and what is gathered from now on."""
        self._is_over = True
        self._out.clear()
        self._out_bytes = 0

    def unsent_bytes(self) -> int:
        """How much is gathered, or written and not taken by the network."""
        return self._link.unsent_bytes() + self._out_bytes

    def goodbye(self, reason: Reason, problem: str) -> bytes:
        """The DISCONNECT that tells an MQTT 5 client why; who could take its CONNACK can take that."""
        if self.version != 5:
            return b""
        return self.fitting(Disconnect(reason, Properties(reason_string=problem[:MAX_PROBLEM])))

    def refusal(self, code: int, problem: str) -> bytes:
        """The CONNACK that refuses a client; ``code`` is in the words of its version."""
        if self.version != 5:
            return encode(ConnAck(code), 4)
        try:
            return self.fitting(ConnAck(code, False, Properties(reason_string=problem[:MAX_PROBLEM])))
        except Violation:
            return b""

    def fitting(self, packet: Packet) -> bytes:
        """Encode a packet as this client can take it.

        Raises:
            Violation: it is larger than the client takes, even without a reason string.
        """
        if not self.tells_problems and not isinstance(packet, ConnAck | Disconnect):
            packet = _without_reason_string(packet)
        encoded = encode(packet, self.version)
        if len(encoded) > self.max_packet:
            encoded = encode(_without_reason_string(packet), self.version)
        if len(encoded) > self.max_packet:
            raise Violation(
                Reason.PACKET_TOO_LARGE, f"{type(packet).__name__} exceeds the client's maximum packet size"
            )
        return encoded


def _without_reason_string(packet: Packet) -> Packet:
    if isinstance(packet, PingReq | PingResp):
        return packet
    properties = packet.properties
    if properties is None or properties.reason_string is None:
        return packet
    short = msgspec.structs.replace(packet)
    short.properties = msgspec.structs.replace(properties, reason_string=None)
    if short.properties == Properties():
        short.properties = None
    return short
