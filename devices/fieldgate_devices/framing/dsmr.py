"""DSMR/P1: telegrams of smart meters, ``/ISk5…`` to ``!CRC``.

A payload is a whole telegram, as the decoder ``dsmr`` takes it. What is wrong by its own checksum goes no further;
whether a telegram must have one is the decoder's to say.
"""

from __future__ import annotations

import re
from typing import Final

from pydantic import Field

from fieldgate_devices.decoders.dsmr import checksum_problem
from fieldgate_devices.framing.options import BoundedOptions, Length
from fieldgate_devices.framing.scanner import Broken, Intact, Scanner, Verdict, Wait, heard_alone

__all__ = ["DsmrFramer", "DsmrOptions"]

_START: Final = re.compile(rb"/(?:[A-Za-z]{3}[!-~]|[A-Za-z]{0,3}\Z)")  # three letters of the maker, and the baud rate
_WRONG: Final = re.compile(rb"[^\t\r\n -~\x80-\xff]")  # some meters fill a text with ff
_END: Final = re.compile(rb"!([0-9A-Fa-f]{4})?\r?\n")
_END_BEGUN: Final = re.compile(rb"![0-9A-Fa-f]{0,4}\r?\Z")


class DsmrOptions(BoundedOptions):
    """What a meter may send."""

    max_length: Length = Field(default=16_384, description="longest telegram in bytes; longer ones are refused")

    def make(self) -> DsmrFramer:
        """Return the framer."""
        return DsmrFramer(self)


class DsmrFramer(Scanner):
    """Searches for the beginning of a telegram; a second one before the end shows that the first was cut off."""

    def __init__(self, options: DsmrOptions) -> None:
        super().__init__(give_up_after_s=options.give_up_after)
        self._options = options
        self._sought = 0  # how far, in bytes of the port

    def find(self, buffer: bytearray, start: int) -> int:
        """Where a telegram begins."""
        match = _START.search(buffer, start)
        return match.start() if match is not None else len(buffer)

    def look(self, buffer: bytearray, at: int) -> Verdict:
        """The telegram that begins at ``at``."""
        there = len(buffer) - at
        if there < 5:
            return Wait(5, is_begun=False)
        longest = self._options.max_length
        stop = min(len(buffer), at + longest)
        place = max(at + 5, self._sought - self.origin)
        end = buffer.find(b"!", place, stop)
        behind = end if end >= 0 else stop
        again = _START.search(buffer, place, behind)
        self._sought = self.origin + (again.start() if again is not None else max(place, end, behind - 4))
        wrong = _WRONG.search(buffer, place, again.start() if again is not None else behind)
        if wrong is not None:
            return Broken(wrong.start() - at, "malformed", f"byte 0x{wrong[0][0]:02x} is no character of a telegram")
        if again is not None and behind - again.start() >= 5:
            return Broken(again.start() - at, "truncated", "another telegram begins before this one has ended")
        if end >= 0:
            match = _END.match(buffer, end, stop)
            if match is not None:
                return self._open(buffer, at, match.end())
            if _END_BEGUN.match(buffer, end, stop) is None:
                return Broken(end + 1 - at, "malformed", "what follows '!' is no checksum and no end of line")
        if there >= longest:
            return Broken(longest, "too_long", f"there is no end within {longest} bytes (max_length)")
        return Wait(there + 1)

    def _open(self, buffer: bytearray, at: int, end: int) -> Verdict:
        telegram = bytes(buffer[at:end])
        covered, _, behind = telegram.rpartition(b"!")
        checksum = behind.strip().decode()
        if checksum and (problem := checksum_problem(covered + b"!", checksum)):
            return Broken(end - at, "checksum", problem)
        if not checksum and not telegram.isascii():
            return Broken(end - at, "malformed", "there are bytes that are not ASCII, and no checksum")
        return Intact(end - at, telegram)

    def encode(self, payload: bytes) -> bytes:
        """Return the telegram, which is its own frame.

        Raises:
            ValueError: it is none.
        """
        return heard_alone(payload, self._options.make())
