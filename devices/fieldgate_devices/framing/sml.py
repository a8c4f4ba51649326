"""SML transport protocol, version 1 (BSI TR-03109, DIN EN 62056-5-3-8): electricity meters with an optical port.

    1b1b1b1b 01010101 │ SML file │ 00… │ 1b1b1b1b 1a │ how many 00 │ CRC-16/X-25

Four bytes 1b in the file are written twice. A payload is the bytes of the SML file.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from pydantic import Field

from fieldgate_devices.framing.checks import CrcSpec, make_crc
from fieldgate_devices.framing.enclosed import Enclosed, Found
from fieldgate_devices.framing.options import BoundedOptions, Length
from fieldgate_devices.framing.scanner import Broken, Intact, Verdict

__all__ = ["SmlFramer", "SmlOptions"]

_ESCAPE: Final = b"\x1b" * 4
_START: Final = _ESCAPE + b"\x01" * 4
_END_SIZE: Final = 8
_MOST_FILLED: Final = 4  # 3 by the standard; the DZG DVS74 writes 4 where there is nothing to fill
_RUN: Final = re.compile(rb"\x1b{4,}")


class SmlOptions(BoundedOptions):
    """What a meter may send."""

    max_length: Length = Field(default=8192, description="longest frame in bytes, as it comes; longer ones are refused")
    crc: Literal["x-25", "kermit"] = Field(
        default="x-25",
        description="x-25 as the standard has it; kermit: what some firmwares of the Holley DTZ541 compute",
    )

    def make(self) -> SmlFramer:
        """Return the framer."""
        return SmlFramer(self)


class SmlFramer(Enclosed):
    """Searches for escape sequences."""

    def __init__(self, options: SmlOptions) -> None:
        super().__init__(_START, _END_SIZE, max_length=options.max_length, give_up_after_s=options.give_up_after)
        self._crc = make_crc(CrcSpec(name="CRC-16/X-25" if options.crc == "x-25" else "CRC-16/KERMIT"))

    def seek(self, buffer: bytearray, begin: int, place: int, stop: int) -> Found:
        """Search for the end; an even number of escapes one after the other is data."""
        while (run := _RUN.search(buffer, place, stop)) is not None:
            pairs_end = run.start() + (run.end() - run.start()) // 8 * 8
            behind = bytes(buffer[run.end() : min(stop, run.end() + 4)])
            if not behind:
                return Found("nothing", stop, pairs_end)
            if run.end() - pairs_end < 4:
                place = run.end()
                continue
            escape = run.end() - 4
            if behind[0] == 0x1A:
                return Found("end", escape, pairs_end)
            if behind == _START[4:]:
                return Found("start", escape, pairs_end)
            if _START[4:].startswith(behind):
                return Found("nothing", stop, pairs_end)
            return Found("wrong", run.end(), pairs_end)
        return Found("nothing", stop, max(place, stop - 3))

    def open(self, buffer: bytearray, at: int, end: int) -> Verdict:
        """The file between start and end."""
        size = end + _END_SIZE - at
        fill = buffer[end + 5]
        found = bytes(buffer[end + 6 : end + _END_SIZE])
        wanted = self.sum_over(self._crc, at, end + 6).to_bytes(2, "little")
        if found != wanted:
            return Broken(
                size, "checksum", f"check {found.hex(' ')} is wrong; {wanted.hex(' ')} is right for what came"
            )
        content = bytes(buffer[at + len(_START) : end]).replace(_ESCAPE * 2, _ESCAPE)
        if fill > _MOST_FILLED or fill > len(content):
            return Broken(
                size, "malformed", f"{fill} bytes at the end are said to mean nothing; {_MOST_FILLED} at most"
            )
        return Intact(size, content[: len(content) - fill])

    def encode(self, payload: bytes) -> bytes:
        """Return the frame.

        Raises:
            ValueError: it is too long.
        """
        fill = -len(payload) % 4
        content = (payload + bytes(fill)).replace(_ESCAPE, _ESCAPE * 2)
        covered = _START + content + _ESCAPE + bytes([0x1A, fill])
        if len(covered) + 2 > self._max_length:
            raise ValueError(f"the frame has {len(covered) + 2} bytes; {self._max_length} at most (max_length)")
        return covered + self._crc.grown(self._crc.empty, covered).to_bytes(2, "little")
