"""The profiles that come with Fieldgate: every file, its examples, and what surrounds them."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fieldgate_devices
from builtin_files import make_index
from fieldgate_devices.breach import Breach
from fieldgate_devices.builtin import INDEX, builtin_profiles
from fieldgate_devices.catalogue import Assigned, Catalogue
from fieldgate_devices.contract import Contract
from fieldgate_devices.examples import example_payload, failing_examples, topic_of
from fieldgate_devices.names import name_problem
from fieldgate_devices.profile import Example
from fieldgate_devices.profile_schema import SCHEMA_FILE, schema_text
from fieldgate_devices.reading import ProfileFile, read_catalogue, read_profile

FOLDER = Path(fieldgate_devices.__file__).parent / "profiles"
MODELINE = f"# yaml-language-server: $schema=./{SCHEMA_FILE}\n"
FILES: dict[str, ProfileFile] = {path: read_profile(content, path) for path, content in builtin_profiles().items()}
CONTRACTS: dict[str, Contract] = {
    one.contract.profile.profile: one.contract for one in FILES.values() if one.contract is not None
}
EXAMPLES = [(name, number) for name, one in CONTRACTS.items() for number in range(len(one.profile.examples))]
AGAIN = "run python tests/builtin_files.py"


def message(name: str, number: int) -> tuple[Contract, Example, str, bytes]:
    contract = CONTRACTS[name]
    example = contract.profile.examples[number]
    return contract, example, example.topic or topic_of(contract), example_payload(example, contract.profile)


def outcome(contract: Contract, topic: str, payload: bytes) -> list[tuple[str, object, int | None]] | str:
    """Devices, fields and times; or the reason for which it is refused."""
    captures = contract.match(topic, payload) if contract.matchers else {"device": "example"}
    if captures is None:
        return "no match"
    try:
        readings = contract.read(payload, captures, topic)
    except Breach as breach:
        return breach.detail
    return [(one.device, msgspec.json.decode(one.data), one.at_ns) for one in readings]


def shipped(assigned: dict[str, Assigned] | None = None) -> Catalogue:
    return read_catalogue(builtin_profiles(), {}, assigned)[0]


@pytest.mark.parametrize("path", FILES)
def test_a_profile_is_right_and_its_examples_are_true(path):
    """Users copy these files; what they say must be so."""
    assert [str(problem) for problem in FILES[path].problems] == []
    contract = FILES[path].contract
    assert contract is not None
    assert builtin_profiles()[path].decode().startswith(MODELINE)
    assert path == f"<built-in>/{contract.profile.profile}.yaml"
    assert contract.profile.description
    assert len(contract.profile.examples) >= 2


def test_an_example_that_is_not_true_is_a_failing_test():
    """Control."""
    content = builtin_profiles()["<built-in>/tasmota.yaml"].replace(b"out: {relay_2: true}", b"out: {relay_2: false}")

    problems = read_profile(content, "tasmota.yaml").problems

    assert [problem.message for problem in problems] == ["example 13: relay_2 is True, not False"]


@pytest.mark.parametrize(("name", "number"), EXAMPLES)
def test_all_profiles_together_take_an_example_as_its_own_does(name, number):
    """A looser profile must not take what is another's; and a contract from the index is the one of the YAML."""
    contract, _, topic, payload = message(name, number)

    named = {} if contract.matchers else {topic: Assigned(name, "example", "a source")}
    candidate = shipped(named).find(topic, payload)

    assert candidate is not None
    assert candidate.contract.profile.profile == name
    assert outcome(candidate.contract, topic, payload) == outcome(contract, topic, payload)
    if candidate.device is not None and isinstance(found := outcome(contract, topic, payload), list):
        assert {device for device, *_ in found} == {candidate.device}


@pytest.mark.parametrize(
    "topic",
    [
        "site/a/boiler/b1/telemetry",
        "sensors/kitchen/temperature",
        "kitchen/temperature",
        "kitchen/status",
        "tele/kitchen",
        "tele/a/b/c/SENSOR",
        "zigbee2mqtt/house/kitchen/lamp/set",
        "zigbee2mqtt/lamp/set/color",
        "stat/a/POWERFUL/x",
        "shellies/shelly1-76F4B3/relay/0/command",
        "shellies/shelly1-76F4B3/command",
        "mqtt/status/switch:0",
        "homeassistant/sensor/x/config",
        "zigbee2mqtt/lamp/set",
        "zigbee2mqtt/kitchen/lamp/set",
        "zigbee2mqtt/bridge/request/permit_join",
        "zigbee2mqtt/bridge/config/log_level",
        "v3/app/devices/d/down/push",
        "application/1/device/2/command/down",
        "http/webhook",
        "ruuvi/a/b/c",
        "dsmr/reading/electricity",
        "serial/scale",
        "$SYS/broker/uptime",
    ],
)
@pytest.mark.parametrize("payload", [b"21.5", b'{"temperature":21.5,"state":"ON","id":1}', b"ON", b""])
def test_topics_of_strangers_and_commands_are_nobodys(topic, payload):
    """A device that no profile names must stay generic, and a command is nothing that the device said."""
    assert shipped().find(topic, payload) is None


JSON_EXAMPLES = [
    (name, number) for name, number in EXAMPLES if message(name, number)[3].startswith(b"{")
    and CONTRACTS[name].profile.examples[number].error is None
]  # fmt: skip


