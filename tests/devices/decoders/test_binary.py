"""Binary layouts: bits and bytes where they stand, and every mistake of a layout when it is written."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from decoder_kit import CAYENNE, READINGS, Options, decoded, refused
from fieldgate_devices.decoders import make_decoder


def layout(*items: object, **options: object) -> Options:
    return {"layout": list(items), **options}


def test_a_tag_that_the_layout_does_not_know_is_refused() -> None:
    assert (
        refused("binary", bytes.fromhex("0199ff"), CAYENNE) == "_type is '153'; the layout knows 0, 103, 104, 113, 136"
    )


def test_unknown_tags_are_passed_over_where_their_length_is_said() -> None:
    """Tag, length, value: new firmware may say more."""
    options = layout(
        {
            "repeat": "rest",
            "layout": [
                {"name": "_tag", "type": "u8"},
                {"name": "_length", "type": "u8"},
                {
                    "choose": "_tag",
                    "length": "_length",
                    "otherwise": "ignore",
                    "when": {1: [{"name": "t", "type": "i16"}]},
                },
            ],
        }
    )

    assert decoded("binary", bytes.fromhex("0903aabbcc 01040011ffff"), options) == [{"t": 17}]
    assert refused("binary", bytes.fromhex("0109 0011"), options) == "_tag is said to have 9 bytes; 2 are left"
    assert "within t" in refused("binary", bytes.fromhex("010100 02"), options)


def test_little_endian_fields_fill_bytes_from_their_lowest_bit() -> None:
    """As a C struct with bit fields lies in the memory of most devices."""
    options = layout(
        {"name": "low", "type": "u4"},
        {"name": "wide", "type": "u12"},
        {"name": "word", "type": "i16"},
        {"name": "other", "type": "u16be"},
        {"name": "float", "type": "f32"},
        {"name": "text", "type": "text4"},
        {"name": "digits", "type": "bcd4"},
        {"name": "bytes", "type": "bytes2"},
        byte_order="little",
    )
    payload = bytes.fromhex("2143 feff 0102 0000c03f 41424300 3412 dead")

    assert list(decoded("binary", payload, options)[0].items()) == [
        ("low", 1),
        ("wide", 0x432),
        ("word", -2),
        ("other", 0x102),
        ("float", 1.5),
        ("text", "ABC"),
        ("digits", 1234),
        ("bytes", b"\xde\xad"),
    ]


def test_big_endian_fields_fill_bytes_from_their_highest_bit() -> None:
    options = layout(
        {"name": "flag", "type": "bool"},
        {"skip": "u3"},
        {"name": "wide", "type": "u12"},
        {"name": "word", "type": "i16le"},
        {"name": "float", "type": "f64le"},
        {"name": "half", "type": "f16"},
        {"name": "digits", "type": "bcd2le"},
    )
    payload = bytes.fromhex("f321 feff") + struct.pack("<d", -0.25) + bytes.fromhex("3c00 42")

    assert decoded("binary", payload, options) == [
        {"flag": True, "wide": 0x321, "word": -2, "float": -0.25, "half": 1.0, "digits": 42}
    ]


@settings(max_examples=100, deadline=None, database=None)
@given(data=st.data(), order=st.sampled_from(["big", "little"]))
def test_any_run_of_fields_is_read_as_one_large_number_says(data: st.DataObject, order: str) -> None:
    """A second opinion: the payload as one number, and shifts."""
    sizes = data.draw(st.lists(st.integers(2, 64), min_size=1, max_size=8))
    signed = data.draw(st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes)))
    total = -(-sum(sizes) // 8) * 8
    payload = data.draw(st.binary(min_size=total // 8, max_size=total // 8))
    items: list[object] = [
        {"name": f"f{place}", "type": f"{'i' if is_signed else 'u'}{size}"}
        for place, (size, is_signed) in enumerate(zip(sizes, signed, strict=True))
    ]
    if spare := total - sum(sizes):
        items.append({"skip": f"u{spare}"})

    record = decoded("binary", payload, layout(*items, byte_order=order))[0]

    number, at, expected = int.from_bytes(payload, order), 0, {}
    for place, (size, is_signed) in enumerate(zip(sizes, signed, strict=True)):
        shift = at if order == "little" else total - at - size
        value = number >> shift & ((1 << size) - 1)
        expected[f"f{place}"] = value - (1 << size) if is_signed and value >> (size - 1) else value
        at += size
    assert record == expected


def test_a_group_may_be_a_reading_each_time() -> None:
    """A logger sends what it kept, each with its time."""
    payload = bytes.fromhex("1202026162 00000001 0000803f 12 00000002 0000c07f 34 64")

    assert decoded("binary", payload, READINGS) == [
        {
            "version": 2,
            "flags": 1,
            "count": 2,
            "label_length": 2,
            "label": "ab",
            "battery": 100,
            "at": 1,
            "t": 1.0,
            "n": 12,
        },
        {
            "version": 2,
            "flags": 1,
            "count": 2,
            "label_length": 2,
            "label": "ab",
            "battery": 100,
            "at": 2,
            "t": None,
            "n": 34,
        },
    ]
    assert decoded("binary", payload[:-1], READINGS)[0].get("battery") is None
    assert refused("binary", payload[:-3], READINGS) == ("the payload ends at byte 21, within n (bytes 14 to 22)")


def test_a_group_may_be_a_list() -> None:
    options = layout(
        {"name": "_n", "type": "u8"},
        {"repeat": "_n", "name": "points", "layout": [{"name": "x", "type": "u8"}, {"name": "y", "type": "u8"}]},
        {"repeat": 2, "name": "pair", "type": "u16"},
        {"repeat": "rest", "name": "samples", "type": "i8"},
    )

    assert decoded("binary", bytes.fromhex("02 0102 0304 0005 0006 ff7f"), options) == [
        {"points": [{"x": 1, "y": 2}, {"x": 3, "y": 4}], "pair": [5, 6], "samples": [-1, 127]}
    ]


def test_a_layout_may_go_on_elsewhere() -> None:
    """A pointer in a header; within a group it counts from the group's own beginning."""
    options = layout(
        {"name": "_pointer", "type": "u8"},
        {"name": "a", "type": "u8"},
        {"at": "_pointer"},
        {"name": "b", "type": "u8"},
        {"at": 2},
        {"repeat": 1, "layout": [{"name": "c", "type": "u8"}, {"at": 2}, {"name": "d", "type": "u8"}]},
        {"at": 6},
    )

    assert decoded("binary", bytes.fromhex("05 0a 0c 00 0d 0b"), options) == [{"a": 10, "b": 11, "c": 12, "d": 13}]
    assert refused("binary", bytes.fromhex("ff 0a"), options) == "the layout goes on at byte 255; there are 2"


