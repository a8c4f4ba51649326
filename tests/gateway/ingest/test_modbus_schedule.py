"""Who is asked what, on a clock of our own."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldgate.ingest.modbus_schedule import Ask, Reading, Schedule
from fieldgate.ingest.modbus_unit import GroupPlan, UnitPlan, exception_name
from fieldgate_devices.modbus import Limits, Register, Write, merge

ANSWER_S = 0.01
TIMEOUT_S = 1.0
WRITE = Write("holding", 9, (1,), is_single=True)


def plan(number: int = 1, *, every_s: float = 1.0, addresses: tuple[int, ...] = (0,), gap: int = 0) -> UnitPlan:
    registers = [Register(f"r{address}", "holding", address, 1, "uint16") for address in addresses]
    group = GroupPlan(every_s, tuple(merge(registers, Limits(max_gap=gap))))
    return UnitPlan(number, f"d{number}", TIMEOUT_S, (group,))


class Rig:
    """A bus: ``dead`` units never answer, ``lacking`` addresses are refused. Answers are the addresses."""

    def __init__(self, plans: list[UnitPlan], *, in_flight: int = 1, retries: int = 1, at_most_s: float = 30.0) -> None:
        self.now_s = 100.0
        self.schedule = Schedule(
            plans, in_flight=in_flight, retries=retries, asks_at_most_s=at_most_s, now_s=self.now_s
        )
        self.dead: set[int] = set()
        self.lacking: set[int] = set()
        self.code = 2
        self.asked: list[tuple[float, int, str]] = []
        self.readings: list[tuple[float, Reading]] = []
        self.on_the_way: list[tuple[float, Ask]] = []

    def run(self, for_s: float, **options: Any) -> None:
        until_s = self.now_s + for_s
        while True:
            while (ask := self.schedule.next(self.now_s, **options)) is not None:
                number = ask.unit.plan.number
                self.asked.append((round(self.now_s, 6), number, str(ask.what)))
                takes_s = TIMEOUT_S if number in self.dead else ANSWER_S
                self.on_the_way.append((self.now_s + takes_s, ask))
            wakes_s = self.schedule.wakes_at_s(self.now_s)
            assert wakes_s > self.now_s  # or the source would spin
            over_s, ask = min(self.on_the_way, key=lambda one: one[0], default=(math.inf, None))
            if min(over_s, wakes_s) > until_s:
                self.now_s = until_s
                return
            self.now_s = min(over_s, wakes_s)
            if ask is not None and over_s <= wakes_s:
                self.on_the_way.remove((over_s, ask))
                self._answer(ask)

    def _answer(self, ask: Ask) -> None:
        places = set(range(ask.what.address, ask.what.address + getattr(ask.what, "count", 1)))
        reading = None
        if ask.unit.plan.number in self.dead:
            self.schedule.failed(ask, "no answer", self.now_s)
        elif places & self.lacking:
            reading = self.schedule.refused(ask, self.code, self.now_s)
        else:
            reading = self.schedule.answered(ask, sorted(places), self.now_s)
        if reading is not None:
            self.readings.append((self.now_s, reading))

    def polls(self, number: int) -> int:
        return sum(one.unit.plan.number == number for _, one in self.readings)


def test_each_interval_is_one_poll() -> None:
    rig = Rig([plan(every_s=1.0)])

    rig.run(9.5)

    assert rig.polls(1) == 10
    assert rig.readings[0][1].values == {"r0": 0}


def test_units_take_turns_request_by_request() -> None:
    """A unit with a hundred registers must not let the one with a single register wait."""
    rig = Rig([plan(1, addresses=tuple(range(0, 100, 2))), plan(2)])

    rig.run(0.9)

    assert [number for _, number, _ in rig.asked[:3]] == [1, 2, 1]


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6))
def test_silent_units_take_a_tenth_of_a_bus_at_most(live: int, dead: int) -> None:
    """On a serial bus everybody waits while a silent unit is waited for."""
    plans = [plan(number, every_s=1.0) for number in range(1, live + dead + 1)]
    rig = Rig(plans, at_most_s=1.0)
    rig.dead = set(range(live + 1, live + dead + 1))
    rig.run(2 * dead * TIMEOUT_S + 30)  # until it is known who is silent
    start_s, asked = rig.now_s, len(rig.asked)

    rig.run(100)

    wasted_s = TIMEOUT_S * sum(number in rig.dead for _, number, _ in rig.asked[asked:])
    assert wasted_s <= 0.1 * (rig.now_s - start_s) + 2 * TIMEOUT_S
    for number in range(1, live + 1):
        assert sum(at_s > start_s and one.unit.plan.number == number for at_s, one in rig.readings) >= 85
    assert {number for _, number, _ in rig.asked[asked:]} >= rig.dead  # and nobody is given up


def worst_pause(rig: Rig, number: int, from_s: float = 0.0) -> float:
    times = [at_s for at_s, one in rig.readings if one.unit.plan.number == number and at_s >= from_s]
    return max(later - before for before, later in pairwise(times))


def test_a_bus_of_250_units_of_which_240_are_dead_reads_the_others_at_their_interval() -> None:
    """Also while it is found out who is dead, and after the adapter was pulled out, when it is found out again."""
    rig = Rig([plan(number, every_s=5.0) for number in range(1, 251)])
    rig.dead = set(range(11, 251))

    rig.run(2 * 240 * TIMEOUT_S + 60)
    assert sum(one.is_silent for one in rig.schedule.units) == 240
    for _, ask in rig.on_the_way:
        rig.schedule.lost(ask)
    rig.on_the_way.clear()
    rig.schedule.reconnected(rig.now_s)
    rig.run(2 * 240 * TIMEOUT_S + 60)

    assert max(worst_pause(rig, number) for number in range(1, 11)) <= 5.0 + 2 * TIMEOUT_S + 0.2
    assert min(rig.polls(number) for number in range(1, 11)) >= rig.readings[-1][0] // 5 - 100 // 5 - 2


def test_who_answers_leaves_time_to_find_the_others_however_much_there_is_to_read() -> None:
    rig = Rig([plan(1, addresses=tuple(range(0, 100, 2)), every_s=0.1), plan(2), plan(3), plan(4)])
    rig.dead = {2, 3}

    rig.run(10)

    assert rig.polls(4) >= 1
    assert [one.is_silent for one in rig.schedule.units] == [False, True, True, False]


def test_a_bus_that_is_a_little_too_slow_loses_a_little_and_not_half() -> None:
    """Fifty requests of 10 ms every 400 ms: two polls a second are possible, and not one every 800 ms."""
    rig = Rig([plan(addresses=tuple(range(0, 100, 2)), every_s=0.4)])

    rig.run(20)

    assert rig.polls(1) >= 38


def test_nothing_is_asked_in_one_breath_with_a_question_to_a_silent_unit() -> None:
    """pymodbus' own server hears only the first of two questions that come in one read, as do many others."""
    rig = Rig([plan(1), plan(2)], in_flight=4)
    rig.dead = {2}
    rig.run(30.5)
    now_s = rig.now_s + 30  # everything is due
    first = rig.schedule.next(now_s)
    assert first is not None
    assert first.is_probe

    assert rig.schedule.next(now_s) is None
    assert now_s < rig.schedule.wakes_at_s(now_s) <= now_s + 0.1  # nor is the silence of one waited for

    assert rig.schedule.next(now_s + 0.1) is not None


