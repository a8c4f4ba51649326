"""What a framer is: the bytes of a port in, whatever their chunks, frames out.

A framer knows nothing of ports, profiles and clocks. It promises for any bytes in any chunks: it raises nothing, what
it keeps is bounded by its options, the same bytes give the same frames, and after noise it finds the next intact frame.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

__all__ = ["Frame", "Framer"]


class Frame(msgspec.Struct, gc=False):
    """One message of a port.

    ``payload`` is what is inside the frame, its check verified and removed. With a ``fault`` (a code: ``checksum``,
    ``too_long``, ``malformed`` …) it is the raw bytes as they came, for a person to look at, and ``detail`` says why.
    """

    payload: bytes
    fault: str = ""
    detail: str = ""


class Framer(Protocol):
    """Finds the frames in the bytes of one port; times are seconds of one steady clock."""

    @property
    def skipped_bytes(self) -> int:
        """How many bytes stood outside of any frame so far; they are counted and not kept."""

    @property
    def wakes_at_s(self) -> float | None:
        """When `tick` has something to do though nothing comes, or None."""

    def feed_bytes(self, chunk: bytes, now_s: float) -> list[Frame]:
        """Take what was read; return the frames that it completed, in order."""

    def tick(self, now_s: float) -> list[Frame]:
        """Time has passed: return what is complete, or given up, because of that."""

    def reset(self) -> int:
        """The port is gone: forget what is half read; return how many bytes that were."""

    def encode(self, payload: bytes) -> bytes:
        """Return the frame that carries ``payload``, for what is written to the port.

        Raises:
            ValueError: this framing cannot carry it.
        """
