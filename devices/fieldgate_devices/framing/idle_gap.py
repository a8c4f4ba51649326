"""Frames that end when the line falls silent: Modbus RTU and other protocols of buses.

A frame's end is a matter of time. Times are those at which bytes were read, so a gap must be longer than what the
adapter may hold back (USB adapters 16 ms by default), and shorter than the device's pause between two frames.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fieldgate_devices.files.quantities import Duration
from fieldgate_devices.framing.checks import Check, CheckSpec, CrcSpec
from fieldgate_devices.framing.delimited import EXCERPT_BYTES
from fieldgate_devices.framing.framer import Frame
from fieldgate_devices.framing.options import FramingOptions, Length

__all__ = ["IdleGapFramer", "IdleGapOptions", "ModbusRtuOptions"]

_Gap = Annotated[float, Duration("1ms", "1h")]


class IdleGapOptions(FramingOptions):
    """When a frame has ended."""

    gap: _Gap = Field(default=0.05, description="silence that ends a frame", examples=["20ms"])
    max_length: Length = Field(
        default=4096, description="longest frame in bytes; of a longer one the beginning is kept"
    )
    min_length: int = Field(
        default=1, ge=1, le=65_536, description="shortest frame in bytes; a shorter one is noise and is counted"
    )
    check: CheckSpec | None = Field(
        default=None,
        description="checksum at the end of the frame",
        examples=[{"crc": "CRC-16/MODBUS", "order": "little"}],
    )

    def make(self) -> IdleGapFramer:
        """Return the framer."""
        return IdleGapFramer(self)


class ModbusRtuOptions(IdleGapOptions):
    """What is heard on a bus of Modbus RTU: unit, function and what belongs to it, without the CRC."""

    gap: _Gap = Field(default=0.02, description="silence that ends a frame; the standard's 3.5 characters are less")
    max_length: Length = Field(default=256, description="longest frame in bytes; of a longer one the beginning is kept")
    min_length: int = Field(
        default=4, ge=1, le=65_536, description="shortest frame in bytes; a shorter one is noise and is counted"
    )
    check: CheckSpec | None = Field(
        default=CheckSpec(crc=CrcSpec.model_construct(name="CRC-16/MODBUS"), order="little"),
        description="checksum at the end of the frame",
    )


class IdleGapFramer:
    """Collects until nothing more comes."""

    def __init__(self, options: IdleGapOptions) -> None:
        self.skipped_bytes = 0
        self._gap_s = options.gap
        self._max_length = options.max_length
        self._min_length = options.min_length
        self._check = Check(options.check) if options.check is not None else None
        self._rest = bytearray()
        self._is_too_long = False
        self._heard_at_s = 0.0

    @property
    def wakes_at_s(self) -> float | None:
        """When the frame has ended, if nothing more comes."""
        return self._heard_at_s + self._gap_s if self._rest else None

    def feed_bytes(self, chunk: bytes, now_s: float) -> list[Frame]:
        """Take what was read; return the frame that ended before it."""
        frames = self.tick(now_s)
        if chunk:
            self._heard_at_s = now_s
            room = self._max_length - len(self._rest)
            self._rest += chunk[:room]
            if len(chunk) > room:
                self._is_too_long = True
                self.skipped_bytes += len(chunk) - room
        return frames

    def tick(self, now_s: float) -> list[Frame]:
        """Return the frame that has ended with silence."""
        if not self._rest or now_s < self._heard_at_s + self._gap_s:
            return []
        content, self._rest = bytes(self._rest), bytearray()
        if self._is_too_long:
            self._is_too_long = False
            excerpt = content[:EXCERPT_BYTES]
            self.skipped_bytes += len(content) - len(excerpt)
            detail = f"more than {self._max_length} bytes (max_length) without a gap; this is the beginning"
            return [Frame(excerpt, "too_long", detail)]
        if len(content) < self._min_length:
            self.skipped_bytes += len(content)
            return []
        return [Frame(content) if self._check is None else self._check.frame_of(content)]

    def reset(self) -> int:
        """The port is gone: forget what is half read; return how many bytes that were."""
        size = len(self._rest)
        self._rest = bytearray()
        self._is_too_long = False
        return size

    def encode(self, payload: bytes) -> bytes:
        """Return the frame; the gap around it is for who writes to keep.

        Raises:
            ValueError: it is too short or too long.
        """
        frame = payload if self._check is None else self._check.with_check(payload)
        if not self._min_length <= len(frame) <= self._max_length:
            raise ValueError(
                f"the frame has {len(frame)} bytes; allowed: {self._min_length} (min_length) to {self._max_length} "
                "(max_length)"
            )
        return frame
