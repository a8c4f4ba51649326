"""Frames that are found by how they begin: by a sync word, a start byte, a length.

A beginning in the middle of noise may be none, and may promise a length that swallows what is intact behind it. So
what fails is searched again from its second byte on. The laws:

- Every byte is part of exactly one of: an intact frame, a broken one, what is skipped.
- A broken frame is told once, with its bytes up to the next intact one; beginnings within it are not told again.
- What is kept is at most the longest frame twice and what was read last.
- The work is linear in what comes, also where every byte begins another frame of the greatest length: the check of a
  stretch follows from marks (`Marks`), a search never goes back, and who waits for bytes is not asked before.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Final, NamedTuple, TypeAlias

from fieldgate_devices.framing.checks import Sum
from fieldgate_devices.framing.framer import Frame, Framer

__all__ = ["BLOCK_BYTES", "Broken", "Intact", "Marks", "Scanner", "Verdict", "Wait", "heard_alone"]

BLOCK_BYTES: Final = 64


class Wait(NamedTuple):
    """Too little is there: look again at ``size`` bytes. ``is_begun``: it is a frame as far as it goes."""

    size: int
    is_begun: bool = True


class Intact(NamedTuple):
    """A frame of ``size`` bytes."""

    size: int
    payload: bytes


class Broken(NamedTuple):
    """What begins as a frame and is none; ``size``: how far it seems to go, at most what is there."""

    size: int
    fault: str
    detail: str


Verdict: TypeAlias = "Wait | Intact | Broken | None"
"""What stands at a place; None where it is no beginning after all."""


class Marks:
    """Values of a sum at every block of a buffer, from which that of any stretch follows at once."""

    def __init__(self, kind: Sum) -> None:
        self._sum = kind
        self._marks: list[int] = [kind.empty]

    def value(self, buffer: bytearray, start: int, end: int) -> int:
        """The sum over ``buffer[start:end]``."""
        return self._sum.between(self._until(buffer, start), self._until(buffer, end), end - start)

    def drop(self, blocks: int) -> None:
        """The first blocks of the buffer are gone."""
        del self._marks[:blocks]
        if not self._marks:
            self._marks = [self._sum.empty]

    def _until(self, buffer: bytearray, place: int) -> int:
        block, rest = divmod(place, BLOCK_BYTES)
        marks = self._marks
        while len(marks) <= block:
            end = len(marks) * BLOCK_BYTES
            marks.append(self._sum.grown(marks[-1], bytes(buffer[end - BLOCK_BYTES : end])))
        if not rest:
            return marks[block]
        return self._sum.grown(marks[block], bytes(buffer[place - rest : place]))


def heard_alone(frame: bytes, framer: Framer) -> bytes:
    """Return ``frame``, which a ``framer`` that has heard nothing yet must take as one intact frame.

    Raises:
        ValueError: it does not.
    """
    heard = framer.feed_bytes(frame, 0.0) or framer.tick(1e9)
    if len(heard) == 1 and not heard[0].fault and not framer.skipped_bytes:
        return frame
    raise ValueError(next((one.detail for one in heard if one.fault), "the payload makes no frame"))


class Scanner(ABC):
    """Searches, waits and searches again; what a frame looks like is for the framing to say."""

    def __init__(self, *, give_up_after_s: float, within_s: float = math.inf) -> None:
        self.skipped_bytes = 0
        self._buffer = bytearray()
        self._done = 0  # what is before is accounted for; less than a block
        self._at = 0  # where to search on
        self._wanted = 0  # how long the buffer must be to search on
        self._broken: Broken | None = None  # begins at `_done`
        self._marks: dict[Sum, Marks] = {}
        self.origin = 0  # bytes that came before the buffer
        self._expected_at = 0  # where a frame ought to begin, in bytes of the port
        self._give_up_after_s = give_up_after_s
        self._within_s = within_s
        self._heard_at_s = 0.0
        self._waits_since_s = 0.0
        self._waits_for = -1  # the frame that is begun, in bytes of the port

    @property
    def wakes_at_s(self) -> float | None:
        """When what is begun is given up."""
        if len(self._buffer) <= self._done:
            return None
        return min(self._heard_at_s + self._give_up_after_s, self._waits_since_s + self._within_s)

    def feed_bytes(self, chunk: bytes, now_s: float) -> list[Frame]:
        """Take what was read; return the frames that it completed, in order."""
        frames = self.tick(now_s)
        if chunk:
            self._heard_at_s = now_s
            self._buffer += chunk
            if len(self._buffer) >= self._wanted:
                self._search(frames, is_over=False)
                self._note_what_is_begun(now_s)
        return frames

    def tick(self, now_s: float) -> list[Frame]:
        """Give up what was begun and has not gone on for too long, and search it for others."""
        frames: list[Frame] = []
        wakes_at_s = self.wakes_at_s
        if wakes_at_s is None or now_s < wakes_at_s:
            return frames
        if now_s >= self._heard_at_s + self._give_up_after_s:
            self._search(frames, is_over=True)
        else:
            self._broken = self._broken or Broken(
                len(self._buffer) - self._at, "unfinished", f"it was not complete within {self._within_s:g} s"
            )
            self._at += 1
            self._search(frames, is_over=False)
            self._note_what_is_begun(now_s)
        return frames

    def reset(self) -> int:
        """The port is gone: forget what is half read; return how many bytes that were."""
        size = len(self._buffer) - self._done
        self._done = len(self._buffer)
        self._broken = None
        self._expected_at = self.origin + self._done
        self._drop()
        return size

    @abstractmethod
    def find(self, buffer: bytearray, start: int) -> int:
        """Return where the next frame may begin, from ``start`` on; the buffer's length where none does.

        The beginning of a beginning at the end of the buffer is one.
        """

    @abstractmethod
    def look(self, buffer: bytearray, at: int) -> Verdict:
        """Say what stands at a place that `find` has returned."""

    def noise_in(self, buffer: bytearray, start: int, end: int) -> int:
        """How many bytes of what stands between frames are noise."""
        return end - start

    def is_expected(self, at: int) -> bool:
        """Whether a frame ought to begin at ``at``: directly behind an intact one, or after silence."""
        return self.origin + at == self._expected_at

    @abstractmethod
    def encode(self, payload: bytes) -> bytes:
        """Return the frame that carries ``payload``.

        Raises:
            ValueError: this framing cannot carry it.
        """

    def sum_over(self, kind: Sum, start: int, end: int) -> int:
        """The sum over a part of the buffer.

        Where a frame has failed that other one would be a part of, its cost does not depend on its length.
        """
        if self._broken is None:
            return kind.grown(kind.empty, bytes(self._buffer[start:end]))
        marks = self._marks.get(kind)
        if marks is None:
            marks = self._marks[kind] = Marks(kind)
        return marks.value(self._buffer, start, end)

    def _search(self, frames: list[Frame], *, is_over: bool) -> None:
        """Go through the buffer as far as it can be understood; all of it where nothing more comes."""
        buffer = self._buffer
        self._wanted = 0
        while True:
            start = self.find(buffer, self._at)
            if self._broken is not None and start >= self._done + self._broken.size:
                self._tell(frames, self._done + self._broken.size)
            if self._broken is None:
                self.skipped_bytes += self.noise_in(buffer, self._done, start)
                self._done = start
            self._at = start
            if start >= len(buffer):
                break
            verdict = self.look(buffer, start)
            if isinstance(verdict, Wait):
                if not is_over:
                    self._wanted = start + verdict.size
                    break
                verdict = self._given_up(verdict, len(buffer) - start)
            if isinstance(verdict, Intact):
                self._tell(frames, start)
                frames.append(Frame(verdict.payload))
                self._at = self._done = start + verdict.size
                self._expected_at = self.origin + self._at
            else:
                if verdict is not None and self._broken is None:
                    self._broken = verdict
                self._at = start + 1
        if is_over:
            self._expected_at = self.origin + len(buffer)
        self._drop()

    def _note_what_is_begun(self, now_s: float) -> None:
        if self._waits_for != self.origin + self._at:
            self._waits_for = self.origin + self._at
            self._waits_since_s = now_s

    def _given_up(self, verdict: Wait, size: int) -> Broken | None:
        if not verdict.is_begun:
            return None
        return Broken(size, "unfinished", f"nothing more came within {self._give_up_after_s:g} s after its last byte")

    def _tell(self, frames: list[Frame], end: int) -> None:
        """Report the frame that was broken, which goes to ``end`` at most."""
        if self._broken is not None:
            raw = bytes(self._buffer[self._done : end])
            frames.append(Frame(raw, self._broken.fault, self._broken.detail))
            self._broken = None
            self._done = end

    def _drop(self) -> None:
        """Forget what is accounted for, in whole blocks, so that marks stay where they are."""
        if self._done == len(self._buffer):
            size = self._done
            self._marks.clear()
        else:
            size = self._done - self._done % BLOCK_BYTES
            for marks in self._marks.values():
                marks.drop(size // BLOCK_BYTES)
        del self._buffer[:size]
        self.origin += size
        self._done -= size
        self._at = max(self._at - size, self._done)
        self._wanted = max(0, self._wanted - size)
