"""Frames between start and end bytes: STX … ETX, HDLC flags, DLE STX … DLE ETX.

Three ways keep start and end out of what is between them:

- nothing does (``STX 12.5 kg ETX``): a payload that holds either cannot be sent;
- ``escape`` with ``xor``: a byte that may not stand there is written as the escape and the byte changed by ``xor``
  (HDLC: 7d, 20);
- ``escape`` alone: start and end begin with the escape byte, which is written twice where it means itself (DLE).

Where start and end are one byte, it stands between frames, as in HDLC. The check covers what is meant, not what is
written, and is escaped as the rest.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator

from fieldgate_devices.files.section import Section
from fieldgate_devices.framing.checks import Check, PlacedCheckSpec
from fieldgate_devices.framing.delimited import Delimited
from fieldgate_devices.framing.enclosed import Enclosed, Found
from fieldgate_devices.framing.framer import Frame, Framer
from fieldgate_devices.framing.options import BoundedOptions, HexText
from fieldgate_devices.framing.scanner import Broken, Intact, Verdict, heard_alone

__all__ = ["EscapeSpec", "FlagFramer", "StartEndFramer", "StartEndOptions"]


class EscapeSpec(Section):
    """How start and end are kept out of a payload."""

    byte: HexText = Field(description="the escape byte", examples=["7d"])
    xor: HexText | None = Field(
        default=None,
        description="what an escaped byte is changed by. Default: the escape byte is written twice where it is meant",
        examples=["20"],
    )

    @model_validator(mode="after")
    def _check_sizes(self) -> EscapeSpec:
        for key in ("byte", "xor"):
            if len(bytes.fromhex(getattr(self, key) or "00")) != 1:
                raise ValueError(f"{key}: {getattr(self, key)!r} is not one byte")
        return self


class StartEndOptions(BoundedOptions):
    """Between what a frame stands."""

    start: HexText = Field(description="how each frame begins", examples=["02"])
    end: HexText = Field(description="how each frame ends", examples=["03"])
    escape: EscapeSpec | None = Field(
        default=None,
        description="how start and end are kept out of what is between them",
        examples=[{"byte": "7d", "xor": "20"}],
    )
    payload: Literal["body", "frame"] = Field(
        default="body", description="what the payload is: what is meant between start and end, or all as it came"
    )
    check: PlacedCheckSpec | None = Field(
        default=None, description="checksum before the end", examples=[{"crc": "CRC-16/X-25", "order": "little"}]
    )

    @model_validator(mode="after")
    def _check_together(self) -> StartEndOptions:
        start, end = bytes.fromhex(self.start), bytes.fromhex(self.end)
        if start == end and len(start) > 1:
            raise ValueError("start and end are the same, which must be one byte then")
        if self.payload == "frame" and start == end:
            raise ValueError("payload: 'frame' has no meaning where one byte stands between frames")
        if self.payload == "frame" and self.check is not None and self.check.keep:
            raise ValueError("keep: the check is in the payload already (payload: frame)")
        if self.escape is None:
            return self
        escape = bytes.fromhex(self.escape.byte)
        if self.escape.xor is None:
            if start[:1] != escape or end[:1] != escape or len(start) > 2 or len(end) != 2 or end[1:] == escape:
                raise ValueError(
                    "an escape byte that is written twice begins the start (alone, or before one other byte) and the "
                    "end (before one other byte)"
                )
            if len(start) == 2 and start[1:] in (escape, end[1:]):
                raise ValueError("behind the escape byte, start, end and escape must differ")
        elif len(start) > 1 or len(end) > 1 or escape in (start, end):
            raise ValueError("with xor, start and end are one byte each, and the escape is another")
        elif (bad := bytes([escape[0] ^ int(self.escape.xor, 16)])) in (start, end, escape):
            raise ValueError(f"the escape byte would be written as {bad.hex()}, which may not stand there")
        return self

    def make(self) -> Framer:
        """Return the framer."""
        return FlagFramer(self) if self.start == self.end else StartEndFramer(self)


class _Content:
    """What is meant between start and end, and how it is written."""

    def __init__(self, options: StartEndOptions) -> None:
        self.start, self.end = bytes.fromhex(options.start), bytes.fromhex(options.end)
        escape = options.escape
        self.escape = bytes.fromhex(escape.byte) if escape is not None else b""
        self.xor = int(escape.xor, 16) if escape is not None and escape.xor is not None else 0
        self.is_doubled = escape is not None and escape.xor is None
        self._check = Check(options.check) if options.check is not None else None
        self._before = self.start if options.check is not None and options.check.over == "frame" else b""
        self._special = {*self.start, *self.end, *self.escape}
        self._pair = re.compile(re.escape(self.escape) + b"(.?)", re.DOTALL)

    def meant(self, written: bytes) -> Frame:
        """What ``written`` means, its check verified; a fault goes with what was written."""
        content = written
        if self.escape and self.escape in written:
            if not self.is_doubled and written.endswith(self.escape):
                return Frame(written, "malformed", "there is nothing behind the last escape byte")
            content = written.replace(self.escape * 2, self.escape) if self.is_doubled else self._unescaped(written)
        check = self._check
        if check is None:
            return Frame(content)
        if len(content) < check.size:
            return Frame(written, "malformed", f"{len(content)} bytes are too few to hold the check")
        covered, found = content[: -check.size], content[-check.size :]
        if problem := check.problem(found, check.written(self._before + covered)):
            return Frame(written, "checksum", problem)
        return Frame(content if check.keep else covered)

    def written(self, payload: bytes) -> bytes:
        """How the payload is written, with its check."""
        content = payload
        if self._check is not None and not self._check.keep:
            content += self._check.written(self._before + payload)
        if self.is_doubled:
            return content.replace(self.escape, self.escape * 2)
        if not self.escape:
            return content
        return b"".join(
            self.escape + bytes([byte ^ self.xor]) if byte in self._special else bytes([byte]) for byte in content
        )

    def _unescaped(self, written: bytes) -> bytes:
        xor = self.xor
        return self._pair.sub(lambda pair: bytes([pair[1][0] ^ xor]), written)


class FlagFramer(Delimited):
    """One byte between frames."""

    def __init__(self, options: StartEndOptions) -> None:
        self._content = _Content(options)
        super().__init__(
            self._content.end,
            max_length=options.max_length,
            give_up_after_s=options.give_up_after,
            skips_first=False,
        )

    def frame_of(self, piece: bytes) -> Frame:
        """What stood between two flags."""
        return self._content.meant(piece)

    def encode(self, payload: bytes) -> bytes:
        """Return the frame between two flags.

        Raises:
            ValueError: it is empty or too long, or holds the flag and nothing escapes it.
        """
        piece = self._content.written(payload)
        flag = self._content.end
        if not piece or len(piece) > self._max_length:
            raise ValueError(f"the frame would have {len(piece)} bytes; allowed: 1 to {self._max_length} (max_length)")
        if flag in piece:
            raise ValueError("the payload holds the start or the end, and nothing escapes it (escape)")
        return flag + piece + flag


class StartEndFramer(Enclosed):
    """A start, and an end that differs."""

    def __init__(self, options: StartEndOptions) -> None:
        self._content = _Content(options)
        super().__init__(
            self._content.start,
            len(self._content.end),
            max_length=options.max_length,
            give_up_after_s=options.give_up_after,
        )
        self._options = options
        self._escaped = re.compile(re.escape(self._content.escape) + b"(.)", re.DOTALL)

    def seek(self, buffer: bytearray, begin: int, place: int, stop: int) -> Found:
        """Search for the end."""
        content = self._content
        if content.is_doubled:
            return self._seek_pairs(buffer, place, stop)
        margin = len(content.end) - 1
        end = buffer.find(content.end, place, stop)
        start = buffer.find(content.start, place, end if end >= 0 else stop - margin)
        if start >= 0:
            return Found("start", start, start)
        if end >= 0:
            return Found("end", end, end)
        return Found("nothing", stop, max(place, stop - margin - len(content.start)))

    def _seek_pairs(self, buffer: bytearray, place: int, stop: int) -> Found:
        """What stands behind each escape byte says what it is."""
        content = self._content
        while (pair := self._escaped.search(buffer, place, stop)) is not None:
            if pair[1] == content.escape:
                place = pair.end()
            elif pair[0] == content.end:
                return Found("end", pair.start(), pair.start())
            elif pair[0][: len(content.start)] == content.start:
                return Found("start", pair.start(), pair.start())
            else:
                return Found("wrong", pair.end(), pair.start())
        return Found("nothing", stop, max(place, stop - 1))

    def open(self, buffer: bytearray, at: int, end: int) -> Verdict:
        """What is meant between start and end."""
        size = end + self._end_size - at
        frame = self._content.meant(bytes(buffer[at + len(self._start) : end]))
        if frame.fault:
            return Broken(size, frame.fault, frame.detail)
        return Intact(size, bytes(buffer[at : at + size]) if self._options.payload == "frame" else frame.payload)

    def encode(self, payload: bytes) -> bytes:
        """Return the frame.

        Raises:
            ValueError: it is too long, or holds start or end and nothing escapes them.
        """
        if self._options.payload == "frame":
            return heard_alone(payload, self._options.make())
        written = self._content.written(payload)
        return heard_alone(self._start + written + self._content.end, self._options.make())
