"""The exported contract is that of what the gateway really emits."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldgate.config.loader import read
from fieldgate.config.model import Config
from fieldgate.contract_export import (
    Kind,
    all_commands,
    all_kinds,
    asyncapi_document,
    everything_schema,
    profile_document,
)
from fieldgate.contract_export.schemas import ATTRIBUTES
from fieldgate.forward.binary import BinaryProperties
from fieldgate.forward.encode import CloudEvents
from fieldgate.forward.ha_entity import KnownField
from fieldgate.forward.home_assistant import DevicesToTell, HomeAssistant, KnownDevice
from fieldgate.forward.presence import Presence
from fieldgate.forward.raw import RawProperties
from fieldgate.ingest.decode import ContractDecoder
from fieldgate.ingest.source import Received
from fieldgate.journal.gaps import Hole, gap_event
from fieldgate.mqtt.properties import read_properties
from fieldgate_devices.builtin import builtin_profiles
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.event import Address, Event, Lane, Stamp, TimeQuality
from fieldgate_devices.examples import example_payload, topic_of
from fieldgate_devices.reading import read_catalogue
from profile_kit import BOILER, TOPIC, contract

ASYNCAPI = json.loads((Path(__file__).parents[1] / "vendor/asyncapi/3.0.0.json").read_bytes())
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


# -- envelopes -----------------------------------------------------------------------------------------------

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


def good() -> dict[str, Any]:
    (one,) = envelopes(heard(TOPIC, b'{"temperature": 21.5, "state": "idle"}'))
    return one


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


# -- AsyncAPI ------------------------------------------------------------------------------------------------

UPLINKS = """
gateway: {id: plant-7}
uplinks:
  cloud:
    mqtt:
      url: mqtts://broker.example:8883
      username: plant
      password: ${env:SECRET}
      topic: f/{gateway}/{device}/{type}
  batch: {mqtt: {url: "ws://b.example/x", status_topic: "off"}, format: cloudevents-batch, batch: {compression: zstd}}
  binary: {mqtt: {url: "mqtt://[2001:db8::1]", version: 5, topic: "b/{lane}/{topic}"}, format: cloudevents-binary}
  raw: {mqtt: {url: "${env:SECRET_URL}"}, format: raw}
  here: {mqtt: self, topic: "local/{device}/{type}", home_assistant: {}}
  house: {mqtt: {url: mqtt://ha.example, status_topic: "off"}, home_assistant: {prefix: ha/discovery}}
  told: {mqtt: {url: mqtt://told.example, status_topic: "off", commands: true}}
"""


@pytest.fixture
def config(tmp_path, monkeypatch) -> Config:
    monkeypatch.setenv("SECRET", "hunter2")
    monkeypatch.setenv("SECRET_URL", "mqtt://hidden.example")
    path = tmp_path / "fieldgate.yaml"
    path.write_text(UPLINKS)
    reading = read(path)
    assert reading.loaded is not None, [str(one) for one in reading.errors]
    return reading.loaded.config


def complaints(document: dict[str, Any]) -> list[str]:
    """What the official schema of AsyncAPI 3.0 says."""
    return [error.message[:200] for error in jsonschema.Draft7Validator(ASYNCAPI).iter_errors(document)]


def resolved(document: Any, ref: str) -> Any:
    for step in ref.removeprefix("#/").split("/"):
        document = document[step]
    return document


def test_the_document_is_asyncapi_3(config):
    assert complaints(asyncapi_document(config, KINDS, version="1.0.0")) == []


def test_a_gateway_without_uplinks_has_a_document_too():
    assert complaints(asyncapi_document(Config(), KINDS, version="1.0.0")) == []


COMMANDS = all_commands(one.profile for one in read_catalogue(builtin_profiles(), {})[0].contracts.values())


def test_an_uplink_that_takes_commands_has_a_channel_for_them_and_one_for_the_answers(config):
    """Whoever tells devices something from upstream finds topic, arguments and answers here."""
    document = asyncapi_document(config, KINDS, version="1.0.0", commands=COMMANDS)
    channels = document["channels"]
    (operation,) = [one for one in document["operations"].values() if one["action"] == "receive"]

    assert complaints(document) == []
    assert channels["told-commands"]["address"] == "fieldgate/plant-7/{device}/command/{name}"
    assert channels["told-answers"]["address"] == "fieldgate/plant-7/{device}/command/{name}/answer"
    assert channels["told-commands"]["parameters"].keys() == {"device", "name"}
    assert operation["reply"]["channel"] == {"$ref": "#/channels/told-answers"}
    arguments = document["components"]["schemas"]["command-tasmota-power"]
    jsonschema.validate({"state": "ON", "id": "7"}, arguments)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"state": "MAYBE"}, arguments)


def test_the_official_schema_notices_a_mistake(config):
    """The control."""
    document = asyncapi_document(config, KINDS, version="1.0.0")
    del document["operations"]["send-cloud"]["action"]

    assert complaints(document)


def test_every_reference_leads_somewhere(config):
    """A schema cannot see that."""
    document = asyncapi_document(config, KINDS, version="1.0.0", commands=COMMANDS)

    def refs(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [one for key, below in value.items() for one in ([below] if key == "$ref" else refs(below))]
        return [one for below in value for one in refs(below)] if isinstance(value, list) else []

    found = refs(document)

    assert found
    for one in found:
        resolved(document, one)


def test_no_secret_is_in_the_document(config):
    text = json.dumps(asyncapi_document(config, KINDS, version="1.0.0"))

    assert "hunter2" not in text
    assert "hidden" not in text
    assert "userPassword" in text


def test_channels_have_the_address_of_their_uplink(config):
    channels = asyncapi_document(config, KINDS, version="1.0.0")["channels"]

    assert {name: one["address"] for name, one in channels.items()} == {
        "cloud": "f/plant-7/{device}/{type}", "cloud-status": "fieldgate/plant-7/status",
        "batch": "fieldgate/plant-7/batch/batch", "binary": "b/{lane}/{topic}",
        "binary-status": "fieldgate/plant-7/status",
        "raw": "fieldgate/plant-7/{device}/{type}", "raw-status": "fieldgate/plant-7/status",
        "here": "local/{device}/{type}",
        "here-discovery": "homeassistant/{component}/{node}/{field}/config",
        "house": "fieldgate/plant-7/{device}/{type}",
        "house-discovery": "ha/discovery/{component}/{node}/{field}/config",
        "told": "fieldgate/plant-7/{device}/{type}",
        "told-commands": "fieldgate/plant-7/{device}/command/{name}",
        "told-answers": "fieldgate/plant-7/{device}/command/{name}/answer",
    }  # fmt: skip
    assert set(channels["cloud"]["parameters"]) == {"device", "type"}


def test_servers_say_how_to_reach_the_broker(config):
    servers = asyncapi_document(config, KINDS, version="1.0.0")["servers"]

    assert (servers["cloud"]["host"], servers["cloud"]["protocol"]) == ("broker.example:8883", "secure-mqtt")
    assert (servers["batch"]["host"], servers["batch"]["pathname"]) == ("b.example:80", "/x")
    assert servers["binary"] == {"host": "[2001:db8::1]:1883", "protocol": "mqtt", "protocolVersion": "5"}


def test_a_real_envelope_is_the_payload_of_its_message(config):
    """Through the document, as a consumer's tool would check it."""
    document = asyncapi_document(config, KINDS, version="1.0.0")
    message = resolved(document, document["channels"]["cloud"]["messages"]["boiler"]["$ref"])
    checker = jsonschema.Draft7Validator({**message["payload"], "components": document["components"]})

    assert checker.is_valid(good())
    assert not checker.is_valid(good() | {"data": {}})


def test_birth_goodbye_and_last_will_are_what_the_status_channel_says(config):
    document = asyncapi_document(config, KINDS, version="1.0.0")
    channel = document["channels"]["cloud-status"]
    message = resolved(document, channel["messages"]["status"]["$ref"])
    checker = validator(message["payload"])
    presence = Presence("fieldgate/{gateway}/status", gateway="plant-7", uplink="cloud", run=7)
    birth = presence.message("online", wall_ns=STAMP.wall_ns, is_synced=False, is_retained=True)

    for payload in (birth.payload, presence.will().payload):
        checker.validate(json.loads(payload))
    assert channel["address"] == presence.topic
    assert not checker.is_valid({**json.loads(birth.payload), "state": "away"})


def test_what_home_assistant_is_told_is_what_the_discovery_channel_says(config):
    """Every shape of it: numbers, texts, choices, truth values; with and without availability."""
    document = asyncapi_document(config, KINDS, version="1.0.0")
    channel = document["channels"]["here-discovery"]
    checker = validator(resolved(document, channel["messages"]["discovery"]["$ref"])["payload"])
    fields = [KnownField(f"battery_{kind}", kind, "t", 1) for kind in ("number", "bool", "text")]
    fields += [KnownField("t", "number", "t", 1, "°C"), KnownField("mode", "text", "t", 1, options=("a", "b"))]
    fields += [KnownField("total_energy", "number", "t", 1, "kWh"), KnownField("soc", "number", "t", 1, "%")]
    known = {("p", "d/1"): KnownDevice("p", "d/1", 1, tuple(fields), silent_after_s=5.0)}
    told = []
    for status_topic in (None, "fieldgate/{gateway}/status"):
        discovery = HomeAssistant(
            config.uplinks["here"], prefix="homeassistant", topic="f/{gateway}/{device}/{type}", gateway="plant-7",
            status_topic=status_topic,
        )  # fmt: skip
        discovery.watch(DevicesToTell(lambda: list(known), known.get))
        discovery.begin()
        told += list(iter(discovery.next, None))

    assert len(told) == 2 * len(fields)
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", channel["address"])
    for topic, payload in told:
        checker.validate(json.loads(payload))
        found = re.fullmatch(pattern, topic)
        assert found is not None
        assert set(found.groupdict()) == set(channel["parameters"])
        assert found["component"] in channel["parameters"]["component"]["enum"]
    assert not checker.is_valid({**json.loads(told[0][1]), "state_class": "total"})
    assert document["operations"]["send-here-discovery"]["bindings"]["mqtt"]["retain"] is True


def test_kinds_are_those_of_the_profiles_and_our_own():
    names = [kind.name for kind in KINDS]

    assert names == ["boiler", "thing", "generic", "gap", "clock", "command", "silent", "back"]
    assert all(isinstance(kind, Kind) for kind in KINDS)


def user_properties(block: bytes) -> dict[str, str]:
    properties = read_properties(block)
    assert properties is not None
    return dict(properties.user)


@settings(max_examples=100, deadline=None)
@given(topics, payloads, stamps, st.sampled_from(list(Lane)), st.booleans(), st.booleans())
def test_the_headers_of_binary_and_raw_messages_are_those_of_the_document(
    topic, payload, stamp, lane, replayed, stored
):
    """There the attributes are MQTT 5 user properties, which are texts."""
    events = heard(topic, payload, stamp, lane, is_replayed=replayed)
    document = asyncapi_document(both_formats(), KINDS, version="1.0.0")
    boot = "6c1b6a1e-boot"
    binary = BinaryProperties(gateway="plant-7", os_boot_of=lambda _run: boot).blocks(events, is_stored=stored)
    raw = RawProperties(os_boot_of=lambda _run: boot).blocks(events, is_stored=stored)

    for event, binary_block, raw_block in zip(events, binary, raw, strict=True):
        for uplink, name, block in (("binary", event.address.type, binary_block), ("raw", "raw", raw_block)):
            headers = document["components"]["messages"][f"{uplink}.{name}"]["headers"]
            said = user_properties(block)
            jsonschema.Draft7Validator(headers).validate(said)
            assert set(said) <= set(headers["properties"])


def both_formats() -> Config:
    uplinks = {
        name: {"mqtt": {"url": "mqtt://b.example", "version": "5"}, "format": form}
        for name, form in (("binary", "cloudevents-binary"), ("raw", "raw"))
    }
    return Config.model_validate({"gateway": {"id": "plant-7"}, "uplinks": uplinks})
