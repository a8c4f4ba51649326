"""Frames with an end that cannot stand within them: lines, COBS, SLIP.

Whatever comes between two ends is one frame, intact or not, so that after noise the next end sets all right. A frame
is looked at once, when it is complete; one that grows too long is reported with its beginning and passed over.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from fieldgate_devices.framing.framer import Frame

__all__ = ["EXCERPT_BYTES", "Delimited"]

EXCERPT_BYTES: Final = 256
"""What is shown of a frame that is too long."""


class Delimited(ABC):
    """Cuts at the ends; what a piece means is for the framing to say."""

    def __init__(self, end: bytes, *, max_length: int, give_up_after_s: float, skips_first: bool) -> None:
        self.skipped_bytes = 0
        self._end = end
        self._last = end[-1:]
        self._max_length = max_length
        self._give_up_after_s = give_up_after_s
        self._skips_first = skips_first
        self._rest = bytearray()
        self._is_passing_over = skips_first  # up to the next end
        self._heard_at_s: float | None = None

    @property
    def wakes_at_s(self) -> float | None:
        """When the piece that is begun is given up."""
        if self._heard_at_s is None or not (self._rest or self._is_passing_over):
            return None
        return self._heard_at_s + self._give_up_after_s

    def feed_bytes(self, chunk: bytes, now_s: float) -> list[Frame]:
        """Take what was read; return the frames that it completed, in order."""
        frames = self.tick(now_s)
        if not chunk:
            return frames
        self._heard_at_s = now_s
        self._rest += chunk
        if self._last in chunk:
            *pieces, rest = self._pieces(bytes(self._rest))
            self._rest = bytearray(rest)
            if self._is_passing_over and pieces:
                self._is_passing_over = False
                self.skipped_bytes += len(pieces.pop(0))
            for piece in pieces:
                if len(piece) > self._max_length:
                    frames.append(self._too_long(piece))
                    self.skipped_bytes += len(piece) - len(frames[-1].payload)
                elif piece and (frame := self.frame_of(piece)) is not None:
                    frames.append(frame)
        if not self._is_passing_over and len(self._rest) >= self._max_length + len(self._end):
            frames.append(self._too_long(bytes(self._rest)))
            del self._rest[: len(frames[-1].payload)]
            self._is_passing_over = True
        if self._is_passing_over:
            self._pass_over(len(self._rest) - len(self._end) + 1)  # the rest may be the beginning of an end
        return frames

    def tick(self, now_s: float) -> list[Frame]:
        """Give up what was begun and has not gone on for too long."""
        wakes_at_s = self.wakes_at_s
        if wakes_at_s is None or now_s < wakes_at_s:
            return []
        rest, self._rest = bytes(self._rest), bytearray()
        if self._is_passing_over:
            self._is_passing_over = False
            self.skipped_bytes += len(rest)
            return []
        return [Frame(rest, "unfinished", f"there was no end within {self._give_up_after_s:g} s after its last byte")]

    def reset(self) -> int:
        """The port is gone: forget what is half read; return how many bytes that were."""
        size = len(self._rest)
        self._rest = bytearray()
        self._is_passing_over = self._skips_first
        self._heard_at_s = None
        return size

    @abstractmethod
    def frame_of(self, piece: bytes) -> Frame | None:
        """Return the frame that stood before an end (at least one byte, within the limit), or None for no frame."""

    @abstractmethod
    def encode(self, payload: bytes) -> bytes:
        """Return the frame that carries ``payload``.

        Raises:
            ValueError: this framing cannot carry it.
        """

    def _pieces(self, content: bytes) -> list[bytes]:
        """What stands between ends; the last has none yet."""
        return content.split(self._end)

    def _pass_over(self, size: int) -> None:
        if size > 0:
            self.skipped_bytes += size
            del self._rest[:size]

    def _too_long(self, piece: bytes) -> Frame:
        excerpt = piece[: min(EXCERPT_BYTES, self._max_length)]
        return Frame(excerpt, "too_long", f"more than {self._max_length} bytes (max_length); this is the beginning")
