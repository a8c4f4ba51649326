"""How many log lines of one kind are written: a burst, then a trickle, and a count of those left out.

A thousand devices that come back together, or a hostile client that connects ten thousand times a second, must not
fill the disk with lines that say the same.
"""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["LineBudget"]

_MAX_KINDS = 1_000


class LineBudget:
    """A bucket of ``burst`` lines per kind that refills with ``per_s`` lines a second."""

    def __init__(self, *, burst: int = 50, per_s: float = 1.0) -> None:
        self._burst = burst
        self._per_s = per_s
        self._kinds: dict[Hashable, _Bucket] = {}

    def take(self, kind: Hashable, now_s: float) -> int | None:
        """Return None if this line is left out, else how many of its kind were left out since the last one."""
        bucket = self._kinds.get(kind)
        if bucket is None:
            if len(self._kinds) >= _MAX_KINDS:
                self._kinds.clear()  # forgetting only means a few lines more
            bucket = self._kinds[kind] = _Bucket(float(self._burst), now_s)
        bucket.lines = min(self._burst, bucket.lines + (now_s - bucket.at_s) * self._per_s)
        bucket.at_s = now_s
        if bucket.lines < 1:
            bucket.left_out += 1
            return None
        bucket.lines -= 1
        left_out, bucket.left_out = bucket.left_out, 0
        return left_out

    def rested(self, now_s: float, *, for_s: float) -> list[tuple[Hashable, int]]:
        """Return the kinds of which lines were left out and none has come for ``for_s``, and how many; each once."""
        found = [
            (kind, bucket) for kind, bucket in self._kinds.items() if bucket.left_out and now_s - bucket.at_s >= for_s
        ]
        counts = [(kind, bucket.left_out) for kind, bucket in found]
        for _, bucket in found:
            bucket.left_out = 0
        return counts


class _Bucket:
    """What is left for one kind."""

    __slots__ = ("at_s", "left_out", "lines")

    def __init__(self, lines: float, at_s: float) -> None:
        self.lines = lines
        self.at_s = at_s
        self.left_out = 0
