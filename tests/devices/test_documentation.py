"""``devices/README.md``: its tables are those of the models, and every profile in it is right."""

from __future__ import annotations

import re

import pytest

from fieldgate_devices.profile import PROFILE_TREE
from fieldgate_devices.reading import read_profile
from fieldgate_devices.units import units_like
from profile_tables import MARK, MODELS, PAGE, filled

TEXT = PAGE.read_text()
PROFILES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


def test_the_tables_are_those_of_the_models():
    """`python tests/profile_tables.py` writes them."""
    assert filled(TEXT) == TEXT
    assert {match["name"] for match in MARK.finditer(TEXT) if match["kind"] == "keys"} == set(MODELS)


def test_every_section_of_a_profile_has_a_table():
    assert {key.owner for key in PROFILE_TREE.all_keys()} == set(MODELS.values())


@pytest.mark.parametrize("text", PROFILES, ids=[re.search("profile: (.*)", one)[1] for one in PROFILES])
def test_a_profile_of_the_page_is_right_and_its_examples_are_true(text):
    read = read_profile(text.encode(), "README.md")

    assert [str(problem) for problem in read.problems] == []
    assert read.contract is not None
    assert read.contract.profile.examples


def test_every_unit_that_can_be_converted_is_named():
    for line in re.findall(r"^- (`[^`]+`(?:, `[^`]+`)+)$", TEXT, re.MULTILINE):
        units = re.findall("`([^`]+)`", line)
        assert units == units_like(units[0])
