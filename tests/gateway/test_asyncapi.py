"""The AsyncAPI document of a gateway: valid, whole, and of the messages that are sent."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract_export_kit import (
    ASYNCAPI,
    KINDS,
    STAMP,
    good,
    heard,
    payloads,
    stamps,
    topics,
    validator,
)
from fieldgate.config.loader import read
from fieldgate.config.model import Config
from fieldgate.contract_export import (
    Kind,
    all_commands,
    asyncapi_document,
)
from fieldgate.forward.binary import BinaryProperties
from fieldgate.forward.ha_entity import KnownField
from fieldgate.forward.home_assistant import DevicesToTell, HomeAssistant, KnownDevice
from fieldgate.forward.presence import Presence
from fieldgate.forward.raw import RawProperties
from fieldgate.mqtt.properties import read_properties
from fieldgate_devices.builtin import builtin_profiles
from fieldgate_devices.event import Lane
from fieldgate_devices.reading import read_catalogue

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

    assert names == [
        "boiler",
        "thing",
        "generic",
        "gap",
        "clock",
        "command",
        "silent",
        "back",
        "alert",
        "rules",
        "vitals",
    ]
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
