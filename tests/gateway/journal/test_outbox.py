"""The outbox core against a model of the world (`outbox_world`): many random histories."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from fieldgate.forward.uplink import Shipment
from fieldgate.journal import outbox as outbox_module
from fieldgate.journal.feed import UplinkFeed
from fieldgate.journal.intervals import IntervalSet
from fieldgate.journal.uplink_state import UplinkState, decode_states, encode_states
from fieldgate_devices.event import LANES
from outbox_accounts import Chances
from outbox_checks import check_all
from outbox_scenarios import SCENARIOS, A, leave_memory_soon
from outbox_world import World


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_memory_soon(monkeypatch)


@pytest.mark.parametrize("name", SCENARIOS)
def test_everything_arrives_or_is_accounted_for_and_told_whatever_happens(name: str) -> None:
    """P1, P2, P4 and P6 after each step of many histories: the core of the product."""
    for seed in range(5):
        check_all(SCENARIOS[name].play(seed))


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("memory_bytes", [3_000, 12_000, 50_000])
@pytest.mark.parametrize("name", SCENARIOS)
def test_everything_arrives_or_is_accounted_for_in_thousands_of_histories(
    name: str, memory_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, with other seeds and sizes."""
    monkeypatch.setattr(outbox_module, "_MEMORY_BYTES", memory_bytes)

    for seed in range(1_000, 1_300):
        check_all(SCENARIOS[name].play(seed))


# -- order ------------------------------------------------------------------------------------------------------------


def _checks_order(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Let every `take` check that what it hands out rises per lane; return how often that was looked at."""
    handed: dict[tuple[UplinkFeed, int], int] = {}
    take, put_back = UplinkFeed.take, UplinkFeed.put_back
    checked = 0

    def checked_take(self: UplinkFeed, max_events: int) -> list[Shipment]:
        nonlocal checked
        shipments = take(self, max_events)
        for shipment in shipments:
            for event in shipment.events[shipment.start : shipment.stop]:
                if event.address.type != "gap":
                    assert event.seq > handed.get((self, event.lane), 0), "out of order"
                    handed[self, event.lane] = event.seq
                    checked += 1
        return shipments

    def forgetful_put_back(self: UplinkFeed) -> None:
        for lane in LANES:
            handed.pop((self, lane), None)
        put_back(self)

    monkeypatch.setattr(UplinkFeed, "take", checked_take)
    monkeypatch.setattr(UplinkFeed, "put_back", forgetful_put_back)
    return lambda: checked


STRICT = ["two uplinks", "a filter", "evicted", "a full journal", "damage", "an unset clock"]


def test_each_lane_leaves_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """P3: per lane, what is handed out rises by sequence number until it is put back."""
    checked = _checks_order(monkeypatch)

    for name in STRICT:
        for seed in range(4):
            SCENARIOS[name].play(seed)

    assert checked() > 5_000


def test_high_goes_first_and_the_other_lanes_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """An alarm does not wait behind telemetry, and telemetry of two lanes is not sorted by lane."""
    checked = _checks_order(monkeypatch)
    world = World([A], seed=1, is_relay=True, chances=Chances(crash=0, lose_connection=0))
    world.feeds["a"].is_down(False)
    for _ in range(40):
        world.accept()

    shipments = world.feeds["a"].take(1 << 20)
    lanes = [(event.lane, event.seq) for shipment in shipments for event in shipment.events]

    assert checked() == world.device.sent
    alarms = [lane for lane, _ in lanes].count(0)
    assert all(lane == 0 for lane, _ in lanes[:alarms])
    assert [seq for _, seq in lanes[alarms:]] == sorted(seq for _, seq in lanes[alarms:])


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_an_interval_set_behaves_as_a_set_of_integers() -> None:
    """The claims that are saved with each commit must be exactly the claims that were made."""
    rng = random.Random(3)
    for _ in range(200):
        intervals, model = IntervalSet(), set[int]()
        for _ in range(rng.randint(0, 30)):
            first = rng.randint(0, 60)
            last = first + rng.randint(0, 8)
            intervals.add(first, last)
            model |= set(range(first, last + 1))
        floor = rng.randint(0, 40)
        intervals.drop_through(floor)
        first, last = sorted((rng.randint(0, 70), rng.randint(0, 70)))

        kept = {value for begin, end in intervals.pairs() for value in range(begin, end + 1)}
        uncovered = {value for begin, end in intervals.uncovered(first, last) for value in range(begin, end + 1)}

        assert kept == {value for value in model if value > floor}
        assert all(b[0] > a[1] + 1 for a, b in zip(intervals.pairs(), intervals.pairs()[1:], strict=False))
        assert all((value in intervals) == (value in kept) for value in range(70))
        assert uncovered == set(range(first, last + 1)) - kept
        assert intervals.overlaps(first, last) == bool(set(range(first, last + 1)) & kept)


def test_a_state_survives_being_stored() -> None:
    """A cursor that changes by being saved would lose or repeat events at every start."""
    world = SCENARIOS["everything"].play(5)
    states = world.outbox.states()

    again = decode_states(encode_states(states))

    assert again == states
    assert isinstance(again["a"], UplinkState)
