"""What is due when: a heap in which what was put off stays until it is looked at."""

from __future__ import annotations

import heapq
from typing import Any, Protocol

__all__ = ["Timers", "Waiting"]


class Waiting(Protocol):
    """Something that waits; None: for nothing any more."""

    due_s: float | None


class Timers:
    """``begin`` is to be called when the time of something is another than before."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Waiting, Any]] = []
        self._count = 0

    def begin(self, one: Waiting, owner: Any) -> None:
        """Take what ``one`` waits for; ``owner`` comes back with it."""
        if one.due_s is not None:
            self._count += 1
            heapq.heappush(self._heap, (one.due_s, self._count, one, owner))

    @property
    def due_s(self) -> float | None:
        """When the first is due."""
        heap = self._heap
        while heap and heap[0][2].due_s != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop(self, now_s: float) -> tuple[float, Waiting, Any] | None:
        """Return the first that is due by now, with its time; it is not in here any more."""
        due_s = self.due_s
        if due_s is None or due_s > now_s:
            return None
        _, _, one, owner = heapq.heappop(self._heap)
        return due_s, one, owner

    def clear(self) -> None:
        """Forget everything."""
        self._heap.clear()
