"""JSON: what is one reading, what is refused, and that nothing else is read into it (row 71 of the fault catalogue)."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decoder_kit import decoded, refused
from fieldgate_devices.decoders.json_text import has_duplicate_keys, parse
from fieldgate_devices.decoders.limits import MAX_DEPTH, MAX_RECORDS, MAX_VALUES, measure

REFUSED = {
    "NaN": (b'{"a":NaN}', "not JSON"),
    "Infinity": (b'{"a":-Infinity}', "not JSON"),
    "a number past all floats": (b'{"a":1e400}', "out of range"),
    "a whole number of 65 digits": (b'{"a":%s}' % (b"9" * 65), "more than 64 digits"),
    "a whole number of 100,000 digits": (b"9" * 100_000, "out of range"),
    "100,000 lists within each other": (b"[" * 100_000, "lists and objects"),
    "10,000 lists within each other": (b"[" * 10_000, "nested deeper than 32"),
    "33 lists within each other": (b"[" * 33 + b"]" * 33, "nested deeper than 32"),
    "33 objects within each other": (b'{"a":' * 33 + b"1" + b"}" * 33, "nested deeper than 32"),
    "a key that comes twice": (b'{"a":1,"a":1}', "a key occurs twice"),
    "a key that comes twice, further in": (b'{"x":[{"a":1,"b":2,"a":3}]}', "a key occurs twice"),
    "a key that comes twice, spaced": (b'{"a" :1,"a"\n:2}', "a key occurs twice"),
    "a key that comes twice, once escaped": (b'{"a":1,"\\u0061":2}', "a key occurs twice"),
    "a lone surrogate": (b'{"a":"\\ud800 and more text"}', "surrogate"),
    "surrogates in the wrong order": (b'["\\udc00\\ud800"]', "surrogate"),
    "UTF-8 that is none": (b'{"a":"\xff"}', "byte 0xff at position 6"),
    "UTF-8 that is longer than need be": (b'["\xc0\xaf"]', "byte 0xc0 at position 2"),
    "a surrogate in UTF-8": (b'["\xed\xa0\x80"]', "byte 0xed at position 2"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "a byte order mark"),
    "UTF-16 with its mark": ('{"a":1}'.encode("utf-16"), "the byte order mark of UTF-16"),
    "UTF-16": ('{"a":1}'.encode("utf-16-le"), "UTF-16"),
    "UTF-32": ('{"a":1}'.encode("utf-32-be"), "UTF-32"),
    "binary": (b"\x00\x01\x02", "binary"),
    "a control character in a text": (b'["\x07"]', "not JSON"),
    "a text that does not end": (b'{"a":"b', "not JSON"),
    "a comma too many": (b'{"a":1,}', "not JSON"),
    "single quotes": (b"{'a':1}", "begins with"),
    "a comment": (b'{"a":1 /* no */}', "not JSON"),
    "two messages": (b'{"a":1}{"a":2}', "trailing"),
    "a zero before a number": (b"[012]", "not JSON"),
    "a key that is no text": (b"{1:2}", "keys must be strings"),
    "blanks": (b"  \n", "not JSON"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_json_is_refused_with_its_reason(case: str) -> None:
    payload, reason = REFUSED[case]

    assert reason in refused("json", payload)


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b"null", None),
        (b"true", True),
        (b'"on"', "on"),
        (b"-0.0", 0.0),
        (b"1e-400", 0.0),
        (b"[]", []),
        (b"[1,2]", [1, 2]),
        (b"9" * 64, 10**64 - 1),
        (b'"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
    ],
)
def test_a_message_that_is_no_object_is_one_value(payload: bytes, value: object) -> None:
    """A retained message that is cleared is empty; `null` is a message: row 73."""
    assert decoded("json", payload) == [{"value": value}]


def test_32_levels_are_read() -> None:
    assert decoded("json", b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


def test_a_list_of_objects_is_several_readings() -> None:
    assert decoded("json", b'[{"t":1},{"t":2}]') == [{"t": 1}, {"t": 2}]


def test_readings_share_what_stands_around_their_list() -> None:
    """A gateway's message names itself once; each reading says the rest."""
    payload = b'{"gw":"g1","d":{"rssi":-70,"sensors":[{"id":"a","t":1},{"id":"b","t":2,"gw":"own"}]}}'

    records = decoded("json", payload, {"each": "d.sensors"})

    assert records == [
        {"gw": "g1", "d": {"rssi": -70}, "id": "a", "t": 1},
        {"gw": "own", "d": {"rssi": -70}, "id": "b", "t": 2},
    ]