def test_a_sum_is_exact_before_it_is_a_float() -> None:
    """26 and 30 hundredths are 26.3; as floats they would be 26.300000000000001 on some values."""
    options = layout(
        {"name": "_high", "type": "u8"},
        {"name": "_low", "type": "u8"},
        {"sum": "whole", "of": {"_high": 256, "_low": 1}},
        {"sum": "t", "of": {"_high": 1, "_low": 0.01}},
    )

    for low in range(100):
        assert decoded("binary", bytes([69, low]), options) == [{"whole": 69 * 256 + low, "t": float(f"69.{low:02}")}]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("01", "the payload ends at byte 1, within t (bytes 0 to 2)"),
        ("01000100", "the payload has 4 bytes; the layout ends after 3"),
        ("020001", "kind is '2'; 1 is expected"),
    ],
)
def test_a_payload_that_does_not_fit_is_refused(payload: str, reason: str) -> None:
    """A payload of another length is another device's, or another version's."""
    options = layout({"name": "kind", "type": "u8", "equals": 1}, {"name": "t", "type": "i16"})

    assert refused("binary", bytes.fromhex(payload), options) == reason
    assert decoded("binary", bytes.fromhex("01000100"), {**options, "rest": "ignore"}) == [{"kind": 1, "t": 1}]


@pytest.mark.parametrize("payload", ["7fc00000", "7f800000", "ff800000"])
def test_a_float_that_is_no_number_is_refused(payload: str) -> None:
    assert "a number is" in refused("binary", bytes.fromhex(payload), layout({"name": "t", "type": "f32"}))


def test_nan_may_mean_that_there_is_no_value() -> None:
    options = layout({"name": "t", "type": "f32"}, nan="absent")

    assert decoded("binary", bytes.fromhex("7fc00000"), options) == [{"t": None}]
    assert "infinite" in refused("binary", bytes.fromhex("7f800000"), options)


@pytest.mark.parametrize(
    ("items", "payload", "reason"),
    [
        ([{"name": "t", "type": "text", "length": 2, "equals": "OK"}], "4e4f", "t is 'NO'; 'OK' is expected"),
        ([{"name": "n", "type": "bcd2"}], "1a", "0x1a is no binary-coded decimal"),
        ([{"name": "t", "type": "text2"}], "ff41", "a text is not UTF-8: '\\\\xffA'"),
        (
            [{"name": "n", "type": "i8"}, {"repeat": "n", "name": "l", "type": "u8"}],
            "ff",
            "n is -1; a whole number from 0",
        ),
        ([{"name": "t", "type": "hex1"}, {"sum": "s", "of": {"t": 1}}], "ff", "t is no number"),
        ([{"name": "d", "type": "f64"}, {"sum": "s", "of": {"d": 10}}], "7fefffffffffffff", "a sum is infinite"),
        ([{"skip": "u16"}, {"name": "t", "type": "u8"}], "01", "within t (bytes 0 to 2)"),
        ([{"skip": "bytes2"}], "01", "within what is skipped (bytes 0 to 1)"),
        ([{"repeat": "rest", "layout": [{"at": 0}]}], "ff", "the group at byte 0 does not go on"),
        (
            [{"name": "n", "type": "u32"}, {"repeat": "n", "name": "l", "layout": [{"at": 0}]}],
            "ffffffff",
            "more than 32768",
        ),
        ([{"repeat": "rest", "layout": [{"name": "a", "type": "u8"}]}], "0101", "'a' comes twice"),
        (
            [{"repeat": "rest", "records": True, "layout": [{"name": "a", "type": "u8"}]}],
            "01" * 1001,
            "more than 1000 readings",
        ),
        (
            [{"name": "n", "type": "u8"}, {"name": "b", "type": "bytes", "length": "n"}],
            "05aa",
            "within b (bytes 1 to 5)",
        ),
        (
            [
                {"name": "k", "type": "u8"},
                {"choose": "k", "when": {1: [{"name": "a", "type": "u8"}], 2: []}},
                {"sum": "s", "of": {"a": 1}},
            ],
            "02",
            "a was not read",
        ),
    ],
)
def test_what_a_layout_does_not_allow_is_refused(items: list[object], payload: str, reason: str) -> None:
    assert reason in refused("binary", bytes.fromhex(payload), layout(*items))


