"""MessagePack, by msgspec, held to plain values.

A walk over the heads of all values comes first: it counts what msgspec would make of them and looks at the keys, so
that a small payload cannot become a large or slow message, and a key that comes twice is noticed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

import msgspec
from pydantic import Field

from fieldgate_devices.decoders.decoder import Record, Undecodable, Value, one_line
from fieldgate_devices.decoders.limits import (
    MAX_DEPTH,
    MAX_VALUES_OF_MESSAGE,
    check_payload,
    check_record_count,
    checked,
    measure,
)
from fieldgate_devices.decoders.plain import NanMeaning, Plain
from fieldgate_devices.decoders.readings import Readings, ReadingsOptions

__all__ = ["MsgpackDecoder", "MsgpackOptions"]

_decode: Final = msgspec.msgpack.Decoder().decode

# For each first byte of a value: how many bytes of size follow it, and how many bytes beside that and the content.
_PLAIN: Final = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2}
_PLAIN_MORE: Final = {0xD2: 4, 0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
_SIZED: Final = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
_SIZED_MORE: Final = {0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
_LISTS: Final = {0xDC: 2, 0xDD: 4}
_MAPS: Final = {0xDE: 2, 0xDF: 4}


class MsgpackOptions(ReadingsOptions):
    """How readings stand in a MessagePack message."""

    sequence: bool = Field(default=False, description="the payload may hold several messages one after the other")
    nan: NanMeaning = Field(default="refuse", description="what NaN means: the payload is wrong, or there is no value")

    def make(self) -> MsgpackDecoder:
        """Return the decoder."""
        return MsgpackDecoder(self)


class MsgpackDecoder:
    """Reads MessagePack."""

    is_text = False

    def __init__(self, options: MsgpackOptions) -> None:
        self._readings = Readings(options)
        self._is_sequence = options.sequence
        self._nan: NanMeaning = options.nan

    def decode(self, payload: bytes, captures: Mapping[str, str]) -> list[Record]:
        """Return one record for each reading.

        Raises:
            Undecodable: not MessagePack, not plain values, not of that shape, or past a limit.
        """
        check_payload(payload)
        records: list[Record] = []
        for message in self._messages(payload):
            records += self._readings.find(message)
            check_record_count(len(records))
        return checked(records)

    def _messages(self, payload: bytes) -> Iterator[Value]:
        walk = _Walk(payload)
        start = 0
        while start < len(payload):
            end, members = walk.over(start)
            if end < len(payload) and not self._is_sequence:
                raise Undecodable(f"something follows the message, from byte {end}")
            try:
                found = _decode(payload[start:end])
            except (ValueError, OverflowError) as error:
                raise Undecodable(f"not MessagePack: {one_line(error)}") from None
            plain = Plain(nan=self._nan, other=_other)
            message = plain.value(found)
            if plain.keys != members:
                raise Undecodable("a key occurs twice in one mapping")
            measure(message)
            yield message
            start = end


class _Walk:
    """Passes over values without making any."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._left = MAX_VALUES_OF_MESSAGE

    def over(self, at: int) -> tuple[int, int]:
        """Return where the value at ``at`` ends and how many members its mappings have, all together.

        Raises:
            Undecodable: the payload ends before, a limit is passed, or a key is neither text, bytes nor whole number.
        """
        payload, size = self._payload, len(self._payload)
        members = 0
        open_lists: list[tuple[int, bool]] = []  # values that are still to come, and whether they are keys and values
        left, is_map = 1, False
        while True:
            while not left:
                if not open_lists:
                    return at, members
                left, is_map = open_lists.pop()
            if at >= size:
                raise Undecodable("the MessagePack message is cut short")
            self._left -= 1
            if self._left < 0:
                raise Undecodable(f"the message holds more than {MAX_VALUES_OF_MESSAGE} values")
            head = payload[at]
            if is_map and left % 2 == 0 and not _may_be_key(head):
                raise Undecodable(f"a key at byte {at} is neither a text nor a whole number")
            left -= 1
            at, count, has_keys = self._step(at, head)
            if count >= 0:
                open_lists.append((left, is_map))
                if len(open_lists) > MAX_DEPTH:
                    raise Undecodable(f"lists and mappings are nested deeper than {MAX_DEPTH} levels")
                members += count if has_keys else 0
                left, is_map = count * 2 if has_keys else count, has_keys

    def _step(self, at: int, head: int) -> tuple[int, int, bool]:
        """Pass over a value; return its end, how many elements follow (-1: it is a scalar), if they are members."""
        at += 1
        if head < 0x80 or head >= 0xE0:
            return at, -1, False
        if head < 0x90:
            return at, head & 15, True
        if head < 0xA0:
            return at, head & 15, False
        if head < 0xC0:
            return at + (head & 31), -1, False
        if (content := _PLAIN.get(head, _PLAIN_MORE.get(head))) is not None:
            return at + content, -1, False
        if (sized := _SIZED.get(head, _SIZED_MORE.get(head))) is not None:
            width, more = sized
            return at + width + more + self._number(at, width), -1, False
        if (width := _LISTS.get(head, 0)) or (width := _MAPS.get(head, 0)):
            return at + width, self._number(at, width), head in _MAPS
        raise Undecodable(f"not MessagePack: byte 0x{head:02x} at {at - 1}")

    def _number(self, at: int, width: int) -> int:
        return int.from_bytes(self._payload[at : at + width], "big")


def _may_be_key(head: int) -> bool:
    return (
        head < 0x80
        or 0xA0 <= head < 0xC0
        or head >= 0xE0
        or 0xCC <= head <= 0xD3
        or head in {*_SIZED_MORE, 0xC4, 0xC5, 0xC6}
    )


def _other(found: object) -> Value:
    if isinstance(found, datetime):  # extension -1: seconds since 1970
        return found.timestamp()
    if isinstance(found, msgspec.msgpack.Ext):
        return {"type": found.code, "data": bytes(found.data)}
    raise Undecodable(f"a value of the kind {type(found).__name__} is none that a field can hold")
