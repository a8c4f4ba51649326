"""MQTT 5 properties: which there are, where they are allowed, and their bytes [MQTT5 2.2.2].

One table (`_SPECS`) declares each property once: identifier, field of `Properties`, type on the wire, where it may
stand, and what values it may have. Reading costs time linear in the bytes; user properties are counted against a
bound of the caller's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from fieldgate.mqtt.packets import Properties, Reason
from fieldgate.mqtt.topics import valid_topic
from fieldgate.mqtt.wire import (
    CodecError,
    MalformedPacket,
    Reader,
    pack_binary,
    pack_byte,
    pack_string,
    pack_u16,
    pack_u32,
    pack_varint,
)

__all__ = ["DELIVERED", "MAX_USER_PROPERTIES", "PLACES", "PropertyTable", "decode_properties", "encode_properties"]

MAX_USER_PROPERTIES: Final = 1_000
_USER: Final = 38
_SUBSCRIPTION_ID: Final = 11


class _Spec(NamedTuple):
    identifier: int
    field: str
    read: Callable[[Reader], Any]
    write: Callable[[Any], bytes]
    places: str
    is_legal: Callable[[Any], bool] | None = None
    reason: Reason = Reason.PROTOCOL_ERROR


PropertyTable = dict[int, _Spec]


def _is_boolean(value: int) -> bool:
    return value < 2


def _is_positive(value: int) -> bool:
    return value > 0


_BYTE: Final = (Reader.byte, pack_byte)
_TWO: Final = (Reader.u16, pack_u16)
_FOUR: Final = (Reader.u32, pack_u32)
_VARIABLE: Final = (Reader.varint, pack_varint)
_STRING: Final = (Reader.string, pack_string)
_BINARY: Final = (Reader.binary, pack_binary)

_ACKS: Final = "PUBACK PUBREC PUBREL PUBCOMP"
_EVERYWHERE: Final = f"CONNECT CONNACK PUBLISH WILL {_ACKS} SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK DISCONNECT AUTH"

# [MQTT5 2.2.2.2], table 2-4; the legal values are in the section of each packet.
_SPECS: Final = (
    _Spec(1, "payload_format", *_BYTE, "PUBLISH WILL", _is_boolean),
    _Spec(2, "message_expiry_s", *_FOUR, "PUBLISH WILL"),
    _Spec(3, "content_type", *_STRING, "PUBLISH WILL"),
    _Spec(8, "response_topic", *_STRING, "PUBLISH WILL", valid_topic),  # [MQTT-3.3.2-14]
    _Spec(9, "correlation_data", *_BINARY, "PUBLISH WILL"),
    _Spec(11, "subscription_ids", *_VARIABLE, "PUBLISH SUBSCRIBE", _is_positive),
    _Spec(17, "session_expiry_s", *_FOUR, "CONNECT CONNACK DISCONNECT"),
    _Spec(18, "assigned_client_id", *_STRING, "CONNACK"),
    _Spec(19, "server_keep_alive_s", *_TWO, "CONNACK"),
    _Spec(21, "authentication_method", *_STRING, "CONNECT CONNACK AUTH"),
    _Spec(22, "authentication_data", *_BINARY, "CONNECT CONNACK AUTH"),
    _Spec(23, "request_problem_information", *_BYTE, "CONNECT", _is_boolean),
    _Spec(24, "will_delay_s", *_FOUR, "WILL"),
    _Spec(25, "request_response_information", *_BYTE, "CONNECT", _is_boolean),
    _Spec(26, "response_information", *_STRING, "CONNACK"),
    _Spec(28, "server_reference", *_STRING, "CONNACK DISCONNECT"),
    _Spec(31, "reason_string", *_STRING, f"CONNACK {_ACKS} SUBACK UNSUBACK DISCONNECT AUTH"),
    _Spec(33, "receive_maximum", *_TWO, "CONNECT CONNACK", _is_positive),
    _Spec(34, "topic_alias_maximum", *_TWO, "CONNECT CONNACK"),
    _Spec(35, "topic_alias", *_TWO, "PUBLISH", _is_positive, Reason.TOPIC_ALIAS_INVALID),  # [MQTT-3.3.2-8]
    _Spec(36, "maximum_qos", *_BYTE, "CONNACK", _is_boolean),
    _Spec(37, "retain_available", *_BYTE, "CONNACK", _is_boolean),
    _Spec(39, "maximum_packet_size", *_FOUR, "CONNECT CONNACK", _is_positive),
    _Spec(40, "wildcard_available", *_BYTE, "CONNACK", _is_boolean),
    _Spec(41, "subscription_ids_available", *_BYTE, "CONNACK", _is_boolean),
    _Spec(42, "shared_available", *_BYTE, "CONNACK", _is_boolean),
)

PLACES: Final[dict[str, PropertyTable]] = {
    place: {spec.identifier: spec for spec in _SPECS if place in spec.places.split()} for place in _EVERYWHERE.split()
}
"""The properties allowed in each packet, and in the WILL of a CONNECT. User properties are allowed in all."""
DELIVERED: Final[PropertyTable] = PLACES["PUBLISH"] | {8: PLACES["PUBLISH"][8]._replace(is_legal=None)}
"""Those of a PUBLISH that a server delivers, whose Response Topic may be none: mosquitto 2.0 passes on what it got.

