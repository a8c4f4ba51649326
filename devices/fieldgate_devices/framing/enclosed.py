"""Frames between a start and an end of several bytes, which may be escaped within them.

What is found between them is searched once: `seek` goes on where it stopped, also for a start within what has failed.
A start that stands in the frame unescaped begins a new one, and the first was cut off.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final, Literal, NamedTuple

from fieldgate_devices.framing.scanner import Broken, Scanner, Verdict, Wait
from fieldgate_devices.framing.sync import find_start

__all__ = ["Enclosed", "Found"]

_MAX_TRIES: Final = 16
"""Starts that may belong to one end; more are noise that was made up, and would cost the square of its size."""


class Found(NamedTuple):
    """What `Enclosed.seek` came to: the end at ``at``, another start there, what may not stand there, or nothing yet.

    ``next`` is where to go on if this is not what ends it.
    """

    kind: Literal["end", "start", "wrong", "nothing"]
    at: int
    next: int


class Enclosed(Scanner):
    """Searches for a start and the end after it."""

    def __init__(self, start: bytes, end_size: int, *, max_length: int, give_up_after_s: float) -> None:
        super().__init__(give_up_after_s=give_up_after_s)
        self._start = start
        self._end_size = end_size
        self._max_length = max_length
        self._sought = 0  # how far, in bytes of the port
        self._tried_end = -1
        self._tries = 0

    def find(self, buffer: bytearray, start: int) -> int:
        """Where the start stands."""
        return find_start(buffer, self._start, start)

    def look(self, buffer: bytearray, at: int) -> Verdict:
        """The frame that begins at ``at``."""
        there = len(buffer) - at
        within = len(self._start)
        if there < within:
            return Wait(within, is_begun=False)
        begin = at + within
        stop = min(len(buffer), at + self._max_length)
        found = self.seek(buffer, begin, max(begin, self._sought - self.origin), stop)
        self._sought = self.origin + found.next
        match found.kind:
            case "nothing" if there >= self._max_length:
                detail = f"there is no end within {self._max_length} bytes (max_length)"
                return Broken(self._max_length, "too_long", detail)
            case "nothing":
                return Wait(there + 1)
            case "start":
                return Broken(found.at - at, "truncated", "another frame begins before this one has ended")
            case "wrong":
                return Broken(found.at - at, "malformed", "what is escaped is neither an end nor an escape")
        size = found.at + self._end_size - at
        if size > self._max_length:
            return Broken(self._max_length, "too_long", f"there is no end within {self._max_length} bytes (max_length)")
        if there < size:
            return Wait(size)
        if self._is_tried_enough(self.origin + found.at):
            return None
        return self.open(buffer, at, found.at)

    @abstractmethod
    def seek(self, buffer: bytearray, begin: int, place: int, stop: int) -> Found:
        """Search for the end of what begins with ``begin``, from ``place`` on; what is at ``stop`` may not be seen."""

    @abstractmethod
    def open(self, buffer: bytearray, at: int, end: int) -> Verdict:
        """The frame from ``at`` to the end at ``end``, all of which is there."""

    def _is_tried_enough(self, end: int) -> bool:
        self._tries = self._tries + 1 if end == self._tried_end else 1
        self._tried_end = end
        return self._tries > _MAX_TRIES
