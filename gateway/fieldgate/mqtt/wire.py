"""The primitive data types of MQTT: integers, strings, binary data, and the errors of reading them.

Promises: whatever the bytes are, a `Reader` answers a value or raises a `CodecError`; it never reads past
its end and never copies more than it answers. What the values mean is decided by the packet (``codec_bodies``)
and the property (``properties``). Clauses cited are those of MQTT 5.0 unless marked 3.1.1.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from fieldgate.errors import FieldgateError
from fieldgate.mqtt.packets import Packet, Reason

__all__ = [
    "MAX_REMAINING", "CodecError", "MalformedPacket", "PacketTooLarge", "Reader",
    "pack_binary", "pack_byte", "pack_string", "pack_u16", "pack_u32", "pack_varint",
]  # fmt: skip

MAX_REMAINING: Final = 268_435_455
"""The largest number that four bytes of a Variable Byte Integer can hold [1.5.5]."""

_MAX_TEXT: Final = 200
_U16: Final = Struct(">H")
_U32: Final = Struct(">I")


class CodecError(FieldgateError):
    """A packet cannot be read or written.

    ``reason`` is what to say in the CONNACK or DISCONNECT [MQTT5 4.13]. ``packets`` are the good ones that
    stood before it in the same chunk; they were received and count. The text is short enough for a log line and a
    reason string, whatever the packet had in it.
    """

    def __init__(self, problem: str, reason: Reason = Reason.MALFORMED_PACKET) -> None:
        super().__init__(problem if len(problem) <= _MAX_TEXT else f"{problem[: _MAX_TEXT - 1]}…")
        self.reason = reason
        self.packets: list[Packet] = []


class MalformedPacket(CodecError):
    """Bytes that break the specification: unreadable (0x81) or readable and not allowed (0x82 and others)."""


class PacketTooLarge(CodecError):
    """A packet is longer than its receiver accepts."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem, Reason.PACKET_TOO_LARGE)


class Reader:
    """Reads one packet's body from left to right; ``at`` is the next byte, ``stop`` the first that is not ours."""

    __slots__ = ("_bytes", "at", "stop")

    def __init__(self, body: bytes, at: int = 0, stop: int | None = None) -> None:
        self._bytes = body
        self.at = at
        self.stop = len(body) if stop is None else stop

    def byte(self) -> int:
        """Read one byte."""
        at = self.at
        if at >= self.stop:
            raise _cut_short()
        self.at = at + 1
        return self._bytes[at]

    def u16(self) -> int:
        """Read a Two Byte Integer [1.5.2]."""
        at = self._take(2)
        return self._bytes[at] << 8 | self._bytes[at + 1]

    def u32(self) -> int:
        """Read a Four Byte Integer [1.5.3]."""
        at = self._take(4)
        return int.from_bytes(self._bytes[at : at + 4], "big")

    def varint(self) -> int:
        """Read a Variable Byte Integer [1.5.5]; one that is longer than needed is refused [MQTT-1.5.5-1]."""
        value = self.byte()
        if value < 128:
            return value
        value &= 127
        for shift in (7, 14, 21):
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte == 0:
                raise MalformedPacket("a variable byte integer is longer than its value needs")
            if byte < 128:
                return value
        raise MalformedPacket("a variable byte integer has more than 4 bytes")

    def binary(self) -> bytes:
        """Read Binary Data [1.5.6]."""
        body, start = self._bytes, self.at + 2
        if start > self.stop:
            raise _cut_short()
        end = start + (body[start - 2] << 8 | body[start - 1])
        if end > self.stop:
            raise _cut_short()
        self.at = end
        return body[start:end]

    def string(self) -> str:
        """Read a UTF-8 Encoded String: well formed, no surrogates [MQTT-1.5.4-1], no U+0000 [MQTT-1.5.4-2]."""
        raw = self.binary()
        if 0 in raw:
            raise MalformedPacket("a string has U+0000 in it")
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise MalformedPacket(f"a string is not UTF-8: {error.reason} at byte {error.start}") from error

    def rest(self) -> bytes:
        """Read everything up to the end."""
        at, self.at = self.at, self.stop
        return self._bytes[at : self.stop]

    def part(self, size: int) -> Reader:
        """Answer a reader of the next ``size`` bytes and step over them."""
        at = self._take(size)
        return Reader(self._bytes, at, at + size)

    def end(self) -> None:
        """Raise unless every byte was read."""
        if self.at != self.stop:
            raise MalformedPacket(f"the packet has {self.stop - self.at} bytes after its end")

    def _take(self, size: int) -> int:
        at = self.at
        self.at = at + size
        if self.at > self.stop:
            raise _cut_short()
        return at


def _cut_short() -> MalformedPacket:
    return MalformedPacket("the packet ends in the middle of a field")


def pack_byte(value: int) -> bytes:
    """Write one byte."""
    if not 0 <= value <= 0xFF:
        raise MalformedPacket(f"{value} does not fit into one byte")
    return bytes((value,))


def pack_u16(value: int) -> bytes:
    """Write a Two Byte Integer."""
    if not 0 <= value <= 0xFFFF:
        raise MalformedPacket(f"{value} does not fit into two bytes")
    return _U16.pack(value)


def pack_u32(value: int) -> bytes:
    """Write a Four Byte Integer."""
    if not 0 <= value <= 0xFFFF_FFFF:
        raise MalformedPacket(f"{value} does not fit into four bytes")
    return _U32.pack(value)


def pack_varint(value: int) -> bytes:
    """Write a Variable Byte Integer in as few bytes as can be [MQTT-1.5.5-1]."""
    if not 0 <= value <= MAX_REMAINING:
        raise MalformedPacket(f"{value} does not fit into a variable byte integer")
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def pack_binary(value: bytes) -> bytes:
    """Write Binary Data."""
    if len(value) > 0xFFFF:
        raise MalformedPacket(f"{len(value)} bytes are too many for a field; the most is 65,535")
    return _U16.pack(len(value)) + value


def pack_string(value: str) -> bytes:
    """Write a UTF-8 Encoded String."""
    if "\0" in value:
        raise MalformedPacket("a string has U+0000 in it")
    try:
        return pack_binary(value.encode())
    except UnicodeEncodeError as error:
        raise MalformedPacket(f"a string is not UTF-8: {error.reason} at character {error.start}") from error
