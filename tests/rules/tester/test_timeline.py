"""What happens in a test, in order of time, made as it is needed."""

from __future__ import annotations

from itertools import islice

from fieldgate_devices.files.document import Problem
from fieldgate_devices.recording import RECORDING_HEAD, Heard, recording_line
from fieldgate_rules.tester.messages import Messages
from fieldgate_rules.tester.timeline import Happening, Recording, Spoken, Timeline, recorded
from rules_tests_kit import CATALOGUE, RULES, planned

S = 10**9
AT_NS = 1_767_225_600 * S


def times(given: str) -> list[tuple[float, list[str]]]:
    """When what of which device is said."""
    (plan,), _ = planned(f"{RULES}tests:\n- {{name: a, given: {given}, expect_none: true}}\n")
    found = []
    for one in Timeline(plan.entries, Messages(CATALOGUE)):
        assert isinstance(one.action, Spoken)
        found.append((one.at_ns / S, [said.address.device for said in one.action.said]))
    return found


def heard(at_s: float, temperature: float, device: str = "b1") -> bytes:
    payload = f'{{"temperature": {temperature}, "state": "idle"}}'.encode()
    return recording_line(Heard(AT_NS + round(at_s * S), "listen:1883", f"site/{device}/telemetry", payload))


def played(*pieces: bytes, begin_ns: int | None = 0) -> tuple[list[Happening], list[str]]:
    problems: list[Problem] = []
    recording = Recording("r.jsonl", lambda: [RECORDING_HEAD, *pieces])
    happenings = list(recorded(recording, Messages(CATALOGUE), problems.append, begin_ns=begin_ns))
    return happenings, list(map(str, problems))


def test_entries_are_sorted_by_time_and_by_their_order_at_one_time():
    assert times("[{at: 2s, device: b1}, {at: 1s, device: b2}, {at: 2s, device: b3}]") == [
        (1, ["b2"]), (2, ["b1"]), (2, ["b3"]),
    ]  # fmt: skip


def test_what_is_repeated_overlaps_with_what_is_not():
    assert times("[{at: 1s, device: b1, every: 2s, times: 3}, {at: 4s, device: b2}]") == [
        (1, ["b1"]), (3, ["b1"]), (4, ["b2"]), (5, ["b1"]),
    ]  # fmt: skip
    assert times("{at: 1s, device: [b1, b2], every: 500ms, until: 2s}") == [
        (1, ["b1", "b2"]), (1.5, ["b1", "b2"]), (2, ["b1", "b2"]),
    ]  # fmt: skip


def test_a_long_time_costs_nothing_before_it_is_needed():
    """A year at 1 kHz is 31 thousand million events; a list of them would be the end of the machine."""
    given = "{device: b1, every: 1ms, until: 365d}"
    (plan,), _ = planned(f"{RULES}tests:\n- {{name: a, given: {given}, expect_none: true}}\n")

    first = islice(Timeline(plan.entries, Messages(CATALOGUE)), 3)

    assert [one.at_ns for one in first] == [0, 10**6, 2 * 10**6]


def test_a_recording_begins_at_its_entrys_time_and_what_came_at_once_is_one_read():
    happenings, problems = played(heard(0, 20), heard(0, 21, "b2"), heard(2.5, 22), begin_ns=60 * S)

    assert [one.at_ns for one in happenings] == [60 * S, round(62.5 * S)]
    assert [len(one.action.said) for one in happenings if isinstance(one.action, Spoken)] == [2, 1]
    assert problems == []


def test_a_recording_can_keep_its_own_times():
    happenings, _ = played(heard(0, 20), heard(1, 20), begin_ns=None)

    assert [one.at_ns for one in happenings] == [AT_NS, AT_NS + S]


def test_what_is_wrong_with_a_recording_is_told_and_the_rest_is_played():
    """A message that breaks its contract is no event in the gateway, either."""
    happenings, problems = played(heard(0, 20), b"x\n", heard(1, 999), heard(2, 21))

    assert [one.at_ns for one in happenings] == [0, 2 * S]
    assert problems == [
        "r.jsonl:3:1: this is not JSON: JSON is malformed: invalid character (byte 0)",
        "r.jsonl:4:1: warning: the message on 'site/b1/telemetry' breaks its contract, and is no event: temperature is "
        "999, above its max of 150",
    ]


def test_a_recording_full_of_broken_messages_is_told_in_short():
    _, problems = played(*[heard(number, 999) for number in range(100)])

    assert len(problems) == 21
    assert problems[-1] == "r.jsonl:1:1: warning: 80 more messages break their contract"
