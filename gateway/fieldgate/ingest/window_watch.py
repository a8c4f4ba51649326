"""When a client waits for its acknowledgements: then a commit should not be put off."""

from __future__ import annotations

__all__ = ["WindowWatch"]


class WindowWatch:
    """Learns how many unacknowledged PUBLISHes a client lets stand before it waits.

    The client's window shows as a count (8 at least) that is reached again and never passed. When a client settles
    at a lower one, the old is forgotten after 64 reads.
    """

    __slots__ = ("_peak", "_reads", "_recent")

    def __init__(self) -> None:
        self._peak = 0
        self._recent = 0
        self._reads = 0

    def is_full(self, in_flight: int) -> bool:
        """Whether a client with ``in_flight`` unacknowledged PUBLISHes after a read is waiting, as far as known."""
        if in_flight >= self._peak:
            is_known = in_flight == self._peak and in_flight >= 8
            self._peak = in_flight
            self._recent = self._reads = 0
            return is_known
        self._reads += 1
        self._recent = max(self._recent, in_flight)
        if self._reads >= 64:
            self._peak = self._recent
            self._recent = self._reads = 0
        return False
