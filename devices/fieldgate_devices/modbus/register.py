"""One register of a profile, compiled: what its words mean, and the words that mean a value."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from fieldgate_devices.modbus.spec import TABLES, ModbusSpec, RegisterSpec, RegisterType, Table
from fieldgate_devices.modbus.words import FORMATS, WORDS, bytes_of, number_of, text_of, words_of

__all__ = ["BIT_TABLES", "WRITABLE", "Register", "RegisterValue", "Unwritable", "make_registers", "place_of"]

BIT_TABLES: Final = frozenset({"coil", "discrete"})
WRITABLE: Final = frozenset({"coil", "holding"})
_DECIMALS: Final = 10  # as in fields: 215 * 0.1 is 21.5
_STEP: Final = 1e-6  # so far a scaled value may lie beside a step of the register

RegisterValue = bool | int | float | str | list[bool]


class Unwritable(ValueError):
    """A register cannot hold this value."""


@dataclass(frozen=True, slots=True)
class Register:
    """``count`` registers (or one coil) from ``address``; ``every_s`` is None where the section's or unit's counts."""

    name: str
    table: Table
    address: int
    count: int
    type: RegisterType
    word_order: Literal["big", "little"] = "big"
    byte_order: Literal["big", "little"] = "big"
    scale: float | None = None
    offset: float | None = None
    exponent: str | None = None
    bit: int | None = None
    mask: int | None = None
    no_value: tuple[int | float, ...] = ()
    every_s: float | None = None
    is_read: bool = True

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.address + self.count

    @property
    def is_bit(self) -> bool:
        """Whether it stands in a table of single bits."""
        return self.table in BIT_TABLES

    def read(self, words: Sequence[int], exponent: int | None = 0) -> RegisterValue | None:
        """Return the value, or None where the device says that there is none.

        ``words`` are ``count`` registers, or one bit as 0 or 1. ``exponent`` is what stands in the register of that
        name; None where that one has no value.
        """
        if self.is_bit:
            return bool(words[0])
        if self.type == "string":  # texts run on: the order of words is that of numbers
            return text_of(bytes_of(words, word_order="big", byte_order=self.byte_order)) or None
        content = bytes_of(words, word_order=self.word_order, byte_order=self.byte_order)
        if self.type in {"bits", "bool"} or self.bit is not None or self.mask is not None:
            return self._read_bits(int.from_bytes(content, "big"), exponent)
        number = number_of(content, self.type)
        if not math.isfinite(number) or self._means_none(number, content):
            return None
        return self._scaled(number, exponent)

    def _read_bits(self, raw: int, exponent: int | None) -> RegisterValue | None:
        size = 16 * self.count
        if any(one == raw or (isinstance(one, int) and one & ((1 << size) - 1) == raw) for one in self.no_value):
            return None
        if self.bit is not None:
            return bool(raw >> self.bit & 1)
        if self.mask is not None:
            return self._scaled((raw & self.mask) >> ((self.mask & -self.mask).bit_length() - 1), exponent)
        return bool(raw) if self.type == "bool" else [bool(raw >> bit & 1) for bit in range(size)]

    def _means_none(self, number: float, content: bytes) -> bool:
        if not self.no_value:
            return False
        if number in self.no_value:
            return True
        unsigned, limit = int.from_bytes(content, "big"), 1 << (8 * len(content))
        return isinstance(number, int) and any(
            isinstance(one, int) and one % limit == unsigned for one in self.no_value
        )

    def _scaled(self, number: float, exponent: int | None) -> float | int | None:
        if exponent is None:
            return None
        if self.scale is None and self.offset is None and not exponent:
            return number
        scaled = number * (1.0 if self.scale is None else self.scale) + (self.offset or 0.0)
        scaled = scaled * 10.0**exponent if exponent >= 0 else scaled / 10.0**-exponent
        return round(scaled, _DECIMALS) if math.isfinite(scaled) else None

    # -- writing ------------------------------------------------------------------------------------------------------

    def write(self, value: object) -> tuple[int, ...]:
        """Return the words that hold ``value``: the inverse of `read`.

        Raises:
            Unwritable: they cannot.
        """
        if self.table not in WRITABLE:
            raise Unwritable(f"{self.name} stands in the {self.table} table, which cannot be written")
        if self.bit is not None or self.mask is not None or self.exponent is not None:
            raise Unwritable(f"{self.name} is a part of a register, or scaled by another one, and cannot be written")
        if self.is_bit or self.type == "bool":
            return (int(self._truth(value)),)
        if self.type == "string":
            return self._text(value)
        content = self._bits(value) if self.type == "bits" else self._number(value)
        return words_of(content, word_order=self.word_order, byte_order=self.byte_order)

    def _truth(self, value: object) -> bool:
        if value in (0, 1) and isinstance(value, bool | int | float):
            return bool(value)
        raise Unwritable(f"{self.name} is {value!r}; allowed: true, false")

    def _text(self, value: object) -> tuple[int, ...]:
        if not isinstance(value, str):
            raise Unwritable(f"{self.name} is {value!r}, not a text")
        content, size = value.encode(), 2 * self.count
        if len(content) > size:
            raise Unwritable(f"{self.name} is {len(content)} bytes long; it has room for {size}")
        return words_of(content.ljust(size, b"\0"), word_order="big", byte_order=self.byte_order)

    def _bits(self, value: object) -> bytes:
        size = 16 * self.count
        if not isinstance(value, list) or len(value) > size or not all(isinstance(one, bool) for one in value):
            raise Unwritable(f"{self.name} needs a list of at most {size} truth values")
        return sum(1 << bit for bit, one in enumerate(value) if one).to_bytes(size // 8, "big")

    def _number(self, value: object) -> bytes:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise Unwritable(f"{self.name} is {value!r}, not a finite number")
        raw: int | float = value
        if self.scale is not None or self.offset is not None:
            raw = (value - (self.offset or 0.0)) / (1.0 if self.scale is None else self.scale)
        if not self.type.startswith("float"):
            nearest = round(raw)
            if abs(raw - nearest) > _STEP:
                step = 1 if self.scale is None else self.scale
                raise Unwritable(f"{self.name} is {value!r}; the register goes in steps of {step:g}")
            raw = nearest
        try:
            packed: bytes = struct.pack(f">{FORMATS[self.type]}", raw)
        except (struct.error, OverflowError):
            raise Unwritable(f"{self.name} is {value!r}, which {self.type} cannot hold{self._range()}") from None
        return packed

    def _range(self) -> str:
        """What fits, in the unit of the value."""
        if self.type.startswith("float"):
            return ""
        bits = 16 * self.count
        low, high = (0, (1 << bits) - 1) if self.type[0] == "u" else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
        scale, offset = (1 if self.scale is None else self.scale), (self.offset or 0)
        ends = sorted((low * scale + offset, high * scale + offset))
        return f"; allowed: {ends[0]:.12g} to {ends[1]:.12g}"


def place_of(spec: RegisterSpec, section: ModbusSpec) -> tuple[Table, int] | None:
    """Return table and address of a register; None where it says neither, or a number of no table."""
    if spec.address is not None:
        return spec.table or section.table, spec.address
    if spec.number is None:
        return None
    text = str(spec.number).zfill(6 if spec.number > 65536 else 5)
    table, address = TABLES.get(text[0]), int(text[1:]) - 1
    return (table, address) if table is not None and 0 <= address <= 65535 else None  # type: ignore[return-value]  # a text of `TABLES` is a Table


def make_registers(section: ModbusSpec) -> dict[str, Register]:
    """Return the registers by name. Those that are nowhere are left out; `register_checks` names them."""
    made = {}
    for name, spec in section.registers.items():
        place = place_of(spec, section)
        if place is not None:
            made[name] = _make(name, spec, section, place)
    return made


def _make(name: str, spec: RegisterSpec, section: ModbusSpec, place: tuple[Table, int]) -> Register:
    table, address = place
    kind: RegisterType = "bool" if table in BIT_TABLES else spec.type or section.type
    return Register(
        name,
        table,
        address,
        spec.length if kind in {"string", "bits"} else WORDS.get(kind, 1),
        kind,
        word_order=spec.word_order or section.word_order,
        byte_order=spec.byte_order or section.byte_order,
        scale=spec.scale,
        offset=spec.offset,
        exponent=spec.exponent,
        bit=spec.bit,
        mask=spec.mask,
        no_value=spec.no_value,
        every_s=spec.every,
        is_read=spec.read,
    )
