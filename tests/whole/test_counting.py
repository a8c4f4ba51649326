"""The verdict notices loss, disorder and copies: a count that cannot fail proves nothing."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from fieldgate_simulators.counting import Arrivals, NumberSet, judge


@given(st.lists(st.integers(0, 5000)))
def test_a_number_set_behaves_as_a_set(numbers):
    """It stands for one in every verdict."""
    counted, plain = NumberSet(), set()

    for number in numbers:
        assert counted.add(number) is (number not in plain)
        plain.add(number)

    assert list(counted) == sorted(plain)
    assert len(counted) == len(plain)
    assert all((number in counted) is (number in plain) for number in range(0, 5001, 7))


def told(**devices: list[int]) -> dict[str, NumberSet]:
    """What was acknowledged to each device."""
    return {device: numbers_of(numbers) for device, numbers in devices.items()}


def numbers_of(numbers: list[int]) -> NumberSet:
    found = NumberSet()
    for number in numbers:
        found.add(number)
    return found


def arrived(*readings: tuple[str, int]) -> Arrivals:
    arrivals = Arrivals()
    for seq, (device, number) in enumerate(readings, start=41):
        arrivals.add(device, number, f"{7:016x}-{seq}")
    return arrivals


def test_all_arrived_in_order_is_good():
    """The verdict that everybody wants must be possible."""
    verdict = judge(told(a=[1, 2], b=[1]), arrived(("a", 1), ("b", 1), ("a", 2)))

    assert verdict.is_good
    assert (verdict.accepted, verdict.arrived, verdict.lost) == (3, 3, 0)


def test_one_missing_reading_is_lost_and_named():
    """The promise is about every single event; the name is where to begin the search."""
    verdict = judge(told(a=[1, 2, 3]), arrived(("a", 1), ("a", 3)))

    assert not verdict.is_good
    assert (verdict.lost, verdict.first_lost) == (1, ("a/2",))


def test_a_device_of_which_nothing_arrived_is_lost_whole():
    """A missing key must not be a missing count."""
    verdict = judge(told(a=[1, 2]), arrived())

    assert verdict.lost == 2


def test_a_reading_that_arrives_after_a_newer_one_of_its_device_is_out_of_order():
    """Order is promised per device; devices among each other have none."""
    verdict = judge(told(a=[1, 2], b=[1]), arrived(("a", 2), ("b", 1), ("a", 1)))

    assert not verdict.is_good
    assert verdict.out_of_order == 1


def test_a_copy_is_a_duplicate_and_neither_disorder_nor_another_arrival():
    """At least once allows copies; whether a consumer can drop them depends on their id."""
    arrivals = arrived(("a", 1), ("a", 2))
    arrivals.add("a", 1, f"{7:016x}-41")
    arrivals.add("a", 2, f"{7:016x}-99")

    verdict = judge(told(a=[1, 2]), arrivals)

    assert verdict.is_good
    assert (verdict.arrived, verdict.same_id, verdict.same_reading, verdict.out_of_order) == (2, 1, 1, 0)


def test_what_no_device_was_told_of_is_counted_apart():
    """A reading whose PUBACK was lost may arrive: it is no loss and no fault."""
    verdict = judge(told(a=[1]), arrived(("a", 1), ("a", 2)))

    assert (verdict.arrived, verdict.unaccepted, verdict.is_good) == (2, 1, True)


def test_nothing_at_all_is_not_good():
    """A run in which no event was accepted shows nothing."""
    assert not judge(told(), arrived()).is_good


def test_a_cloudevent_is_counted_by_its_data_and_others_by_their_type():
    """Gap and clock events travel the same way and are no readings."""
    arrivals = Arrivals()

    arrivals.add_cloudevent(json.dumps({"id": "00-1", "type": "message", "data": {"device_": "a", "n": 1}}).encode())
    arrivals.add_cloudevent(json.dumps({"id": "00-2", "type": "gap", "data": {"count": 3}}).encode())
    arrivals.add_cloudevent(b"\xff not JSON")

    assert arrivals.readings == 1
    assert arrivals.not_readings == {"gap": 1, "not a CloudEvent": 1}