WRONG: list[tuple[list[object], str]] = [
    ([{"name": "a", "type": "u65"}], "'u65' is not a type; allowed: u1 to u64"),
    ([{"name": "a", "type": "f24"}], "'f24' is not a type"),
    ([{"name": "a", "type": "int"}], "'int' is not a type"),
    ([{"name": "a", "type": "bool1"}], "bool has neither size nor byte order"),
    ([{"name": "a", "type": "u12le"}], "le and be are for numbers of whole bytes"),
    ([{"name": "a"}], "a has no type"),
    ([{"name": "a", "type": "text"}], "text needs a size: text8, or a length"),
    ([{"name": "a", "type": "u8", "length": 1}], "u8 has its size already"),
    ([{"name": "a b", "type": "u8"}], "'a b' is not a name"),
    (
        [{"name": "a", "type": "u4"}],
        "the fields before the end of the layout make 4 bits, no whole bytes; add {skip: u4}",
    ),
    ([{"name": "a", "type": "u4"}, {"at": 1}], "the fields before item 2 (at) make 4 bits"),
    ([{"name": "a", "type": "u8"}, {"name": "a", "type": "u8"}], "'a' comes twice in one layout"),
    ([{"name": "a", "type": "u8", "skip": "u8"}], "this one has name and skip"),
    ([{"type": "u8"}], "this one has none"),
    ([{"at": 1, "type": "u8"}], "type does not belong to an item with at"),
    ([{"at": -1}], "at counts from 0"),
    ([{"repeat": 2}], "repeat needs either layout or type"),
    ([{"repeat": 0, "name": "a", "type": "u8"}], "repeat is at least 1"),
    ([{"repeat": 2, "type": "u8"}], "needs a name and a type of whole bytes"),
    (
        [{"repeat": 2, "name": "a", "records": True, "layout": [{"name": "b", "type": "u8"}]}],
        "records goes with a layout",
    ),
    ([{"repeat": "n", "name": "a", "type": "u8"}], "'n' is no field before it; there are none"),
    ([{"choose": "k", "when": {1: []}}], "'k' is no field before it"),
    ([{"name": "k", "type": "u8"}, {"choose": "k"}], "choose needs when"),
    ([{"name": "k", "type": "u8"}, {"sum": "s"}], "sum needs of"),
    ([{"name": "k", "type": "u8"}, {"sum": "s", "of": {"k": float("nan")}}], "nan is no factor"),
    ([{"name": "k", "type": "u8"}, {"sum": "s", "of": {"k": 10**19}}], "is no factor; allowed: -1e18 to 1e18"),
    ([{"sum": "s", "of": {"x": 1}}], "'x' is no field before it"),
    ([{"skip": "bytes"}], "skip needs a size"),
    ([{"name": "a_{b}", "type": "u8"}], "'b' is no field before it"),
    (
        [{"repeat": 2, "layout": [{"repeat": 2, "records": True, "layout": [{"name": "b", "type": "u8"}]}]}],
        "a group with records stands within another group",
    ),
    ([{"name": f"f{n}", "type": "u8"} for n in range(1001)], "more than 1000 items"),
]


@pytest.mark.parametrize(("items", "problem"), WRONG, ids=[problem for _, problem in WRONG])
def test_a_layout_that_cannot_be_read_is_refused_when_it_is_written(items: list[object], problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        make_decoder("binary", layout(*items))

    assert problem in str(caught.value)


def test_layouts_are_nested_8_deep_at_the_most() -> None:
    items: list[object] = [{"name": "a", "type": "u8"}]
    for _ in range(7):
        items = [{"optional": items}]
    assert decoded("binary", b"\x01", layout(*items)) == [{"a": 1}]

    with pytest.raises(ValidationError, match="nested deeper than 8"):
        make_decoder("binary", layout({"optional": items}))
