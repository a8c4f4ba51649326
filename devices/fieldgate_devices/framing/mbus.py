"""M-Bus (EN 13757-2): long frames of heat, water and electricity meters on a wire.

    68 │ L │ L │ 68 │ C │ A │ CI │ … │ sum of C to … │ 16

A payload is what L counts: C, A, CI and the user data.
"""

from __future__ import annotations

from typing import Final

from fieldgate_devices.framing.checks import CheckSpec
from fieldgate_devices.framing.options import TimedOptions
from fieldgate_devices.framing.scanner import Broken, Intact, Scanner, Verdict, Wait
from fieldgate_devices.framing.sync import find_start

__all__ = ["MbusFramer", "MbusOptions"]

_AROUND: Final = 6


class MbusOptions(TimedOptions):
    """Long frames; there is nothing to say about them."""

    def make(self) -> MbusFramer:
        """Return the framer."""
        return MbusFramer(self)


class MbusFramer(Scanner):
    """Searches for the header."""

    def __init__(self, options: MbusOptions) -> None:
        super().__init__(give_up_after_s=options.give_up_after, within_s=options.within)
        self._sum = CheckSpec(sum="sum8").made

    def find(self, buffer: bytearray, start: int) -> int:
        """Where the first 68 stands."""
        return find_start(buffer, b"\x68", start)

    def look(self, buffer: bytearray, at: int) -> Verdict:
        """The frame that begins at ``at``."""
        there = len(buffer) - at
        length = buffer[at + 1] if there > 1 else 3
        if length < 3 or (there > 2 and buffer[at + 2] != length) or (there > 3 and buffer[at + 3] != 0x68):
            return None
        size = length + _AROUND
        if there < size:
            return Wait(size if there > 3 else there + 1, is_begun=there > 3)
        if buffer[at + size - 1] != 0x16:
            return Broken(size, "malformed", "there is no 16 at the end")
        end = at + size - 2
        wanted = self.sum_over(self._sum, at + 4, end)
        if buffer[end] != wanted:
            return Broken(size, "checksum", f"check {buffer[end]:02x} is wrong; {wanted:02x} is right for what came")
        return Intact(size, bytes(buffer[at + 4 : end]))

    def encode(self, payload: bytes) -> bytes:
        """Return the long frame.

        Raises:
            ValueError: it is too short or too long for one.
        """
        if not 3 <= len(payload) <= 255:
            raise ValueError(f"a payload of {len(payload)} bytes; allowed: 3 (C, A, CI) to 255")
        head = bytes([0x68, len(payload), len(payload), 0x68])
        return head + payload + bytes([self._sum.grown(0, payload), 0x16])
