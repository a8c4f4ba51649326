"""The line of ``systemctl status``: what a person must mend stands first, and it does not flicker."""

from __future__ import annotations

import pytest

from fieldgate.observe.status_line import LineFacts, UplinkFacts, rounded, status_line


def test_the_line_says_how_much_comes_where_it_goes_and_what_waits() -> None:
    """The everyday."""
    facts = LineFacts(12.34, 3, [UplinkFacts("cloud", "connected", "", 0), UplinkFacts("log", "ready", "", 1)])

    assert status_line(facts) == "12 events/s from 3 clients; cloud: nothing waits; log: 1 event waits"


def test_an_uplink_that_is_down_is_named_with_the_reason() -> None:
    """The first thing that is asked about on the telephone."""
    facts = LineFacts(
        0.0,
        1,
        [UplinkFacts("a", "backoff", "no route to host", 1200), UplinkFacts("b", "refused", "not authorised", 0)],
    )

    assert status_line(facts) == (
        "0 events/s from 1 client; a down (no route to host): 1,200 events wait; "
        "b refused (not authorised): nothing waits"
    )


def test_a_problem_comes_first_and_says_how_many_more_there_are() -> None:
    """A terminal cuts the line at its right end."""
    facts = LineFacts(0.0, 0, problems=["rules.d/a.yaml:3:5: unknown key 'wen'\nsecond line", "another"])

    line = status_line(facts)

    assert line == (
        "PROBLEM: rules.d/a.yaml:3:5: unknown key 'wen' (and 1 more: fieldgate status); "
        "0 events/s from 0 clients; no uplink"
    )


def test_a_long_problem_leaves_room_for_the_rest() -> None:
    """What a far side says may be long."""
    line = status_line(LineFacts(0.0, 0, problems=["x" * 2000]))

    assert line.startswith("PROBLEM: " + "x" * 300 + "…; 0 events/s")


@pytest.mark.parametrize(
    ("rate", "shown"),
    [(0.0, "0"), (0.04, "0.04"), (1.0, "1"), (9.96, "10"), (99.4, "99"), (123.0, "120"), (12345.0, "12,000")],
)
def test_a_rate_has_two_digits(rate: float, shown: str) -> None:
    """More would change every second, and each change is a message on the system's bus."""
    assert rounded(rate) == shown
