"""The smallest clause that made a condition what it was: what an author wants to read first."""

from __future__ import annotations

import pytest

from condition_kit import condition, facts
from fieldgate_rules.explain.clauses import because, culprits


@pytest.mark.parametrize(
    ("text", "given", "said"),
    [
        ("temperature > 80", {"temperature": 71}, ["temperature > 80 is false: temperature is 71"]),
        (
            'temperature > 80 and state != "fault"',
            {"temperature": 71, "state": "idle"},
            ["temperature > 80 is false: temperature is 71"],
        ),
        (
            'temperature > 80 and state == "fault"',
            {"temperature": 71, "state": "idle"},
            ["temperature > 80 is false: temperature is 71", "state == \"fault\" is false: state is 'idle'"],
        ),
        (
            'temperature > 80 or state == "fault"',
            {"temperature": 71, "state": "idle"},
            ["temperature > 80 is false: temperature is 71", "state == \"fault\" is false: state is 'idle'"],
        ),
        ("temperature > 80 and flow > 2", {"temperature": 85}, ["flow > 2 is unknown: flow is missing"]),
        ("flow > 2 or flow < 1", {"flow": "much"}, None),
        ("not alarm", {"alarm": True}, ["not alarm is false: alarm is true"]),
        ("alarm", {"alarm": False}, ["alarm is false"]),
        ("alarm and door", {"alarm": True, "door": False}, ["door is false"]),
        ("alarm and door", {"alarm": True}, ["alarm and door is unknown: door is missing"]),
        ("flow / temperature > 2", {"flow": 1, "temperature": 0}, ["flow / temperature is unknown: a division by 0"]),
    ],
)
def test_the_smallest_clause_is_named_with_its_values(
    text: str, given: dict[str, object], said: list[str] | None
) -> None:
    """A condition of ten lines is false because of one of them."""
    explained = condition(text).explain(facts(given))

    found = [because(one) for one in culprits(explained)]

    if said is None:
        said = [
            "flow > 2 is unknown: flow is 'much', not a number",
            "flow < 1 is unknown: flow is 'much', not a number",
        ]
    assert found == said


def test_a_true_condition_is_its_own_reason() -> None:
    explained = condition("temperature > 80").explain(facts({"temperature": 85}))

    assert [because(one) for one in culprits(explained)] == ["temperature > 80 is true: temperature is 85"]
