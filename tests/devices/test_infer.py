"""A drafted profile has no problems and takes every message that it was made from."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.contract import Contract
from fieldgate_devices.examples import sample_topic
from fieldgate_devices.field_model import FieldSpec
from fieldgate_devices.infer import CannotInfer, Draft, Sample, infer_profile
from fieldgate_devices.reading import read_profile


def drafted(draft: Draft) -> Contract:
    """The contract of a draft, which `devices check` would have nothing against."""
    read = read_profile(draft.text.encode(), "draft.yaml")
    assert read.contract is not None, f"{[str(one) for one in read.problems]}\n{draft.text}"
    return read.contract


def assert_takes(draft: Draft) -> Contract:
    contract = drafted(draft)
    catalogue = Catalogue([contract])
    for sample in draft.used:
        topic = sample.topic or sample_topic(contract.matchers[0])
        found = catalogue.find(topic, sample.payload)
        assert found is not None, (topic, draft.text)
        found.contract.read(sample.payload, found.captures, topic)  # raises Breach where it is not taken
    return contract


def fields_of(*payloads: object, topic: str = "plant/pump/{}/telemetry") -> dict[str, FieldSpec]:
    samples = [Sample(topic.format(f"p{place}"), json.dumps(one).encode()) for place, one in enumerate(payloads)]
    return assert_takes(infer_profile(samples)).profile.fields


# -- the law -------------------------------------------------------------------------------------------------

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=12),
    st.sampled_from(["ON", "OFF", "21.5", "0042", "n/a", "2026-11-26 12:00:00", -127, 65535]),
)  # fmt: skip
names = st.one_of(
    st.sampled_from(
        ["temperature", "state", "ts", "id", "model", "device", "time", "a.b", "*", "$topic", "", "class", "x[0]"]
    ),
    st.text(max_size=6),
)
values = st.recursive(
    scalars,
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(names, below, max_size=3)),
    max_leaves=6,
)
payloads = st.one_of(
    st.dictionaries(names, values, max_size=5).map(lambda one: json.dumps(one).encode()),
    st.lists(st.dictionaries(names, values, max_size=3), max_size=3).map(lambda one: json.dumps(one).encode()),
)
levels = st.one_of(
    st.sampled_from(["a", "site", "b1", "telemetry", "", "{x}", "$SYS"]), st.text(string.printable, max_size=4)
)
topics = st.lists(
    levels.map(lambda one: one.replace("/", "").replace("+", "").replace("#", "")), min_size=1, max_size=4
).map("/".join)
lines = st.one_of(
    payloads,
    st.lists(st.sampled_from(["21.5", "x", "n/a", "-3", "a b", ""]), min_size=1, max_size=4).map(
        lambda one: ";".join(one).encode()
    ),
    st.dictionaries(st.sampled_from("abc"), st.sampled_from(["1", "2.5", "on"]), min_size=1).map(
        lambda one: " ".join(f"{key}={value}" for key, value in one.items()).encode()
    ),
    st.binary(max_size=20),
    st.text(max_size=20).map(str.encode),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.one_of(st.none(), topics), payloads), min_size=1, max_size=6))
def test_a_draft_of_any_json_takes_all_of_it(heard):
    """Else the first thing that a newcomer sees of a profile is a dead letter."""
    try:
        draft = infer_profile([Sample(topic, payload) for topic, payload in heard])
    except CannotInfer:
        return

    assert_takes(draft)


@settings(max_examples=60, deadline=None)
@given(st.lists(lines, min_size=1, max_size=5))
def test_a_draft_of_anything_takes_it_or_there_is_none(heard):
    try:
        draft = infer_profile([Sample("a/b", payload) for payload in heard])
    except CannotInfer:
        return

    assert_takes(draft)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["a", "b_c", "Temp"]), scalars, max_size=3), min_size=1, max_size=8))
def test_flat_messages_of_one_topic_always_give_a_draft(heard):
    """`CannotInfer` is for what has nothing in common, not a way out."""
    assert_takes(infer_profile([Sample("plant/pump/p1", json.dumps(one).encode()) for one in heard]))


@pytest.mark.parametrize("name", ["|", "a|b", "{", "}"])
def test_names_that_mean_something_in_a_template_are_names_of_fields(name):
    """A device may call its members what it likes."""
    assert_takes(infer_profile([Sample("a", json.dumps({name: {"id": one}}).encode()) for one in ("x", "y")]))


# -- types ---------------------------------------------------------------------------------------------------


def test_types_are_found():
    fields = fields_of(
        {"temperature": 21, "uptime": 5, "on": True, "name": "x", "list": [1]},
        {"temperature": 22, "uptime": 6, "on": False, "name": "y", "list": [2]},
    )

    assert {name: spec.type for name, spec in fields.items()} == {
        "temperature": "float", "uptime": "int", "on": "bool", "name": "string", "list": "object",
    }  # fmt: skip


def test_few_words_are_an_enum_and_many_a_string():
    few = fields_of(*({"state": one} for one in ("idle", "heating", "idle", "heating", "idle")))
    many = fields_of(*({"state": f"text{one}"} for one in range(20)))

    assert (few["state"].type, few["state"].values) == ("enum", ("heating", "idle"))
    assert many["state"].type == "string"


def test_a_draft_does_not_depend_on_which_device_spoke_first():
    """Devices speak when they like; a draft that differs each time cannot be compared with the one before."""
    heard = [
        Sample(f"plant/pump/{pump}/state", json.dumps({"bar": bar, "mode": mode}).encode())
        for pump, bar, mode in (("p0", 2.5, "auto"), ("p1", 2.6, "manual"))
    ]

    draft = infer_profile(heard * 3)

    assert infer_profile(heard[::-1] * 3).text == draft.text
    assert "values: [auto, manual]" in draft.text


def test_names_that_only_a_number_tells_apart_are_no_states():
    """The next device of the fleet has another one, and its messages must not be dead letters."""
    fields = fields_of(*({"unit": f"pump-{one % 3}"} for one in range(9)))

    assert fields["unit"].type == "string"


def test_an_id_that_no_profile_may_have_is_said_to_be_that():
    with pytest.raises(CannotInfer, match="'My Pump' is not an id of a profile"):
        infer_profile([Sample("a/b", b'{"t": 1}')], name="My Pump")


def test_line_ends_stand_in_a_draft_as_people_write_them():
    draft = infer_profile([Sample("a/b", b'{"t": 1}\r\n\t')])

    assert r'in: "{\"t\": 1}\r\n\t"' in draft.text
    assert_takes(draft)


def test_what_is_missing_or_null_at_times_is_optional():
    fields = fields_of({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": None})

    assert {name: spec.optional for name, spec in fields.items()} == {"a": False, "b": True, "c": True}


def test_ranges_have_room():
    """A draft of half a minute must not refuse the night."""
    spec = fields_of({"pressure": 2.5}, {"pressure": 2.6})["pressure"]
    known = fields_of({"temperature": 21.1}, {"temperature": 21.3})["temperature"]

    assert spec.min == 0
    assert spec.max is not None
    assert spec.max >= 5
    assert (known.min, known.max) == (-50, 150)


def test_a_counter_has_no_end():
    assert fields_of({"total": 5}, {"total": 6}, {"total": 9})["total"].max is None


def test_texts_and_numbers_that_say_nothing_are_no_reading():
    fields = fields_of(
        {"temperature": 21.5, "flow": 1}, {"temperature": -127, "flow": "n/a"}, {"temperature": 22, "flow": 2}
    )

    assert fields["temperature"].no_reading == (-127,)
    assert fields["flow"].no_reading == ("n/a",)


def test_nested_members_are_reached_by_path():
    fields = fields_of({"AM2301-1a": {"Temperature": 21.5}, "a.b": 1})

    assert fields["am2301_1a_temperature"].from_ == ("AM2301-1a.Temperature",)
    assert fields["a_b"].from_ == ('"a.b"',)


def test_numbers_written_as_texts_make_it_lenient():
    draft = infer_profile(
        [Sample("a/b", b'{"t": "21.5", "code": "0042"}'), Sample("a/b", b'{"t": "22", "code": "0043"}')]
    )
    profile = assert_takes(draft).profile

    assert profile.lenient
    assert (profile.fields["t"].type, profile.fields["code"].type) == ("float", "string")


# -- decoder, time, device -----------------------------------------------------------------------------------

DECODERS = [
    ([b'{"t": 1}'], "json"),
    ([b"21.5;40", b"22;41"], "csv"),
    ([b"t,h\n21.5,40", b"t,h\n22,41"], "csv"),
    ([b"t=21.5 h=40"], "key_value"),
    ([b"t=21.5&h=40"], "form"),
    ([b"21.5", b"22"], "value"),
    ([b"open", b"closed"], "value"),
    ([b'[{"n": "t", "u": "Cel", "v": 21.5}]'], "senml"),
    ([bytes.fromhex("a161741815")], "cbor"),
    ([bytes.fromhex("81a17415")], "msgpack"),
]


@pytest.mark.parametrize(("heard", "decoder"), DECODERS)
def test_the_decoder_is_found(heard, decoder):
    draft = infer_profile([Sample("plant/p1", one) for one in heard])

    assert next(iter(assert_takes(draft).profile.decode)) == decoder


def test_bytes_of_a_layout_that_nobody_knows_are_said_to_be_that():
    with pytest.raises(CannotInfer, match="binary"):
        infer_profile([Sample("a/b", b"\xff\x00\x01")])


TIMES = [
    (1764166000, "unix_s"),
    (1764166000123, "unix_ms"),
    ("2026-11-26T12:00:00Z", "iso8601"),
    ("26.11.2026 12:00:00", "%d.%m.%Y %H:%M:%S"),
]


@pytest.mark.parametrize(("written", "form"), TIMES)
def test_the_time_is_found(written, form):
    draft = infer_profile([Sample("a/b", json.dumps({"ts": written, "t": 1}).encode())])
    time = assert_takes(draft).profile.time

    assert time is not None
    assert (time.from_, time.format) == ("ts", form)


TOPICS = [
    (["site/a/boiler/b1/telemetry", "site/a/boiler/b2/telemetry"], None, "site/a/boiler/{device}/telemetry", "boiler"),
    (["site/a/boiler/b1/telemetry"], None, "site/a/boiler/{device}/telemetry", "boiler"),
    (["plant/p1"], None, "plant/{device}", "plant"),
    (["a1/pump/state"], "+/pump/state", "{device}/pump/state", "pump"),
    (["s/a/p1", "s/b/p2", "s/b/p3"], None, "s/+/{device}", "s"),
    (["power"], None, "power", "power"),
    (["x/y", "x/y/z"], None, "x/y/#", "my_device"),
]


@pytest.mark.parametrize(("heard", "listened", "pattern", "name"), TOPICS)
def test_the_device_is_found_in_the_topics(heard, listened, pattern, name):
    draft = infer_profile([Sample(one, b'{"t": 1}') for one in heard], listened=listened)
    profile = assert_takes(draft).profile

    assert profile.match[0].mqtt == pattern
    assert profile.profile == (name if len(name) > 1 else profile.profile)


def test_devices_of_one_topic_are_told_apart_by_the_message():
    samples = [
        Sample("rtl_433/attic/events", json.dumps({"model": "N", "id": one, "t": 1}).encode()) for one in (85, 86)
    ]
    contract = assert_takes(infer_profile(samples))

    assert contract.profile.device == "{model}-{id}"
    assert contract.profile.match[0].mqtt == "rtl_433/+/events"


def test_an_id_that_is_taken_is_not_taken_again():
    """A profile with the id of a built-in one would replace it."""
    draft = infer_profile([Sample("boiler/b1", b'{"t": 1}')], taken={"boiler", "boiler_2"})

    assert draft.name == "boiler_3"


def test_a_few_strays_are_left_out_and_said():
    samples = [*[Sample("a/b", b'{"t": 1}')] * 9, Sample("a/b", b"hello")]
    draft = infer_profile(samples)

    assert len(draft.used) == 9
    assert draft.notes[0] == "1 of 10 messages do not look like the others and are left out"


def test_the_examples_are_messages_that_were_seen():
    samples = [Sample("a/b", b'{"t": 1}'), Sample("a/b", b'{"t": 2, "note": "long text"}')]
    profile = assert_takes(infer_profile(samples)).profile

    assert [example.in_ for example in profile.examples] == ['{"t": 1}', '{"t": 2, "note": "long text"}']
    assert {example.topic for example in profile.examples} == {"a/b"}
