"""Checks by parameters: what they come to, and that the sum of a stretch follows from those before its ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldgate_devices.framing import make_framer
from fieldgate_devices.framing.checks import Check, CheckSpec
from fieldgate_devices.framing.scanner import Marks

SPECS: list[object] = [
    "sum8", "sum16", "lrc8", "inv8", "xor8", "fletcher8", "CRC-8/SMBUS", "CRC-16/MODBUS", "CRC-16/GENIBUS",
    "CRC-24/LTE-A", "CRC-32/ISO-HDLC", "CRC-64/XZ",
    {"crc": {"width": 16, "poly": 0x8005, "init": 0xFFFF, "refin": True, "refout": True}},
]  # fmt: skip
NINE = b"123456789"


@pytest.mark.parametrize(
    ("spec", "written"),
    [
        ("sum8", "dd"),
        ("sum16", "01dd"),
        ("lrc8", "23"),
        ("inv8", "22"),
        ("xor8", "31"),
        ("fletcher8", "dd15"),  # 477 and 9*49 + 8*50 + … + 57 = 2325, modulo 256
        ("CRC-16/MODBUS", "4b37"),  # the catalogue's check values
        ("crc16-modbus", "4b37"),
        ("CRC-16/XMODEM", "31c3"),
        ("CRC-32/ISO-HDLC", "cbf43926"),
        ({"crc": "CRC-16/MODBUS", "order": "little"}, "374b"),
        ({"crc": {"width": 16, "poly": 0x8005, "init": 0xFFFF, "refin": True, "refout": True}}, "4b37"),
        ({"crc": {"width": 16, "poly": 0x1021, "xorout": 0xFFFF}}, "ce3c"),
    ],
)
def test_a_check_comes_to_what_its_definition_says(spec: object, written: str) -> None:
    assert Check(CheckSpec.model_validate(spec)).written(NINE).hex() == written


def test_a_check_may_be_written_as_digits() -> None:
    check = Check(CheckSpec.model_validate({"sum": "lrc8", "form": "hex"}))

    assert check.written(bytes.fromhex("010300000001")) == b"FB"  # Modbus ASCII
    assert check.problem(b"fb", b"FB") == ""
    assert check.problem(b"FC", b"FB") == "check 'FC' is wrong; 'FB' is right for what came"


@pytest.mark.parametrize("spec", SPECS, ids=str)
@given(content=st.binary(max_size=400), ends=st.tuples(st.integers(0, 400), st.integers(0, 400)))
def test_the_sum_of_a_stretch_follows_from_marks(spec: object, content: bytes, ends: tuple[int, int]) -> None:
    kind = CheckSpec.model_validate(spec).made
    start, end = sorted(min(one, len(content)) for one in ends)

    assert Marks(kind).value(bytearray(content), start, end) == kind.grown(kind.empty, content[start:end])


@pytest.mark.parametrize(
    "wrong",
    [
        {"crc": "CRC-16/MODBUS", "sum": "sum8"},
        {},
        {"sum": "nmea", "form": "hex"},
        {"sum": "nmea", "order": "little"},
        {"crc": {"poly": 7}},
        {"crc": {"width": 8, "poly": 7, "init": 256}},
        "sum9",
    ],
)
def test_a_check_that_is_none_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError):
        make_framer("lines", {"check": wrong})
