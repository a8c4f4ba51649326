"""What an event costs in a test, counted: the day of ``tests/bench/rules_day.py`` must not become a night."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bench.rules_day import DEVICES, day, run_day
from operations_kit import operations

SECONDS = (30, 60, 90)
OPERATIONS_PER_EVENT = 1_000
"""From its line in the recording to what two rules make of it, engine and all; a fifth of it is the tester's."""


@pytest.fixture(scope="module")
def costs() -> list[float]:
    """What an event costs, for one stretch of time after the other: what is done once for a test is not in it."""
    run_day(list(day(10 / 3600)))  # what is compiled and imported once
    whole = [operations(run_day, list(day(seconds / 3600))) for seconds in SECONDS]
    return [(after - before) / (30 * DEVICES) for before, after in pairwise(whole)]


def test_an_event_of_a_long_recording_costs_what_it_may(costs):
    """A change that makes each event dearer is noticed here, on a machine however busy."""
    assert max(costs) <= OPERATIONS_PER_EVENT


def test_later_events_cost_no_more_than_earlier_ones(costs):
    """Nothing in it grows with what came before."""
    first, second = costs

    assert second <= 1.2 * first
