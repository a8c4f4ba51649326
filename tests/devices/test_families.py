"""What profiles of whole families of devices need: repeated fields, units, several ways in, members to leave out."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldgate_devices.breach import Breach
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.contract import Contract
from fieldgate_devices.fast_json import compile_fast
from fieldgate_devices.members import read_members
from fieldgate_devices.units import conversion, units_like
from profile_kit import contract

HEAD = 'profile: p\nmatch: {mqtt: "t/{device}"}\n'


def fields(made: Contract, payload: bytes, topic: str = "t/d") -> dict[str, object]:
    captures = made.match(topic, payload)
    assert captures is not None
    (reading,) = made.read(payload, captures, topic)
    return msgspec.json.decode(reading.data, type=dict[str, object])


SENSORS = contract(
    HEAD
    + """
other_fields: keep
fields:
  temperature: {type: float, unit: °C, optional: true, first_of: ["ds{n}_temperature", "{s}_temperature"]}
  level: {type: float, optional: true, from: tank.temperature}
repeated:
  "ds{n}_temperature": {type: float, unit: °C, optional: true, from: "DS{n:int}.temperature", no_reading: [85]}
  "{s}_temperature": {type: float, unit: °C, optional: true, unfit: absent, from: ["{s}.temperature", "old.{s}.t"]}
"""
)


@pytest.mark.parametrize(
    ("payload", "wanted"),
    [
        (
            b'{"B":{"temperature":2},"A":{"temperature":1}}',
            {"temperature": 2.0, "b_temperature": 2.0, "a_temperature": 1.0},
        ),
        (b'{"DS1":{"temperature":85},"A":{"temperature":85}}', {"temperature": 85.0, "a_temperature": 85.0}),
        (b'{"DSx":{"temperature":85}}', {"temperature": 85.0, "dsx_temperature": 85.0}),
        (b'{"tank":{"temperature":3}}', {"level": 3.0}),
        (b'{"old":{"x":{"t":4}}}', {"temperature": 4.0, "x_temperature": 4.0}),
        (
            b'{"A-1":{"temperature":1},"a 1":{"temperature":2}}',
            {"temperature": 1.0, "a_1_temperature": 1.0, "a_1_temperature_2": 2.0},
        ),
        (b'{"A":{"temperature":"n/a","more":1}}', {"a_more": 1.0}),
        (b'{"A":{"temperature":[1,2]}}', {"a_temperature_0": 1.0, "a_temperature_1": 2.0}),
        (b'{"A":{"temperature":null}}', {}),
        (b'{"A":7}', {"a": 7.0}),
    ],
)
def test_a_repeated_field_is_there_for_every_member_that_it_fits(payload, wanted):
    """The first of the message counts where one is asked for; what a field or an earlier one took is taken once."""
    assert fields(SENSORS, payload) == wanted


def test_a_value_that_does_not_fit_a_strict_repeated_field_breaks_the_contract():
    with pytest.raises(Breach, match=r"ds\{n\}_temperature is 'x', not a number"):
        fields(SENSORS, b'{"DS1":{"temperature":"x"}}')


def test_names_that_are_one_get_numbers_and_too_many_are_refused():
    """A hostile message must not hold the gateway: each of these names is that of all."""
    marks = [f"{a}{b}{c}" for a in "-_ :/=&" for b in "-_ :/=&~!?" for c in "-_ :/=&~!?"]
    several = msgspec.json.encode({f"a{mark}b": {"temperature": 1} for mark in marks[:400]})

    found = fields(SENSORS, several)

    assert list(found)[1:4] == ["a_b_temperature", "a_b_temperature_2", "a_b_temperature_3"]
    assert len(found) == 401
    with pytest.raises(Breach, match="more than 512 fields"):
        fields(SENSORS, msgspec.json.encode({f"a{mark}b": {"temperature": 1} for mark in marks}))


@pytest.mark.parametrize(
    ("pattern", "record", "trails"),
    [
        ("{a}.t", {"x": {"t": 1}, "y": 2, "z": {"t": 3}}, [("x", "t"), ("z", "t")]),
        ("s:{n:int}.t", {"s:1": {"t": 1}, "s:x": {"t": 2}}, [("s:1", "t")]),
        ("list.*.t", {"list": [{"t": 1}, 5, {"t": 2}]}, [("list", 0, "t"), ("list", 2, "t")]),
        ("list[-1]", {"list": [1, 2]}, [("list", 1)]),
        ("{a}_{b}", {"x_y_z": 1, "q": 2}, [("x_y_z",)]),
        ("x", {"x" * 200: 1}, []),
        ("*", {"x" * 200: 1}, []),
    ],
)
def test_a_pattern_of_members_finds_all_that_it_fits(pattern, record, trails):
    assert [one.trail for one in read_members(pattern).find(record)] == trails


UNITS = contract(
    HEAD
    + """
