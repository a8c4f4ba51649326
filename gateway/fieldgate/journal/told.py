"""Which losses were told to the caller: each once, and again only if nobody booked it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fieldgate.journal.book import Book, Kind
from fieldgate.journal.records import Loss
from fieldgate.journal.shapes import NotedLoss, loss_name

__all__ = ["ToldLosses"]

_COMMITS_TO_BOOK: Final = 4  # one may be under way when a loss is told, and one may be refused for want of space


class ToldLosses:
    """Several readers meet the same loss, and not all of them book; the ledger must have it exactly once.

    ``book`` is the active file's: what is booked stands there.
    """

    def __init__(self, book: Book, losses: Sequence[Loss]) -> None:
        self.book = book
        self._commits = 0
        self._told = {loss_name(loss): (loss, 0) for loss in losses}

    def new(self, losses: Sequence[Loss]) -> list[Loss]:
        """Those of ``losses`` to tell now."""
        new: list[Loss] = []
        for loss in losses:
            name = loss_name(loss)
            if name not in self._told and not self._is_booked(name):
                self._told[name] = (loss, self._commits)
                new.append(loss)
        return new

    def overdue(self) -> list[Loss]:
        """After a commit: what was told some commits ago and not booked since, to be told again."""
        self._commits += 1
        overdue: list[Loss] = []
        for name, (loss, told_at) in list(self._told.items()):
            if self._is_booked(name):
                del self._told[name]
            elif self._commits - told_at >= _COMMITS_TO_BOOK:
                self._told[name] = (loss, self._commits)
                overdue.append(loss)
        return overdue

    def _is_booked(self, name: str) -> bool:
        noted = self.book.get(Kind.LOSS, name, NotedLoss)
        return noted is not None and noted.is_booked
