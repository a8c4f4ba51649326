"""Every problem of a test, with line and column: what it is given by the profiles, what it expects by the rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from rules_tests_kit import RULES, planned

TEXT = Path(__file__).with_name("broken_tests.txt").read_text(encoding="utf-8")
CASES = [case.split("---\n") for case in TEXT.split("\n", 1)[1].split("===\n") if case.strip()]


@pytest.mark.parametrize(("content", "wanted"), CASES, ids=[case[0].strip()[:70] for case in CASES])
def test_everything_that_is_wrong_is_said_with_its_place(content, wanted):
    """A mistake in a test must not look like one of the rule."""
    assert list(map(str, planned(f"{RULES}tests:\n{content}")[1])) == wanted.splitlines()


def test_there_are_many_cases():
    """An author's mistake has its message, and one that is lost is noticed."""
    assert len(CASES) >= 50
    assert all(wanted.strip() for _, wanted in CASES)


@pytest.mark.parametrize(
    "content",
    [
        "- {name: a, given: {device: b1, temperature: 85}, expect: {rule: overheat, alert: critical}}\n",
        "- {name: a, given: [{device: [b1, b2], every: 1s, until: 5s, state: idle}], expect_none: true}\n",
        "- {name: a, given: {device: pump-1, running: true, anything: 5}, expect: {log: info}}\n",
        "- {name: a, given: {device: b1, profile: boiler_means, mean: 21.5}, expect_none: {rule: overheat}}\n",
        "- {name: a, given: {topic: site/b1/telemetry, json: {temperature: 5, state: idle}}, expect_none: true}\n",
        "- {name: a, given: {gateway: silent, device: b1, profile: boiler, for_s: 5}, expect_none: true}\n",
        "- {name: a, given: [{clock: unset}, {clock: {step: -1h}}, {restart: }, {restart: {kill: true}}], "
        "expect_none: true}\n",
    ],
)
def test_what_is_right_is_left_in_peace(content):
    """Control; warnings count as being told."""
    assert [
        str(one) for one in planned(f"{RULES}tests:\n{content}")[1] if "no rule that is tested" not in str(one)
    ] == []
