"""Why a condition was what it was: every clause, its place, its value, and what an unknown one lacked."""

from __future__ import annotations

import pytest

from condition_kit import condition, expression, facts, scope
from fieldgate_devices.files.location import Location
from fieldgate_rules.condition import placed, read_condition

TEXT = """\
rules:
  - id: hot
    when: >-
      temperature > 80
      and flow > 2
"""


def test_each_clause_says_what_it_was_and_where_it_stands_in_the_file():
    """The first question of an author is which line stopped the rule."""
    at = Location("boiler.yaml", 3, 11)
    read = read_condition(placed("temperature > 80 and flow > 2", at, TEXT), scope("boiler"))

    assert list(read.expression.explain(facts({"temperature": 85.0})).lines()) == [
        "4:7  temperature > 80 and flow > 2  is unknown (flow is missing)",
        "  4:7  temperature > 80  is true",
        "    4:7  temperature  is 85",
        "  5:11  flow > 2  is unknown (flow is missing)",
        "    5:11  flow  is unknown (flow is missing)",
    ]


def test_clauses_that_were_not_needed_are_explained_too():
    explained = condition("temperature > 80 and flow > 2").explain(facts({"temperature": 20.0, "flow": 3.0}))

    assert explained.value is False
    assert [part.value for part in explained.parts] == [False, True]


@pytest.mark.parametrize(
    ("text", "given", "why"),
    [
        ("flow > 2", {}, "flow is missing"),
        ("prev.flow > 2", {}, "prev.flow was never heard"),
        ('last("b7", "flow") > 2', {}, "flow of b7 was never heard"),
        ("delta(flow) > 2", {"flow": 3}, "prev.flow was never heard"),
        ("rate(flow) > 2", {"flow": 3}, "prev.flow was never heard"),
        ("rate(temperature) > 2", {"temperature": 3}, "no time has passed since the last value"),
        ("rate(state) > 2", {"state": 3}, "prev.state is 'idle', not a number"),
        ("age(prev.flow) > 2", {}, "prev.flow was never heard"),
        ("flow > 2", {"flow": "much"}, "flow is 'much', not a number"),
        ("not flow", {"flow": 3}, "flow is 3, not true or false"),
        ('lower(flow) == "x"', {"flow": True}, "flow is true, not a text"),
        ("flow == other", {"flow": [1], "other": 1}, "flow is a list, not a plain value"),
        ("flow > 2", {"flow": 10**400}, "flow is a number too large"),
        ("flow / other > 2", {"flow": 1, "other": 0}, "a division by 0"),
        ("flow / other > 2", {"flow": 1e300, "other": 1e-300}, "the result is too large"),
        ("flow * flow > 2", {"flow": 1e300}, "the result is too large"),
        ("rate(temperature) > 2", {"temperature": 1e308}, "no time has passed since the last value"),
        ("hour(flow) > 2", {"flow": 1e300}, "it is no time of the years 1970 to 9998"),
        ("hour(now) > 2", {}, "nobody knows the time yet"),
        ("default(flow, other) > 2", {}, "other is missing"),
        ("(1 if flow > 2 else 3) > 2", {}, "flow is missing"),
        ("flow in [1, 2]", {}, "flow is missing"),
        ("not (flow > 2)", {}, "flow is missing"),
        ("-flow > 2", {}, "flow is missing"),
        ("1 < flow < other", {"flow": 3}, "other is missing"),
    ],
    ids=str,
)
def test_what_is_unknown_says_what_it_lacks(text, given, why):
    """An unknown clause is the most frequent reason for which a rule does not fire."""
    before = facts(given, prev={"temperature": 2.0, "state": "idle"}, ago_s=0, wall_s=None)

    explained = expression(text).explain(before)

    assert explained.value is None
    assert explained.why == why


def test_a_change_shows_both_values():
    explained = condition("delta(temperature) > 5").explain(facts({"temperature": 20.0}, prev={"temperature": 18.5}))

    (change,) = explained.parts
    assert [(part.text, part.value) for part in change.parts] == [("temperature", 20.0), ("prev.temperature", 18.5)]


def test_a_parameter_shows_its_value():
    where = scope("boiler", parameters={"limit": 80})

    lines = list(condition("temperature > limit + 5", where).explain(facts({"temperature": 20.0})).lines())

    assert lines == ["1:1  temperature > limit + 5  is false", "  1:1  temperature  is 20", "  1:15  limit + 5  is 85"]


def test_long_texts_are_shortened():
    (line, *_) = expression("m").explain(facts({"m": "x" * 10_000})).lines()

    assert len(line) < 100
    assert line.endswith("…'")


def test_explaining_changes_nothing():
    """It is asked of a live gateway."""
    asked = condition("temperature > 80 and delta(flow) > 1")
    given = facts({"temperature": 85.0, "flow": 5.0}, prev={"flow": 1.0})

    assert asked.explain(given) == asked.explain(given)
    assert asked.evaluate(given) is True
