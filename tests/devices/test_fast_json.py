"""The fast way gives what the contract gives, byte for byte, or leaves the message to it."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldgate_devices import fast_json
from fieldgate_devices.breach import Breach
from fieldgate_devices.contract import Contract
from fieldgate_devices.decoders.json_text import parse
from fieldgate_devices.fast_json import Fast, compile_fast
from profile_kit import BOILER, contract, with_fields

FLAT = with_fields(
    "a: {type: float, min: -40, max: 150}, b: {type: int}, c: {type: bool, optional: true}, "
    "d: {type: enum, values: [x, y]}, e: {type: string, optional: true}"
)
WIDE = with_fields(
    'a: {type: float, from: "m.a:0", scale: 0.1, no_reading: [-1]}, b: {type: int, default: 3}, '
    "c: {type: bool, map: {ON: true}, optional: true}, d: {type: string, from: m.d, optional: true}",
    "time: {from: ts, format: unix_s}",
)
SAME = with_fields("a: {type: float}, b: {type: int}, d: {type: string}")
SCALARS = (
    st.none() | st.booleans() | st.integers(-200, 200) | st.floats() | st.sampled_from(["x", "y", "ON", '":', "é"])
)
MADE = {"flat": FLAT, "wide": WIDE, "boiler": contract(BOILER), "same": SAME}
NAMES = st.sampled_from(["a", "b", "c", "d", "e", "ts", "a:0", "other"])
MEMBERS = st.dictionaries(NAMES, SCALARS | st.dictionaries(NAMES, SCALARS, max_size=3), max_size=6)


def compiled(made: Contract) -> Fast:
    fast = compile_fast(made)
    assert fast is not None
    return fast


def read(fast: Fast, payload: bytes) -> tuple[bytes, int | None] | None:
    if fast.timed is not None:
        return fast.timed(payload)
    assert fast.plain is not None
    data = fast.plain(payload)
    return None if data is None else (data, None)


def spellings(value: object) -> list[bytes]:
    return [
        json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="replace"),
        json.dumps(value).encode(),
        json.dumps(value, separators=(" ,\n", "\t:")).encode(),
    ]


LEARNED = {name: compiled(made) for name, made in MADE.items()}


@pytest.mark.parametrize("name", MADE)
@given(value=MEMBERS, good=st.booleans(), is_new=st.booleans())
@settings(max_examples=150, deadline=None)
def test_it_never_differs_from_the_contract(name, value, good, is_new):
    """Whatever it has learned of the members that no field names."""
    made = MADE[name]
    fast = compiled(made) if is_new else LEARNED[name]
    if good:
        value = {"a": 21, "b": 2, "d": "x", "m": {"a:0": 215, "d": "y"}, "temperature": 21, "state": "idle", **value}
    for payload in spellings(value):
        got = read(fast, payload)
        try:
            (wanted,) = made.read(payload, {"device": "d"}, "t/d")
        except Breach:
            assert got is None
        else:
            assert got in (None, (wanted.data, wanted.at_ns)), payload


TWICE = b'{"a":1,"b":2,"d":"x","d":"y"}'


@pytest.mark.parametrize(
    "payload",
    [
        TWICE,
        b'{"a":1,"b":2,"d":"x","e":"p","e":null}',
        b'{"a":1,"b" :2,"d":"x","b":2}',
        b'{"a":1,"b":2,"d":"x","o":1,"o":2}',
        b'{"a":1,"b":2,"d":"x","o":"\xff"}',
        b'{"a":1,"b":2,"d":"x","e":"\\ud800"}',
        b'\xef\xbb\xbf{"a":1,"b":2,"d":"x"}',
        b'{"a":1,"b":2,"d":"x","o":' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"a":1,"b":2,"d":"x","o":' + b"[" * 100_000,
        b'{"a":1e400,"b":2,"d":"x"}',
        b'{"a":1,"b":2,"d":"x"}x',
        b"[1,2]",
        b"",
    ],
)
def test_hostile_payloads_are_left_to_the_contract_which_refuses_them(payload):
    """A key that stands twice would be read as one value by us and as another by whoever comes after us."""
    fast = compiled(FLAT)

    assert read(fast, payload) is None
    for other in (b'{"a":1,"b":2,"d":"x","o":1}', b'{"a":1,"b":2,"d":"x","o":[1]}'):  # and once it knows them
        assert read(fast, other) is not None
    assert read(fast, payload) is None
    with pytest.raises(Breach, match=r"."):
        FLAT.read(payload, {"device": "d"}, "t/d")


def test_the_usual_message_takes_the_fast_way():
    """Control for the test above it, which a reader that always answers None would pass."""
    fast = compiled(FLAT)

    for payload in (
        b'{"a":1,"b":2,"d":"x"}',
        b'{"a": 1, "b": 2, "d": "x", "e": "\\":"}',
        b'{"a":1,"b":2,"d":"x","more":[1]}',
    ):
        (wanted,) = FLAT.read(payload, {"device": "d"}, "t/d")
        assert read(fast, payload) == (wanted.data, None)


GOOD = [b'{"a":%d,"b":2,"d":"x"}' % number for number in range(5)]


@pytest.mark.parametrize(
    "made", [SAME, with_fields('u: {type: float, from: a}, b: {type: int}, "v": {type: string, from: d}')]
)
def test_a_whole_read_comes_to_what_its_messages_come_to(made):
    fast = compiled(made)
    assert fast.many is not None

    read = fast.many(GOOD)

    assert read is not None
    texts, known = read
    assert texts == [made.read(payload, {"device": "d"}, "t/d")[0].data for payload in GOOD]
    for text, one in zip(texts, known, strict=True):
        fields = json.loads(text)
        assert {name: one.get(name) for name in fields} == fields
        assert one.get("nothing of that name") is None


@pytest.mark.parametrize(
    "odd",
    [
        (b'{"a":1,"b":2,"d":"x","d":"y"}',),
        (b'{"a":1,"b":2,"d":"x","o":1}',),
        (b'{"a":"1","b":2,"d":"x"}',),
        (b'{"a":1,\n"b":2,"d":"x"}',),
        (b'{"a":1,"b":2,"d":"x"}\n',),
        (b'{"a":1,"b":2,"d":"x"}\n{"a":1,"b":2,"d":"x"}',),
        (b'{"a":1,"b":2,"d":"x"} {"a":1,"b":2,"d":"x"}',),
        (b'{"a":1,"b":2', b',"d":"x"}'),
        (b'{"a":1,"b":2', b',"d":"x"}', b'{"a":1,"b":2,"d":"x"}\n{"a":1,"b":2,"d":"x"}'),
        (b"",),
        (b"\xff",),
    ],
)
def test_one_odd_message_in_a_read_is_never_taken_for_another(odd):
    """A message must not be able to borrow from its neighbour: then each is looked at alone."""
    fast = compiled(SAME)
    assert fast.many is not None

    assert fast.many([*GOOD, *odd, *GOOD]) is None


@given(values=st.lists(MEMBERS, min_size=2, max_size=4), good=st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_read_never_differs_from_its_messages_alone(values, good):
    fast = compiled(SAME)
    assert fast.many is not None
    assert fast.plain is not None
    base = {"a": 1, "b": 2, "d": "x"} if good else {}
    payloads = [json.dumps({**base, **value}).encode() for value in values]

    got = fast.many(payloads)

    assert got is None or got[0] == [fast.plain(payload) for payload in payloads]


def test_members_that_no_field_names_are_read_twice_only_at_first(monkeypatch):
    """Most devices say more than their profile takes; each message of theirs would cost four times as much."""
    parsed: list[bytes] = []
    monkeypatch.setattr(fast_json, "parse", lambda payload: [parsed.append(payload), parse(payload)][1])
    fast = compiled(FLAT)
    messages = [
        b'{"a":1,"b":2,"d":"x","more":%d,"l":[1,"2"],"m":{"n":%d,"o":null}}' % (number, number) for number in range(9)
    ]

    for payload in messages:
        assert read(fast, payload) == (b'{"a":1.0,"b":2,"d":"x"}', None)
    assert parsed == messages[:1]

    for payload in (
        b'{"a":1,"b":2,"d":"x","more":1,"l":[],"m":{"n":2,"n":3}}',
        b'{"a":1,"b":2,"d":"x","more":1,"l":[],"l":[]}',
        b'{"a":1,"b":2,"b":3,"d":"x","more":1,"m":{"n":1}}',
        b'{"a":1,"b":2,"d":"x","more":1,"l":[{"k":1,"k":2}]}',
    ):
        assert read(fast, payload) is None, payload  # a member stands twice


def test_what_is_learned_of_a_device_that_says_something_new_each_time_is_bounded():
    """Else a device could make the gateway grow, and compile a type for each of its messages."""
    fast = compiled(FLAT)

    built = Counter[int]()
    for number in range(200):
        payload = b'{"a":1,"b":2,"d":"x","n%d":1,"m%d":{"k":2}}' % (number, number)
        assert read(fast, payload) == (b'{"a":1.0,"b":2,"d":"x"}', None)
        built[shape_of(fast)] += 1

    assert 10 < len(built) <= 17


def shape_of(fast: Fast) -> int:
    """How many members it knows."""
    assert fast.plain is not None
    (shape,) = (cell.cell_contents for cell in fast.plain.__closure__ or () if hasattr(cell.cell_contents, "is_exact"))
    return shape.members


@pytest.mark.parametrize(
    ("fields", "rest"),
    [
        ("x: {type: float}", "lenient: true"),
        ("x: {type: float}", "other_fields: keep"),
        ("x: {type: object}", ""),
        ('x: {type: float, from: "*.t"}', ""),
        ("x: {type: float, from: [a, b]}", ""),
        ("x: {type: float}", 'device: "{id}"'),
        ("x: {type: float, from: a}, y: {type: float, from: a.b}", ""),
        ("x: {type: float, from: a}, y: {type: float, from: a}", ""),
        ("x: {type: float, from: 'a\\b'}", ""),
        ('x: {type: float, from: \'"a\\"b"\'}', ""),
    ],
)
def test_other_profiles_go_the_long_way(fields, rest):
    assert compile_fast(with_fields(fields, rest)) is None


def test_a_member_with_a_quote_in_its_name_goes_the_long_way():
    """msgspec has no such member; a profile that names one must not end the gateway (P7)."""
    made = contract("""
        profile: p
        match: {mqtt: "t/{device}"}
        fields: {inches: {type: float, from: '"5\\" pipe"'}}
    """)

    assert compile_fast(made) is None
    assert made.read(b'{"5\\" pipe": 2}', {"device": "d"}, "t/d")[0].data == b'{"inches":2.0}'
