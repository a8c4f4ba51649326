"""Settle messages that gave another number of events than one: each when all of its events are safe."""

from __future__ import annotations

from collections.abc import Sequence

from fieldgate.ingest.source import Settler

__all__ = ["Causes"]


class Causes:
    """Implements `Settler` for one read: its positions are places in ``causes``, the message of each event.

    Message ``n`` has position ``first`` + n at ``settler``, and is settled with the last of its events. None is the
    cause of an event that no message waits for.
    """

    def __init__(self, settler: Settler, first: int, causes: Sequence[int | None]) -> None:
        self.source = settler.source
        self._settler = settler
        self._first = first
        self._causes = causes
        self._waiting: dict[int, int] = {}
        for cause in causes:
            if cause is not None:
                self._waiting[cause] = self._waiting.get(cause, 0) + 1

    def settled(self, first: int, count: int) -> None:
        """See `Settler`."""
        waiting = self._waiting
        for cause in self._causes[first : first + count]:
            if cause is None:
                continue
            waiting[cause] -= 1
            if not waiting[cause]:
                del waiting[cause]
                self._settler.settled(self._first + cause, 1)

    def flush(self) -> None:
        """See `Settler`."""
        self._settler.flush()
