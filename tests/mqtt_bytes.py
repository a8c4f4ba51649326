"""MQTT packets by hand, right or wrong, and a reader of what a server answers: independent of the codec under test."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

__all__ = [
    "Got", "ack", "auth", "connect", "disconnect", "packet", "props", "publish", "read_props", "subscribe", "text",
    "unsubscribe", "varint",
]  # fmt: skip

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = range(1, 12)
PINGREQ_KIND, PINGRESP, DISCONNECT, AUTH = range(12, 16)
PINGREQ = b"\xc0\x00"

# Property identifiers [MQTT5 2.2.2.2].
FORMAT, EXPIRY, CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION, SUBSCRIPTION_ID = 1, 2, 3, 8, 9, 11
SESSION_EXPIRY, ASSIGNED_ID, SERVER_KEEP_ALIVE, AUTH_METHOD, AUTH_DATA = 17, 18, 19, 21, 22
PROBLEM_INFO, WILL_DELAY, RESPONSE_REQUEST, RESPONSE_INFO, REFERENCE = 23, 24, 25, 26, 28
REASON, RECEIVE_MAX, ALIAS_MAX, ALIAS, MAX_QOS, RETAIN_AVAILABLE = 31, 33, 34, 35, 36, 37
USER, MAX_PACKET, WILDCARDS, IDS_AVAILABLE, SHARED_AVAILABLE = 38, 39, 40, 41, 42

_BYTE = frozenset(
    (FORMAT, PROBLEM_INFO, RESPONSE_REQUEST, MAX_QOS, RETAIN_AVAILABLE, WILDCARDS, IDS_AVAILABLE, SHARED_AVAILABLE)
)
_TWO = frozenset((SERVER_KEEP_ALIVE, RECEIVE_MAX, ALIAS_MAX, ALIAS))
_FOUR = frozenset((EXPIRY, SESSION_EXPIRY, WILL_DELAY, MAX_PACKET))
_BINARY = frozenset((CORRELATION, AUTH_DATA))

Property = tuple[int, Any]


def varint(value: int, size: int = 0) -> bytes:
    """A Variable Byte Integer; ``size`` makes it longer than it need be."""
    out = bytearray()
    while value > 127 or len(out) + 1 < size:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def text(value: str | bytes) -> bytes:
    """A string or binary data with its length before it; bytes may be what no string may."""
    raw = value.encode() if isinstance(value, str) else value
    return len(raw).to_bytes(2, "big") + raw


def packet(first: int, *parts: bytes) -> bytes:
    """A packet whose remaining length is right."""
    body = b"".join(parts)
    return bytes((first,)) + varint(len(body)) + body


def one_prop(identifier: int, value: Any) -> bytes:
    """One property."""
    if identifier in _BYTE:
        raw = bytes((value,))
    elif identifier in _TWO:
        raw = value.to_bytes(2, "big")
    elif identifier in _FOUR:
        raw = value.to_bytes(4, "big")
    elif identifier == SUBSCRIPTION_ID:
        raw = varint(value)
    elif identifier == USER:
        raw = text(value[0]) + text(value[1])
    else:
        raw = text(value)
    return varint(identifier) + raw


def props(*properties: Property) -> bytes:
    """A property block, its length included."""
    block = b"".join(one_prop(*one) for one in properties)
    return varint(len(block)) + block


def read_props(raw: bytes, at: int) -> tuple[list[Property], int]:
    """The properties of the block at ``at``, and where it ends."""
    size, at = _read_varint(raw, at)
    end = at + size
    found: list[Property] = []
    while at < end:
        identifier, at = _read_varint(raw, at)
        value: Any
        if identifier in _BYTE:
            value, at = raw[at], at + 1
        elif identifier in _TWO:
            value, at = int.from_bytes(raw[at : at + 2], "big"), at + 2
        elif identifier in _FOUR:
            value, at = int.from_bytes(raw[at : at + 4], "big"), at + 4
        elif identifier == SUBSCRIPTION_ID:
            value, at = _read_varint(raw, at)
        elif identifier == USER:
            name, at = _read_text(raw, at)
            content, at = _read_text(raw, at)
            value = (name.decode(), content.decode())
        else:
            raw_value, at = _read_text(raw, at)
            value = raw_value if identifier in _BINARY else raw_value.decode()
        found.append((identifier, value))
    assert at == end, "a property block with bytes behind its last property"
    return found, end


def _read_varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _read_text(raw: bytes, at: int) -> tuple[bytes, int]:
    end = at + 2 + int.from_bytes(raw[at : at + 2], "big")
    return raw[at + 2 : end], end


def connect(
    client_id: str | bytes = "",
    *,
    level: int = 5,
    clean: bool = True,
    keep_alive: int = 60,
    will: tuple[str | bytes, bytes] | None = None,
    will_qos: int = 0,
    will_retain: bool = False,
    will_props: tuple[Property, ...] = (),
    user: str | bytes | None = None,
    password: bytes | None = None,
    properties: tuple[Property, ...] = (),
    flags: int | None = None,
    name: bytes = b"MQTT",
) -> bytes:
    """A CONNECT; ``flags`` stands for the flags whatever the payload says."""
    implied = clean << 1 | (will is not None) << 2 | will_qos << 3 | will_retain << 5
    implied |= (password is not None) << 6 | (user is not None) << 7
    parts = [text(name), bytes((level, implied if flags is None else flags)), keep_alive.to_bytes(2, "big")]
    if level == 5:
        parts.append(props(*properties))
    parts.append(text(client_id))
    if will is not None:
        if level == 5:
            parts.append(props(*will_props))
        parts += [text(will[0]), text(will[1])]
    if user is not None:
        parts.append(text(user))
    if password is not None:
        parts.append(text(password))
    return packet(0x10, *parts)


def publish(
    topic: str | bytes,
    payload: bytes = b"",
    *,
    level: int = 5,
    qos: int = 0,
    packet_id: int = 0,
    dup: bool = False,
    retain: bool = False,
    properties: tuple[Property, ...] = (),
) -> bytes:
    """A PUBLISH; a packet id stands in it when the QoS is not 0."""
    parts = [text(topic)]
    if qos:
        parts.append(packet_id.to_bytes(2, "big"))
    if level == 5:
        parts.append(props(*properties))
    return packet(0x30 | dup << 3 | qos << 1 | retain, *parts, payload)


def ack(kind: int, packet_id: int, reason: int | None = None, properties: tuple[Property, ...] | None = None) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP."""
    parts = [packet_id.to_bytes(2, "big")]
    if reason is not None:
        parts.append(bytes((reason,)))
    if properties is not None:
        parts.append(props(*properties))
    return packet(kind << 4 | (2 if kind == PUBREL else 0), *parts)