def test_a_silent_unit_is_asked_less_and_less_often_up_to_the_cap() -> None:
    rig = Rig([plan(every_s=1.0)], at_most_s=8.0, retries=1)
    rig.dead = {1}

    rig.run(200)

    times = [at_s for at_s, *_ in rig.asked]
    pauses = [round(later - before) for before, later in pairwise(times)]
    assert pauses[0] == 1  # the repetition follows at once
    assert pauses[1:3] == sorted(pauses[1:3])
    assert max(pauses) <= 10  # a tenth of the time, where 8 s would be more


def test_a_silent_unit_that_answers_is_read_at_once_and_as_before() -> None:
    rig = Rig([plan(every_s=1.0)], at_most_s=5.0)
    rig.dead = {1}
    rig.run(60)
    assert rig.schedule.units[0].is_silent
    rig.dead = set()

    rig.run(12)

    assert rig.polls(1) >= 2
    assert rig.schedule.units[0].state == "ok"


def test_over_tcp_others_go_on_while_one_is_waited_for() -> None:
    """A timeout of one unit behind a gateway delays nobody else there."""
    rig = Rig([plan(1, every_s=0.5), plan(2, every_s=0.5)], in_flight=4)
    rig.dead = {2}

    rig.run(10)

    assert rig.polls(1) >= 20


