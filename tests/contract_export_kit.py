"""Events and what is exported of them, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
from hypothesis import strategies as st

from fieldgate.contract_export import (
    all_kinds,
    everything_schema,
)
from fieldgate.contract_export.schemas import ATTRIBUTES
from fieldgate.forward.encode import CloudEvents
from fieldgate.ingest.decode import ContractDecoder
from fieldgate.ingest.source import Received
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.event import Event, Lane, Stamp, TimeQuality
from profile_kit import BOILER, TOPIC, contract

ASYNCAPI = json.loads((Path(__file__).parent / "vendor/asyncapi/3.0.0.json").read_bytes())
STAMP = Stamp(7, 1_764_166_000_123_456_789, 5_000_000_000)
THING = """
profile: thing
version: 3
match: {mqtt: "thing/{device}"}
other_fields: keep
time: {from: ts, format: unix_s}
fields:
  level: {type: float, unit: "%", min: 0, max: 100, no_reading: [-1]}
  count: {type: int, default: 0}
  on: {type: bool, optional: true}
  name: {type: string, optional: true}
  mode: {type: enum, values: [a, 1, true], optional: true}
  more: {type: object, optional: true}
"""
CATALOGUE = Catalogue([contract(BOILER), contract(THING)])
KINDS = all_kinds(one.profile for one in CATALOGUE.contracts.values())


def validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


EVERYTHING = validator(everything_schema(KINDS, gateway="plant-7"))


def envelopes(events: list[Event], *, is_stored: bool = False) -> list[dict[str, Any]]:
    encoder = CloudEvents(gateway="plant-7", os_boot_of=lambda _run: "6c1b6a1e-boot")
    return [json.loads(one) for one in encoder.envelopes(events, is_stored=is_stored)]


def heard(topic: str, payload: bytes, stamp: Stamp = STAMP, lane: int = Lane.NORMAL, **how: Any) -> list[Event]:
    events = ContractDecoder(CATALOGUE)([Received(topic, payload, 99, len(payload))], stamp, lane, **how).events
    for number, event in enumerate(events, 1):
        event.seq = number
    return events


def assert_all_valid(found: list[dict[str, Any]]) -> None:
    for one in found:
        problems = [error.message for error in EVERYTHING.iter_errors(one)]
        assert problems == [], one
        assert set(one) <= {*ATTRIBUTES, "data", "data_base64"}, "the encoder has a member that is not documented"


def good() -> dict[str, Any]:
    (one,) = envelopes(heard(TOPIC, b'{"temperature": 21.5, "state": "idle"}'))
    return one


numbers = st.floats(-50, 200) | st.integers(-50, 200)
plain = st.none() | st.booleans() | numbers | st.text(max_size=5)
anything = st.recursive(
    plain,
    lambda below: st.lists(below, max_size=2) | st.dictionaries(st.text(max_size=4), below, max_size=2),
    max_leaves=4,
)
members = st.fixed_dictionaries(
    {},
    optional={
        "level": numbers, "count": st.integers(), "on": plain, "name": plain, "mode": st.sampled_from(["a", 1, True]),
        "more": anything, "ts": st.integers(1_000_000_000, 4_000_000_000), "Extra": anything, "temperature": numbers,
        "state": st.sampled_from(["idle", "heating", "x"]),
    },
)  # fmt: skip
stamps = st.builds(
    Stamp, st.integers(0, 2**64 - 1), st.integers(0, 2**62), st.integers(0, 2**60), st.sampled_from(list(TimeQuality))
)
topics = st.sampled_from(["thing/t1", TOPIC, "other/x y", "a/ä+"])
payloads = members.map(msgspec.json.encode) | st.binary(max_size=9) | anything.map(msgspec.json.encode)
