"""Devices that no profile names, and which contract a message falls under."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldgate_devices import generic
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.generic import Flattener, flat_fields, flatten
from fieldgate_devices.names import name_problem
from fieldgate_devices.reading import read_catalogue
from profile_kit import contract


@pytest.mark.parametrize(
    ("payload", "fields"),
    [
        (b'{"temperature":85}', b'{"temperature":85.0}'),
        (b'{"switch:0":{"apower":1.5,"output":true}}', b'{"switch_0_apower":1.5,"switch_0_output":true}'),
        (b'{"a":[1,{"b":"x"}],"n":null,"e":{}}', b'{"a_0":1.0,"a_1_b":"x"}'),
        (b'{"a_b":1,"a":{"b":2}}', b'{"a_b":1.0,"a_b_2":2.0}'),
        (b"21.5", b'{"value":21.5}'),
        (b'"ON"', b'{"value":"ON"}'),
        (b"null", b"{}"),
        (b'{"type":"x","class":1}', b'{"class_":1.0,"type_":"x"}'),
        (b'{"n":9007199254740993}', b'{"n":9007199254740993}'),
        (b'{"n":9007199254740992}', b'{"n":9007199254740992.0}'),
    ],
)
def test_json_of_unknown_devices_is_flattened_and_its_numbers_are_floats(payload, fields):
    assert flatten(payload) == fields


@pytest.mark.parametrize(
    "payload",
    [b'{"a":1,"a":2}', b"[" * 50 + b"]" * 50, json.dumps({str(n): n for n in range(600)}).encode(), b"ON", b""],
)
def test_what_cannot_be_flattened_is_left_as_it_is(payload):
    assert flatten(payload) is None


SCALARS = st.none() | st.booleans() | st.integers(-10, 10) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_flattening_loses_no_value_and_gives_names_for_rules(value):
    fields = flat_fields(value)

    leaves = [one for one in _leaves(value) if one is not None]
    assert sorted(map(repr, (value for value, _ in fields.values()))) == sorted(map(repr, map(_plain, leaves)))
    assert [name_problem(name) for name in fields] == [""] * len(fields)


FLAT = st.dictionaries(
    st.sampled_from(["a", "seq", "b_2", "B", "type", "x y", "é"]),
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    max_size=5,
)


@given(FLAT | VALUES, st.sampled_from([(",", ":"), (", ", ": "), (" ,", "\t:")]))
def test_the_short_way_of_flat_messages_gives_the_same_bytes(value, separators):
    payload = json.dumps(value, separators=separators).encode()

    warm, other = Flattener(), Flattener()
    warm(payload)
    other(b'{"a":1,"seq":2}')

    assert warm(payload) == other(payload) == flatten(payload)


@given(st.lists(FLAT, min_size=2, max_size=8))
def test_a_device_whose_messages_differ_in_their_members_gets_the_bytes_of_each_alone(values):
    flattener = Flattener()

    for payload in [json.dumps(value, separators=(",", ":")).encode() for value in values] * 2:
        assert flattener(payload) == flatten(payload)


def test_members_that_come_and_go_take_the_short_way(monkeypatch):
    """A device that sends its battery every tenth time is as fast as one that always sends the same."""
    flattener = Flattener()
    payloads = [b'{"t":1,"b":2}', b'{"b":1}', b'{"t":true}', b'{"b":"x:y","t":1}']
    wanted = [flatten(payload) for payload in payloads]
    for payload in payloads:
        flattener(payload)

    monkeypatch.setattr(generic, "flatten", lambda payload: pytest.fail(f"the long way for {payload!r}"))

    assert [flattener(payload) for payload in payloads] == wanted
    monkeypatch.undo()
    assert flattener(b'{"t":1,"t":2}') is None


def _leaves(value):
    if isinstance(value, dict | list):
        for below in value.values() if isinstance(value, dict) else value:
            yield from _leaves(below)
    else:
        yield value


def _plain(value):
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def profile(name: str, match: str) -> str:
    return f"profile: {name}\nmatch: {{{match}}}\ndevice: d\nfields: {{x: {{type: float, optional: true}}}}\n"


def found(catalogue: Catalogue, topic: str, payload: bytes = b"{}") -> str | None:
    candidate = catalogue.find(topic, payload)
    return None if candidate is None else candidate.contract.profile.profile


def test_the_profile_that_says_most_about_a_message_takes_it():
    made = [
        ("all", 'mqtt: "#"'),
        ("site", 'mqtt: "site/#"'),
        ("any", 'mqtt: "site/{device}/t"'),
        ("one", 'mqtt: "site/b1/t"'),
        ("model", 'mqtt: "site/{device}/t", json: {m: x}'),
    ]
    catalogue = Catalogue([contract(profile(*one)) for one in made])

    assert found(catalogue, "other") == "all"
    assert found(catalogue, "site/b/c/d") == "site"
    assert found(catalogue, "site/b2/t") == "any"
    assert found(catalogue, "site/b1/t", b'{"m":"x"}') == "one"
    assert found(catalogue, "site/b2/t", b'{"m":"x"}') == "model"
    assert found(catalogue, "site/b2/t", b"\xff") == "any"
    assert found(Catalogue(), "site/b2/t") is None


def test_a_profile_of_yours_replaces_the_built_in_one_of_its_id():
    built_in = {"b/a.yaml": profile("a", 'mqtt: "x"').encode(), "b/b.yaml": profile("b", 'mqtt: "x"').encode()}

    catalogue, files = read_catalogue(built_in, {"own/a.yaml": profile("a", 'mqtt: "y"').encode()})

    assert [one.problems for one in files] == [[], [], []]
    assert (found(catalogue, "x"), found(catalogue, "y")) == ("b", "a")


def test_an_id_twice_is_a_problem_of_the_later_file():
    one = profile("a", 'mqtt: "x"').encode()

    catalogue, files = read_catalogue({}, {"own/1.yaml": one, "own/2.yaml": one})

    assert [str(problem) for file in files for problem in file.problems] == [
        "own/2.yaml:1:10: 'a' is the id of the profile in own/1.yaml already"
    ]
    assert list(catalogue.contracts) == ["a"]


def test_serial_sources_are_named():
    catalogue = Catalogue([contract(profile("scale", "serial: scale"))])

    assert found(catalogue, "serial/scale") == "scale"
    assert found(catalogue, "serial/other") is None
