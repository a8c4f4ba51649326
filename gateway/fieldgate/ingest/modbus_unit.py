"""One unit of a Modbus source: what is read of it and when, what it answered, and what it refused.

The laws: a poll is told only when it is complete. A request that the unit refuses for its addresses is made smaller,
and that is remembered; what cannot be made smaller is left out and asked for again much later. A unit that does not
answer is asked less and less often, by one request without a repetition, until it does.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from fieldgate_devices.modbus import RegisterValue, Request, Write, read_values, split

__all__ = ["EXCEPTIONS", "GroupPlan", "UnitPlan", "UnitState", "WriteTold", "exception_name"]

EXCEPTIONS: Final = {  # Modbus Application Protocol V1.1b3, 7
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge, not done yet",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
_WHOLE: Final = 1  # of a function that is not there no smaller request is
_OF_PLACES: Final = frozenset({2, 3})  # 3 is what many say to a count that they do not take
_OF_GATEWAYS: Final = frozenset({10, 11})  # the unit behind it is silent
_ASK_REFUSED_AGAIN_S: Final = 600.0

State = Literal["unasked", "ok", "silent"]
WriteTold = Callable[[str, bool], None]
"""Told why a write failed, empty if it did not, and whether it may have been carried out."""


def exception_name(code: int) -> str:
    """Return what an exception code means, in the words of the standard."""
    return EXCEPTIONS.get(code, f"exception {code}")


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """What is read together, every ``every_s``."""

    every_s: float
    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class UnitPlan:
    """``number`` on the bus; ``device`` is its name upstream."""

    number: int
    device: str
    timeout_s: float
    groups: tuple[GroupPlan, ...]


@dataclass(slots=True)
class _Group:
    """A group as it has become: ``requests`` without what is refused; a poll is on its way while ``todo`` has some."""

    every_s: float
    requests: list[Request]
    due_s: float
    todo: deque[Request] = field(default_factory=deque)
    answers: list[tuple[Request, Sequence[int]]] = field(default_factory=list)
    refused: dict[Request, float] = field(default_factory=dict)  # when it is asked for again

    def begin(self, now_s: float) -> bool:
        """Begin the latest poll that is due; return whether turns before it were missed."""
        missed = max(0, math.floor((now_s - self.due_s) / self.every_s))
        self.due_s += self.every_s * missed
        again = [request for request, at_s in self.refused.items() if at_s <= now_s]
        self.todo = deque((*self.requests, *again))
        self.answers = []
        return missed > 0

    def end(self) -> None:
        """The poll is over."""
        self.todo.clear()
        self.answers = []
        self.due_s += self.every_s


@dataclass(slots=True)
class UnitTally:
    """Counters since the start. ``bad`` answers were damaged, or none to what was asked."""

    requests: int = 0
    answers: int = 0
    polls: int = 0
    timeouts: int = 0
    bad: int = 0
    late: int = 0
    writes: int = 0
    exceptions: Counter[str] = field(default_factory=Counter)


class UnitState:
    """One unit; ``served`` is when it had its last turn, as a number that only grows."""

    def __init__(self, plan: UnitPlan, *, retries: int, asks_at_most_s: float, now_s: float) -> None:
        self.plan = plan
        self.state: State = "unasked"
        self.reason = ""
        self.heard_s: float | None = None
        self.served = 0
        self.is_busy = False
        self.ask_again_s = now_s
        self.tally = UnitTally()
        self.refusals: dict[str, str] = {}
        self.writes: deque[tuple[Write, WriteTold]] = deque()
        self._retries = retries
        self._asks_at_most_s = asks_at_most_s
        self._failures = 0
        self._silences = 0
        self._groups = [_Group(one.every_s, list(one.requests), now_s) for one in plan.groups]

    @property
    def is_silent(self) -> bool:
        """Whether it is asked now and then only."""
        return self.state == "silent"

    @property
    def is_doubtful(self) -> bool:
        """Whether it may turn out to be silent: it was not asked yet, or did not answer the last time."""
        return self.state == "unasked" or (self._failures > 0 and not self.is_silent)

    def due_s(self) -> float:
        """When the next request may go out; infinity where nothing is read."""
        if self.is_silent:
            return self.ask_again_s
        return min((-math.inf if one.todo else one.due_s for one in self._groups), default=math.inf)

    def next_request(self, now_s: float) -> tuple[int, Request] | None:
        """Return what to ask now, and of which group; the unit is busy until one of the answers below is told."""
        ready = [(one.due_s, place) for place, one in enumerate(self._groups) if one.todo or one.due_s <= now_s]
        if self.is_silent and not ready:
            ready = [min((one.due_s, place) for place, one in enumerate(self._groups))]
        for _, place in sorted(ready):
            group = self._groups[place]
            if not group.todo:
                self.tally.late += group.begin(now_s)
            if group.todo:
                return place, group.todo[0]
            group.end()  # all of it is refused for now
        return None

    # -- what came of it ----------------------------------------------------------------------------------------------

    def heard(self, now_s: float) -> bool:
        """It said something intact; return whether that ends a silence."""
        was_silent = self.is_silent
        self.state, self.reason, self.heard_s = "ok", "", now_s
        self._failures = self._silences = 0
        self.tally.answers += 1
        return was_silent

    def answered(self, place: int, words: Sequence[int], now_s: float) -> dict[str, RegisterValue] | None:
        """``words`` are the answer to what was asked; return the values once the poll is complete."""
        group = self._groups[place]
        request = group.todo.popleft()
        group.answers.append((request, words))
        if request in group.refused:  # it takes it now
            del group.refused[request]
            group.requests.append(request)
            self.refusals.pop(str(request), None)
        return self._complete(group)

    def _complete(self, group: _Group) -> dict[str, RegisterValue] | None:
        if group.todo:
            return None
        values = read_values(group.answers) if group.answers else None
        group.end()
        self.tally.polls += values is not None
        return values

    def refused(self, place: int, code: int, now_s: float) -> dict[str, RegisterValue] | None:
        """It answered with an exception; return the values if that completes a poll."""
        self.tally.exceptions[exception_name(code)] += 1
        group = self._groups[place]
        if code in _OF_GATEWAYS:
            self.failed(f"the gateway says: {exception_name(code)}", now_s)
            return None
        if code in _OF_PLACES or code == _WHOLE:
            request = group.todo.popleft()
            parts = [] if code == _WHOLE else split(request)
            self._forget(group, request)
            if parts:
                group.requests += parts
                group.todo.extendleft(reversed(parts))
            else:
                group.refused[request] = now_s + _ASK_REFUSED_AGAIN_S
                self.refusals[str(request)] = exception_name(code)
            return self._complete(group)
        self.reason = f"{group.todo[0]}: {exception_name(code)}"
        group.end()  # it has said that it cannot now: at the next turn again
        return None

    @staticmethod
    def _forget(group: _Group, request: Request) -> None:
        if request in group.requests:
            group.requests.remove(request)
        group.refused.pop(request, None)

    def failed(self, reason: str, now_s: float) -> bool:
        """No answer, or a damaged one; return whether it counts as silent from now on."""
        self._failures += 1
        self.reason = reason
        if not self.is_silent and self._failures <= self._retries:
            return False  # asked again when the others have had their turn
        was_silent = self.is_silent
        self.state = "silent"
        first_s = max(self.plan.timeout_s, min((one.every_s for one in self._groups), default=1.0))
        wait_s = min(self._asks_at_most_s, first_s * 2.0 ** min(self._silences, 32))
        self._silences += 1
        self.ask_again_s = now_s + wait_s
        self.abandon()
        return not was_silent

    def abandon(self) -> None:
        """What is on its way is given up: the unit is silent, or the connection is gone."""
        for group in self._groups:
            if group.todo:
                group.end()

    def reconnected(self, now_s: float) -> None:
        """There is a new connection: everything is read at once, and silence on the old one means nothing."""
        self.abandon()
        self._failures = self._silences = 0
        self.state, self.reason, self.ask_again_s = "unasked", "", now_s
        for group in self._groups:
            group.due_s = now_s
