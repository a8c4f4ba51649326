"""Decide when the service manager may be told that the gateway is alive: only once everything that must move has moved.

Laws of this file: no clock, no socket, no loop. Every half of the time-out a round begins, in which every strand (the
journal's thread, the uplinks' pumps, …) is asked for a sign of life that is younger than the round. Only when all have
given theirs the round is over and the service manager may be fed, so one strand that hangs starves it, however lively
the others are. A round that is late is over as soon as the last sign comes: a disk that is slow, but gets there, keeps
the gateway alive for as long as the time-out allows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["Watchdog"]

_LATE_SHARE: Final = 0.25  # of the time-out: a sign that takes longer is worth a line in the log


class Watchdog:
    """Fed with signs of life, answers whether the gateway lives. Times are boot times in seconds."""

    def __init__(self, strands: Iterable[str], *, timeout_s: float) -> None:
        self.strands = tuple(strands)
        self.timeout_s = timeout_s
        self._missing = set[str]()
        self._round_began_s: float | None = None
        self._next_round_s: float | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """Who has given no sign in this round, in the order in which the strands were named; empty between rounds."""
        return tuple(strand for strand in self.strands if strand in self._missing)

    def asks(self, now_s: float) -> tuple[str, ...]:
        """Return who is to be asked for a sign now; a round that is due begins."""
        if self._round_began_s is None and (self._next_round_s is None or now_s >= self._next_round_s):
            self._round_began_s = now_s
            self._missing = set(self.strands)
        return self.missing

    def heard(self, strand: str) -> None:
        """``strand`` has moved since it was asked in this round."""
        self._missing.discard(strand)

    def may_feed(self, now_s: float) -> bool:
        """Whether all have given their sign; true once in a round, which it ends."""
        if self._round_began_s is None or self._missing:
            return False
        self._round_began_s = None
        self._next_round_s = now_s + self.timeout_s / 2
        return True

    def is_late(self, now_s: float) -> bool:
        """Whether this round takes so long that a person should know."""
        began_s = self._round_began_s
        return began_s is not None and now_s - began_s >= self.timeout_s * _LATE_SHARE
