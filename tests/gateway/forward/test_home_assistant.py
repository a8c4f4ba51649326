"""Home Assistant finds the devices by itself; its rules and templates are applied as its documentation says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fieldgate.config.uplink import UplinkConfig
from fieldgate.forward import ha_entity
from fieldgate.forward.encode import CloudEvents
from fieldgate.forward.ha_entity import KnownField, entity_of
from fieldgate.forward.home_assistant import DevicesToTell, HomeAssistant, KnownDevice
from fieldgate_devices.event import Address, Event
from home_assistant_rules import problems, rendered
from uplink_kit import STAMP

FIELDS = (
    KnownField("temperature", "number", "site/b1", 1, "°C"),
    KnownField("door_open", "bool", "site/b1", 1),
    KnownField("state", "text", "site/b1", 1, options=("idle", "heating")),
    KnownField("items", "text", "site/b1", 1),
)


def device(name: str = "b1", *fields: KnownField, kind: str = "boiler", **more: Any) -> KnownDevice:
    return KnownDevice(kind, name, 2, fields or FIELDS, **more)


def discovery(*devices: KnownDevice, **settings: Any) -> HomeAssistant:
    """One that knows these devices."""
    more = {name: settings.pop(name) for name in ("topic", "gateway", "status_topic", "is_wanted") if name in settings}
    config = UplinkConfig.model_validate({"mqtt": {"url": "mqtt://localhost"}, "home_assistant": {}, **settings})
    defaults = {"topic": config.mqtt.topic, "gateway": "gw", "status_topic": "fieldgate/{gateway}/status"}
    made = HomeAssistant(config, prefix="homeassistant", **{**defaults, **more})
    known = {(one.type, one.name): one for one in devices}
    made.watch(DevicesToTell(lambda: list(known), known.get))
    made.begin()
    return made


def everything(made: HomeAssistant) -> dict[str, bytes]:
    told = {}
    while (message := made.next()) is not None:
        topic, payload = message
        told[topic] = payload
        made.answered()
    return told


def configs(made: HomeAssistant) -> dict[str, dict[str, Any]]:
    return {topic.split("/")[-2]: json.loads(payload) for topic, payload in everything(made).items()}


def envelope(one: KnownDevice, data: dict[str, Any] | bytes) -> bytes:
    is_json = isinstance(data, dict)
    event = Event(
        Address(one.name, one.type, "site/b1", 2), STAMP, json.dumps(data).encode() if is_json else data, is_json, 1
    )
    (made,) = CloudEvents(gateway="gw", os_boot_of=lambda _run: None).envelopes([event], is_stored=False)
    return made


def test_each_field_is_told_on_a_topic_of_its_own_as_home_assistant_demands() -> None:
    """Rules of its documentation; a message that breaks one is ignored there, with a line in a log nobody reads."""
    told = everything(discovery(device(silent_after_s=90.5)))

    assert sorted(told) == [
        "homeassistant/binary_sensor/gw_b1/door_open/config",
        "homeassistant/sensor/gw_b1/items/config",
        "homeassistant/sensor/gw_b1/state/config",
        "homeassistant/sensor/gw_b1/temperature/config",
    ]
    assert [problems("homeassistant", topic, payload) for topic, payload in told.items()] == [[]] * 4


def test_a_sensor_says_its_classes_unit_device_and_when_it_is_there() -> None:
    """All of what makes an entity useful without a click."""
    config = configs(discovery(device(silent_after_s=90.5, model="boiler")))["temperature"]

    assert config["device_class"] == "temperature"
    assert config["state_class"] == "measurement"
    assert config["unit_of_measurement"] == "°C"
    assert config["state_topic"] == "fieldgate/gw/b1/boiler"
    assert config["expire_after"] == 91
    assert config["device"] == {"identifiers": ["fieldgate_gw_b1"], "name": "b1", "model": "boiler"}
    (availability,) = config["availability"]
    assert availability["topic"] == "fieldgate/gw/status"
    said = {
        state: rendered(availability["value_template"], json.dumps({"state": state}).encode())
        for state in ("online", "offline")
    }
    assert said == {
        "online": availability["payload_available"],
        "offline": availability["payload_not_available"],
    }


@pytest.mark.parametrize("form", ["cloudevents", "cloudevents-binary"])
def test_templates_find_the_values_in_the_uplinks_own_format(form: str) -> None:
    """A field named like a method of Jinja's mappings is a field."""
    one = device()
    made = configs(discovery(one, format=form))
    data = {"temperature": 21.5, "door_open": True, "state": "idle", "items": "x" * 300}
    payload = envelope(one, data) if form == "cloudevents" else json.dumps(data).encode()

    shown = {name: rendered(config["value_template"], payload) for name, config in made.items()}

    assert shown == {"temperature": "21.5", "door_open": "ON", "state": "idle", "items": "x" * 255}
    data["door_open"] = False
    payload = envelope(one, data) if form == "cloudevents" else json.dumps(data).encode()
    assert rendered(made["door_open"]["value_template"], payload) == made["door_open"]["payload_off"]