def test_a_server_is_asked_one_thing_at_a_time_while_it_answers() -> None:
    """Many lose the second of two questions in one read."""
    rig = Rig([plan(number, every_s=0.5) for number in range(1, 6)], in_flight=4)
    most = 0
    while rig.schedule.next(rig.now_s) is not None:
        most += 1

    assert most == 1


def test_what_is_written_goes_first_and_also_while_nothing_is_polled() -> None:
    rig = Rig([plan(1), plan(2)])
    told: list[tuple[str, bool]] = []
    rig.schedule.units[1].writes.append((WRITE, lambda problem, sent: told.append((problem, sent))))

    rig.run(0.001, may_read=False)

    assert [(number, what) for _, number, what in rig.asked] == [(2, "holding 9")]


def test_an_answer_to_a_write_tells_nothing_of_a_poll() -> None:
    rig = Rig([plan(1)])
    rig.run(0.5)
    rig.schedule.units[0].writes.append((WRITE, lambda problem, sent: None))
    rig.dead = {1}

    rig.run(0.4)

    assert rig.schedule.units[0].state == "ok"


@pytest.mark.parametrize("code", [2, 3])
def test_a_refused_request_is_split_until_the_lacking_register_is_known(code: int) -> None:
    rig = Rig([plan(addresses=(0, 1, 2, 3, 8, 9), gap=8)])
    rig.lacking, rig.code = {2, 5}, code

    rig.run(3.5)

    assert [reading.values for _, reading in rig.readings] == [{"r0": 0, "r1": 1, "r3": 3, "r8": 8, "r9": 9}] * 4
    assert rig.schedule.units[0].refusals == {"holding 2": exception_name(code)}
    refused = rig.schedule.units[0].tally.exceptions.total()
    rig.run(60)
    assert rig.schedule.units[0].tally.exceptions.total() == refused  # it is remembered


def test_a_register_that_was_refused_is_asked_for_again_after_ten_minutes() -> None:
    """A device that was starting up is not without its registers for ever."""
    rig = Rig([plan(addresses=(0, 1), every_s=10.0)])
    rig.lacking = {1}
    rig.run(100)
    rig.lacking = set()

    rig.run(600)

    assert rig.readings[-1][1].values == {"r0": 0, "r1": 1}
    assert rig.schedule.units[0].refusals == {}


def test_a_function_that_is_not_there_is_not_split() -> None:
    rig = Rig([plan(addresses=(0, 1, 2, 3))])
    rig.lacking, rig.code = {0}, 1

    rig.run(5)

    assert len(rig.asked) == 1
    assert rig.readings == []


def test_a_bus_that_is_too_slow_counts_the_turns_it_misses() -> None:
    rig = Rig([plan(addresses=tuple(range(0, 100, 2)), every_s=0.2)])

    rig.run(10)

    assert rig.schedule.units[0].tally.late > 0
    assert rig.polls(1) >= 15


def test_a_lost_connection_blames_no_unit_and_everything_is_read_at_once_after_it() -> None:
    rig = Rig([plan(every_s=60.0, addresses=(0, 50))], retries=0)
    ask = rig.schedule.next(rig.now_s)
    assert ask is not None
    rig.schedule.lost(ask)

    rig.schedule.reconnected(rig.now_s)
    rig.run(1)

    assert rig.polls(1) == 1
    assert rig.schedule.units[0].tally.timeouts == 0


def test_without_their_share_silent_units_would_take_much_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the tenth."""
    monkeypatch.setattr("fieldgate.ingest.modbus_schedule._PROBE_SHARE", 1.0)
    rig = Rig([plan(number) for number in range(1, 6)], at_most_s=1.0)
    rig.dead = {2, 3, 4, 5}
    rig.run(20)
    asked = len(rig.asked)

    rig.run(100)

    assert TIMEOUT_S * sum(number in rig.dead for _, number, _ in rig.asked[asked:]) > 30