def subscribe(
    *filters: str | bytes | tuple[str | bytes, int],
    packet_id: int = 1,
    level: int = 5,
    properties: tuple[Property, ...] = (),
) -> bytes:
    """A SUBSCRIBE; a filter alone is asked for at QoS 2, with a number: with these options."""
    parts = [packet_id.to_bytes(2, "big")]
    if level == 5:
        parts.append(props(*properties))
    for one in filters:
        name, options = one if isinstance(one, tuple) else (one, 2)
        parts += [text(name), bytes((options,))]
    return packet(0x82, *parts)


def unsubscribe(
    *filters: str | bytes, packet_id: int = 1, level: int = 5, properties: tuple[Property, ...] = ()
) -> bytes:
    """An UNSUBSCRIBE."""
    block = props(*properties) if level == 5 else b""
    return packet(0xA2, packet_id.to_bytes(2, "big"), block, *map(text, filters))


def disconnect(reason: int | None = None, properties: tuple[Property, ...] | None = None) -> bytes:
    """A DISCONNECT."""
    return packet(0xE0, b"" if reason is None else bytes((reason,)), b"" if properties is None else props(*properties))


def auth(reason: int, *properties: Property) -> bytes:
    """An AUTH."""
    return packet(0xF0, bytes((reason,)), props(*properties))


@dataclass(frozen=True)
class Got:
    """A packet from a server; reading what it does not hold raises."""

    first: int
    body: bytes
    level: int

    @property
    def kind(self) -> int:
        return self.first >> 4

    @property
    def wire(self) -> bytes:
        return bytes((self.first,)) + varint(len(self.body)) + self.body

    @property
    def qos(self) -> int:
        return self.first >> 1 & 3

    @property
    def dup(self) -> bool:
        return bool(self.first & 8)

    @property
    def retain(self) -> bool:
        return bool(self.first & 1)

    @property
    def session_present(self) -> bool:
        assert self.kind == CONNACK
        assert self.body[0] in (0, 1)
        return self.body[0] == 1

    @property
    def reason(self) -> int:
        """The reason or return code of an acknowledgement of any kind but SUBACK and UNSUBACK."""
        at = {CONNACK: 1, PUBACK: 2, PUBREC: 2, PUBREL: 2, PUBCOMP: 2, DISCONNECT: 0, AUTH: 0}[self.kind]
        return self.body[at] if len(self.body) > at else 0

    @property
    def reasons(self) -> list[int]:
        """The codes of a SUBACK or UNSUBACK."""
        assert self.kind in (SUBACK, UNSUBACK)
        return list(self.body[self._props_end if self.level == 5 else 2 :])

    @property
    def packet_id(self) -> int:
        at = 2 + self._topic_size if self.kind == PUBLISH else 0
        return 0 if self.kind == PUBLISH and not self.qos else int.from_bytes(self.body[at : at + 2], "big")

    @property
    def _topic_size(self) -> int:
        return int.from_bytes(self.body[:2], "big")

    @property
    def topic(self) -> str:
        assert self.kind == PUBLISH
        return self.body[2 : 2 + self._topic_size].decode()

    @property
    def payload(self) -> bytes:
        assert self.kind == PUBLISH
        return self.body[self._props_end if self.level == 5 else 2 + self._topic_size + 2 * bool(self.qos) :]

    @property
    def _props_at(self) -> int:
        if self.kind == PUBLISH:
            return 2 + self._topic_size + 2 * bool(self.qos)
        return {CONNACK: 2, SUBACK: 2, UNSUBACK: 2, DISCONNECT: 1, AUTH: 1}.get(self.kind, 3)

    @cached_property
    def _read(self) -> tuple[list[Property], int]:
        if self.level != 5 or self._props_at >= len(self.body):
            return [], len(self.body)
        return read_props(self.body, self._props_at)

    @property
    def _props_end(self) -> int:
        return self._read[1]

    @property
    def props(self) -> list[Property]:
        """All properties in their order."""
        return self._read[0]

    def prop(self, identifier: int) -> Any:
        """The property, or None."""
        found = [value for one, value in self.props if one == identifier]
        return found[0] if found else None

    def all_of(self, identifier: int) -> list[Any]:
        """Every property of this kind."""
        return [value for one, value in self.props if one == identifier]
