"""Messages that the server refused for a reason that may pass: each is tried again by itself, later each time.

Meanwhile the rest goes on, so one topic over its quota does not hold up the others, until a hundred messages wait.
While the server has taken nothing since it last refused, nothing is sent for a pause that grows, and few messages after
it, half of them new; so a server that refuses everything is not asked in a hot loop. Pauses are never next to nothing,
as those between connections may be: this server is there, and would answer at once.
"""

from __future__ import annotations

from bisect import insort
from random import Random
from typing import Final

from fieldgate.mqtt.in_flight import InFlight, Run

__all__ = ["Retries"]

_MAX_WAITING: Final = 100
_FEW: Final = 16


def _due(item: tuple[float, Run]) -> float:
    return item[0]


class Retries:
    """What waits for its next try, out of ``in_flight``; each wait is at most ``cap_s``, the first one ``base_s``."""

    def __init__(self, in_flight: InFlight, *, rng: Random, base_s: float, cap_s: float) -> None:
        self.reason = ""  # why the last one was refused
        self.is_refusing = False  # nothing was acknowledged since the last refusal
        self._in_flight = in_flight
        self._rng = rng
        self._base_s = base_s
        self._cap_s = cap_s
        self._waiting: list[tuple[float, Run]] = []
        self._rounds = 0
        self._pause_end_s = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def runs(self) -> list[Run]:
        """Return what waits."""
        return [run for _, run in self._waiting]

    def wait(self, run: Run, now_s: float, *, reason: str) -> None:
        """Let a message that was refused, and is no longer in flight, wait for its next try."""
        insort(self._waiting, (now_s + self._delay_s(run.tries), run), key=_due)
        run.tries += 1
        self.refused(now_s, reason=reason)

    def refused(self, now_s: float, *, reason: str) -> None:
        """A message was refused: leave the server alone for a while."""
        self.reason = reason
        if self.is_refusing and now_s < self._pause_end_s:
            return
        self._rounds = self._rounds + 1 if self.is_refusing else 0
        self.is_refusing = True
        self._pause_end_s = now_s + self._delay_s(self._rounds)

    def acknowledged(self) -> None:
        """The server took a message."""
        self.is_refusing = False

    def release(self, now_s: float) -> None:
        """Give back to ``in_flight``, at their old places, those whose time has come.

        While the server refuses, they are half of what it is asked then: the other half is new, and may be taken.
        """
        left = _FEW // 2 - self._in_flight.held_count if self.is_refusing else len(self._waiting)
        while left > 0 and self._waiting and self._waiting[0][0] <= now_s:
            self._in_flight.hold(self._waiting.pop(0)[1])
            left -= 1

    def pause_s(self, now_s: float) -> float:
        """Return how long nothing is to be sent."""
        return max(0.0, self._pause_end_s - now_s) if self.is_refusing else 0.0

    def width(self, room: int) -> int:
        """Return how many messages may be on the way, of ``room``."""
        return min(room, _FEW) if self.is_refusing else room

    @property
    def is_full(self) -> bool:
        """Whether so many wait that nothing new is to be sent."""
        return len(self._waiting) >= _MAX_WAITING

    def next_s(self, now_s: float) -> float | None:
        """Return in how many seconds the next try is due; None when nothing waits, or an answer comes before it."""
        due_s = next((at_s for at_s, _ in self._waiting if at_s > now_s), None)
        return None if due_s is None else due_s - now_s

    def clear(self) -> None:
        """Begin anew."""
        self._waiting.clear()
        self.is_refusing = False

    def _delay_s(self, times: int) -> float:
        bound_s = min(self._cap_s, self._base_s * 2.0 ** min(times, 64))
        return self._rng.uniform(bound_s / 2, bound_s)