@pytest.mark.parametrize(("name", "number"), JSON_EXAMPLES)
def test_members_that_nobody_knows_break_nothing(name, number):
    """The next firmware has more members; it must not make dead letters of everything."""
    contract, _, topic, payload = message(name, number)
    before = outcome(contract, topic, payload)
    more = json.loads(payload) | {"next_thing": {"x": [1, "a", None]}, "Next-2": "text", "n3": 1e6, "n4": None}

    after = outcome(contract, topic, json.dumps(more).encode())

    assert isinstance(before, list)
    assert isinstance(after, list)
    for (device, fields, at_ns), (device_after, fields_after, at_after) in zip(before, after, strict=True):
        assert (device, at_ns) == (device_after, at_after)
        assert isinstance(fields, dict)
        assert isinstance(fields_after, dict)
        assert fields.items() <= fields_after.items()


MUTATIONS = st.lists(
    st.tuples(st.sampled_from(("drop", "put", "cut", "twice")), st.floats(0, 1), st.binary(min_size=1, max_size=4)),
    min_size=1,
    max_size=4,
)


def mutated(payload: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    for kind, where, new in changes:
        at = int(where * len(payload))
        if kind == "drop":
            payload = payload[:at] + payload[at + len(new) :]
        elif kind == "put":
            payload = payload[:at] + new + payload[at + len(new) :]
        elif kind == "cut":
            payload = payload[:at]
        else:
            payload = payload[:at] + payload[at:] * 2
    return payload


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(EXAMPLES), MUTATIONS)
def test_a_damaged_message_is_taken_or_breaks_the_contract_and_nothing_else(which, changes):
    """Whatever a radio, a bug or an attacker makes of a message (FAULTS.md rows 70 to 73)."""
    contract, _, topic, payload = message(*which)

    found = outcome(contract, topic, mutated(payload, changes))

    if isinstance(found, list):
        for _, fields, _ in found:
            assert isinstance(fields, dict)
            assert [name_problem(field) for field in fields] == [""] * len(fields)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8) | st.sampled_from(["ON", "-127", "nan", "85", "inf", "1_0"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=6), below, max_size=3),
    max_leaves=6,
)  # fmt: skip


def places(value: object, at: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, one in below for place in places(one, (*at, key)))]


def with_value(value: object, at: tuple[object, ...], new: object) -> object:
    if not at:
        return new
    if isinstance(value, dict):
        return {key: with_value(one, at[1:], new) if key == at[0] else one for key, one in value.items()}
    assert isinstance(value, list)
    return [with_value(one, at[1:], new) if place == at[0] else one for place, one in enumerate(value)]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_another_value_anywhere_gives_fields_of_the_stated_types(data):
    """A contract promises types; a sensor that says "nan" or a list must not change the type of a field."""
    which = data.draw(st.sampled_from(JSON_EXAMPLES))
    contract, _, topic, payload = message(*which)
    decoded = json.loads(payload)
    at = data.draw(st.sampled_from(places(decoded)))
    changed = json.dumps(with_value(decoded, at, data.draw(VALUES))).encode()

    found = outcome(contract, topic, changed)

    kinds = {"float": float, "int": int, "bool": bool, "string": str}
    for _, fields, _ in found if isinstance(found, list) else ():
        assert isinstance(fields, dict)
        for name, spec in contract.profile.fields.items():
            if name in fields and spec.type in kinds:
                assert type(fields[name]) is kinds[spec.type], name


def test_a_secret_is_in_no_event():
    """The PASSKEY opens a station's account with its maker."""
    contract = CONTRACTS["ecowitt"]
    for example in contract.profile.examples:
        payload = example_payload(example, contract.profile)
        secret = payload.split(b"&")[0].partition(b"=")[2]
        assert example.topic is not None
        captures = contract.match(example.topic, payload)
        assert captures is not None
        assert all(secret not in one.data for one in contract.read(payload, captures, example.topic))


def test_the_index_and_the_schema_are_those_of_the_profiles():
    """A gateway reads the index, not the YAML."""
    assert make_index(builtin_profiles()) == (FOLDER / INDEX).read_bytes(), AGAIN
    assert schema_text() == (FOLDER / SCHEMA_FILE).read_text(), AGAIN


def test_a_contract_of_the_index_is_that_of_the_yaml():
    made = shipped().contracts

    assert set(made) == set(CONTRACTS)
    for name, contract in CONTRACTS.items():
        assert made[name].profile == contract.profile.model_copy(update={"examples": ()})
        path = f"<built-in>/{name}.yaml"
        assert failing_examples(made[name], FILES[path].document) == []


def test_nothing_of_a_profile_is_made_before_a_topic_asks_for_it(monkeypatch):
    """A gateway starts with many profiles and meets few of their devices."""
    made: list[str] = []
    before = Contract.__init__
    monkeypatch.setattr(
        Contract,
        "__init__",
        lambda self, profile, *rest: (made.append(profile.profile), before(self, profile, *rest))[1],
    )
    catalogue = shipped()

    catalogue.candidates("boiler/b1")
    assert dict(catalogue.silent_after) == {}
    assert (len(catalogue.contracts), made) == (len(CONTRACTS), [])

    catalogue.candidates("tele/kitchen/SENSOR")
    catalogue.candidates("tele/kitchen/STATE")
    assert made == ["tasmota"]


def test_a_catalogue_says_after_how_long_devices_are_silent():
    text = "profile: p\nmatch: {mqtt: t}\nother_fields: keep\nsilent_after: 5m\n"

    catalogue, files = read_catalogue(builtin_profiles(), {"p.yaml": text.encode()})

    assert [one.problems for one in files] == [[]]
    assert catalogue.silent_after == {"p": 300.0}
