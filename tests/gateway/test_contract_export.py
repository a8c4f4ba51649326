"""The exported contract is that of what the gateway really emits."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract_export_kit import (
    EVERYTHING,
    KINDS,
    STAMP,
    assert_all_valid,
    envelopes,
    good,
    heard,
    payloads,
    stamps,
    topics,
    validator,
)
from fieldgate.contract_export import (
    all_kinds,
    profile_document,
)
from fieldgate.journal.gaps import Hole, gap_event
from fieldgate_devices.builtin import builtin_profiles
from fieldgate_devices.event import Address, Event, Lane
from fieldgate_devices.examples import example_payload, topic_of
from fieldgate_devices.reading import read_catalogue

# -- envelopes -----------------------------------------------------------------------------------------------


@settings(max_examples=400, deadline=None)
@given(topics, payloads, stamps, st.sampled_from(list(Lane)), st.booleans(), st.booleans())
def test_every_envelope_that_is_made_is_one_of_the_contract(topic, payload, stamp, lane, is_replayed, is_stored):
    """A platform team generates code from it; one event that differs stops their consumer."""
    assert_all_valid(envelopes(heard(topic, payload, stamp, lane, is_replayed=is_replayed), is_stored=is_stored))


@pytest.mark.parametrize("path", sorted(builtin_profiles()))
def test_the_examples_of_the_built_in_profiles_keep_their_exported_contract(path):
    catalogue, _ = read_catalogue({path: builtin_profiles()[path]}, {})
    (one,) = catalogue.contracts.values()
    (kind,) = (kind for kind in all_kinds([one.profile]) if kind.name == one.profile.profile)
    checker = validator(profile_document(kind))

    for example in one.profile.examples:
        if example.error is None:
            topic = example.topic or topic_of(one)
            payload = example_payload(example, one.profile)
            captures = one.match(topic, payload) if one.matchers else {"device": "example"}
            assert captures is not None
            for reading in one.read(payload, captures, topic):
                checker.validate(json.loads(reading.data))


def test_what_the_gateway_says_itself_is_in_the_contract():
    """Gap, clock, silent and back are events like others."""
    gap = gap_event(Hole(0, "evicted", 3, 7, 1, 5, STAMP), gateway="plant-7")
    clock = Event(Address("plant-7", "clock", "fieldgate/clock"), STAMP, b'{"osboot":"x","offsetns":5}', True, 0, seq=1)
    silence = (
        b'{"device":"b1","profile":"boiler","since":"2026-11-26T12:00:00Z","for_s":12.5,"values":{"temperature":1.0}}'
    )
    silent = Event(Address("b1", "silent", "fieldgate/silent"), STAMP, silence, True, 0, seq=2)
    back = Event(Address("b1", "back", "fieldgate/back"), STAMP, b'{"device":"b1","profile":"boiler"}', True, 0, seq=3)

    found = envelopes([gap, clock, silent, back])

    assert [one["type"] for one in found] == ["fieldgate.gap", "fieldgate.clock", "fieldgate.silent", "fieldgate.back"]
    assert_all_valid(found)


def test_what_became_of_a_command_is_in_the_contract():
    """As `CommandDesk` says it."""
    said = {
        "device": "b1", "name": "set", "id": "7", "origin": "uplink:cloud", "status": "done", "reason": "",
        "arguments": {"target": 55}, "received": "2026-11-26T12:00:00.000Z", "started": None,
        "answered": "2026-11-26T12:00:00.000Z",
    }  # fmt: skip
    event = Event(Address("b1", "command", "fieldgate/command"), STAMP, json.dumps(said).encode(), True, 0, seq=1)

    assert_all_valid(envelopes([event]))
    with pytest.raises(AssertionError):
        assert_all_valid(envelopes([replaced(event, json.dumps(said | {"status": "accepted"}).encode())]))


def replaced(event: Event, data: bytes) -> Event:
    return Event(event.address, event.stamp, data, True, 0, seq=event.seq)


BROKEN = [
    {"type": "fieldgate.nobody"},
    {"dataschema": "urn:fieldgate:boiler:1"},
    {"specversion": "0.3"},
    {"id": "7-1"},
    {"time": "yesterday"},
    {"lane": "normal"},
    {"replayed": "true"},
    {"data": {"temperature": 21.5}},
    {"data": {"temperature": 151, "state": "idle"}},
    {"data": {"temperature": "21.5", "state": "idle"}},
    {"data": {"temperature": 21.5, "state": "melting"}},
    {"data": {"temperature": 21.5, "state": "idle", "more": 1}},
]


@pytest.mark.parametrize("change", BROKEN)
def test_what_is_not_so_is_refused(change):
    """The control: a schema that takes everything would pass all tests above."""
    assert EVERYTHING.is_valid(good())
    assert not EVERYTHING.is_valid(good() | change)


def test_units_and_limits_stand_in_the_schema():
    (kind,) = (one for one in KINDS if one.name == "boiler")
    document = profile_document(kind)

    assert document["$id"] == "urn:fieldgate:boiler:2"
    assert document["properties"]["temperature"] == {
        "type": "number", "x-unit": "°C", "minimum": -40.0, "maximum": 150.0,
    }  # fmt: skip
    assert document["required"] == ["temperature", "state"]
