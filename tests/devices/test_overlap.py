"""Profiles that stand in each other's way are found, and only these."""

from __future__ import annotations

import pytest

from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.contract import Contract
from fieldgate_devices.overlap import Overlap, find_overlaps
from profile_kit import contract


def profile(name: str, match: str) -> Contract:
    return contract(f"profile: {name}\nmatch: {match}\nother_fields: keep\n")


def between(one: str, other: str) -> list[Overlap]:
    return find_overlaps([profile("a", one), profile("b", other)], [])


NEVER = [
    ("{mqtt: 't/{device}'}", "{mqtt: 't/{name}'}"),
    ("{mqtt: 't/+'}", "{mqtt: 't/+'}"),
    ("{mqtt: 't/+/#'}", "{mqtt: 't/{device}'}"),
    ("{mqtt: '{kind}-{id}/x'}", "{mqtt: '{model}-{number}/x'}"),
    ("{serial: s}", "{serial: s}"),
    ("{mqtt: t, json: {m: 1}}", "{mqtt: t, json: {m: 1}}"),
    ("{json: {m: 1}}", "{json: {m: 1}}"),
]


@pytest.mark.parametrize(("one", "other"), NEVER)
def test_a_profile_that_never_gets_a_message_is_found(one, other):
    """Its author waits for events that cannot come."""
    (found,) = between(one, other)

    assert (found.of, found.other, found.is_never) == ("b", "a", True)


EQUAL = [
    ("{mqtt: 'site/+/{device}'}", "{mqtt: '{place}/+/b1'}", ""),
    ("{mqtt: 'a/{x}-{y}'}", "{mqtt: 'a/{x}_{y}'}", ""),
    ("{mqtt: t, json: {m: 1}}", "{mqtt: t, json: {n: 1}}", "t"),
    ("{mqtt: t, json: {m: [1, 2]}}", "{mqtt: t, json: {m: 2}}", "t"),
    ("{mqtt: t, json: {m: 'A*'}}", "{mqtt: t, json: {m: B}}", "t"),
]


@pytest.mark.parametrize(("one", "other", "topic"), EQUAL)
def test_two_between_which_only_letters_decide_are_found(one, other, topic):
    """Renaming one of them would silently change whose the messages are."""
    found = [overlap for overlap in between(one, other) if not overlap.is_never]

    assert [overlap.winner for overlap in found] == (["a", "a"] if topic else []), found
    assert all(overlap.topic == topic for overlap in found)


APART = [
    ("{mqtt: 'a/{device}'}", "{mqtt: 'b/{device}'}"),
    ("{mqtt: 'a/{device}'}", "{mqtt: 'a/{device}/x'}"),
    ("{mqtt: 'a/{device}'}", "{mqtt: 'a/b1'}"),
    ("{mqtt: t, json: {m: 1}}", "{mqtt: t, json: {m: 2}}"),
    ("{mqtt: t, json: {m: {exists: true}}}", "{mqtt: t, json: {m: {exists: false}}}"),
    ("{serial: s}", "{serial: r}"),
    ("{serial: s}", "{mqtt: s}"),
]


@pytest.mark.parametrize(("one", "other"), APART)
def test_profiles_that_share_nothing_are_not_spoken_of(one, other):
    """A warning that is none teaches people to read over all of them."""
    assert between(one, other) == []


def test_yours_comes_before_a_built_in_one_of_equal_rank():
    """That is the rule, and no reason for a warning."""
    mine, shipped = profile("z", "{mqtt: 't/{device}'}"), profile("a", "{mqtt: 't/{device}'}")

    assert find_overlaps([mine], [shipped]) == []


def test_a_stronger_built_in_one_is_found():
    mine, shipped = profile("z", "{mqtt: '{a}/x'}"), profile("a", "{mqtt: '+/x', json: {m: 1}}")

    assert find_overlaps([mine], [shipped]) == []
    assert find_overlaps([profile("z", "{mqtt: 't/+'}")], [profile("a", "{mqtt: 't/+/#'}")])[0].is_never


@pytest.mark.parametrize(("one", "other"), NEVER)
def test_what_is_said_of_never_is_what_the_catalogue_does(one, other):
    """The control: the catalogue itself gives such a topic to the other."""
    a, b = profile("a", one), profile("b", other)
    (found,) = find_overlaps([a, b], [])
    chosen = Catalogue([a, b]).candidates(found.topic)

    assert not chosen or chosen[0].contract is a