def test_a_message_without_the_field_leaves_its_state_as_it_was() -> None:
    """A device may say each thing at another time; numbers and switches ignore an empty text, texts do not."""
    one = device()
    made = configs(discovery(one))

    for payload in (envelope(one, {"other": 1}), envelope(one, b"\xff"), b"no json", b"[1]", b'{"data": 5}'):
        shown = {name: rendered(config["value_template"], payload) for name, config in made.items()}
        assert shown == {"temperature": "", "door_open": "", "state": "before", "items": "before"}


@pytest.mark.parametrize("name", ["b 1", "Küche/über", "a" * 300, "x\x1b[2J", "💡", "'}}{{ 7*7 }}", "+", "#"])
def test_names_are_escaped_as_home_assistant_demands(name: str) -> None:
    """[a-zA-Z0-9_-] in topics, and no two devices become one."""
    told = everything(discovery(device(name), device(name + "!"), gateway="plant.7"))

    assert len(told) == 8
    assert len({json.loads(payload)["unique_id"] for payload in told.values()}) == 8
    assert [problems("homeassistant", topic, payload) for topic, payload in told.items()] == [[]] * 8


@pytest.mark.parametrize(
    ("name", "unit", "device_class"),
    [
        ("humidity", "%", "humidity"), ("battery", "%", "battery"), ("soil_moisture", "%", "moisture"),
        ("valve", "%", ""), ("temp", "C", "temperature"), ("pressure", "hPa", "pressure"),
        ("energy_total", "kWh", "energy"), ("gas_total", "m3", "gas"), ("water", "m³", "water"),
        ("tank", "L", "volume_storage"), ("co2", "ppm", "carbon_dioxide"), ("count", "ppm", ""),
        ("wind_speed", "m/s", "wind_speed"), ("speed", "km/h", "speed"), ("wind_dir", "°", "wind_direction"),
        ("rain_total", "mm", "precipitation"), ("length", "mm", "distance"), ("rssi", "dBm", "signal_strength"),
        ("pm2_5", "µg/m³", "pm25"), ("pm10", "µg/m³", "pm10"), ("pm1", "µg/m³", "pm1"), ("ph", "", "ph"),
        ("x", "", ""), ("flow", "L/min", "volume_flow_rate"), ("power", "W", "power"),
        ("power_factor", "", "power_factor"), ("tvoc", "ppb", "volatile_organic_compounds_parts"),
        ("uptime", "s", "duration"), ("odd", "furlong", ""), ("volume_total", "L", "volume"),
        ("illuminance", "lux", "illuminance"), ("lamp", "lm", ""), ("iaq", "", "aqi"),
        ("no2", "ug/m3", "nitrogen_dioxide"),
    ],
)  # fmt: skip
def test_units_and_names_tell_the_class_and_never_one_with_another_unit(
    name: str, unit: str, device_class: str
) -> None:
    """Home Assistant warns of, or refuses, a class whose units or state classes are others."""
    field = KnownField(name, "number", "t", 1, unit)
    ((topic, payload),) = everything(discovery(device("d", field))).items()

    assert entity_of(field).device_class == device_class
    assert problems("homeassistant", topic, payload) == []


