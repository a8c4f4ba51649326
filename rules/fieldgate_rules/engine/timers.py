"""What is due when: a heap with one entry for each thing that waits, however often it is put off."""

from __future__ import annotations

import heapq
from typing import Any, Protocol

__all__ = ["Timers", "Waiting"]


class Waiting(Protocol):
    """Something that waits; None: for nothing any more."""

    due_s: float | None


class Timers:
    """``begin`` is to be called when the time of something is another than before.

    What is put off keeps its entry, which moves when it comes to the front: an `absent` of a day at 10 Hz would else
    have a million of them.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Waiting, Any]] = []
        self._entries: dict[int, float] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    def begin(self, one: Waiting, owner: Any) -> None:
        """Take what ``one`` waits for; ``owner`` comes back with it."""
        due_s = one.due_s
        if due_s is None:
            return
        known_s = self._entries.get(id(one))
        if known_s is None or due_s < known_s:
            self._push(due_s, one, owner)

    def _push(self, due_s: float, one: Waiting, owner: Any) -> None:
        self._count += 1
        self._entries[id(one)] = due_s
        heapq.heappush(self._heap, (due_s, self._count, one, owner))

    @property
    def due_s(self) -> float | None:
        """When the first is due."""
        heap, entries = self._heap, self._entries
        while heap:
            at_s, _, one, owner = heap[0]
            is_newest = entries.get(id(one)) == at_s
            if is_newest and one.due_s == at_s:
                return at_s
            heapq.heappop(heap)
            if is_newest:
                del entries[id(one)]
                self.begin(one, owner)
        return None

    def pop(self, now_s: float) -> tuple[float, Waiting, Any] | None:
        """Return the first that is due by now, with its time; it is not in here any more."""
        due_s = self.due_s
        if due_s is None or due_s > now_s:
            return None
        _, _, one, owner = heapq.heappop(self._heap)
        del self._entries[id(one)]
        return due_s, one, owner
