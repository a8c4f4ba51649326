"""MessagePack: every format of the specification, and what a hostile message can be."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decoder_kit import decoded, refused

# https://github.com/msgpack/msgpack/blob/master/spec.md, one or two of each format
FORMATS: list[tuple[str, object]] = [
    ("c0", None), ("c2", False), ("c3", True), ("00", 0), ("7f", 127), ("e0", -32), ("ff", -1), ("cc80", 128),
    ("cd0100", 256), ("ce00010000", 65536), ("cfffffffffffffffff", 2**64 - 1), ("d080", -128), ("d18000", -32768),
    ("d280000000", -(2**31)), ("d38000000000000000", -(2**63)), ("ca3fc00000", 1.5), ("cb3ff8000000000000", 1.5),
    ("a0", ""), ("a3c3bc61", "üa"), ("d90161", "a"), ("da000161", "a"), ("db0000000161", "a"), ("c400", b""),
    ("c402ff00", b"\xff\x00"), ("c50001ff", b"\xff"), ("c600000001ff", b"\xff"), ("90", []), ("920102", [1, 2]),
    ("dc000101", [1]), ("dd0000000101", [1]), ("80", {}), ("81a16101", {"a": 1}), ("de0001a16101", {"a": 1}),
    ("df00000001a16101", {"a": 1}), ("810102", {"1": 2}), ("81c4016102", {"a": 2}), ("81ff02", {"-1": 2}),
    ("d40501", {"type": 5, "data": b"\x01"}), ("d5050102", {"type": 5, "data": b"\x01\x02"}),
    ("d60501020304", {"type": 5, "data": b"\x01\x02\x03\x04"}), ("c70305010203", {"type": 5, "data": b"\x01\x02\x03"}),
    ("c8000105ff", {"type": 5, "data": b"\xff"}), ("c90000000105ff", {"type": 5, "data": b"\xff"}),
    ("d6ff5bf3f300", 1542714112.0), ("d7ff773594005bf3f300", 1542714112.5),
    ("c70cff1dcd6500000000005bf3f300", 1542714112.5),
]  # fmt: skip


@pytest.mark.parametrize(("encoded", "value"), FORMATS, ids=[encoded for encoded, _ in FORMATS])
def test_each_format_of_the_specification(encoded: str, value: object) -> None:
    message = bytes.fromhex(encoded)

    assert decoded("msgpack", b"\x81\xa1v" + message) == [{"v": value}]
    for end in range(len(message)):
        refused("msgpack", b"\x81\xa1v" + message[:end])


REFUSED = {
    "the byte that is never used": ("c1", "not MessagePack: byte 0xc1 at 0"),
    "NaN": ("cb7ff8000000000000", "a number is not a number (NaN)"),
    "infinity": ("ca7f800000", "a number is infinite"),
    "a list of 2^32 values": ("ddffffffff", "cut short"),
    "a mapping of 2^32": ("dfffffffff", "cut short"),
    "a text of 2^32 bytes": ("dbffffffff61", "truncated"),
    "an extension of 2^32 bytes": ("c9ffffffff05", "truncated"),
    "33 lists": ("91" * 33 + "01", "nested deeper than 32"),
    "100,000 lists": ("91" * 100_000, "nested deeper than 32"),
    "33,000 values": ("dc80e8" + "c0" * 33_000, "more than 32768 values"),
    "a text that is not UTF-8": ("a1ff", "not MessagePack"),
    "a key that comes twice": ("82a16101a16102", "a key occurs twice"),
    "a key that comes twice, further in": ("9182a16101a16102", "a key occurs twice"),
    "a key and its digits": ("820102a13103", "the key '1' comes twice"),
    "a key that is a list": ("81900f", "a key at byte 1 is neither a text nor a whole number"),
    "a key that is true": ("81c301", "a key at byte 1 is neither"),
    "a key that is a fraction": ("81ca3fc0000001", "a key at byte 1 is neither"),
    "a key that is an extension": ("81d4050101", "a key at byte 1 is neither"),
    "a key that is no text": ("81c401ff01", "a key is no text"),
    "a time with more than a second of nanoseconds": ("d7ffffffffff00000000", "not MessagePack"),
    "two messages": ("0102", "something follows the message, from byte 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_plain_value_is_refused(case: str) -> None:
    encoded, reason = REFUSED[case]

    assert reason in refused("msgpack", bytes.fromhex(encoded))


def test_nan_may_mean_that_there_is_no_value() -> None:
    assert decoded("msgpack", bytes.fromhex("81a174cb7ff8000000000000"), {"nan": "absent"}) == [{"t": None}]


def test_a_sequence_holds_several_messages() -> None:
    assert decoded("msgpack", bytes.fromhex("81a1740181a17402"), {"sequence": True}) == [{"t": 1}, {"t": 2}]
    assert "cut short" in refused("msgpack", bytes.fromhex("81a1740181a174"), {"sequence": True})


def test_readings_are_found_as_in_json() -> None:
    payload = msgspec.msgpack.encode({"gw": "g", "s": [{"t": 1}, {"t": 2}]})

    assert decoded("msgpack", payload, {"each": "s"}) == [{"gw": "g", "t": 1}, {"gw": "g", "t": 2}]


PLAIN = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.binary(max_size=5),
        st.text(st.sampled_from("ab é"), max_size=40),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=18), st.dictionaries(st.text(st.sampled_from("abc"), max_size=2), inner, max_size=18)
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None, database=None)
@given(value=PLAIN)
def test_plain_values_come_through(value: object) -> None:
    assert decoded("msgpack", msgspec.msgpack.encode({"v": value})) == [{"v": value}]
