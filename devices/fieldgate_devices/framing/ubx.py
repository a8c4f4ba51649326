"""UBX, the binary protocol of u-blox receivers.

    b5 62 │ class │ id │ length, 2 bytes, little │ … │ Fletcher's sums over class to payload

A payload is class, id and what follows the length, so that a layout begins ``{name: class, type: u8}``. Where NMEA 0183
or RTCM come on the same port, the framing is ``gnss``.
"""

from __future__ import annotations

from pydantic import Field

from fieldgate_devices.framing.gnss import UBX_SYNC, GnssFramer, GnssOptions
from fieldgate_devices.framing.options import Length, TimedOptions
from fieldgate_devices.framing.scanner import Intact, Verdict

__all__ = ["UbxFramer", "UbxOptions"]


class UbxOptions(TimedOptions):
    """What a receiver may send."""

    max_length: Length = Field(default=8192, description="longest frame in bytes; a longer one is refused")

    def make(self) -> UbxFramer:
        """Return the framer."""
        return UbxFramer(self)


class UbxFramer(GnssFramer):
    """Searches for UBX alone."""

    def __init__(self, options: UbxOptions) -> None:
        super().__init__(
            GnssOptions(
                kinds=("ubx",),
                max_length=options.max_length,
                give_up_after=options.give_up_after,
                within=options.within,
            )
        )

    def look(self, buffer: bytearray, at: int) -> Verdict:
        """The frame that begins at ``at``."""
        verdict = super().look(buffer, at)
        if not isinstance(verdict, Intact):
            return verdict
        frame = verdict.payload
        return Intact(verdict.size, frame[2:4] + frame[6:-2])

    def encode(self, payload: bytes) -> bytes:
        """Return the frame.

        Raises:
            ValueError: it has no class and id, or is too long.
        """
        if len(payload) < 2:
            raise ValueError("a payload is a class, an id and what belongs to them")
        if len(payload) + 6 > self._max_length:
            raise ValueError(f"the frame has {len(payload) + 6} bytes; {self._max_length} at most (max_length)")
        covered = payload[:2] + (len(payload) - 2).to_bytes(2, "little") + payload[2:]
        return UBX_SYNC + covered + self._fletcher.written(covered)
