"""Frame and re-read a whole run of QoS 1 PUBLISH packets at a time: the sending side's hot path.

Says nothing of when a packet may be sent; ``in_flight`` and ``client_session`` do. Single packets and every other
kind are ``codec``'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from struct import Struct
from typing import Final

from fieldgate.mqtt.codec import PUBACKS, PacketTooLarge
from fieldgate.mqtt.wire import MAX_REMAINING, pack_varint

__all__ = [
    "encode_publishes",
    "packet_ends",
    "packet_size",
    "payload_of",
    "short_pubacks",
    "with_expiry",
    "with_packet_id",
    "with_topic",
]

_MAX_CACHED: Final = 4_096
_each_id = Struct(">2x2s").iter_unpack
_first_bytes: dict[int, bytes] = {}  # remaining length -> first byte and length of a QoS 1 PUBLISH


def encode_publishes(
    topics: Sequence[bytes], properties: Sequence[bytes], payloads: Sequence[bytes], first_id: int
) -> bytes:
    """Return PUBLISH packets (QoS 1, no DUP, no RETAIN) with ids from ``first_id`` on, joined.

    ``topics`` are UTF-8 with their two bytes of length before them; ``properties`` are encoded property blocks
    with theirs (``b""`` in 3.1.1). The ids must not wrap within the run.

    Raises:
        PacketTooLarge: MQTT cannot express one of the packets.
    """
    # Joins once for the run: every part that is the same for many events is one shared object.
    parts: list[bytes] = []
    extend = parts.extend
    cached = _first_bytes.get
    ids = _each_id(PUBACKS[4 * (first_id - 1) : 4 * (first_id - 1 + len(payloads))])
    for topic, block, payload, (packet_id,) in zip(topics, properties, payloads, ids, strict=True):
        remaining = len(topic) + 2 + len(block) + len(payload)
        extend((cached(remaining) or _begin(remaining), topic, packet_id, block, payload))
    return b"".join(parts)


def packet_size(topic: bytes, properties: bytes, payload: bytes) -> int:
    """Return the length of the packet that `encode_publishes` makes of these."""
    remaining = len(topic) + 2 + len(properties) + len(payload)
    return remaining + 2 + (remaining > 0x7F) + (remaining > 0x3FFF) + (remaining > 0x1F_FFFF)


def packet_ends(wire: bytes) -> list[int]:
    """Return where each packet of ``wire``, which `encode_publishes` made, ends."""
    ends = []
    end, size = 0, len(wire)
    while end < size:
        body, remaining = _read_begin(wire, end)
        end = body + remaining
        ends.append(end)
    return ends


def with_packet_id(packet: bytes, packet_id: int) -> bytes:
    """Return ``packet`` with another packet id and nothing else changed."""
    body, _ = _read_begin(packet, 0)
    at = body + 2 + int.from_bytes(packet[body : body + 2], "big")
    return b"%b%b%b" % (packet[:at], packet_id.to_bytes(2, "big"), packet[at + 2 :])


def with_topic(packet: bytes, topics: Sequence[bytes]) -> bytes:
    """Return a PUBLISH of MQTT 5 with its topic in full where a topic alias, its first property, stands for it.

    ``topics`` are by alias, as they stand in a PUBLISH.
    """
    body, _ = _read_begin(packet, 0)
    topic_end = body + 2 + int.from_bytes(packet[body : body + 2], "big")
    at, size = _read_begin(packet, topic_end + 1)
    if packet[at : at + 1] != b"\x23":
        return packet
    topic = topics[int.from_bytes(packet[at + 1 : at + 3], "big")]
    block = pack_varint(size - 3) + packet[at + 3 : at + size]
    rest = b"%b%b%b" % (packet[topic_end : topic_end + 2], block, packet[at + size :])
    return b"%b%b%b" % (_begin(len(topic) + len(rest)), topic, rest)


def with_expiry(packet: bytes, left_s: float) -> bytes:
    """Return a PUBLISH of MQTT 5 that says that its message ends in ``left_s`` seconds, where it says so already.

    The Message Expiry Interval must be its first property; a packet in which it is not stays as it is.
    """
    body, _ = _read_begin(packet, 0)
    at, _ = _read_begin(packet, body + 3 + int.from_bytes(packet[body : body + 2], "big"))
    if packet[at : at + 1] != b"\x02":
        return packet
    return b"%b%b%b" % (packet[: at + 1], max(0, ceil(left_s)).to_bytes(4, "big"), packet[at + 5 :])


def payload_of(packet: bytes, version: int) -> bytes:
    """Return the payload of a packet that `encode_publishes` made for protocol level ``version``."""
    body, _ = _read_begin(packet, 0)
    at = body + 4 + int.from_bytes(packet[body : body + 2], "big")
    if version == 5:
        at, size = _read_begin(packet, at - 1)
        at += size
    return packet[at:]


def short_pubacks(chunk: bytes) -> bytes:
    """Return the PUBACKs of ``chunk`` without their reason code; empty unless all are five bytes long and successes.

    MQTT 5 servers say "no matching subscribers" (0x10) that way for each message, while nobody subscribes.
    """
    count, rest = divmod(len(chunk), 5)
    reasons = chunk[4::5]
    if rest or chunk[0::5] != b"\x40" * count or chunk[1::5] != b"\x03" * count:
        return b""
    if reasons.count(0x10) + reasons.count(0) != count:
        return b""
    short = bytearray(b"\x40\x02\x00\x00" * count)
    short[2::4] = chunk[2::5]
    short[3::4] = chunk[3::5]
    return bytes(short)


def _begin(remaining: int) -> bytes:
    if remaining > MAX_REMAINING:
        raise PacketTooLarge(f"a PUBLISH of {remaining} bytes is more than MQTT can express")
    if len(_first_bytes) >= _MAX_CACHED:
        _first_bytes.clear()
    return _first_bytes.setdefault(remaining, b"\x32" + pack_varint(remaining))


def _read_begin(wire: bytes, at: int) -> tuple[int, int]:
    """Return where the body of the packet at ``at`` begins, and its length."""
    at += 1
    remaining = shift = 0
    while True:
        byte = wire[at]
        at += 1
        remaining |= (byte & 0x7F) << shift
        if byte < 0x80:
            return at, remaining
        shift += 7
