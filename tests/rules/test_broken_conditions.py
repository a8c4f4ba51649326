"""Every problem of a condition or template at once, each with line, column and caret."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from condition_kit import ON_BOILERS, here, said_of_file
from fieldgate_rules.condition import mending, read_condition

TEXT = Path(__file__).with_name("broken_conditions.txt").read_text()
CASES = [case.split("---\n") for case in TEXT.split("\n", 1)[1].split("===\n")]


@pytest.mark.parametrize(("content", "wanted"), CASES, ids=[case[0].strip()[:60] for case in CASES])
def test_everything_that_is_wrong_is_said_with_its_place_and_a_caret(content, wanted):
    assert said_of_file(content) == wanted.splitlines()


def test_there_are_many_cases():
    """An author's mistake has its message, and one that is lost is noticed."""
    assert len(CASES) >= 120
    assert all(wanted.strip() for _, wanted in CASES)


@pytest.mark.parametrize(
    "content",
    [
        'when: temperature > 80 and state != "fault"\n',
        "when: 20 < temperature <= 80 or not alarm\n",
        'when: temperature > convert(outside, "°C")\n',
        'when: uptime > "5m" and pressure > "2 bar"\n',
        "on: [boiler, meter]\nwhen: temperature > 140 or (has(power) and power > 3)\n",
        "on: hub\nwhen: kitchen_temperature > 30 and default(battery, 100) < 20\n",
        'text: "{device} is at {temperature:.1f} °C {{{state}}}"\n',
    ],
)
def test_what_is_right_is_left_in_peace(content):
    """Control."""
    assert said_of_file(content) == []


WORDS = [
    *["temperature", "temprature", "state", "80", "5m", "80 °C", '"ü"', "ü", "prev.", "abs(", "last(", "(", ")", "]"],
    *["&&", "||", "=", "!", "<>", "=>", "AND", "and", "not", ">", "==", ",", "$", "+", "?", ";", "#", "\\", "'"],
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=14).map(" ".join))
def test_what_was_meant_is_only_guessed_at_and_never_run(text: str) -> None:
    """It could mean something else than its author believes; and what is said of it must be about the text."""
    read = read_condition(here(text), ON_BOILERS)

    assert (read.expression is None) == bool(read.problems)
    assert len(read.problems) <= len(text)
    for span in read.spans:
        assert 0 <= span.start < span.end <= len(text) + 1


def test_a_guess_that_hides_no_other_mistake_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: reading ends with the first slip, as it did."""
    content = "when: temprature > 80 && pressur > 3\n"
    assert len(said_of_file(content)) == 9

    monkeypatch.setattr(mending, "_MAX_MENDED", 0)

    assert len(said_of_file(content)) == 3