fields:
  t: {type: float, unit: °C, optional: true, from: [c, f], raw_unit: {f: °F}}
  p: {type: float, unit: hPa, optional: true, unit_from: pu, raw_unit: kPa}
  e: {type: float, unit: Wh, optional: true, raw_unit: "W·min", scale: 10}
  w: {type: float, unit: °C, optional: true, raw_unit: °F, max: 50}
"""
)


@pytest.mark.parametrize(
    ("payload", "wanted"),
    [
        (b'{"c":21.5,"f":0}', {"t": 21.5}),
        (b'{"f":70.7}', {"t": 21.5}),
        (b'{"p":101.3}', {"p": 1013.0}),
        (b'{"p":29.92,"pu":"inHg"}', {"p": 1013.207589}),
        (b'{"p":1013,"pu":"hPa"}', {"p": 1013.0}),
        (b'{"p":101.3,"pu":"furlong"}', {"p": 1013.0}),
        (b'{"e":6}', {"e": 1.0}),
        (b'{"w":100}', {"w": 37.777778}),
    ],
)
def test_a_number_is_converted_from_the_unit_in_which_the_device_writes_it(payload, wanted):
    assert fields(UNITS, payload) == wanted


def test_the_range_is_that_of_the_fields_unit():
    with pytest.raises(Breach, match=r"w is 93\.3333, above its max of 50"):
        fields(UNITS, b'{"w":200}')


@given(st.sampled_from(["°C", "hPa", "m/s", "mm", "Wh", "L"]), st.floats(-1000, 1000), st.data())
def test_there_and_back_is_the_same(unit, number, data):
    other = data.draw(st.sampled_from(units_like(unit)))
    there, back = conversion(unit, other), conversion(other, unit)
    scale = abs(there(1000.0) - there(0.0)) / 1000.0

    assert back(there(number)) == pytest.approx(number, abs=1e-5 + 1e-6 / scale)


WAYS = contract(
    """
profile: p
match:
  - {mqtt: "s/{device}/all"}
  - {mqtt: "s/{device}/one/{part}", under: "{part}"}
  - {mqtt: "s/{device}/value/{part}", decode: {value: {name: "{part}"}}, except: "s/+/value/set"}
  - {mqtt: "rpc/+", json: {src: "s-*"}, decode: {json: {unwrap: [params]}}, device: "{src}"}
