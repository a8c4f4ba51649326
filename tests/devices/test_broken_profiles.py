"""Every problem of a profile at once, each with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from profile_kit import BOILER, problems

TEXT = Path(__file__).with_name("broken_profiles.txt").read_text()
CASES = [case.split("---\n") for case in TEXT.split("\n", 1)[1].split("===\n")]


@pytest.mark.parametrize(("profile", "wanted"), CASES, ids=[str(number) for number in range(len(CASES))])
def test_everything_that_is_wrong_is_said_with_its_place(profile, wanted):
    assert problems(profile) == wanted.splitlines()


def test_a_profile_with_nothing_wrong_says_nothing():
    """Control."""
    assert problems(BOILER) == []


def test_on_and_no_are_words():
    """YAML 1.1 would make truth values of them, and of a device's state `off`."""
    text = "profile: p\nmatch: {mqtt: on/no}\nfields: {on_: {type: enum, values: [on, off], from: no}}\n"
    assert problems(text + "examples: [{in: {no: off}, out: {on_: off}}]\n") == []
