"""Every problem of a condition or template at once, each with line, column and caret."""

from __future__ import annotations

from pathlib import Path

import pytest

from condition_kit import said_of_file

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
