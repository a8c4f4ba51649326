"""Turn MQTT packets into bytes, for 3.1.1 and 5.

Promises: what it answers, a conforming peer accepts; what has no lawful bytes raises `MalformedPacket`. Properties are
left out where the version has none; a refusal that the version cannot say raises. `encode_publish` is the hot path
and trusts its arguments as far as its docstring says.
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import Final, assert_never

from fieldgate.mqtt.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    Properties,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    Subscription,
    UnsubAck,
    Unsubscribe,
    Will,
)
from fieldgate.mqtt.properties import PLACES, encode_properties
from fieldgate.mqtt.reasons import REASONS, RETURN_CODES, check_reason, check_reasons
from fieldgate.mqtt.topics import valid_topic, well_formed_filter
from fieldgate.mqtt.wire import MalformedPacket, pack_binary, pack_byte, pack_string, pack_u16, pack_varint

__all__ = ["PUBACKS", "encode", "encode_publish"]


def _pubacks() -> bytes:
    """In one piece: a `bytes` object for each would leave 2 MB of holes for as long as the process lives."""
    words = array("H", [0x4002, 0]) * 65_535
    words[1::2] = array("H", range(1, 65_536))
    if sys.byteorder == "little":
        words.byteswap()
    return words.tobytes()


PUBACKS: Final = _pubacks()
"""The success PUBACKs of ids 1 to 65,535 in order: ids p to p+n-1 are ``PUBACKS[4*(p-1):4*(p-1+n)]``."""

_FIRST_BYTES: Final = (0x30, 0x32, 0x34)
_TWO: Final = struct.Struct(">H").pack
_SHORT: Final = struct.Struct(">BBH").pack
_MEDIUM: Final = struct.Struct(">BBBH").pack


def encode_publish(
    topic: bytes,
    payload: bytes,
    packet_id: int,
    *,
    qos: int,
    retain: bool = False,
    dup: bool = False,
    properties: bytes = b"",
) -> bytes:
    """Encode a PUBLISH from parts that are bytes already.

    ``topic`` is a valid topic in UTF-8; ``properties`` is the whole block with its length (``b""`` for 3.1.1,
    ``b"\\x00"`` for none in MQTT 5). ``packet_id`` is not looked at with ``qos`` 0. The caller keeps
    ``qos`` within 0 to 2 and ``dup`` off at QoS 0.

    Raises:
        MalformedPacket: a part is too long, or ``packet_id`` is not in 1 to 65,535.
    """
    first = _FIRST_BYTES[qos]
    if retain:
        first |= 1
    if dup:
        first |= 8
    length = len(topic)
    size = length + len(properties) + len(payload) + 4
    try:
        if qos:
            if not packet_id:
                raise MalformedPacket("packet id is 0")
            identifier = _TWO(packet_id)
        else:
            size -= 2
            identifier = b""
        if 127 < size < 16_384:
            head = _MEDIUM(first, size & 127 | 128, size >> 7, length)
        elif size < 128:
            head = _SHORT(first, size, length)
        else:
            head = bytes((first,)) + pack_varint(size) + _TWO(length)
    except struct.error as error:
        raise MalformedPacket(f"a topic of {length} bytes or packet id {packet_id}") from error
    return b"".join((head, topic, identifier, properties, payload))


def encode(packet: Packet, version: int) -> bytes:
    """Encode any packet for protocol level ``version`` (3 is written like 4).

    Raises:
        MalformedPacket: the packet cannot be said in that version, or breaks its rules.
    """
    is_v5 = version == 5
    match packet:
        case Publish():
            return _publish(packet, is_v5)
        case PubAck():
            return _acknowledgement(0x40, "PUBACK", packet, is_v5)
        case PubRec():
            return _acknowledgement(0x50, "PUBREC", packet, is_v5)
        case PubRel():
            return _acknowledgement(0x62, "PUBREL", packet, is_v5)
        case PubComp():
            return _acknowledgement(0x70, "PUBCOMP", packet, is_v5)
        case Connect():
            return _framed(0x10, _connect(packet))
        case ConnAck():
            return _framed(0x20, _connack(packet, is_v5))
        case Subscribe():
            return _framed(0x82, _subscribe(packet, is_v5))
        case SubAck():
            return _framed(0x90, _suback(packet, is_v5))
        case Unsubscribe():
            return _framed(0xA2, _unsubscribe(packet, is_v5))
        case UnsubAck():
            return _framed(0xB0, _unsuback(packet, is_v5))
        case PingReq():
            return b"\xc0\x00"
        case PingResp():
            return b"\xd0\x00"
        case Disconnect():
            return _disconnect(packet, is_v5)
        case Auth():
            return _auth(packet, is_v5)
        case _:
            assert_never(packet)


def _framed(first: int, body: bytes) -> bytes:
    return bytes((first,)) + pack_varint(len(body)) + body


def _id(packet_id: int) -> bytes:
    if packet_id == 0:
        raise MalformedPacket("packet id is 0")
    return pack_u16(packet_id)


def _block(properties: Properties | None, place: str, is_v5: bool) -> bytes:
    return encode_properties(properties, PLACES[place]) if is_v5 else b""


def _code(code: int, name: str, is_v5: bool) -> bytes:
    return pack_byte(check_reason(code, (REASONS if is_v5 else RETURN_CODES)[name], name))


def _codes(codes: tuple[int, ...], name: str, is_v5: bool) -> bytes:
    check_reasons(codes, (REASONS if is_v5 else RETURN_CODES)[name], name)
    return bytes(codes)


def _connect(packet: Connect) -> bytes:
    is_v5 = packet.version == 5
    will, username, password = packet.will, packet.username, packet.password
    if password is not None and username is None and not is_v5:
        raise MalformedPacket("a password needs a user name in 3.1.1")  # [3.1.1: MQTT-3.1.2-22]
    flags = packet.clean_start << 1 | (username is not None) << 7 | (password is not None) << 6
    parts = [pack_string(packet.client_id)]
    if will is not None:
        flags |= 4 | _qos(will.qos) << 3 | will.retain << 5
        parts += _will(will, is_v5)
    if username is not None:
        parts.append(pack_string(username))
    if password is not None:
        parts.append(pack_binary(password))
    name = "MQIsdp" if packet.version == 3 else "MQTT"
    head = (pack_string(name), pack_byte(packet.version), pack_byte(flags), pack_u16(packet.keep_alive_s))
    return b"".join((*head, _block(packet.properties, "CONNECT", is_v5), *parts))


def _will(will: Will, is_v5: bool) -> tuple[bytes, ...]:
    return _block(will.properties, "WILL", is_v5), pack_string(_topic(will.topic)), pack_binary(will.payload)


def _qos(qos: int) -> int:
    if not 0 <= qos <= 2:
        raise MalformedPacket(f"QoS {qos} does not exist")
    return qos


def _topic(topic: str) -> str:
    if not valid_topic(topic):
        raise MalformedPacket(f"topic {topic!r} is not valid")
    return topic


def _filter(filter: str) -> bytes:
    if not well_formed_filter(filter):
        raise MalformedPacket(f"topic filter {filter!r} is not valid")
    return pack_string(filter)


def _connack(packet: ConnAck, is_v5: bool) -> bytes:
    if packet.session_present and packet.reason:
        raise MalformedPacket("CONNACK refuses and has a session present")  # [MQTT-3.2.2-6]
    return (
        pack_byte(packet.session_present)
        + _code(packet.reason, "CONNACK", is_v5)
        + _block(packet.properties, "CONNACK", is_v5)
    )


def _publish(packet: Publish, is_v5: bool) -> bytes:
    qos = _qos(packet.qos)
    properties = packet.properties if is_v5 else None
    if packet.topic or properties is None or properties.topic_alias is None:
        _topic(packet.topic)
    if packet.dup and not qos:
        raise MalformedPacket("PUBLISH has DUP at QoS 0")  # [MQTT-3.3.1-2]
    return encode_publish(
        packet.topic.encode(),
        packet.payload,
        packet.packet_id,
        qos=qos,
        retain=packet.retain,
        dup=packet.dup,
        properties=_block(properties, "PUBLISH", is_v5),
    )


def _acknowledgement(first: int, place: str, packet: PubAck | PubRec | PubRel | PubComp, is_v5: bool) -> bytes:
    """Write the short form where it says the same [3.4.2.1]."""
    if not is_v5:
        if packet.reason:
            raise MalformedPacket(f"{place} cannot say {packet.reason:#x} in 3.1.1")
        return _framed(first, _id(packet.packet_id))
    if packet.properties is not None:
        block = _block(packet.properties, place, is_v5)
        return _framed(first, _id(packet.packet_id) + _code(packet.reason, place, is_v5) + block)
    return _framed(first, _id(packet.packet_id) + (_code(packet.reason, place, is_v5) if packet.reason else b""))


def _subscribe(packet: Subscribe, is_v5: bool) -> bytes:
    if not packet.subscriptions:
        raise MalformedPacket("SUBSCRIBE has no topic filter")  # [MQTT-3.8.3-2]
    parts = [_id(packet.packet_id), _block(packet.properties, "SUBSCRIBE", is_v5)]
    for subscription in packet.subscriptions:
        parts += (_filter(subscription.filter), pack_byte(_options(subscription, is_v5)))
    return b"".join(parts)


def _options(subscription: Subscription, is_v5: bool) -> int:
    qos = _qos(subscription.qos)
    if not is_v5:
        return qos
    if not 0 <= subscription.retain_handling <= 2:
        raise MalformedPacket(f"retain handling {subscription.retain_handling} does not exist")
    if subscription.no_local and subscription.filter.startswith("$share/"):
        raise MalformedPacket("no-local on a shared subscription")  # [MQTT-3.8.3-4]
    return qos | subscription.no_local << 2 | subscription.retain_as_published << 3 | subscription.retain_handling << 4


def _suback(packet: SubAck, is_v5: bool) -> bytes:
    block = _block(packet.properties, "SUBACK", is_v5)
    return _id(packet.packet_id) + block + _codes(packet.reasons, "SUBACK", is_v5)


def _unsubscribe(packet: Unsubscribe, is_v5: bool) -> bytes:
    if not packet.filters:
        raise MalformedPacket("UNSUBSCRIBE has no topic filter")  # [MQTT-3.10.3-2]
    block = _block(packet.properties, "UNSUBSCRIBE", is_v5)
    return b"".join((_id(packet.packet_id), block, *map(_filter, packet.filters)))


def _unsuback(packet: UnsubAck, is_v5: bool) -> bytes:
    if not is_v5:
        return _id(packet.packet_id)
    return (
        _id(packet.packet_id) + _block(packet.properties, "UNSUBACK", is_v5) + _codes(packet.reasons, "UNSUBACK", is_v5)
    )


def _disconnect(packet: Disconnect, is_v5: bool) -> bytes:
    if not is_v5 or (not packet.reason and packet.properties is None):
        return b"\xe0\x00"  # in 3.1.1 it gives no reason
    block = b"" if packet.properties is None else _block(packet.properties, "DISCONNECT", is_v5)
    return _framed(0xE0, _code(packet.reason, "DISCONNECT", is_v5) + block)


def _auth(packet: Auth, is_v5: bool) -> bytes:
    if not is_v5:
        raise MalformedPacket("AUTH does not exist in 3.1.1")
    if not packet.reason and packet.properties is None:
        return b"\xf0\x00"
    return _framed(0xF0, _code(packet.reason, "AUTH", is_v5) + _block(packet.properties, "AUTH", is_v5))
