"""Bytes in, readings out: devices, times, versions, what no field names."""

from __future__ import annotations

import msgspec
import pytest

from fieldgate_devices.breach import Breach
from fieldgate_devices.contract import Contract, Reading
from profile_kit import BOILER, TOPIC, contract, with_fields


def read(contract: Contract, payload: bytes, topic: str = "t/d1") -> list[Reading]:
    captures = contract.match(topic, payload)
    assert captures is not None
    return contract.read(payload, captures, topic)


def fields(contract: Contract, payload: bytes, topic: str = "t/d1") -> dict[str, object]:
    (reading,) = read(contract, payload, topic)
    decoded = msgspec.json.decode(reading.data)
    assert isinstance(decoded, dict)
    return decoded


def test_the_profile_of_the_documentation_does_what_it_says():
    boiler = contract(BOILER)

    (reading,) = read(boiler, b'{"temperature":85,"state":"idle","sensors":{"flow:0":3},"more":1}', TOPIC)

    assert reading == Reading("b1", b'{"temperature":85.0,"state":"idle","flow":3.0}')


def test_a_message_of_an_older_version_is_upgraded():
    assert fields(contract(BOILER), b'{"temp":21,"state":"idle"}', TOPIC) == {"temperature": 21.0, "state": "idle"}


UPGRADED = """
profile: p
version: 3
match: {mqtt: "t/{device}"}
fields: {celsius: {type: float}, low: {type: float}, high: {type: float}, mode: {type: string}}
upgrade:
  1: {when: {fahrenheit: {exists: true}}, rename: {fahrenheit: celsius}, scale: {celsius: {scale: 0.5, offset: -10}}}
  2: {when: {range: {exists: true}}, split: {range: {separator: "..", into: [low, high]}}, default: {mode: auto}}
"""


@pytest.mark.parametrize(
    "payload",
    [
        b'{"fahrenheit":62,"range":"10..20"}',
        b'{"celsius":21,"range":"10..20"}',
        b'{"celsius":21.0,"low":10,"high":20,"mode":"auto"}',
    ],
)
def test_every_older_version_comes_to_the_newest_step_by_step(payload):
    assert fields(contract(UPGRADED), payload) == {"celsius": 21.0, "low": 10.0, "high": 20.0, "mode": "auto"}


def test_a_message_that_no_version_fits_breaks_the_newest():
    """The author wants to hear about the contract as it is, not about one of ten years ago."""
    with pytest.raises(Breach, match="temperature is missing"):
        read(contract(BOILER), b'{"tmp":21,"state":"idle"}', TOPIC)


def test_a_message_that_says_its_version_is_taken_by_its_word():
    said = contract(
        """
        profile: p
        version: 2
        match: {mqtt: "t/{device}"}
        version_from: v
        fields: {x: {type: float}}
        upgrade: {1: {scale: {x: {scale: 0.001}}}}
        """
    )

    assert fields(said, b'{"v":1,"x":5000}') == {"x": 5.0}
    assert fields(said, b'{"v":"2","x":5}') == {"x": 5.0}
    with pytest.raises(Breach, match="v is 3; known versions: 1, 2"):
        read(said, b'{"v":3,"x":5}')


@pytest.mark.parametrize(
    ("template", "topic", "payload", "device"),
    [
        ("{device}", "t/d1", b"{}", "d1"),
        ("{model}-{id}", "t/d1", b'{"model":"Acurite","id":7}', "Acurite-7"),
        ("{device}/{n.m}", "t/d1", b'{"n":{"m":"x"}}', "d1/x"),
        ("fixed", "t/d1", b"{}", "fixed"),
    ],
)
def test_the_name_of_a_device_comes_of_topic_and_message(template, topic, payload, device):
    made = with_fields("x: {type: float, optional: true}", f'device: "{template}"')

    (reading,) = read(made, payload, topic)

    assert reading.device == device


def test_a_topic_that_catches_no_device_is_its_name():
    plain = contract('profile: p\nmatch: {mqtt: "t/#"}\nfields: {x: {type: float}}\n')

    assert read(plain, b'{"x":1}', "t/a/b")[0].device == "t.a.b"


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b'{"id":null}',
        b'{"id":""}',
        b'{"id":[]}',
        b'{"id":true}',
        b'{"id":"a\\u0000b"}',
        b'{"id":"a+b"}',
        b'{"id":"' + b"a" * 300 + b'"}',
    ],
)
def test_a_message_that_names_no_device_is_refused(payload):
    with pytest.raises(Breach) as caught:
        read(with_fields("x: {type: float, optional: true}", 'device: "{id}"'), payload)

    assert caught.value.code == "no_device"


def test_members_that_no_field_names_are_dropped_kept_or_refused():
    payload = b'{"x":1,"y":{"z:0":2,"on":true},"ts":5,"none":null}'
    head = "time: {from: ts, format: unix_s}"

    assert fields(with_fields("x: {type: float}", head), payload) == {"x": 1.0}
    kept = fields(with_fields("x: {type: float}", f"{head}\nother_fields: keep"), payload)
    assert kept == {"x": 1.0, "y_z_0": 2.0, "y_on": True}
    with pytest.raises(Breach, match=r"y\.z:0 is named by no field"):
        read(with_fields("x: {type: float}", f"{head}\nother_fields: refuse"), payload)


def test_a_kept_member_never_takes_the_name_of_a_field():
    kept = fields(with_fields("x: {type: float, from: a, optional: true}", "other_fields: keep"), b'{"x":1}')

    assert kept == {"x_2": 1.0}


def test_the_time_of_the_device_is_taken():
    timed = with_fields("x: {type: float}", "time: {from: ts, format: unix_ms}")

    assert read(timed, b'{"x":1,"ts":1795694400000}')[0].at_ns == 1_795_694_400 * 10**9
    assert read(timed, b'{"x":1}')[0].at_ns is None
    assert read(timed, b'{"x":1,"ts":0}')[0].at_ns is None
    with pytest.raises(Breach, match="ts is 'soon'"):
        read(timed, b'{"x":1,"ts":"soon"}')


def test_conditions_tell_messages_of_one_topic_apart():
    made = contract(
        """
        profile: p
        match:
          - {mqtt: "rtl_433/#", json: {model: "Acurite-*", id: {exists: true}, battery_ok: [0, 1]}}
          - {mqtt: "other/{device}"}
        device: p
        fields: {x: {type: float, optional: true}}
        """
    )

    assert made.match("rtl_433/events", b'{"model":"Acurite-606TX","id":1,"battery_ok":1}') == {}
    assert made.match("other/a", b"no json") == {"device": "a"}
    for payload in (
        b'{"model":"Nexus","id":1,"battery_ok":1}',
        b'{"model":"Acurite-606TX","battery_ok":1}',
        b'{"model":"Acurite-6","id":1,"battery_ok":true}',
        b"[]",
        b"\xff",
        b"",
    ):
        assert made.match("rtl_433/events", payload) is None
