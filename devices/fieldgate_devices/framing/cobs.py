"""COBS (Cheshire and Baker, 1999): no byte of a frame is zero, and a zero ends it.

A frame is decoded by ``cobs``, which is imported with the first port that uses it.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from fieldgate_devices.framing.checks import Check, CheckSpec
from fieldgate_devices.framing.delimited import Delimited
from fieldgate_devices.framing.framer import Frame
from fieldgate_devices.framing.options import BoundedOptions

__all__ = ["CobsFramer", "CobsOptions"]


class CobsOptions(BoundedOptions):
    """Which COBS, and what is in its frames."""

    reduced: bool = Field(default=False, description="whether frames are COBS/R, which saves a byte in most")
    skip_first: bool = Field(
        default=False,
        description="whether what stands before the first zero is dropped, each time the port was opened: it may "
        "be the rest of a frame",
    )
    check: CheckSpec | None = Field(
        default=None,
        description="checksum at the end of what is in a frame",
        examples=[{"crc": "CRC-16/MODBUS", "order": "little"}],
    )

    def make(self) -> CobsFramer:
        """Return the framer."""
        return CobsFramer(self)


class CobsFramer(Delimited):
    """Decodes what stands between zeros."""

    def __init__(self, options: CobsOptions) -> None:
        super().__init__(
            b"\0",
            max_length=options.max_length,
            give_up_after_s=options.give_up_after,
            skips_first=options.skip_first,
        )
        self._codec = _codec(is_reduced=options.reduced)
        self._check = Check(options.check) if options.check is not None else None

    def frame_of(self, piece: bytes) -> Frame:
        """What was encoded as ``piece``."""
        try:
            content: bytes = self._codec.decode(piece)
        except self._codec.DecodeError as error:
            return Frame(piece, "malformed", f"no COBS: {error}")
        if self._check is None:
            return Frame(content)
        frame = self._check.frame_of(content)
        return Frame(piece, frame.fault, frame.detail) if frame.fault else frame

    def encode(self, payload: bytes) -> bytes:
        """Return the frame with its zero.

        Raises:
            ValueError: it is too long.
        """
        content = payload if self._check is None else self._check.with_check(payload)
        piece: bytes = self._codec.encode(content)
        if len(piece) > self._max_length:
            raise ValueError(f"the frame has {len(piece)} bytes; {self._max_length} at most (max_length)")
        return piece + b"\0"


def _codec(*, is_reduced: bool) -> Any:
    from cobs import cobs, cobsr  # type: ignore[import-untyped]  # it has no types; imported by those who use COBS

    return cobsr if is_reduced else cobs
