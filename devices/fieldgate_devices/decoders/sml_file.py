"""The bytes of an SML file as its messages: tagged elements within lists (BSI TR-03109-1, annex IV b, 5 and 6).

Every element begins with a tag that says its type and its length; a message is a list of six, of which the fifth is a
checksum over the four before it. Nothing is trusted: a list that is longer than the bytes that are left, a tag that
ends nowhere and lists within lists without end are refused before anything is made of them.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from fieldgate_devices.decoders.decoder import Undecodable

__all__ = ["Element", "Message", "check_crc", "crc16_kermit", "crc16_x25", "read_messages"]

Element: TypeAlias = "bytes | bool | int | list[Element] | None"
"""A value of the file; None is one that is optional and not there."""

_MAX_DEPTH: Final = 12  # a list of values has 6 levels
_MAX_NUMBER_BYTES: Final = 8
_MAX_TAG_BYTES: Final = 4
_MESSAGE: Final = 0x76  # a list of six
_END_OF_MESSAGE: Final = 0x00
_NOT_THERE: Final = 0x01  # an empty text
_BOOL, _SIGNED, _UNSIGNED, _LIST, _TEXT = 0x40, 0x50, 0x60, 0x70, 0x00
_CRC_TABLE: Final[list[int]] = []


class Message(NamedTuple):
    """One message: what kind of body it has, and the body; ``start`` is its place in the file."""

    kind: int
    body: list[Element]
    start: int


def read_messages(file: bytes, *, is_checked: bool) -> list[Message]:
    """Return the messages of a file; zeros after the last are what the transport filled up with.

    Raises:
        Undecodable: it is cut, or no SML; with ``is_checked`` also where a message's checksum is wrong.
    """
    reader = _Reader(file)
    messages: list[Message] = []
    while reader.position < len(file):
        if file[reader.position] == _END_OF_MESSAGE and not any(file[reader.position :]) and messages:
            break
        messages.append(reader.message(is_checked=is_checked))
    return messages


class _Reader:
    """Goes through the elements of a file, one after the other."""

    def __init__(self, file: bytes) -> None:
        self._file = file
        self.position = 0

    def message(self, *, is_checked: bool) -> Message:
        start = self.position
        first = self._byte("a message")
        if first != _MESSAGE:
            raise Undecodable(f"byte 0x{first:02x} at position {start} begins no message of SML (0x76)")
        for _ in range(3):  # transaction, group, what to do after an error
            self.element(1)
        body = self.element(1)
        covered = self._file[start : self.position]
        checksum = self.element(1)
        if is_checked:
            if not isinstance(checksum, int) or isinstance(checksum, bool):
                raise Undecodable(f"the message at position {start} has no checksum")
            check_crc(covered, checksum, what=f"the message at position {start}")
        if (end := self._byte("the end of a message")) != _END_OF_MESSAGE:
            raise Undecodable(
                f"byte 0x{end:02x} at position {self.position - 1} stands where a message must end (0x00)"
            )
        match body:
            case [bool(), *_]:
                pass
            case [int(kind), list(content)]:
                return Message(kind, content, start)
        raise Undecodable(f"the message at position {start} has no body with a kind")

    def element(self, depth: int) -> Element:
        """Read one element with all that is in it."""
        start = self.position
        first = self._byte("a value")
        if first == _NOT_THERE:
            return None
        kind, length = first & 0x70, self._length(first)
        if kind == _LIST:
            return self._list(length, depth, start)
        size = length - (self.position - start)  # the length counts the tag
        if size < 0 or self.position + size > len(self._file):
            raise Undecodable(
                f"the value at position {start} has {length} bytes, of which {self._left(start)} are there"
            )
        content = self._file[self.position : self.position + size]
        self.position += size
        if kind == _TEXT:
            return content
        if kind == _BOOL and size == 1:
            return content != b"\0"
        if kind in {_SIGNED, _UNSIGNED} and 0 < size <= _MAX_NUMBER_BYTES:
            return int.from_bytes(content, signed=kind == _SIGNED)
        raise Undecodable(f"tag 0x{first:02x} at position {start} with {size} bytes is no value of SML")

    def _list(self, length: int, depth: int, start: int) -> list[Element]:
        if depth >= _MAX_DEPTH:
            raise Undecodable(f"lists are nested deeper than {_MAX_DEPTH} levels")
        if length > len(self._file) - self.position:  # each takes a byte at least
            raise Undecodable(f"the list at position {start} has {length} values in {self._left(self.position)} bytes")
        return [self.element(depth + 1) for _ in range(length)]

    def _length(self, first: int) -> int:
        """The length in the tag, whose bytes go on while their highest bit is set."""
        start = self.position - 1
        length, byte = first & 0x0F, first
        while byte & 0x80:
            byte = self._byte("a length")
            if byte & 0x70 or self.position - start > _MAX_TAG_BYTES:
                raise Undecodable(f"the length at position {start} is none")
            length = length << 4 | byte & 0x0F
        return length

    def _byte(self, what: str) -> int:
        if self.position >= len(self._file):
            raise Undecodable(f"the file ends at {len(self._file)} bytes, where {what} must be")
        byte = self._file[self.position]
        self.position += 1
        return byte

    def _left(self, start: int) -> int:
        return len(self._file) - start


def check_crc(covered: bytes, checksum: int, *, what: str) -> None:
    """Verify a checksum as it is written; its low byte comes first in most meters, and some compute another one.

    Raises:
        Undecodable: it is none of those.
    """
    for computed in (crc16_x25(covered), crc16_kermit(covered)):
        if checksum in (computed >> 8 | (computed & 0xFF) << 8, computed):
            return
    raise Undecodable(f"the checksum 0x{checksum & 0xFFFF:04x} of {what} is wrong")


def crc16_x25(covered: bytes) -> int:
    """CRC-16/X-25 (DIN EN 62056-46), which transport and messages of SML have."""
    return _crc(covered, 0xFFFF) ^ 0xFFFF


def crc16_kermit(covered: bytes) -> int:
    """CRC-16/KERMIT, which some meters have in its place."""
    return _crc(covered, 0)


def _crc(covered: bytes, crc: int) -> int:
    if not _CRC_TABLE:
        for value in range(256):
            for _ in range(8):
                value = value >> 1 ^ (0x8408 if value & 1 else 0)
            _CRC_TABLE.append(value)
    for byte in covered:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 255]
    return crc
