"""CBOR: the examples of RFC 8949, Appendix A, and what a hostile message can be."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decoder_kit import decoded, refused
from fieldgate_devices.decoders.cbor import MAX_CBOR_BYTES, MAX_CBOR_BYTES_NUMBERED

# RFC 8949, Appendix A: diagnostic notation and encoding. NaN, infinities and simple values are below.
APPENDIX_A: list[tuple[object, str]] = [
    (0, "00"), (1, "01"), (10, "0a"), (23, "17"), (24, "1818"), (25, "1819"), (100, "1864"), (1000, "1903e8"),
    (1000000, "1a000f4240"), (1000000000000, "1b000000e8d4a51000"), (18446744073709551615, "1bffffffffffffffff"),
    (18446744073709551616, "c249010000000000000000"), (-18446744073709551616, "3bffffffffffffffff"),
    (-18446744073709551617, "c349010000000000000000"), (-1, "20"), (-10, "29"), (-100, "3863"), (-1000, "3903e7"),
    (0.0, "f90000"), (-0.0, "f98000"), (1.0, "f93c00"), (1.1, "fb3ff199999999999a"), (1.5, "f93e00"),
    (65504.0, "f97bff"), (100000.0, "fa47c35000"), (3.4028234663852886e38, "fa7f7fffff"),
    (1.0e300, "fb7e37e43c8800759c"), (5.960464477539063e-8, "f90001"), (0.00006103515625, "f90400"), (-4.0, "f9c400"),
    (-4.1, "fbc010666666666666"), (False, "f4"), (True, "f5"), (None, "f6"), (None, "f7"),
    ("2013-03-21T20:04:00Z", "c074323031332d30332d32315432303a30343a30305a"), (1363896240, "c11a514b67b0"),
    (1363896240.5, "c1fb41d452d9ec200000"), (b"\x01\x02\x03\x04", "d74401020304"),
    (b"dIETF", "d818456449455446"), ("http://www.example.com", "d82076687474703a2f2f7777772e6578616d706c652e636f6d"),
    (b"", "40"), (b"\x01\x02\x03\x04", "4401020304"), ("", "60"), ("a", "6161"), ("IETF", "6449455446"),
    ('"\\', "62225c"), ("\u00fc", "62c3bc"), ("\u6c34", "63e6b0b4"), ("\U00010151", "64f0908591"), ([], "80"),
    ([1, 2, 3], "83010203"), ([1, [2, 3], [4, 5]], "8301820203820405"),
    (list(range(1, 26)), "98190102030405060708090a0b0c0d0e0f101112131415161718181819"),
    ([{}], "81a0"), ([{"1": 2, "3": 4}], "81a201020304"), ([{"a": 1, "b": [2, 3]}], "81a26161016162820203"),
    (["a", {"b": "c"}], "826161a161626163"),
    (b"\x01\x02\x03\x04\x05", "5f42010243030405ff"), ("streaming", "7f657374726561646d696e67ff"), ([], "9fff"),
    ([1, [2, 3], [4, 5]], "9f018202039f0405ffff"), ([1, [2, 3], [4, 5]], "9f01820203820405ff"),
    ([1, [2, 3], [4, 5]], "83018202039f0405ff"), ([1, [2, 3], [4, 5]], "83019f0203ff820405"),
    ([{"a": 1, "b": [2, 3]}], "81bf61610161629f0203ffff"), (["a", {"b": "c"}], "826161bf61626163ff"),
    ([{"Fun": True, "Amt": -2}], "81bf6346756ef563416d7421ff"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "encoded"), APPENDIX_A, ids=[encoded for _, encoded in APPENDIX_A])
def test_the_examples_of_the_standard(value: object, encoded: str) -> None:
    message = bytes.fromhex(encoded)

    assert decoded("cbor", b"\xa1\x61v" + message) == [{"v": value}]


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        ("c48221196ab3", 273.15),  # RFC 8949 3.4.4
        ("c5822003", 1.5),
        ("c582190190c25820" + "ff" * 32, (2**256 - 1) * 2**400 * 1.0),
        ("c58239018fc25820" + "ff" * 32, (2**256 - 1) * 2.0**-400),
        ("d9d9f7830102f6", [1, 2, None]),  # 55799: this is CBOR
        ("d9fffe01", 1),  # a tag that nobody has registered
        ("d823615b", "["),  # a regular expression is a text here
        ("d90102820101", [1, 1]),  # a set is a list
    ],
)
def test_a_tag_becomes_a_number_or_its_content(encoded: str, value: object) -> None:
    assert decoded("cbor", b"\xa1\x61v" + bytes.fromhex(encoded)) == [{"v": value}]


REFUSED = {
    "NaN": ("f97e00", "a number is not a number (NaN)"),
    "infinity": ("f97c00", "a number is infinite"),
    "a simple value": ("f0", "a value of the kind CBORSimpleValue is none that a field can hold"),
    "a break without a beginning": ("ff", "not CBOR"),
    "a reserved head": ("1c", "not CBOR"),
    "a list of 2^64 values": ("9bffffffffffffffff", "the CBOR message is cut short"),
    "a text of 2^63 bytes": ("7b7fffffffffffffff", "the CBOR message is cut short"),
    "bytes of 2^32": ("5affffffff", "the CBOR message is cut short"),
    "a mapping of 2^32": ("baffffffff", "the CBOR message is cut short"),
    "33 lists": ("81" * 33 + "01", "nested deeper than 32"),
    "50,000 lists": ("81" * 50_000, "nested deeper than 32"),
    "50,000 tags": ("c1" * 50_000, "nested deeper than 32"),
    "a text that is not UTF-8": ("61ff", "not CBOR: error decoding text string"),
    "a key that comes twice": ("a2616101616102", "Duplicate map key"),
    "a key and its digits": ("a20102613103", "the key '1' comes twice"),
    "a key that is a list": ("a1800f", "a key is neither a text nor a whole number"),
    "a key that is a fraction": ("a1f93e0001", "a key is neither a text nor a whole number"),
    "a key that is true": ("a1f501", "a key is neither a text nor a whole number"),
    "a key that is a large number": ("a1c24a0100000000000000000001", "is a key"),
    "a number of 1,000 bytes": ("c25903e8" + "ff" * 1000, "more than 64 digits"),
    "a number that is a text": ("c26161", "more than 64 digits"),
    "a fraction with a huge exponent": ("c4821b00000002540be40001", "an exponent is beyond 400"),
    "a bigfloat with a huge exponent": ("c5821b00000002540be40001", "an exponent is beyond 400"),
    "a fraction past all floats": ("c482190190c25820" + "ff" * 32, "a number is infinite"),
    "a fraction without an exponent": ("c48101", "not a pair"),
    "a message that contains itself": ("d81c81d81d00", "refers to parts of itself"),
    "texts by reference": ("d901008263616161d81900", "refers to parts of itself"),
    "two messages": ("0102", "something follows the message, from byte 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_plain_value_is_refused(case: str) -> None:
    encoded, reason = REFUSED[case]

    assert reason in refused("cbor", bytes.fromhex(encoded))


def test_nan_may_mean_that_there_is_no_value() -> None:
    assert decoded("cbor", bytes.fromhex("a16174f97e00"), {"nan": "absent"}) == [{"t": None}]
    assert "infinite" in refused("cbor", bytes.fromhex("f97c00"), {"nan": "absent"})


def test_a_sequence_holds_several_messages() -> None:
    """RFC 8742."""
    assert decoded("cbor", bytes.fromhex("a1617401a1617402"), {"sequence": True}) == [{"t": 1}, {"t": 2}]


def test_readings_are_found_as_in_json() -> None:
    payload = cbor2.dumps({"gw": "g", "s": [{"t": 1}, {"t": 2}]})

    assert decoded("cbor", payload, {"each": "s"}) == [{"gw": "g", "t": 1}, {"gw": "g", "t": 2}]


def test_a_large_message_has_texts_for_keys() -> None:
    """Other keys can be made to collide, which costs the square of their number."""
    pad = b"x" * MAX_CBOR_BYTES_NUMBERED

    assert decoded("cbor", cbor2.dumps({"a": 1, "pad": pad}))
    assert "not CBOR" in refused("cbor", cbor2.dumps({1: 1, "pad": pad}))
    assert f"reads {MAX_CBOR_BYTES} at most" in refused("cbor", cbor2.dumps({"pad": b"x" * MAX_CBOR_BYTES}))


PLAIN = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64),
        st.floats(allow_nan=False, allow_infinity=False),
        st.binary(max_size=5),
        st.text(st.sampled_from("ab é"), max_size=3),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(st.sampled_from("abc"), max_size=2), inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=150, deadline=None, database=None)
@given(value=PLAIN)
def test_plain_values_come_through(value: object) -> None:
    assert decoded("cbor", cbor2.dumps({"v": value})) == [{"v": value}]
