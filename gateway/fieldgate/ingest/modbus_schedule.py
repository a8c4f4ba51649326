"""Which unit of a Modbus source is asked next, and what.

Laws: what is to be written goes first. Units that answer take turns, one request each, so that one with many registers
starves nobody. Units that were not asked yet, or did not answer the last time, never take all places, and are asked
after those that answer unless these leave them less than half of the time. Silent units are asked one at a time, and so
seldom that all of them together take a tenth of the time at most: on a serial bus nobody else can speak while one is
waited for. Where several may be asked at once that is done only while one takes long or is silent, and never in one
breath: not every server can hear two questions at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from fieldgate.ingest.modbus_unit import UnitPlan, UnitState, WriteTold
from fieldgate_devices.modbus import RegisterValue, Request, Write

__all__ = ["Ask", "Reading", "Schedule"]

_PROBE_SHARE: Final = 0.1  # of the time, for units that do not answer
_PATIENCE_S: Final = 0.2  # so long others wait for an answer, even where they need not
_BREATH_S: Final = 0.05  # the same behind a question to a silent unit: two in one read are one to many servers


class Ask(NamedTuple):
    """One request to a unit. ``group`` is the poll that it is part of; None for what is written."""

    unit: UnitState
    what: Request | Write
    group: int | None
    is_probe: bool
    asked_s: float
    outcome: WriteTold | None = None


class Reading(NamedTuple):
    """A complete poll."""

    unit: UnitState
    values: dict[str, RegisterValue]


class Schedule:
    """``in_flight`` requests may be on their way at once, to as many units, where one takes long."""

    def __init__(
        self, plans: Sequence[UnitPlan], *, in_flight: int, retries: int, asks_at_most_s: float, now_s: float
    ) -> None:
        self.units = [UnitState(one, retries=retries, asks_at_most_s=asks_at_most_s, now_s=now_s) for one in plans]
        self._in_flight = in_flight
        self._asking: dict[int, Ask] = {}  # by unit
        self._turn = 0
        self._is_probing = False
        self._probes_from_s = now_s
        self._doubtful_wait_until_s = now_s

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way."""
        return not self._asking

    def unit_of(self, device: str) -> UnitState | None:
        """Return the unit of that name."""
        return next((one for one in self.units if one.plan.device == device), None)

    def next(self, now_s: float, *, may_read: bool = True) -> Ask | None:
        """Return what to ask now, if anything; to be told what came of it by exactly one of the calls below."""
        if len(self._asking) >= self._in_flight or self._patient_until_s() > now_s:
            return None
        free = [one for one in self.units if not one.is_busy]
        for unit in free:
            if unit.writes:
                what, outcome = unit.writes.popleft()
                return self._ask(unit, what, None, now_s, outcome)
        if not may_read:
            return None
        silent = [one for one in free if one.is_silent and one.ask_again_s <= now_s]
        if silent and not self._is_probing and now_s >= self._probes_from_s:
            unit = min(silent, key=lambda one: one.ask_again_s)
            if (found := unit.next_request(now_s)) is not None:
                return self._ask(unit, found[1], found[0], now_s)
        for unit in self._in_turn(free, now_s):
            if unit.due_s() <= now_s and (found := unit.next_request(now_s)) is not None:
                return self._ask(unit, found[1], found[0], now_s)
        return None

    def _in_turn(self, free: Sequence[UnitState], now_s: float) -> list[UnitState]:
        """Those that may be asked at any time, whose turn it is first."""
        last = self._doubtful_wait_until_s > now_s
        return sorted(self._awake(free), key=lambda one: (last and one.is_doubtful, one.served))

    def _awake(self, free: Sequence[UnitState]) -> list[UnitState]:
        no_more = sum(one.unit.is_doubtful for one in self._asking.values()) >= max(1, self._in_flight - 1)
        return [one for one in free if not one.is_silent and not (no_more and one.is_doubtful)]

    def _ask(
        self,
        unit: UnitState,
        what: Request | Write,
        group: int | None,
        now_s: float,
        outcome: WriteTold | None = None,
    ) -> Ask:
        is_probe = unit.is_silent and group is not None
        self._is_probing |= is_probe
        self._turn += 1
        unit.served, unit.is_busy = self._turn, True
        unit.tally.requests += 1
        unit.tally.writes += group is None
        ask = self._asking[unit.plan.number] = Ask(unit, what, group, is_probe, now_s, outcome)
        return ask

    def _patient_until_s(self) -> float:
        """Until when nobody else is asked, for the sake of those that were."""
        return max(
            (one.asked_s + (_BREATH_S if one.is_probe else _PATIENCE_S) for one in self._asking.values()),
            default=-math.inf,
        )

    def wakes_at_s(self, now_s: float) -> float:
        """When to ask for the `next` one, if nothing is told before; infinity if that must come first."""
        if len(self._asking) >= self._in_flight:
            return math.inf
        free = [one for one in self.units if not one.is_busy]
        times = [one.due_s() for one in self._awake(free)]
        if not self._is_probing:
            times += [max(one.ask_again_s, self._probes_from_s) for one in free if one.is_silent]
        if any(one.writes for one in free):
            times.append(now_s)
        return max(now_s, self._patient_until_s(), min(times, default=math.inf))

    # -- what came of it ----------------------------------------------------------------------------------------------

    def answered(self, ask: Ask, words: Sequence[int], now_s: float) -> Reading | None:
        """The unit has answered what was asked; return what it says once that is complete."""
        self._over(ask, now_s)
        ask.unit.heard(now_s)
        if ask.group is None:
            return None
        return _reading(ask.unit, ask.unit.answered(ask.group, words, now_s))

    def refused(self, ask: Ask, code: int, now_s: float) -> Reading | None:
        """The unit, or a gateway before it, has answered with an exception."""
        self._over(ask, now_s)
        if code not in {10, 11}:
            ask.unit.heard(now_s)
        if ask.group is None:
            return None
        return _reading(ask.unit, ask.unit.refused(ask.group, code, now_s))

    def failed(self, ask: Ask, reason: str, now_s: float, *, is_bad: bool = False) -> bool:
        """No answer in time, or (``is_bad``) a damaged one; return whether the unit counts as silent from now on."""
        self._over(ask, now_s)
        if ask.unit.is_doubtful:
            self._doubtful_wait_until_s = now_s + (now_s - ask.asked_s)
        if is_bad:
            ask.unit.tally.bad += 1
        else:
            ask.unit.tally.timeouts += 1
        if ask.group is None:  # a write is not repeated, and says nothing about the next poll
            return False
        return ask.unit.failed(reason, now_s)

    def lost(self, ask: Ask) -> None:
        """The connection is gone, and the answer with it."""
        self._over(ask, ask.asked_s)

    def reconnected(self, now_s: float) -> None:
        """There is a new connection."""
        self._probes_from_s = now_s
        for unit in self.units:
            if unit.is_silent:  # it comes behind those that answered before
                self._turn += 1
                unit.served = self._turn
            unit.reconnected(now_s)

    def _over(self, ask: Ask, now_s: float) -> None:
        del self._asking[ask.unit.plan.number]
        ask.unit.is_busy = False
        if ask.is_probe:
            self._is_probing = False
            self._probes_from_s = now_s + (now_s - ask.asked_s) * (1 / _PROBE_SHARE - 1)


def _reading(unit: UnitState, values: dict[str, RegisterValue] | None) -> Reading | None:
    return None if values is None else Reading(unit, values)