def test_a_list_may_stand_within_a_list() -> None:
    payload = b'{"gw":[{"id":"g","s":[{"t":1}]},{"id":"h"}],"n":5}'

    assert decoded("json", payload, {"each": "gw[0].s"}) == [{"gw": [{"id": "g"}, {"id": "h"}], "n": 5, "t": 1}]
    assert decoded("json", b'{"a":[[{"t":1}],2]}', {"each": "a[0]"}) == [{"a": [2], "t": 1}]
    assert decoded("json", b'{"x":{"s":[{"t":1}]}}', {"each": "*.s"}) == [{"x": {}, "t": 1}]


def test_readings_need_not_share_anything() -> None:
    assert decoded("json", b'{"gw":1,"s":[{"t":1}]}', {"each": "s", "shared": False}) == [{"t": 1}]


def test_readings_may_stand_in_an_object_by_name() -> None:
    """Tasmota: {"DS18B20-1": {"Temperature": 20}, …}."""
    records = decoded("json", b'{"s":{"x":{"t":1},"y":5}}', {"each": "s", "key": "sensor"})

    assert records == [{"sensor": "x", "t": 1}, {"sensor": "y", "value": 5}]


def test_a_reading_cannot_pass_itself_off_as_another() -> None:
    """The name of a reading is what its message calls it, whatever it says itself."""
    assert decoded("json", b'{"s":{"x":{"id":"y"}}}', {"each": "s", "key": "id"}) == [{"id": "x"}]


def test_readings_may_be_the_whole_message() -> None:
    assert decoded("json", b"[21.5,22]", {"each": ".", "key": "n"}) == [{"n": 0, "value": 21.5}, {"n": 1, "value": 22}]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"x":1}', "there is nothing at s"),
        (b'{"s":1}', "what is at s is neither a list nor an object"),
        (b'{"s":[]}', "the list at s is empty"),
        (b'{"s":[%s1]}' % (b"1," * MAX_RECORDS), "the message holds more than 1000 readings"),
    ],
)
def test_a_message_without_the_list_is_refused(payload: bytes, reason: str) -> None:
    assert refused("json", payload, {"each": "s"}) == reason


def test_lines_are_messages() -> None:
    assert decoded("json", b'{"t":1}\r\n\n[{"t":2},{"t":3}]\n', {"lines": True}) == [{"t": 1}, {"t": 2}, {"t": 3}]
    assert refused("json", b'{"t":1}\n{"t":', {"lines": True}).startswith("message 2: not JSON")
    assert "more than 1000" in refused("json", b"1\n" * (MAX_RECORDS + 1), {"lines": True})


def test_a_reading_has_4096_values_at_most() -> None:
    assert decoded("json", json.dumps({"a": [0] * (MAX_VALUES - 1)}).encode())
    assert "more than 4096 values" in refused("json", json.dumps({"a": [0] * MAX_VALUES}).encode())


class Members(list[tuple[str, object]]):
    """An object as it is written: its keys may come twice."""


KEYS = st.text(st.sampled_from('ab":\\ é'), max_size=3)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), KEYS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.lists(st.tuples(KEYS, inner), max_size=3).map(Members)),
    max_leaves=12,
)


def written(value: object, *, gap: str) -> str:
    if isinstance(value, Members):
        members = (f"{json.dumps(key)}{gap}:{written(one, gap=gap)}" for key, one in value)
        return f"{{{','.join(members)}}}"
    if isinstance(value, list):
        return f"[{','.join(written(one, gap=gap) for one in value)}]"
    return json.dumps(value)


def repeats(value: object) -> bool:
    if isinstance(value, Members):
        keys = [key for key, _ in value]
        return len(set(keys)) < len(keys) or any(repeats(one) for _, one in value)
    return isinstance(value, list) and any(repeats(one) for one in value)


@settings(max_examples=300, deadline=None, database=None)
@given(value=VALUES, gap=st.sampled_from(["", " ", "\n"]))
def test_a_key_that_comes_twice_is_always_noticed_and_never_imagined(value: object, gap: str) -> None:
    """Which of two values counts is a matter of the reader: two readers could see two different messages."""
    payload = written(value, gap=gap).encode()

    assert has_duplicate_keys(payload, measure(msgspec.json.decode(payload))) == repeats(value)


@settings(max_examples=200, deadline=None, database=None)
@given(value=VALUES.filter(lambda value: not repeats(value)))
def test_what_is_read_is_what_the_standard_library_reads(value: object) -> None:
    """A second opinion."""
    payload = written(value, gap="").encode()

    assert parse(payload) == json.loads(payload)
