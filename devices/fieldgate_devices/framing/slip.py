"""SLIP (RFC 1055): 0xC0 ends a frame, and begins it where the sender is careful; 0xDB escapes both.

A frame is decoded by ``sliplib``, which is imported with the first port that uses it.
"""

from __future__ import annotations

from pydantic import Field

from fieldgate_devices.framing.checks import Check, CheckSpec
from fieldgate_devices.framing.delimited import Delimited
from fieldgate_devices.framing.framer import Frame
from fieldgate_devices.framing.options import BoundedOptions

__all__ = ["SlipFramer", "SlipOptions"]

_END = b"\xc0"


class SlipOptions(BoundedOptions):
    """What is in the frames."""

    skip_first: bool = Field(
        default=False,
        description="whether what stands before the first 0xC0 is dropped, each time the port was opened: it may "
        "be the rest of a frame",
    )
    check: CheckSpec | None = Field(
        default=None, description="checksum at the end of what is in a frame", examples=["CRC-16/X-25"]
    )

    def make(self) -> SlipFramer:
        """Return the framer."""
        return SlipFramer(self)


class SlipFramer(Delimited):
    """Decodes what stands between ends."""

    def __init__(self, options: SlipOptions) -> None:
        import sliplib  # type: ignore[import-untyped]  # it has no types; imported by those who use SLIP

        super().__init__(
            _END,
            max_length=options.max_length,
            give_up_after_s=options.give_up_after,
            skips_first=options.skip_first,
        )
        self._decode = sliplib.decode
        self._encode = sliplib.encode
        self._error = sliplib.ProtocolError
        self._check = Check(options.check) if options.check is not None else None

    def frame_of(self, piece: bytes) -> Frame:
        """What was encoded as ``piece``."""
        try:
            content = self._decode(piece)
        except self._error:
            return Frame(piece, "malformed", "no SLIP: 0xDB is followed by neither 0xDC nor 0xDD")
        if self._check is None:
            return Frame(content)
        frame = self._check.frame_of(content)
        return Frame(piece, frame.fault, frame.detail) if frame.fault else frame

    def encode(self, payload: bytes) -> bytes:
        """Return the frame between two ends, so that noise before it is a frame of its own.

        Raises:
            ValueError: it is empty, or too long.
        """
        piece: bytes = self._encode(payload if self._check is None else self._check.with_check(payload))
        if not piece:
            raise ValueError("an empty payload is no frame")
        if len(piece) > self._max_length:
            raise ValueError(f"the frame has {len(piece)} bytes; {self._max_length} at most (max_length)")
        return _END + piece + _END
