"""Every key of the language of rules does something: with it, other things come of the same story than without."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from every_key_kit import ENTRIES, Entry, outcome_of
from fieldgate_devices.files.model_tree import key_names
from fieldgate_devices.files.section import Section
from fieldgate_rules.model import RuleSpec
from fieldgate_rules.model.rule import Body
from fieldgate_rules.model.tests import ClockSpec, ExpectedCommand, ExpectSpec, GivenSpec, RestartSpec, TestSpec
from rules_tables import MODELS

OF_TESTS = (TestSpec, GivenSpec, RestartSpec, ClockSpec, ExpectSpec, ExpectedCommand)
"""The language of tests, whose keys ``tester/`` is about."""


def keys_of(models: Mapping[str, type[Section]]) -> set[str]:
    """The keys of the language, ``alert.text``; what a template shares with a rule is the rule's."""
    return {
        f"{section}.{key}"
        for section, model in models.items()
        if model not in OF_TESTS
        for key in key_names(model)
        if section == "rule" or not issubclass(model, Body) or key not in key_names(Body)
    }


def gaps(keys: Iterable[str]) -> set[str]:
    """Keys without an entry, and entries without a key."""
    return set(keys) ^ {f"{one.section}.{one.key}" for one in ENTRIES}


def test_each_key_has_its_story() -> None:
    """A key that comes to the language must come with what it does."""
    assert not gaps(keys_of(MODELS))


def test_a_key_without_a_story_is_found_out() -> None:
    """Control: a key that is accepted and ignored would be one of these."""

    class Wider(RuleSpec):
        volume: int = 11

    assert gaps(keys_of({**MODELS, "rule": Wider})) == {"rule.volume"}


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.label for entry in ENTRIES])
def test_with_the_key_comes_what_its_entry_says_and_without_it_the_other(entry: Entry) -> None:
    """An option that is accepted and then ignored is a lie in the manual."""
    assert entry.key in entry.named, f"the entry is about {entry.place}"
    assert list(entry.with_key) != list(entry.without), "the entry shows no difference"

    assert outcome_of(entry.document, entry.story, entry.look) == list(entry.with_key)
    assert outcome_of(entry.other(), entry.story, entry.look) == list(entry.without)
