"""Merging registers into requests: few, never larger than a device takes, and nothing lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldgate_devices.modbus import (
    Limits,
    ModbusSpec,
    Register,
    Unwritable,
    make_registers,
    merge,
    read_values,
    split,
    writes_of,
)

_TABLES = st.sampled_from(["holding", "input", "coil", "discrete"])
_TYPES = {1: "uint16", 2: "uint32", 4: "uint64"}


@st.composite
def _registers(draw) -> list[Register]:
    places = draw(
        st.lists(st.tuples(_TABLES, st.integers(0, 2500), st.sampled_from([1, 2, 4])), min_size=1, max_size=60)
    )
    return [
        Register(f"r{number}", table, address, 1, "bool")
        if table in {"coil", "discrete"}
        else Register(f"r{number}", table, address, count, _TYPES[count])
        for number, (table, address, count) in enumerate(places)
    ]


_limits = st.builds(Limits, st.integers(4, 125), st.integers(1, 2000), st.integers(0, 124))


@given(_registers(), _limits)
def test_every_register_is_in_one_request_whole_and_no_request_is_too_large(registers, limits):
    """Modbus Application Protocol V1.1b3, 6.1 to 6.4."""
    requests = merge(registers, limits)

    assert sorted(one.name for request in requests for one in request.registers) == sorted(r.name for r in registers)
    for request in requests:
        assert 1 <= request.count <= (limits.max_bits if request.registers[0].is_bit else limits.max_registers)
        for one in request.registers:
            assert one.table == request.table
            assert request.address <= one.address
            assert one.end <= request.address + request.count


@given(_registers(), _limits)
def test_what_is_read_is_what_stands_there_however_it_was_merged(registers, limits):
    """The device: the word at an address is the address; a bit is its lowest bit."""
    answers = [
        (
            request,
            [
                place & 1 if request.registers[0].is_bit else place
                for place in range(request.address, request.address + request.count)
            ],
        )
        for request in merge(registers, limits)
    ]

    values = read_values(answers)

    for one in registers:
        words = range(one.address, one.end)
        wanted = (
            bool(one.address & 1)
            if one.is_bit
            else int.from_bytes(b"".join(w.to_bytes(2, "big") for w in words), "big")
        )
        assert values[one.name] == wanted


@given(_registers(), _limits)
def test_splitting_ends_at_single_registers_and_loses_none(registers, limits):
    """A device that refuses one address of many must not cost the others."""
    waiting, single = merge(registers, limits), []
    while waiting:
        request = waiting.pop()
        parts = split(request)
        assert all(len(part.registers) < len(request.registers) for part in parts)
        waiting += parts
        single += [] if parts else [request]

    assert sorted(one.name for request in single for one in request.registers) == sorted(r.name for r in registers)


def _section(**registers: object) -> dict[str, Register]:
    return make_registers(ModbusSpec.model_validate({"registers": registers}))


def test_a_gap_is_read_along_and_left_out_once_it_is_refused():
    made = _section(a=0, b=1, c=6, d=20)

    requests = merge(made.values(), Limits(max_gap=8))

    assert [str(one) for one in requests] == ["holding 0-6", "holding 20"]
    assert [str(one) for one in split(requests[0])] == ["holding 0-1", "holding 6"]


def test_two_bits_of_one_register_cannot_be_split():
    """Control: they are one register to the device."""
    made = _section(a={"address": 0, "bit": 0}, b={"address": 0, "bit": 1})
    (request,) = merge(made.values(), Limits())

    assert split(request) == []


@pytest.mark.parametrize(("power", "value"), [(0, 1234), (0xFFFE, 12.34), (1, 12340.0), (0x8000, None), (0xFF00, None)])
def test_a_scale_factor_in_another_register_counts(power, value):
    """SunSpec: sunssf, -10 to 10, 0x8000 for none."""
    made = _section(w={"address": 0, "exponent": "w_sf"}, w_sf={"address": 9, "type": "int16", "no_value": 0x8000})
    answers = [
        (
            request,
            [{0: 1234, 9: power}.get(place, 0) for place in range(request.address, request.address + request.count)],
        )
        for request in merge(made.values(), Limits(max_gap=0))
    ]

    assert read_values(answers).get("w") == value


def test_writes_in_a_row_are_one_request():
    made = _section(a=10, b={"address": 11, "type": "float32"}, c=14, d={"table": "coil", "address": 3})

    writes = writes_of({"d": True, "c": 7, "b": 1.0, "a": 5}, made, always_multiple=False)

    assert [(one.table, one.address, one.words, one.is_single) for one in writes] == [
        ("coil", 3, (1,), True),
        ("holding", 10, (5, 0x3F80, 0), False),
        ("holding", 14, (7,), True),
    ]
    assert not any(one.is_single for one in writes_of({"c": 7}, made, always_multiple=True))


def test_a_register_that_is_not_there_cannot_be_written():
    with pytest.raises(Unwritable, match="there is no register 'z'"):
        writes_of({"z": 1}, _section(a=0), always_multiple=False)