def test_every_class_that_can_be_said_is_valid_with_every_unit() -> None:
    """The whole table, each unit under names of every meaning."""

    by_name = {unit for units, *_ in ha_entity._CLASS_BY_NAME for unit in units}
    units = {*ha_entity._CLASS_OF_UNIT, *ha_entity._SAME_UNIT, *by_name}
    words = (
        "x battery humidity moisture co2 co voc pm1 pm25 pm10 wind rain_total rain gas water water_total ph aqi rssi"
    )
    names = [*words.split(), "noise", "power_factor", "ozone", "no2", "so2"]
    for unit in units:
        fields = [KnownField(name, "number", "t", 1, unit) for name in names]
        for topic, payload in everything(discovery(device("d", *fields))).items():
            assert problems("homeassistant", topic, payload) == [], unit


def test_the_check_notices_a_wrong_unit() -> None:
    """Control: the rules used above are rules."""
    ((topic, payload),) = everything(discovery(device("d", FIELDS[0]))).items()
    wrong = json.loads(payload) | {"unit_of_measurement": "kPa", "expire_after": 0.5, "surprise": 1}

    assert len(problems("homeassistant", topic, json.dumps(wrong).encode())) == 3
    assert problems("homeassistant", topic.replace("b1", "b 1").replace("gw_d", "gw d"), payload)


def test_a_device_is_told_when_it_appears_and_only_what_is_new_of_it() -> None:
    """Thirty fields are not told again for the thirty-first."""
    known: dict[tuple[str, str], KnownDevice] = {}
    made = discovery()
    made.watch(DevicesToTell(lambda: list(known), known.get))
    assert everything(made) == {}
    assert not made.is_behind

    known["boiler", "b1"] = device("b1", *FIELDS[:2])
    made.appeared(("boiler", "b1"))
    assert made.is_behind
    assert len(everything(made)) == 2

    known["boiler", "b1"] = device("b1")
    made.appeared(("boiler", "b1"))
    assert len(everything(made)) == 2

    made.begin()
    assert len(everything(made)) == 4


def test_what_is_forgotten_is_taken_back_with_empty_messages() -> None:
    """An empty retained message removes the entity; one that was lost on the way is sent again."""
    made = discovery(device())
    told = everything(made)

    made.forgotten(("boiler", "b1"), {"temperature": "number", "door_open": "bool", "state": "text", "items": "text"})
    made.watch(DevicesToTell(list, {}.get))
    lost = made.next()
    made.begin()
    again = everything(made)

    assert lost is not None
    assert again == dict.fromkeys(told, b"")


def test_a_device_of_two_profiles_has_both_fields_of_one_name() -> None:
    """The second one gets the profile's name behind it, and taking back one leaves the other."""
    rssi = KnownField("rssi", "number", "t", 1, "dBm")
    made = discovery(device("d", rssi), device("d", rssi, kind="modem"))
    first, second = everything(made)

    made.forgotten(("modem", "d"), {"rssi": "number"})

    assert (first, second) == ("homeassistant/sensor/gw_d/rssi/config", "homeassistant/sensor/gw_d/rssi_modem/config")
    assert made.next() == (second, b"")


def test_only_devices_whose_events_the_uplink_gets_are_told() -> None:
    """An entity that never has a value is worse than none."""
    made = discovery(device("b1"), device("secret"), is_wanted=lambda event: event.address.device != "secret")

    assert {topic.split("/")[2] for topic in everything(made)} == {"gw_b1"}


def test_an_uplink_without_a_status_topic_says_nothing_of_availability() -> None:
    """AWS IoT and Azure allow none; the local broker needs none."""
    made = configs(discovery(device(), status_topic=None))

    assert "availability" not in made["temperature"]
    assert "expire_after" not in made["temperature"]
