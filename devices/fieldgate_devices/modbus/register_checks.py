"""What is wrong with registers that no single key can tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from fieldgate_devices.files.document import Loc
from fieldgate_devices.files.validate import did_you_mean
from fieldgate_devices.modbus.register import Register, Unwritable, make_registers, place_of
from fieldgate_devices.modbus.spec import ModbusSpec, ModbusWrite, RegisterSpec

__all__ = ["Found", "field_problem", "register_problems", "write_problems"]

Found = tuple[Loc, str]
"""Where in the section, and what."""

_WHOLE = ("int", "uint")
_PARTLESS = "belongs to whole numbers in registers"


def register_problems(section: ModbusSpec) -> Iterator[Found]:
    """Return what is wrong with the section itself."""
    registers = make_registers(section)
    for name, spec in section.registers.items():
        for loc, message in (*_place(name, spec, section), *_meaning(name, spec, registers.get(name))):
            yield ("registers", name, *loc), message
        if name in registers:
            for loc, message in (*_size(registers[name], section), *_exponent(registers[name], registers)):
                yield ("registers", name, *loc), message
    yield from _overlaps(registers)
    if not any(one.is_read for one in registers.values()):
        yield ("registers",), "no register is read; without read: false they are"


def _place(name: str, spec: RegisterSpec, section: ModbusSpec) -> Iterator[Found]:
    if spec.address is None and spec.number is None:
        yield (), f"{name} needs an address (counted from 0), or a number such as 40001"
    elif spec.address is not None and spec.number is not None:
        yield ("number",), f"{name} has an address and a number; write one"
    elif spec.number is not None and spec.table is not None:
        yield ("table",), f"the number {spec.number} says the table already; write address: for one counted from 0"
    elif place_of(spec, section) is None:
        yield (
            ("number",),
            f"{spec.number} is no register; allowed: 1 to 9999, 10001 to 19999, 30001 to 39999, 40001 to 49999, or "
            "six digits for more",
        )


def _meaning(name: str, spec: RegisterSpec, made: Register | None) -> Iterator[Found]:
    if made is None:
        return
    if made.is_bit:
        if spec.type not in {None, "bool"}:
            yield ("type",), f"a {made.table} is a bool; {name} cannot be {spec.type}"
        for key in ("scale", "offset", "exponent", "bit", "mask", "no_value", "word_order", "byte_order"):
            if key in spec.model_fields_set:
                yield (key,), f"{key} belongs to registers; {name} stands in the {made.table} table"
        return
    is_whole, is_number = made.type.startswith(_WHOLE), made.type.startswith((*_WHOLE, "float"))
    for key in ("scale", "offset", "exponent"):
        if getattr(spec, key) is not None and (not is_number or made.bit is not None):
            yield (key,), f"{key} belongs to numbers; {name} is {made.type if made.bit is None else 'a bit'}"
    for key in ("bit", "mask"):
        if getattr(spec, key) is not None and not is_whole:
            yield (key,), f"{key} {_PARTLESS}; {name} is {made.type}"
    if spec.bit is not None and spec.mask is not None:
        yield ("mask",), f"{name} has bit and mask; write one"
    if "length" in spec.model_fields_set and made.type not in {"string", "bits"}:
        yield ("length",), f"length belongs to string and bits; {made.type} has {made.count} by itself"
    if spec.scale == 0:
        yield ("scale",), "a scale of 0 makes every value the same"


def _size(one: Register, section: ModbusSpec) -> Iterator[Found]:
    bits = 16 * one.count
    if one.end > 65_536:
        yield ("address",), f"{one.name} ends at {one.end - 1}; the last address there is is 65535"
    if not one.is_bit and one.count > section.max_registers:
        yield (), f"{one.name} is {one.count} registers long; max_registers allows {section.max_registers}"
    if one.bit is not None and one.bit >= bits:
        yield ("bit",), f"{one.type} has the bits 0 to {bits - 1}"
    if one.mask is not None and one.mask >> bits:
        yield ("mask",), f"{one.mask:#x} has more bits than {one.type}, which has {bits}"


def _exponent(one: Register, registers: Mapping[str, Register]) -> Iterator[Found]:
    if one.exponent is None:
        return
    other = registers.get(one.exponent)
    if other is None:
        guess = did_you_mean(one.exponent, registers)
        yield ("exponent",), f"there is no register {one.exponent!r}{guess}"
    elif not other.type.startswith(_WHOLE) or other.exponent is not None or other.is_bit:
        yield ("exponent",), f"{one.exponent} is no whole number by itself; an exponent is one"
    elif not other.is_read or other.every_s != one.every_s:
        yield ("exponent",), f"{one.exponent} is not read together with {one.name}; give both the same every"


def _overlaps(registers: Mapping[str, Register]) -> Iterator[Found]:
    """Two names for the same value, or values of which one ends within the other."""
    ordered = sorted(registers.values(), key=lambda one: (one.table, one.address, one.end))
    for before, one in pairwise(ordered):
        if before.table != one.table or before.end <= one.address:
            continue
        loc: Loc = ("registers", one.name)
        if (before.address, before.end) != (one.address, one.end):
            yield (
                loc,
                (
                    f"{one.name} ({one.table} {one.address} to {one.end - 1}) overlaps {before.name} "
                    f"({before.address} to {before.end - 1})"
                ),
            )
        elif (before.type, before.bit, before.mask, before.word_order) == (one.type, one.bit, one.mask, one.word_order):
            yield loc, f"{one.name} is the same register as {before.name}"


def field_problem(name: str, members: tuple[str, ...], registers: Mapping[str, Register], *, is_needed: bool) -> str:
    """Say why a field can have no value; ``members`` are the first steps of its paths."""
    found = [registers[one] for one in members if one in registers]
    if not found:
        guess = did_you_mean(members[0], registers)
        return f"no register is called {' or '.join(map(repr, members))}{guess}"
    if not any(one.is_read for one in found):
        return f"{name} comes of {found[0].name}, which is not read (read: false)"
    intervals = {one.every_s for one in registers.values() if one.is_read}
    if is_needed and len(intervals) > 1:
        return f"registers are read at several intervals, so that messages come without {name}; write optional: true"
    return ""


def write_problems(
    write: ModbusWrite, arguments: tuple[str, ...], registers: Mapping[str, Register]
) -> Iterator[Found]:
    """Return what is wrong with a command that writes registers and takes these arguments."""
    for name in write.register_:
        one = registers.get(name)
        if one is None:
            yield ("register",), f"there is no register {name!r}{did_you_mean(name, registers)}"
        elif problem := _unwritable(one):
            yield ("register",), problem
        elif write.value is None and name not in arguments:
            yield ("register",), f"no argument is called {name!r}; name it in payload, or write value:"
    if write.value is None:
        for name in arguments:
            if name not in write.register_:
                yield ("register",), f"the argument {name!r} goes into no register; add it to register"
        return
    if len(write.register_) > 1 or arguments:
        yield ("value",), "value is for one register and a command without arguments"
    elif (one := registers.get(write.register_[0])) is not None and not _unwritable(one):
        try:
            one.write(write.value)
        except Unwritable as error:
            yield ("value",), str(error)


def _unwritable(one: Register) -> str:
    if one.table in {"input", "discrete"}:
        return f"{one.name} stands in the {one.table} table, which cannot be written; allowed: holding, coil"
    if one.bit is not None or one.mask is not None or one.exponent is not None:
        return f"{one.name} is a part of a register, or scaled by another one: it cannot be written by itself"
    return ""
