"""Registers and values, in both directions: against ``struct`` and against pymodbus' own conversions."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.client.mixin import ModbusClientMixin

from fieldgate_devices.modbus import ModbusSpec, Register, Unwritable, make_registers
from fieldgate_devices.modbus.words import FORMATS, WORDS, bytes_of, float32_as_written, words_of

KINDS = sorted(FORMATS)
ORDERS = ["big", "little"]
kinds = st.sampled_from(KINDS)
orders = st.sampled_from(ORDERS)


def register(kind: str, **keys: Any) -> Register:
    """A holding register of this type."""
    return Register("r", "holding", 0, keys.pop("count", WORDS.get(kind, 1)), kind, **keys)


def spec(**register: Any) -> Register:
    """The register that a profile writes so."""
    return make_registers(ModbusSpec.model_validate({"registers": {"r": register}}))["r"]


@given(kinds, orders, orders, st.binary(min_size=8, max_size=8))
def test_a_number_is_what_struct_makes_of_its_bytes(kind, word_order, byte_order, noise):
    """Every order that makers use is one of these four."""
    content = noise[: 2 * WORDS[kind]]
    words = words_of(content, word_order=word_order, byte_order=byte_order)
    one = register(kind, word_order=word_order, byte_order=byte_order)
    (wanted,) = struct.unpack(f">{FORMATS[kind]}", content)

    value = one.read(words)

    assert bytes_of(words, word_order=word_order, byte_order=byte_order) == content
    if not math.isfinite(wanted):
        assert value is None
    elif kind == "float32":
        assert struct.pack(">f", value) == struct.pack(">f", wanted)
    else:
        assert value == wanted


@given(kinds, orders, st.lists(st.integers(0, 0xFFFF), min_size=4, max_size=4))
def test_a_number_is_what_pymodbus_makes_of_its_registers(kind, word_order, words):
    """A second opinion on the order of words; pymodbus knows no order of bytes."""
    words = words[: WORDS[kind]]
    wanted = ModbusClientMixin.convert_from_registers(
        words, ModbusClientMixin.DATATYPE[kind.upper()], word_order=word_order
    )

    value = register(kind, word_order=word_order).read(words)

    if math.isfinite(wanted):
        assert value == pytest.approx(wanted, rel=1e-6)
    else:
        assert value is None


@given(kinds, orders, orders, st.data())
def test_what_is_written_is_read_back_and_is_what_pymodbus_would_write(kind, word_order, byte_order, data):
    """A command that says 42 must make the device say 42."""
    bits = 16 * WORDS[kind]
    numbers = (
        st.floats(allow_nan=False, allow_infinity=False, width=bits)
        if kind.startswith("float")
        else st.integers(0, (1 << bits) - 1)
        if kind.startswith("u")
        else st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    )
    value = data.draw(numbers)
    one = register(kind, word_order=word_order, byte_order=byte_order)

    words = one.write(value)

    assert one.read(words) == pytest.approx(value, rel=1e-7)
    if byte_order == "big":
        kind_there = ModbusClientMixin.DATATYPE[kind.upper()]
        assert list(words) == ModbusClientMixin.convert_to_registers(value, kind_there, word_order=word_order)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float32_is_shown_by_the_digits_that_tell_it_from_others(number):
    """230.1 of a meter is not 230.10000610351562 upstream."""
    assert struct.pack(">f", float32_as_written(number)) == struct.pack(">f", number)


def test_a_float32_of_a_meter_is_the_number_on_its_display():
    assert register("float32").read((0x4366, 0x199A)) == 230.1


@given(st.integers(0, 0xFFFF), st.floats(-1e6, 1e6), st.sampled_from([0.001, 0.01, 0.1, 1.0, 10.0, -0.1]))
def test_scale_and_offset_are_undone_by_writing(raw, offset, scale):
    one = register("uint16", scale=scale, offset=round(offset, 2))

    assert one.write(one.read((raw,))) == (raw,)


@pytest.mark.parametrize(
    ("written", "words", "value"),
    [
        ({"address": 0, "type": "int16", "no_value": 0x8000}, (0x8000,), None),
        ({"address": 0, "type": "int16", "no_value": -32768}, (0x8000,), None),
        ({"address": 0, "type": "int16", "no_value": 0x8000}, (0x8001,), -32767),
        ({"address": 0, "type": "uint32", "no_value": [0xFFFFFFFF]}, (0xFFFF, 0xFFFF), None),
        ({"address": 0, "type": "float32", "no_value": -1.0}, (0xBF80, 0), None),
        ({"address": 0, "type": "float32"}, (0x7FC0, 0), None),
        ({"address": 0, "type": "uint16", "scale": 0.1, "offset": -50}, (715,), 21.5),
        ({"address": 0, "type": "uint16", "bit": 3}, (0b1000,), True),
        ({"address": 0, "type": "uint16", "bit": 3}, (0b0111,), False),
        ({"address": 0, "type": "uint16", "bit": 3, "no_value": 0xFFFF}, (0xFFFF,), None),
        ({"address": 0, "type": "uint16", "mask": 0x0F00}, (0xA5C3,), 5),
        ({"address": 0, "type": "uint32", "mask": 0xFF000000, "word_order": "little"}, (0, 0x1200), 0x12),
        ({"address": 0, "type": "bool"}, (2,), True),
        ({"address": 0, "type": "bits"}, (0b101,), [True, False, True, *[False] * 13]),
        ({"address": 0, "type": "string", "length": 3}, (0x4162, 0x6320, 0), "Abc"),
        ({"address": 0, "type": "string", "length": 2, "byte_order": "little"}, (0x6241, 0x0063), "Abc"),
        ({"address": 0, "type": "string", "length": 2}, (0, 0), None),
        ({"address": 0, "type": "string", "length": 1}, (0xB043,), "°C"),
        ({"address": 0, "table": "coil"}, (1,), True),
        ({"number": 30001, "type": "uint16"}, (7,), 7),
    ],
)
def test_what_registers_mean(written, words, value):
    one = spec(**written).read(words)

    assert one == value
    assert type(one) is type(value)


@pytest.mark.parametrize(
    ("number", "table", "address"),
    [
        (1, "coil", 0),
        (9999, "coil", 9998),
        (10001, "discrete", 0),
        (30001, "input", 0),
        (40001, "holding", 0),
        (49999, "holding", 9998),
        (400001, "holding", 0),
        (465536, "holding", 65535),
        (300513, "input", 512),
    ],
)
def test_numbers_of_data_sheets_say_table_and_address(number, table, address):
    one = spec(number=number)

    assert (one.table, one.address) == (table, address)


@pytest.mark.parametrize(
    ("written", "value", "why"),
    [
        ({"type": "uint16"}, 65536, "r is 65536, which uint16 cannot hold; allowed: 0 to 65535"),
        ({"type": "int16", "scale": 0.1}, 4000, "r is 4000, which int16 cannot hold; allowed: -3276.8 to 3276.7"),
        ({"type": "uint16", "scale": 0.5}, 1.2, "r is 1.2; the register goes in steps of 0.5"),
        ({"type": "uint16"}, 1.5, "r is 1.5; the register goes in steps of 1"),
        ({"type": "uint16"}, True, "r is True, not a finite number"),
        ({"type": "uint16"}, "1", "r is '1', not a finite number"),
        ({"type": "float32"}, 1e39, "r is 1e+39, which float32 cannot hold"),
        ({"type": "float64"}, math.inf, "r is inf, not a finite number"),
        ({"type": "string", "length": 1}, "abc", "r is 3 bytes long; it has room for 2"),
        ({"type": "string"}, 3, "r is 3, not a text"),
        ({"type": "bits"}, [True] * 17, "r needs a list of at most 16 truth values"),
        ({"table": "coil"}, 2, "r is 2; allowed: true, false"),
        ({"table": "input"}, 2, "r stands in the input table, which cannot be written"),
        ({"bit": 1}, True, "r is a part of a register, or scaled by another one, and cannot be written"),
    ],
)
def test_what_a_register_cannot_hold_is_refused_with_what_it_can(written, value, why):
    """A command must never be rounded or wrapped around on its way to a machine."""
    with pytest.raises(Unwritable) as refused:
        spec(address=0, **written).write(value)

    assert str(refused.value) == why


@given(st.lists(st.booleans(), min_size=16, max_size=16))
def test_bits_come_back_as_they_were_written(bits):
    one = register("bits")

    assert one.read(one.write(bits)) == bits


@given(st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), max_size=8), st.sampled_from(ORDERS))
def test_a_text_comes_back_as_it_was_written(text, byte_order):
    one = register("string", count=10, byte_order=byte_order)

    assert (one.read(one.write(text)) or "") == text.strip()