A client that left over it would get the same message again, as long as the server keeps the session.
"""


def decode_properties(
    reader: Reader, allowed: PropertyTable, *, max_user: int = MAX_USER_PROPERTIES
) -> Properties | None:
    """Read a property block, its length included; None when it is empty.

    Raises:
        MalformedPacket: unknown (0x81) [2.2.2.2]; not allowed here, twice or out of range (0x82).
        CodecError: more than ``max_user`` user properties (0x97).
    """
    block = reader.part(reader.varint())
    if block.at == block.stop:
        return None
    properties = Properties()
    users: list[tuple[str, str]] = []
    subscription_ids: list[int] = []
    seen = 0
    while block.at != block.stop:
        identifier = block.varint()
        if identifier == _USER:
            if len(users) == max_user:
                raise CodecError(f"more than {max_user} user properties", Reason.QUOTA_EXCEEDED)
            users.append((block.string(), block.string()))
            continue
        spec = allowed.get(identifier)
        if spec is None:
            raise _misplaced(identifier, block)
        value = spec.read(block)
        if spec.is_legal is not None and not spec.is_legal(value):
            raise MalformedPacket(f"property {spec.field} has the illegal value {value!r}", spec.reason)
        if identifier == _SUBSCRIPTION_ID:
            subscription_ids.append(value)
            continue
        if seen >> identifier & 1:
            raise MalformedPacket(f"property {spec.field} stands twice", Reason.PROTOCOL_ERROR)
        seen |= 1 << identifier
        setattr(properties, spec.field, value)
    if users:
        properties.user = tuple(users)
    if subscription_ids:
        properties.subscription_ids = tuple(subscription_ids)
    return properties


def _misplaced(identifier: int, block: Reader) -> MalformedPacket:
    """Make the error for a property that is not among those allowed.

    One that exists and may not stand there is a Protocol Error by 1.2, though 2.2.2.2 calls it malformed. What cannot
    be read at all is malformed wherever it stands, so its value is read first.
    """
    spec = next((spec for spec in _SPECS if spec.identifier == identifier), None)
    if spec is None:
        return MalformedPacket(f"there is no property {identifier}")
    spec.read(block)
    return MalformedPacket(f"property {spec.field} is not allowed in this packet", Reason.PROTOCOL_ERROR)


def read_properties(block: bytes) -> Properties | None:
    """Return the properties of a PUBLISH that an encoded block holds, its length included.

    Raises:
        MalformedPacket: as `decode_properties`.
    """
    return decode_properties(Reader(block), PLACES["PUBLISH"])


def encode_properties(properties: Properties | None, allowed: PropertyTable | None = None) -> bytes:
    """Write a property block, its length included. With ``allowed``, check that each may stand there.

    Raises:
        MalformedPacket: a value is out of range or does not belong there.
    """
    if properties is None:
        return b"\x00"
    out: list[bytes] = []
    for spec in _SPECS:
        value = getattr(properties, spec.field)
        if value is None or value == ():
            continue
        if allowed is not None and spec.identifier not in allowed:
            raise MalformedPacket(f"property {spec.field} is not allowed in this packet")
        for single in value if spec.identifier == _SUBSCRIPTION_ID else (value,):
            if spec.is_legal is not None and not spec.is_legal(single):
                raise MalformedPacket(f"property {spec.field} has the illegal value {single!r}", spec.reason)
            out += (bytes((spec.identifier,)), spec.write(single))
    for name, text in properties.user:
        out += (b"\x26", pack_string(name), pack_string(text))
    block = b"".join(out)
    return pack_varint(len(block)) + block
