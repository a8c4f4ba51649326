"""What becomes of one raw value."""

from __future__ import annotations

import msgspec
import pytest

from fieldgate_devices.breach import Breach
from profile_kit import with_fields

CASES = [
    # field, payload, what the event has (None: absent)
    ("x: {type: float}", b'{"x":85}', 85.0),
    ("x: {type: float}", b'{"x":-0.5}', -0.5),
    ("x: {type: int}", b'{"x":5.0}', 5),
    ("x: {type: bool}", b'{"x":false}', False),
    ("x: {type: string}", b'{"x":"\xc2\xb0"}', "°"),
    ("x: {type: enum, values: [a, 1, true]}", b'{"x":1}', 1),
    ("x: {type: enum, values: [a, 1, true]}", b'{"x":true}', True),
    ("x: {type: object}", b'{"x":{"a":[1,null]}}', {"a": [1, None]}),
    ("x: {type: float, scale: 0.1}", b'{"x":215}', 21.5),
    ("x: {type: float, scale: 0.1, offset: -40}", b'{"x":615}', 21.5),
    ("x: {type: float, offset: -273.15}", b'{"x":300}', 26.85),
    ("x: {type: float, no_reading: [-127, 85]}", b'{"x":-127}', None),
    ("x: {type: float, no_reading: [-127, 85]}", b'{"x":85.0}', None),
    ("x: {type: float, scale: 0.1, no_reading: [32767]}", b'{"x":32767}', None),
    ("x: {type: float, no_reading: [N/A]}", b'{"x":"N/A"}', None),
    ("x: {type: float, no_reading: [-1], default: 0}", b'{"x":-1}', 0),
    ("x: {type: bool, map: {ON: true, OFF: false}}", b'{"x":"ON"}', True),
    ("x: {type: enum, values: [open, shut], map: {0: shut, 1: open}}", b'{"x":1}', "open"),
    ("x: {type: float, optional: true}", b"{}", None),
    ("x: {type: float, optional: true}", b'{"x":null}', None),
    ("x: {type: float, default: 1.5}", b"{}", 1.5),
    ("x: {type: float, default: 1.5}", b'{"x":null}', 1.5),
    ('x: {type: float, from: [a, "b.c"]}', b'{"a":null,"b":{"c":2}}', 2.0),
    ('x: {type: string, from: "$topic.device"}', b"{}", "d1"),
    ("x: {type: int}", b'{"x":18446744073709551615}', 18446744073709551615),
]


@pytest.mark.parametrize(("field", "payload", "value"), CASES)
def test_a_raw_value_becomes_that_of_the_field(field, payload, value):
    (reading,) = with_fields(field).read(payload, {"device": "d1"}, "t/d1")

    fields = msgspec.json.decode(reading.data)
    assert fields == ({} if value is None else {"x": value})
    assert value is None or type(fields["x"]) is type(value)


LENIENT = [
    ("x: {type: float}", b'{"x":" 21.5 "}', 21.5),
    ("x: {type: int}", b'{"x":"-7"}', -7),
    ("x: {type: bool}", b'{"x":"On"}', True),
    ("x: {type: bool}", b'{"x":0}', False),
    ("x: {type: string}", b'{"x":12}', "12"),
    ("x: {type: float, no_reading: [-9999]}", b'{"x":"-9999.0"}', None),
]


@pytest.mark.parametrize(("field", "payload", "value"), LENIENT)
def test_a_lenient_profile_reads_numbers_and_truths_from_texts(field, payload, value):
    (reading,) = with_fields(field, "lenient: true").read(payload, {"device": "d1"}, "t/d1")

    assert msgspec.json.decode(reading.data) == ({} if value is None else {"x": value})


BREACHES = [
    ("x: {type: float}", b"{}", "missing", "x is missing"),
    ("x: {type: float}", b'{"x":null}', "missing", "x is null"),
    ("x: {type: float}", b'{"x":"21"}', "wrong_type", "x is '21', not a number"),
    ("x: {type: float}", b'{"x":true}', "wrong_type", "x is true, not a number"),
    ("x: {type: float, max: 150}", b'{"x":150.1}', "out_of_range", "x is 150.1, above its max of 150"),
    ("x: {type: int, min: 0}", b'{"x":-1}', "out_of_range", "x is -1, below its min of 0"),
    ("x: {type: int}", b'{"x":1.5}', "wrong_type", "x is 1.5, not a whole number"),
    ("x: {type: int}", b'{"x":18446744073709551616}', "out_of_range", "more than 64 bits"),
    ("x: {type: bool}", b'{"x":1}', "wrong_type", "x is 1, neither true nor false"),
    ("x: {type: string}", b'{"x":1}', "wrong_type", "x is 1, not a text"),
    ("x: {type: enum, values: [a, b]}", b'{"x":"c"}', "not_allowed", "x is 'c'; allowed: a, b"),
    ("x: {type: enum, values: [1]}", b'{"x":true}', "not_allowed", "x is true; allowed: 1"),
    ("x: {type: object}", b'{"x":"{}"}', "wrong_type", "x is '{}', neither a mapping nor a list"),
    ("x: {type: float}", b'{"x":NaN}', "undecodable", "JSON"),
    ("x: {type: float}", b'{"x":1,"x":2}', "undecodable", "a key occurs twice"),
    ("x: {type: float}", b'{"x":1,"y":{"z":1,"z":2}}', "undecodable", "a key occurs twice"),
    ("x: {type: float}", b'{"x":1e400}', "undecodable", "out of range"),
    ("x: {type: float}", b"[" * 100_000, "undecodable", ""),
    ("x: {type: float}", b'{"x":1,"y":"\xff"}', "undecodable", "UTF-8"),
    ("x: {type: float}", b"", "undecodable", "empty"),
]


@pytest.mark.parametrize(("field", "payload", "code", "detail"), BREACHES)
def test_a_breach_says_what_is_wrong_with_which_field(field, payload, code, detail):
    """A device integrator reads this beside the dead letter, and must know what to change."""
    with pytest.raises(Breach) as caught:
        with_fields(field).read(payload, {"device": "d1"}, "t/d1")

    assert caught.value.code == code
    assert detail in caught.value.detail


def test_a_whole_number_of_sixty_digits_is_a_float_all_the_same():
    (reading,) = with_fields("x: {type: float}").read(b'{"x":1' + b"0" * 60 + b"}", {"device": "d1"}, "t/d1")

    assert msgspec.json.decode(reading.data) == {"x": 1e60}
