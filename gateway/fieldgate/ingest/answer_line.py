"""Answers in the order of their requests: one leaves when it is due and all before it have left [RFC 9112 9.3.2].

No I/O, no clock: times are given.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ["AnswerLine"]


@dataclass(slots=True)
class _Answer:
    chunk: bytes
    is_due: bool
    size_bytes: int = 0
    since_s: float = 0.0


class AnswerLine:
    """Of one connection. Positions count from 0, as `Settler` wants them."""

    __slots__ = ("_line", "_waiting", "next_position", "size_bytes")

    def __init__(self) -> None:
        self.next_position = 0
        self.size_bytes = 0  # of what waits
        self._line: deque[_Answer] = deque()
        self._waiting: dict[int, _Answer] = {}

    def __len__(self) -> int:
        return len(self._line)

    @property
    def in_flight(self) -> int:
        """How many wait to be settled."""
        return len(self._waiting)

    @property
    def waits_since_s(self) -> float | None:
        """Since when the first of those that wait does."""
        return next((answer.since_s for answer in self._waiting.values()), None)

    def add_ready(self, chunk: bytes) -> None:
        """Put an answer into the line that is due as soon as it is first."""
        self._line.append(_Answer(chunk, True))

    def add_waiting(self, chunk: bytes, *, size_bytes: int, now_s: float) -> int:
        """Put an answer into the line that is due when the position that is returned is settled."""
        position = self.next_position
        self.next_position += 1
        answer = _Answer(chunk, False, size_bytes, now_s)
        self._line.append(answer)
        self._waiting[position] = answer
        self.size_bytes += size_bytes
        return position

    def settled(self, first: int, count: int) -> None:
        """These positions are safe, in whatever order they become so."""
        for position in range(first, first + count):
            answer = self._waiting.pop(position)
            answer.is_due = True
            self.size_bytes -= answer.size_bytes

    def take_due(self) -> bytes:
        """Return what may leave now, once."""
        line, due = self._line, []
        while line and line[0].is_due:
            due.append(line.popleft().chunk)
        return b"".join(due)
