"""Lines of text: scales, barcode readers, sensors that print what they measure, NMEA 0183.

A payload is a line without its end. An empty line is none.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from fieldgate_devices.framing.checks import Check, CheckSpec
from fieldgate_devices.framing.delimited import Delimited
from fieldgate_devices.framing.framer import Frame
from fieldgate_devices.framing.options import BoundedOptions, Length

__all__ = ["LinesFramer", "LinesOptions"]

_ENDS: Final = {"any": b"\n", "lf": b"\n", "cr": b"\r", "crlf": b"\r\n"}


class LinesOptions(BoundedOptions):
    """Where a line ends."""

    end: Literal["any", "lf", "cr", "crlf"] = Field(
        default="any", description="what ends a line; any: a line feed, a carriage return, or both"
    )
    max_length: Length = Field(default=1024, description="longest line in bytes; of a longer one the beginning is kept")
    strip: bool = Field(default=False, description="whether blanks and NUL bytes around a line are dropped")
    skip_first: bool = Field(
        default=False,
        description="whether what stands before the first end is dropped, each time the port was opened: it may be the "
        "rest of a line",
    )
    check: CheckSpec | None = Field(
        default=None, description="checksum at the end of each line", examples=["nmea", {"crc": "CRC-16/MODBUS"}]
    )

    def make(self) -> LinesFramer:
        """Return the framer."""
        return LinesFramer(self)


class LinesFramer(Delimited):
    """Cuts at the ends of lines."""

    def __init__(self, options: LinesOptions) -> None:
        super().__init__(
            _ENDS[options.end],
            max_length=options.max_length,
            give_up_after_s=options.give_up_after,
            skips_first=options.skip_first,
        )
        self._is_any = options.end == "any"
        self._in_line = b"\r\n" if self._is_any else self._end  # what encode writes
        self._is_stripped = options.strip
        self._check = Check(options.check) if options.check is not None else None

    def feed_bytes(self, chunk: bytes, now_s: float) -> list[Frame]:
        """Take what was read; return the lines that it completed, in order."""
        return super().feed_bytes(chunk.replace(b"\r", b"\n") if self._is_any else chunk, now_s)

    def frame_of(self, piece: bytes) -> Frame | None:
        """The line; none where nothing is on it."""
        line = piece.strip(b" \t\r\n\0") if self._is_stripped else piece
        if not line:
            self.skipped_bytes += len(piece)
            return None
        return Frame(line) if self._check is None else self._check.frame_of(line)

    def encode(self, payload: bytes) -> bytes:
        """Return the line with its end.

        Raises:
            ValueError: it is empty, too long, or holds an end itself.
        """
        line = payload if self._check is None else self._check.with_check(payload)
        if not line.strip(b" \t\r\n\0" if self._is_stripped else b""):
            raise ValueError("an empty line is no frame")
        if len(line) > self._max_length:
            raise ValueError(f"the line has {len(line)} bytes; {self._max_length} at most (max_length)")
        if self._end in line or (self._is_any and b"\r" in line):
            raise ValueError("the payload holds an end of line itself; leave it out, the framing adds it")
        return line + self._in_line
