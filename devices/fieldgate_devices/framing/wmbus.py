"""Wireless M-Bus (EN 13757-4): telegrams as a receiver hands them over, beginning with their length L.

    A  L C M M A A A A A A │ CRC │ up to 16 bytes │ CRC │ …      L counts none of the CRCs
    B  L C M M A A A A A A … up to 126 bytes │ CRC │ … │ CRC     L counts them

A payload is the telegram without its CRCs, its L that of what is left. Telegrams begin with no sync word: a place is
one if the byte after L is a C field that meters send, and the CRCs tell. Without them (``format: bare``, of receivers
that verify and remove them) nothing does, and a lost byte costs what comes up to the next silence.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from pydantic import Field

from fieldgate_devices.framing.checks import CrcSpec, make_crc
from fieldgate_devices.framing.options import TimedOptions
from fieldgate_devices.framing.scanner import Broken, Intact, Scanner, Verdict, Wait, heard_alone

__all__ = ["WmbusFramer", "WmbusOptions"]

_START: Final = re.compile(rb"[\x0a-\xff](?:[\x44\x46\x47\x48\x06\x08\x18\x28\x38]|\Z)", re.DOTALL)
_FIRST: Final = 10  # bytes of the first block, with L
_BLOCK: Final = 16
_FIRST_OF_B: Final = 126


class WmbusOptions(TimedOptions):
    """How the receiver hands telegrams over."""

    format: Literal["a", "b", "bare"] = Field(
        default="a", description="a, b: the frame format of the standard, with its CRCs; bare: they were removed"
    )

    def make(self) -> WmbusFramer:
        """Return the framer."""
        return WmbusFramer(self)


class WmbusFramer(Scanner):
    """Reads lengths, and verifies the CRC of each block."""

    def __init__(self, options: WmbusOptions) -> None:
        super().__init__(give_up_after_s=options.give_up_after, within_s=options.within)
        self._options = options
        self._format = options.format
        self._crc = make_crc(CrcSpec(name="CRC-16/EN-13757")) if options.format != "bare" else None

    def find(self, buffer: bytearray, start: int) -> int:
        """Where a length and a C field stand."""
        match = _START.search(buffer, start)
        return match.start() if match is not None else len(buffer)

    def look(self, buffer: bytearray, at: int) -> Verdict:
        """The telegram that begins at ``at``; where its first block is not right there was none."""
        there = len(buffer) - at
        if there < 2:
            return Wait(2, is_begun=False)
        if self._crc is None:
            size = buffer[at] + 1
            return Wait(size) if there < size else Intact(size, bytes(buffer[at : at + size]))
        content, place = b"", at
        blocks = self._blocks(buffer[at])
        for number, block in enumerate(blocks):
            size = place + block + 2 - at
            if there < size:
                return Wait(size, is_begun=number > 0)
            covered = bytes(buffer[place : place + block])
            found, wanted = bytes(buffer[place + block : at + size]), self._written(covered)
            if found != wanted:
                if number == 0:
                    return None
                detail = f"check {found.hex(' ')} is wrong; {wanted.hex(' ')} is right for block {number + 1}"
                return Broken(size, "checksum", detail)
            content += covered
            place = at + size
        return Intact(place - at, bytes([len(content) - 1]) + content[1:])

    def encode(self, payload: bytes) -> bytes:
        """Return the telegram with its CRCs.

        Raises:
            ValueError: its L is not its length, or its C field is none of a meter, or it is too long.
        """
        if not payload or payload[0] != len(payload) - 1:
            raise ValueError("the first byte of a telegram is the number of those that follow")
        frame = payload
        if self._format == "a":
            frame = self._with_crcs(payload, self._blocks(payload[0]))
        elif self._format == "b":
            length = len(payload) - 1 + (2 if len(payload) <= _FIRST_OF_B else 4)
            if length > 255:
                raise ValueError(f"a telegram of {len(payload)} bytes is too long for format B")
            frame = self._with_crcs(bytes([length]) + payload[1:], self._blocks(length))
        return heard_alone(frame, self._options.make())

    def _blocks(self, length: int) -> list[int]:
        """The sizes of the blocks, without their CRCs, of a telegram whose L is ``length``."""
        if self._format == "b":
            size = length + 1
            return [size - 2] if size <= _FIRST_OF_B + 2 else [_FIRST_OF_B, size - _FIRST_OF_B - 4]
        rest = length + 1 - _FIRST
        return [_FIRST, *[_BLOCK] * (rest // _BLOCK), *([rest % _BLOCK] if rest % _BLOCK else [])]

    def _with_crcs(self, telegram: bytes, blocks: list[int]) -> bytes:
        frame, place = b"", 0
        for block in blocks:
            frame += telegram[place : place + block] + self._written(telegram[place : place + block])
            place += block
        return frame

    def _written(self, block: bytes) -> bytes:
        if self._crc is None:
            return b""
        return self._crc.grown(self._crc.empty, block).to_bytes(2, "big")
