"""Expectations and outcomes: each takes one, whatever the order, and what is not so is said exactly."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldgate_devices.files.location import Location
from fieldgate_rules.model.tests import ExpectSpec
from fieldgate_rules.tester.expectation import Expectation, match_all
from fieldgate_rules.tester.outcome import Outcome

S = 10**9
WHERE = Location("t.yaml", 1, 1)


def expectation(**keys: object) -> Expectation:
    return Expectation(ExpectSpec.model_validate(keys, context={}), WHERE)


def alert(at_s: float = 30, rule: str = "r", device: str = "d", **facts: object) -> Outcome:
    known = {"state": "raised", "severity": "critical", "text": "hot", "key": "d", "fields": {"limit": 80}}
    return Outcome(round(at_s * S), (rule,), device, "alert", {**known, **facts})


def emitted(fields: dict[str, object]) -> Outcome:
    return Outcome(0, ("r",), "d", "emit", {"type": "e", "fields": fields})


def differences(one: Expectation, outcome: Outcome) -> list[str]:
    found = [difference.text for difference in one.differences(outcome)]
    assert one.takes(outcome) == (not found)
    return found


@pytest.mark.parametrize(
    ("keys", "outcome", "said"),
    [
        ({"at": "30s", "alert": "critical"}, alert(), []),
        ({"at": "30s", "alert": "critical"}, alert(30.0009), []),
        ({"at": "30s", "alert": "critical"}, alert(30.001), ["at: 30.001s, not 30s"]),
        ({"between": ["29s", "31s"], "alert": "critical"}, alert(31), []),
        ({"between": ["29s", "30s"], "alert": "critical"}, alert(31), ["at: 31s, not between 29s and 30s"]),
        ({"rule": "r"}, alert(), []),
        ({"rule": "q"}, alert(), ["rule: r, not q"]),
        ({"rule": "q"}, Outcome(0, ("q", "r"), "d", "drop", {}), []),
        ({"rule": "r", "device": "e"}, alert(), ["device: d, not e"]),
        ({"alert": "warning"}, alert(), ['severity: "critical", not "warning"']),
        ({"alert": "critical", "text": "cold"}, alert(), ['text: "hot", not "cold"']),
        ({"alert": "critical", "fields": {"limit": 80.0}}, alert(), []),
        ({"alert": "critical", "fields": {"limit": 8, "x": 1}}, alert(), ["fields: limit 80, not 8; x absent, not 1"]),
        ({"alert": "critical"}, alert(state="updated"), ['state: "updated", not "raised"']),
        ({"alert": "critical", "updated": True}, alert(state="updated"), []),
        ({"resolved": True}, alert(state="resolved"), []),
        ({"resolved": True, "alert": "critical"}, alert(state="resolved"), []),
        ({"resolved": True}, alert(), ['state: "raised", not "resolved"']),
        ({"log": "info"}, alert(), ["it is: alert, not log"]),
        ({"command": "on"}, Outcome(0, ("r",), "d", "command", {"to": "p", "name": "on", "arguments": {"a": 1}}), []),
        (
            {"command": {"device": "q", "on": {"a": True}}},
            Outcome(0, ("r",), "d", "command", {"to": "p", "name": "on", "arguments": {"a": 1}}),
            ['device of the command: "p", not "q"', 'arguments: {"a":1}, not {"a":true}'],
        ),
        ({"publish": "t", "payload": "21"}, Outcome(0, ("r",), "d", "publish", {"topic": "t", "payload": b"21"}), []),
        (
            {"publish": "t", "payload": {"a": [1, 2]}},
            Outcome(0, ("r",), "d", "publish", {"topic": "t", "payload": b'{"a": [1, 2.0]}'}),
            [],
        ),
        (
            {"publish": "t", "payload": {"a": 1}},
            Outcome(0, ("r",), "d", "publish", {"topic": "t", "payload": b"\xff"}),
            ['payload: "ff", not {"a":1}'],
        ),
        ({"emit": "e", "fields": {"mean": 1 / 3}}, emitted({"mean": 0.33333333333}), []),
        ({"emit": "e", "fields": {"mean": 0.3333}}, emitted({"mean": 1 / 3}),
         ["fields: mean 0.3333333333333333, not 0.3333"]),
        ({"route": ["b", "a"]}, Outcome(0, ("r",), "d", "route", {"route": "a, b"}), []),
        ({"lane": "high"}, Outcome(0, ("r",), "d", "lane", {"lane": "low"}), ['lane: "low", not "high"']),
        ({"set": {"x": 1}}, Outcome(0, ("r",), "d", "set", {"fields": {"x": 1, "y": 2}}), []),
        ({"drop": True}, Outcome(0, ("r",), "d", "drop", {}), []),
    ],
)  # fmt: skip
def test_what_is_expected_is_held_against_what_came(keys, outcome, said):
    """What is not written may be anything; what is written must be so, and 1 is not true."""
    assert differences(expectation(**keys), outcome) == said


def test_an_outcome_is_taken_once():
    """Two alerts are expected, one came: that is a failure however alike the two are."""
    matched = match_all([expectation(rule="r"), expectation(rule="r")], [alert()])

    assert matched.missing == {1: 1}
    assert matched.left == []


def test_a_loose_expectation_gives_way_to_a_strict_one():
    """The loose one is written first and finds the alert of 10 s first; the strict one can take no other."""
    outcomes = [alert(10), alert(20)]

    matched = match_all([expectation(rule="r"), expectation(rule="r", at="10s")], outcomes)

    assert matched.missing == {}
    assert matched.left == []


def test_a_count_is_exact():
    """So many of these, and no more."""
    three = [alert(at_s) for at_s in (1, 2, 3)]

    assert match_all([expectation(rule="r", count=3)], three).missing == {}
    assert match_all([expectation(rule="r", count=4)], three).missing == {0: 1}
    assert match_all([expectation(rule="r", count=2)], three).surplus == {0: [three[2]]}


def test_a_day_of_outcomes_is_matched_at_once():
    """A window of a second over a day: counted in operations by the cursor that never goes back."""
    outcomes = [alert(at_s) for at_s in range(20_000)]

    matched = match_all([expectation(rule="r", count=20_000)], outcomes)

    assert (matched.missing, matched.surplus, matched.left) == ({}, {}, [])


_specs = st.sampled_from([
    {"rule": "r"}, {"rule": "q"}, {"alert": "critical"}, {"alert": "warning"}, {"rule": "r", "at": "1s"},
    {"rule": "q", "between": ["0s", "2s"]}, {"rule": "r", "device": "d"}, {"alert": "critical", "at": "2s"},
])  # fmt: skip
_outcomes = st.builds(
    alert,
    at_s=st.integers(0, 3),
    rule=st.sampled_from(["r", "q"]),
    device=st.sampled_from(["d", "e"]),
    severity=st.sampled_from(["critical", "warning"]),
)


@given(st.lists(_specs, max_size=5), st.lists(_outcomes, max_size=5))
def test_as_many_as_possible_are_met(specs, outcomes):
    """Against a search through all orders: a test must not fail because of how its expectations are paired."""
    expected = [expectation(**keys) for keys in specs]

    matched = match_all(expected, outcomes)

    def met(order: tuple[int | None, ...]) -> int:
        pairs = zip(expected, order, strict=True)
        return sum(place is not None and one.takes(outcomes[place]) for one, place in pairs)

    places = [*range(len(outcomes)), *[None] * len(expected)]
    best = max(map(met, set(permutations(places, len(expected)))), default=0)
    assert len(expected) - sum(matched.missing.values()) == best
    assert len(outcomes) - len(matched.left) == best
