"""Frames that say how long they are, with a sync word before or without one.

    sync word │ … │ length │ … │ payload │ check │ end

Without a sync word any byte may begin a frame, and only the check tells; with neither, a byte that is lost spoils
everything up to the next silence (``give_up_after``).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from fieldgate_devices.framing.checks import Check, PlacedCheckSpec
from fieldgate_devices.framing.options import BoundedOptions, HexText, TimedOptions
from fieldgate_devices.framing.scanner import Broken, Intact, Scanner, Verdict, Wait, heard_alone
from fieldgate_devices.framing.sync import find_start

__all__ = ["LengthPrefixedFramer", "LengthPrefixedOptions"]


class LengthPrefixedOptions(TimedOptions, BoundedOptions):
    """Where the length stands and what it counts."""

    sync: HexText | None = Field(default=None, description="how each frame begins", examples=["aa 55"])
    length_at: int | None = Field(
        default=None,
        ge=0,
        le=64,
        description="where the length stands: bytes of the frame before it. Default: directly behind the sync word",
    )
    length_size: Literal[1, 2, 3, 4] = Field(default=1, description="bytes of the length")
    order: Literal["big", "little"] = Field(default="big", description="which byte of the length comes first")
    counts: Literal["payload", "rest", "frame"] = Field(
        default="payload",
        description="what the length counts: the payload; all behind the length (check and end too); the whole frame",
    )
    adjust: int = Field(default=0, ge=-65_536, le=65_536, description="what is added to the length to make it that")
    header: int | None = Field(
        default=None,
        ge=1,
        le=128,
        description="bytes before the payload, with sync word and length. Default: up to the end of the length",
    )
    payload: Literal["payload", "body", "frame"] = Field(
        default="payload",
        description="what the payload is for a decoder: what stands behind the header; all between sync word and "
        "check; or the whole frame",
    )
    check: PlacedCheckSpec | None = Field(
        default=None, description="checksum behind the payload", examples=[{"crc": "CRC-16/XMODEM"}]
    )
    end: HexText | None = Field(default=None, description="what stands at the end of each frame", examples=["16"])

    @property
    def sync_size(self) -> int:
        """Bytes of the sync word."""
        return len(bytes.fromhex(self.sync)) if self.sync is not None else 0

    @property
    def length_place(self) -> int:
        """Bytes before the length."""
        return self.length_at if self.length_at is not None else self.sync_size

    @property
    def header_size(self) -> int:
        """Bytes before the payload."""
        return self.header if self.header is not None else self.length_place + self.length_size

    @model_validator(mode="after")
    def _check_places(self) -> LengthPrefixedOptions:
        if self.length_place < self.sync_size:
            raise ValueError(f"length_at: {self.length_at} is within the sync word; {self.sync_size} at least")
        if self.header_size < (behind := self.length_place + self.length_size):
            raise ValueError(f"header: {self.header} bytes do not hold the length; {behind} at least")
        return self

    def make(self) -> LengthPrefixedFramer:
        """Return the framer."""
        return LengthPrefixedFramer(self)


class LengthPrefixedFramer(Scanner):
    """Reads lengths."""

    def __init__(self, options: LengthPrefixedOptions) -> None:
        super().__init__(give_up_after_s=options.give_up_after, within_s=options.within)
        self._options = options
        self._sync = bytes.fromhex(options.sync or "")
        self._length_at = options.length_place
        self._length_end = options.length_place + options.length_size
        self._order: Literal["big", "little"] = options.order
        self._header = options.header_size
        self._check = Check(options.check) if options.check is not None else None
        self._check_size = self._check.size if self._check is not None else 0
        self._end = bytes.fromhex(options.end or "")
        self._around = self._header + self._check_size + len(self._end)
        self._more = options.adjust + {"payload": self._around, "rest": self._length_end, "frame": 0}[options.counts]
        over = options.check.over if options.check is not None else "body"
        self._covered_from = {"body": len(self._sync), "frame": 0, "payload": self._header}[over]
        self._payload_from = {"payload": self._header, "body": len(self._sync), "frame": 0}[options.payload]

    def find(self, buffer: bytearray, start: int) -> int:
        """Where the sync word stands; anywhere without one."""
        return find_start(buffer, self._sync, start) if self._sync else start

    def look(self, buffer: bytearray, at: int) -> Verdict:
        """The frame at ``at``; without a sync word, what fails is told only where a frame ought to begin."""
        verdict = self._judge(buffer, at)
        return None if isinstance(verdict, Broken) and not self._sync and not self.is_expected(at) else verdict

    def _judge(self, buffer: bytearray, at: int) -> Verdict:
        there = len(buffer) - at
        if there < self._length_end:
            return Wait(self._length_end, is_begun=there >= max(1, len(self._sync)))
        length = int.from_bytes(buffer[at + self._length_at : at + self._length_end], self._order)
        size = length + self._more
        if size > self._options.max_length:
            detail = (
                f"a length of {length} makes a frame of {size} bytes; {self._options.max_length} at most (max_length)"
            )
            return Broken(self._length_end, "too_long", detail)
        if size < self._around:
            detail = f"a length of {length} makes a frame of {size} bytes; {self._around} at least"
            return Broken(self._length_end, "malformed", detail)
        if there < size:
            return Wait(size)
        end_at = at + size - len(self._end)
        if buffer[end_at : at + size] != self._end:
            return Broken(size, "malformed", f"there is no {self._end.hex(' ')} at the end")
        check_at = end_at - self._check_size
        if self._check is not None:
            wanted = self._check.form(self.sum_over(self._check.sum, at + self._covered_from, check_at))
            if problem := self._check.problem(bytes(buffer[check_at:end_at]), wanted):
                return Broken(size, "checksum", problem)
        if self._options.payload == "frame":
            return Intact(size, bytes(buffer[at : at + size]))
        is_kept = self._check is not None and self._check.keep
        return Intact(size, bytes(buffer[at + self._payload_from : end_at if is_kept else check_at]))

    def encode(self, payload: bytes) -> bytes:
        """Return the frame.

        Raises:
            ValueError: it is too long for the length, or what it says of itself is not so.
        """
        if self._options.payload == "frame":
            return heard_alone(payload, self._options.make())
        frame = self._sync + payload
        if self._options.payload == "payload":
            frame = self._head(len(payload)) + payload
        if self._check is not None and not self._check.keep:
            frame += self._check.written(frame[self._covered_from :])
        return heard_alone(frame + self._end, self._options.make())

    def _head(self, size: int) -> bytes:
        """The header of a payload."""
        if self._header != len(self._sync) + self._length_end - self._length_at:
            raise ValueError("the header holds more than sync word and length; write payload: body")
        if self._check is not None and self._check.keep:
            size -= self._check_size
        length = size + self._around - self._more
        try:
            return self._sync + length.to_bytes(self._length_end - self._length_at, self._order)
        except OverflowError:
            raise ValueError(f"a payload of {size} bytes has a length that does not fit") from None
