"""Frames that all have the same size and begin with the same bytes: particle sensors, CO2 sensors, encoders."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from fieldgate_devices.framing.checks import Check, PlacedCheckSpec
from fieldgate_devices.framing.options import HexText, TimedOptions
from fieldgate_devices.framing.scanner import Broken, Intact, Scanner, Verdict, Wait, heard_alone
from fieldgate_devices.framing.sync import find_start

__all__ = ["FixedFramer", "FixedOptions"]


class FixedOptions(TimedOptions):
    """How a frame begins and how long it is."""

    sync: HexText = Field(description="how each frame begins", examples=["42 4d"])
    size: int = Field(ge=2, le=65_536, description="bytes of a frame, with sync word and check", examples=[32])
    payload: Literal["body", "frame"] = Field(
        default="body", description="what the payload is: what stands between sync word and check, or all"
    )
    check: PlacedCheckSpec | None = Field(
        default=None, description="checksum at the end of the frame", examples=[{"sum": "sum16", "over": "frame"}]
    )

    @model_validator(mode="after")
    def _check_size(self) -> FixedOptions:
        needed = len(bytes.fromhex(self.sync)) + (Check(self.check).size if self.check is not None else 0) + 1
        if self.size < needed:
            raise ValueError(f"size: {self.size} bytes hold nothing; {needed} at least, with sync word and check")
        return self

    def make(self) -> FixedFramer:
        """Return the framer."""
        return FixedFramer(self)


class FixedFramer(Scanner):
    """Searches for the sync word."""

    def __init__(self, options: FixedOptions) -> None:
        super().__init__(give_up_after_s=options.give_up_after, within_s=options.within)
        self._options = options
        self._sync = bytes.fromhex(options.sync)
        self._size = options.size
        self._is_whole = options.payload == "frame"
        self._check = Check(options.check) if options.check is not None else None
        is_all_covered = options.check is not None and options.check.over == "frame"
        self._covered_from = 0 if is_all_covered else len(self._sync)
        self._covered_to = options.size - (self._check.size if self._check is not None else 0)

    def find(self, buffer: bytearray, start: int) -> int:
        """Where the sync word stands."""
        return find_start(buffer, self._sync, start)

    def look(self, buffer: bytearray, at: int) -> Verdict:
        """The frame that begins at ``at``."""
        if len(buffer) - at < self._size:
            return Wait(self._size, is_begun=len(buffer) - at >= len(self._sync))
        covered_to = at + self._covered_to
        if self._check is not None:
            wanted = self._check.form(self.sum_over(self._check.sum, at + self._covered_from, covered_to))
            if problem := self._check.problem(bytes(buffer[covered_to : at + self._size]), wanted):
                return Broken(self._size, "checksum", problem)
            if self._check.keep:
                covered_to = at + self._size
        if self._is_whole:
            return Intact(self._size, bytes(buffer[at : at + self._size]))
        return Intact(self._size, bytes(buffer[at + len(self._sync) : covered_to]))

    def encode(self, payload: bytes) -> bytes:
        """Return the frame.

        Raises:
            ValueError: it has not the size that it must have, or another beginning or check.
        """
        frame = payload if self._is_whole else self._sync + payload
        if self._check is not None and not self._is_whole and not self._check.keep:
            frame += self._check.written(frame[self._covered_from :])
        if len(frame) != self._size:
            raise ValueError(f"the frame would have {len(frame)} bytes; all have {self._size} (size)")
        return heard_alone(frame, FixedFramer(self._options))
