"""Commands of a profile: which arguments they take, with the reasons that name them, and what is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fieldgate_devices.builtin import builtin_profiles
from fieldgate_devices.command import Command, CommandRefused, Publication, SerialWrite, argument_of_text
from fieldgate_devices.command_model import CommandSpec
from fieldgate_devices.reading import read_catalogue

CAPTURES = {"device": "b7", "site": "a"}


def command(**spec: Any) -> Command:
    return Command("set", CommandSpec.model_validate(spec))


def sent(made: Command, arguments: dict[str, Any], captures: dict[str, str] | None = None) -> Publication | SerialWrite:
    return made.request(made.check(arguments), captures or CAPTURES, "id-1")


TARGET = command(
    publish="{site}/{device}/set",
    payload={
        "target": {"type": "float", "min": 20, "max": 90, "unit": "°C"},
        "mode": {"type": "enum", "values": ["eco", "full", 3], "optional": True},
        "hours": {"type": "int", "default": 2},
        "note": {"type": "string", "optional": True},
        "parts": {"type": "object", "optional": True},
        "on": {"type": "bool", "optional": True},
    },
)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"target": 120}, "target: 120 is above the greatest value 90 °C"),
        ({"target": 19.5}, "target: 19.5 is below the least value 20 °C"),
        ({"target": "hot"}, "target: 'hot' is not a number"),
        ({"target": True}, "target: true is not a number"),
        ({"target": float("nan")}, "target: nan is not a finite number"),
        ({"target": 1 << 70}, "target: 1180591620717411303424 takes more than 64 bits"),
        ({}, "target is missing; set takes target, mode, hours, note, parts, on"),
        ({"target": None}, "target is missing; set takes target, mode, hours, note, parts, on"),
        ({"tarket": 50}, "'tarket' is no argument of set; did you mean 'target'?"),
        ({"zzz": 50}, "'zzz' is no argument of set; it has target, mode, hours, note, parts, on"),
        ({"target": 50, "mode": "ecco"}, "mode: 'ecco' is not one of eco, full, 3; did you mean 'eco'?"),
        ({"target": 50, "hours": 1.5}, "hours: 1.5 is not a whole number"),
        ({"target": 50, "note": 5}, "note: 5 is not a text"),
        ({"target": 50, "note": "x" * 5000}, "note: a text of 5,000 characters; allowed: 4,096"),
        ({"target": 50, "parts": 5}, "parts: 5 is neither a mapping nor a list"),
        ({"target": 50, "on": 1}, "on: 1 is neither true nor false"),
    ],
)
def test_an_argument_that_is_wrong_is_refused_by_name(arguments: dict[str, Any], reason: str) -> None:
    """Whoever reads it is not the one who wrote the profile."""
    with pytest.raises(CommandRefused) as refused:
        TARGET.check(arguments)

    assert str(refused.value) == reason


def test_arguments_become_a_json_mapping_with_defaults() -> None:
    request = sent(TARGET, {"target": 50, "mode": 3, "on": False})

    assert isinstance(request, Publication)
    assert (request.topic, request.qos, request.retain) == ("a/b7/set", 1, False)
    assert json.loads(request.payload) == {"target": 50.0, "mode": 3, "hours": 2, "on": False}


def test_what_is_part_of_the_topic_is_not_in_the_payload() -> None:
    made = command(publish="{device}/relay/{n}/set", payload={"n": {"type": "int"}, "on": {"type": "bool"}})
    request = sent(made, {"n": 2, "on": True})

    assert isinstance(request, Publication)
    assert (request.topic, request.payload) == ("b7/relay/2/set", b'{"on":true}')


def test_words_and_numbers_of_the_device_are_sent() -> None:
    """map, scale and offset, done backwards."""
    made = command(
        publish={"topic": "t/{device}/set", "text": "{on} {level} {{}} {command_id}"},
        payload={
            "on": {"type": "bool", "map": {"ON": True, "OFF": False}},
            "level": {"type": "float", "scale": 0.1, "offset": -40},
        },
    )
    request = sent(made, {"on": False, "level": 21.5})

    assert isinstance(request, Publication)
    assert request.payload == b"OFF 615 {} id-1"


def test_a_json_template_keeps_types_and_leaves_out_what_was_left_out() -> None:
    made = command(
        publish={
            "topic": "t/{device}/rpc",
            "json": {"id": "{command_id}", "p{n}": [{"on": "{on}"}, "{level}"], "text": "to {device}", "n": None},
        },
        payload={"n": {"type": "int"}, "on": {"type": "bool"}, "level": {"type": "float", "optional": True}},
    )
    request = sent(made, {"n": 1, "on": True})

    assert isinstance(request, Publication)
    assert json.loads(request.payload) == {"id": "id-1", "p1": [{"on": True}], "text": "to b7", "n": None}


def test_a_capture_that_nothing_has_said_is_a_refusal() -> None:
    with pytest.raises(CommandRefused, match=r"^\{site\} is not known: no message of the device has said it yet$"):
        sent(TARGET, {"target": 50}, {"device": "b7"})


@pytest.mark.parametrize("entity", ["a/b", "", "a+b", "#", "a\0b"])
def test_no_argument_makes_another_topic(entity: str) -> None:
    """Whoever may switch one light must not reach another device's topic by a name with a slash in it."""
    made = command(publish="{device}/light/{entity}/set", payload={"entity": {"type": "string"}})

    with pytest.raises(CommandRefused):
        sent(made, {"entity": entity})


