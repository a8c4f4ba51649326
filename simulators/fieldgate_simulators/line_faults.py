"""What goes wrong on a serial line: flipped bits, noise, pauses, bytes that come in any pieces. Chance is an argument.

Pure; the same seed spoils the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

__all__ = ["LineFaults", "Spoiled"]

_NOISE_BYTES: Final = 24
_END_BYTES: Final = 8  # of a frame, in which its end is written


@dataclass(frozen=True, slots=True)
class Spoiled:
    """A frame as it goes over the line; one whose end is hurt may take the next with it."""

    content: bytes
    is_intact: bool
    is_end_hurt: bool


@dataclass(frozen=True, slots=True)
class LineFaults:
    """How bad the line is.

    ``corrupt`` is the share of bytes of which a bit flips, ``noise`` the share of frames that have some bytes of
    nothing before them, ``pause`` the share of pieces after which it waits for ``pause_s``. ``pieces`` is the longest
    piece in which a frame is written; 0 is the whole frame at once.
    """

    corrupt: float = 0.0
    noise: float = 0.0
    pause: float = 0.0
    pause_s: float = 0.05
    pieces: int = 0

    def spoil(self, frame: bytes, rng: Random) -> Spoiled:
        """Return the frame as it arrives."""
        content = bytearray(frame)
        if self.corrupt:
            for place in range(len(content)):
                if rng.random() < self.corrupt:
                    content[place] ^= 1 << rng.randrange(8)
        is_intact = bytes(content) == frame
        is_end_hurt = content[-_END_BYTES:] != frame[-_END_BYTES:]
        if self.noise and rng.random() < self.noise:
            content[:0] = rng.randbytes(rng.randint(1, _NOISE_BYTES))
            is_intact = False
        return Spoiled(bytes(content), is_intact, is_end_hurt)

    def split(self, content: bytes, rng: Random) -> Iterator[tuple[bytes, float]]:
        """Yield the pieces in which it is written, and how long to wait after each."""
        start = 0
        while start < len(content):
            length = rng.randint(1, self.pieces) if self.pieces else len(content)
            wait_s = self.pause_s if self.pause and rng.random() < self.pause else 0.0
            yield content[start : start + length], wait_s
            start += length