fields: {out: {type: bool, optional: true, from: ["sw:0.out", out]}}
"""
)


@pytest.mark.parametrize(
    ("topic", "payload", "device", "wanted"),
    [
        ("s/d/all", b'{"sw:0":{"out":true}}', "d", {"out": True}),
        ("s/d/one/sw:0", b'{"out":true}', "d", {"out": True}),
        ("s/d/value/out", b"true", "d", {"out": True}),
        ("rpc/x", b'{"src":"s-1","params":{"sw:0":{"out":false}}}', "s-1", {"out": False}),
    ],
)
def test_every_way_in_has_its_own_decoder_place_and_name(topic, payload, device, wanted):
    catalogue = Catalogue([WAYS])
    candidate = catalogue.find(topic, payload)
    assert candidate is not None

    (reading,) = candidate.contract.read(payload, candidate.captures, topic)

    assert (reading.device, msgspec.json.decode(reading.data)) == (device, wanted)
    assert candidate.device in (device, None)


@pytest.mark.parametrize(
    ("payload", "is_taken"),
    [(b"online", True), (b" offline\r\n", True), (b"ok", False), (b'"online"', False), (b'{"a":1}', False),
     (b"", False), (b"\xff", False), (b"online" + b" " * 300, False)],
)  # fmt: skip
def test_a_payload_may_have_to_be_one_of_some_words(payload, is_taken):
    """NODE/status of ESPHome is a topic that others have as well."""
    made = contract(
        'profile: p\nmatch: {mqtt: "{device}/status", text: [online, offline]}\n'
        "decode: {value: {name: status}}\nfields: {status: {type: string}}\n"
    )

    assert (made.match("d/status", payload) is not None) is is_taken
    assert (Catalogue([made]).find("d/status", payload) is not None) is is_taken
    word = made.profile.match[0].model_copy(update={"text": (), "json_": {"a": {"exists": False}}})
    assert word.conditions == {"a": {"exists": False}}


def test_what_only_an_entry_with_a_device_of_its_own_catches_is_a_member_elsewhere():
    """rtl_433 says the model in the message of one topic and in the other topic itself."""
    made = contract(
        """
profile: p
match:
  - {mqtt: "r/events"}
  - {mqtt: "r/{model}/{id}", device: "{model}-{id}"}
device: "{model}-{id}"
fields: {t: {type: int}}
"""
    )

    for topic, payload in (("r/events", b'{"model":"N","id":7,"t":1}'), ("r/N/7", b'{"t":1}')):
        captures = made.match(topic, payload)
        assert captures is not None
        assert made.read(payload, captures, topic)[0].device == "N-7"


@pytest.mark.parametrize(("topic", "payload"), [("s/d/value/set", b"true"), ("rpc/x", b'{"src":"other"}')])
def test_what_an_entry_excepts_or_does_not_know_is_not_taken(topic, payload):
    assert Catalogue([WAYS]).find(topic, payload) is None
    assert WAYS.match(topic, payload) is None


def test_members_are_left_out_wherever_they_stand():
    made = contract(HEAD + 'other_fields: keep\nleave_out: [key, "{x}.id", "*.raw.*"]\nno_reading: [n/a, -99]\n')
    payload = b'{"key":"s","a":{"id":1,"raw":{"b":2},"c":3},"d":"n/a","e":-99,"f":{"g":-99.0,"h":1}}'

    assert fields(made, payload) == {"a_c": 3.0, "f_h": 1.0}


def test_a_repeated_field_takes_nothing_that_is_left_out():
    """A password that is all digits would else be a number that goes upstream."""
    made = contract(
        HEAD
        + """
other_fields: keep
leave_out: [PASSWORD, raw]
repeated:
  "{inner}_t": {type: float, optional: true, from: "{inner}.t"}
  "{other}": {type: float, optional: true, unfit: other, from: "{other}"}