def test_no_id_makes_another_topic() -> None:
    """An id comes from whoever gives the command, as its arguments do."""
    made = command(publish="dev/{command_id}/set")
    with pytest.raises(CommandRefused, match="command_id: 'a/other' cannot be a level of a topic"):
        made.request({}, {}, "a/other")


def test_a_device_with_levels_in_its_name_keeps_them() -> None:
    request = sent(TARGET, {"target": 50}, {"device": "kitchen/lamp", "site": "a"})

    assert isinstance(request, Publication)
    assert request.topic == "a/kitchen/lamp/set"


def test_what_is_written_to_a_port() -> None:
    text = command(serial=r"SET {limit}\x02\xff°\r\n\\", payload={"limit": {"type": "float"}})
    digits = command(
        serial={"hex": "10 {limit:u16le}{sign:i8} ff"}, payload={"limit": {"type": "int"}, "sign": {"type": "int"}}
    )

    assert sent(text, {"limit": 50}) == SerialWrite(b"SET 50\x02\xff\xc2\xb0\r\n\\")
    assert sent(digits, {"limit": 513, "sign": -1}) == SerialWrite(b"\x10\x01\x02\xff\xff")
    with pytest.raises(CommandRefused, match="limit: 70000 does not fit into its bytes"):
        sent(digits, {"limit": 70_000, "sign": 0})


def test_a_reply_is_what_the_profile_says() -> None:
    made = command(
        publish="t/{device}/set",
        payload={"n": {"type": "int"}},
        reply={"mqtt": "t/{device}/state", "json": {"n": "{n}", "ok": True}},
    )
    words = command(serial="GO", reply={"text": ["OK", "DONE"], "pattern": "^[A-Z]+"})
    request, written = sent(made, {"n": 5}), sent(words, {})

    assert request.reply is not None
    assert request.reply.topic == "t/b7/state"
    assert request.reply.is_said_by(b'{"n": 5, "ok": true, "more": 1}')
    assert not request.reply.is_said_by(b'{"n": 6, "ok": true}')
    assert not request.reply.is_said_by(b"\xff\x00")
    assert written.reply is not None
    assert written.reply.is_said_by(b"OK\r\n")
    assert not written.reply.is_said_by(b"FAIL")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("target", "55", 55), ("target", "hot", "hot"), ("mode", "eco", "eco"), ("mode", "3", 3),
        ("mode", "ECO", "eco"),
        ("note", "55", "55"), ("on", "yes", True), ("on", "OFF", False), ("on", "maybe", "maybe"),
        ("parts", '{"a": [1]}', {"a": [1]}),
    ],
)  # fmt: skip
def test_what_a_person_types_is_read_by_the_type_of_the_argument(name: str, text: str, value: object) -> None:
    assert argument_of_text(TARGET.spec.payload[name], text) == value


_TOLD = {
    ("zigbee2mqtt", "set"): ({"state": "ON"}, "zigbee2mqtt/b7/set", '{"state":"ON"}'),
    ("zigbee2mqtt", "set_any"): ({"members": {"x": 1}}, "zigbee2mqtt/b7/set", '{"x":1}'),
    ("tasmota", "power"): ({"state": "TOGGLE"}, "cmnd/b7/POWER", "TOGGLE"),
    ("tasmota", "power_of"): ({"state": "ON", "relay": 2}, "cmnd/b7/POWER2", "ON"),
    ("shelly_gen1", "relay"): ({"turn": "on"}, "shellies/b7/relay/0/command", "on"),
    ("shelly_gen1", "light"): ({"brightness": 40}, "shellies/b7/light/0/set", '{"brightness":40}'),
    ("shelly_gen2", "switch"): (
        {"turn_on": True}, "b7/rpc",
        '{"id":"id-1","src":"fieldgate","method":"Switch.Set","params":{"id":0,"on":true}}',
    ),
    ("esphome", "switch"): ({"entity": "relay_1", "state": "ON"}, "b7/switch/relay_1/command", "ON"),
    ("esphome", "number"): ({"entity": "limit", "value": 7}, "b7/number/limit/command", "7"),
    ("openmqttgateway", "send_433"): (
        {"value": 1315156, "protocol": 1}, "home/b7/commands/MQTTto433", '{"value":1315156,"protocol":1}',
    ),
    ("zigbee2mqtt_bridge", "permit_join"): ({"time": 60}, "zigbee2mqtt/bridge/request/permit_join", '{"time":60}'),
}  # fmt: skip


@pytest.mark.parametrize(("profile", "name"), _TOLD)
def test_built_in_profiles_say_what_their_devices_listen_to(profile: str, name: str) -> None:
    """As the makers document it."""
    arguments, topic, payload = _TOLD[profile, name]
    catalogue, _ = read_catalogue(builtin_profiles(), {})
    made = Command(name, catalogue.contracts[profile].profile.commands[name])
    request = sent(made, arguments)

    assert isinstance(request, Publication)
    assert (request.topic, request.payload.decode()) == (topic, payload)
