"""The fast way gives what the contract gives, byte for byte, or leaves the message to it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldgate_devices.breach import Breach
from fieldgate_devices.fast_json import compile_fast
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
SCALARS = (
    st.none() | st.booleans() | st.integers(-200, 200) | st.floats() | st.sampled_from(["x", "y", "ON", '":', "é"])
)
NAMES = st.sampled_from(["a", "b", "c", "d", "e", "ts", "a:0", "other"])
MEMBERS = st.dictionaries(NAMES, SCALARS | st.dictionaries(NAMES, SCALARS, max_size=3), max_size=6)


def spellings(value: object) -> list[bytes]:
    return [
        json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="replace"),
        json.dumps(value).encode(),
        json.dumps(value, separators=(" ,\n", "\t:")).encode(),
    ]


@pytest.mark.parametrize("made", [FLAT, WIDE, contract(BOILER)], ids=["flat", "wide", "boiler"])
@given(value=MEMBERS, good=st.booleans())
@settings(max_examples=400, deadline=None)
def test_it_never_differs_from_the_contract(made, value, good):
    fast = compile_fast(made)
    assert fast is not None
    if good:
        value = {"a": 21, "b": 2, "d": "x", "m": {"a:0": 215, "d": "y"}, "temperature": 21, "state": "idle", **value}
    for payload in spellings(value):
        got = fast(payload)
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
    fast = compile_fast(FLAT)
    assert fast is not None

    assert fast(payload) is None
    with pytest.raises(Breach, match=r"."):
        FLAT.read(payload, {"device": "d"}, "t/d")


def test_the_usual_message_takes_the_fast_way():
    """Control for the test above it, which a reader that always answers None would pass."""
    fast = compile_fast(FLAT)
    assert fast is not None

    for payload in (
        b'{"a":1,"b":2,"d":"x"}',
        b'{"a": 1, "b": 2, "d": "x", "e": "\\":"}',
        b'{"a":1,"b":2,"d":"x","more":[1]}',
    ):
        (wanted,) = FLAT.read(payload, {"device": "d"}, "t/d")
        assert fast(payload) == (wanted.data, None)


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