"""
    )

    assert fields(made, b'{"PASSWORD":123456,"a":1,"raw":{"t":2},"b":{"t":3}}') == {"a": 1.0, "b_t": 3.0}


@pytest.mark.parametrize(("more", "wanted"), [("optional: true", {}), ("default: false", {"a": False})])
def test_a_value_that_is_mapped_to_null_is_none(more, wanted):
    """Devices have a word for not knowing, beside those for on and off."""
    made = contract(HEAD + f"fields: {{a: {{type: bool, map: {{ON: true, wait: null}}, {more}}}}}\n")

    assert fields(made, b'{"a":"wait"}') == wanted
    assert fields(made, b'{"a":"ON"}') == {"a": True}


def test_a_value_that_is_mapped_to_null_is_missing_where_it_must_be_there():
    with pytest.raises(Breach, match="a is mapped to null"):
        fields(contract(HEAD + "fields: {a: {type: int, map: {wait: null}}}\n"), b'{"a":"wait"}')


def test_what_is_left_out_is_refused_by_nobody():
    made = contract(HEAD + "other_fields: refuse\nleave_out: [key]\nfields: {a: {type: int}}\n")

    assert fields(made, b'{"key":"s","a":1}') == {"a": 1}
    with pytest.raises(Breach, match="b is named by no field"):
        fields(made, b'{"b":"s","a":1}')


@pytest.mark.parametrize("payload", [b'{"o":{"t":1,"x":{"y":2}},"noise":3}', b'{"old":{"t":1,"x":{"y":2}},"noise":3}'])
def test_other_fields_may_be_those_of_one_member_by_their_names_there(payload):
    made = contract(
        HEAD + "other_fields: keep\nothers_from: [o, old]\nfields: {t: {type: float, from: [o.t, old.t]}}\n"
    )

    assert fields(made, payload) == {"t": 1.0, "x_y": 2.0}


def test_a_message_without_that_member_has_no_other_fields():
    made = contract(HEAD + "other_fields: keep\nothers_from: o\n")

    assert fields(made, b'{"noise":3,"o":5}') == {}


def test_a_field_is_absent_where_the_message_says_that_it_does_not_count():
    made = contract(HEAD + "fields: {lat: {type: float, optional: true, absent_if: {status: V, quality: 0}}}\n")

    assert fields(made, b'{"lat":1,"status":"A","quality":1}') == {"lat": 1.0}
    assert fields(made, b'{"lat":1,"status":"V"}') == {}
    assert fields(made, b'{"lat":1,"quality":0}') == {}


UNFIT = HEAD + "other_fields: keep\nfields: {t: {type: float, max: 100, optional: true, unfit: HOW, from: [a, b]}}\n"


@pytest.mark.parametrize(
    ("unfit", "payload", "wanted"),
    [
        ("absent", b'{"a":"x"}', {}),
        ("absent", b'{"a":200,"b":5}', {"t": 5.0}),
        ("absent", b'{"a":[1,2]}', {"a_0": 1.0, "a_1": 2.0}),
        ("other", b'{"a":"x"}', {"a": "x"}),
        ("other", b'{"a":200}', {"a": 200.0}),
    ],
)
def test_a_value_that_does_not_fit_need_not_break_the_contract(unfit, payload, wanted):
    assert fields(contract(UNFIT.replace("HOW", unfit)), payload) == wanted


@pytest.mark.parametrize(
    "rest",
    [
        "fields: {t: {type: float, unit: °C, raw_unit: °F}}",
        "fields: {t: {type: float, unit: °C, unit_from: u}}",
        "fields: {t: {type: float, optional: true, unfit: absent}}",
        "fields: {t: {type: float, optional: true, absent_if: {a: 1}}}",
        "no_reading: [1]\nfields: {t: {type: float, optional: true}}",
        'fields: {t: {type: float}}\nrepeated: {"{x}_t": {type: float, from: "{x}.t"}}',
    ],
)
def test_the_fast_way_is_left_where_a_profile_says_more_than_it_knows(rest):
    assert compile_fast(contract(HEAD + "fields: {t: {type: float}}\n")) is not None
    assert compile_fast(contract(HEAD + rest + "\n")) is None


def test_a_name_that_no_device_can_have_is_a_breach_and_no_crash():
    """A topic may be longer than a device's name; looking it up must not raise in the middle of a read."""
    made = contract(HEAD + "fields: {t: {type: float}}\n")
    topic = "t/" + "x" * 300

    (candidate,) = Catalogue([made]).candidates(topic)

    assert candidate.device is None
    with pytest.raises(Breach, match="cannot be the name of a device"):
        candidate.contract.read(b'{"t":1}', candidate.captures, topic)
