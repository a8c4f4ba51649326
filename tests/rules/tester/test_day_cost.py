"""What an event costs in a test, counted: the day of ``tests/bench/rules_day.py`` must not become a night."""

from __future__ import annotations

from bench.rules_day import DEVICES, day, run_day
from operations_kit import operations

OPERATIONS_PER_EVENT = 2_700
"""From its line in the recording to what three rules make of it: 864,000 of these in 20 s are 23 µs each."""


def cost_of(seconds: int) -> int:
    return operations(run_day, list(day(seconds / 3600)))


def test_an_event_of_a_long_recording_costs_what_it_may():
    """The difference of two runs: what is done once for a test is not looked at."""
    run_day(list(day(60 / 3600)))  # what is compiled and imported once
    once, twice = cost_of(60), cost_of(120)

    assert (twice - once) / (60 * DEVICES) <= OPERATIONS_PER_EVENT


def test_twice_the_events_cost_twice_as_much_and_no_more():
    """Nothing in it grows with what came before."""
    first, second, third = cost_of(60), cost_of(120), cost_of(180)

    assert third - second <= 1.2 * (second - first)
