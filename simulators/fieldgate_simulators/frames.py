"""Find the MQTT packets in a byte stream, however it is cut into chunks.

It looks at fixed headers only and holds nothing back: a piece names the packet type it belongs to, so that a bad
network can lose chosen packets. It knows nothing of versions or contents and shares no code with the gateway's codec.
What is not MQTT (an impossible remaining length) is passed on as one unnamed piece from there on.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

__all__ = ["FrameSplitter", "PacketKind", "Piece"]

_MAX_SHIFT: Final = 21  # a remaining length has at most four bytes [MQTT-1.5.5]


class PacketKind(IntEnum):
    """The packet types of MQTT 3.1.1 and 5, by the upper half of the first byte; ``UNKNOWN`` is not MQTT."""

    UNKNOWN = 0
    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


class Piece(NamedTuple):
    """``chunk[start:stop]`` belongs to one packet of this kind, and ``begins`` it or continues it."""

    kind: int
    start: int
    stop: int
    begins: bool


class FrameSplitter:
    """Fed the chunks of one direction of one connection, answers which bytes belong to which packet."""

    __slots__ = ("_in_header", "_is_lost", "_kind", "_left", "_shift")

    def __init__(self) -> None:
        self._kind = 0
        self._left = 0
        self._shift = 0
        self._in_header = False
        self._is_lost = False

    def feed(self, chunk: bytes) -> list[Piece]:
        """Answer the pieces of ``chunk``, in order and without a gap."""
        pieces: list[Piece] = []
        at, end = 0, len(chunk)
        while at < end:
            start, begins = at, False
            if not self._in_header and not self._left and not self._is_lost:
                begins = True
                self._kind = chunk[at] >> 4
                self._in_header, self._shift = True, 0
                at += 1
            while self._in_header and at < end:
                self._take_length_byte(chunk[at])
                at += 1
            if self._is_lost:
                at = end
            elif not self._in_header:
                taken = min(self._left, end - at)
                self._left -= taken
                at += taken
            pieces.append(Piece(self._kind, start, at, begins))
        return pieces

    def _take_length_byte(self, byte: int) -> None:
        self._left |= (byte & 0x7F) << self._shift
        if byte < 0x80:
            self._in_header = False
        elif self._shift == _MAX_SHIFT:
            self._in_header, self._is_lost, self._left, self._kind = False, True, 0, PacketKind.UNKNOWN
        else:
            self._shift += 7
