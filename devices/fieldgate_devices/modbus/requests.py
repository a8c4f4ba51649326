"""Merge the registers that are read together into few requests, take a request apart, and put its answer together.

A value is never spread over two requests: a device may change it in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from fieldgate_devices.modbus.register import Register, RegisterValue, Unwritable
from fieldgate_devices.modbus.spec import MAX_BITS, MAX_WORDS, ModbusSpec, Table

__all__ = ["Limits", "Request", "Write", "merge", "read_values", "split", "writes_of"]

_BITS_PER_WORD: Final = 16
_MAX_WRITE_WORDS: Final = 123  # Modbus Application Protocol V1.1b3, 6.12
_MAX_WRITE_BITS: Final = 0x7B0  # 6.11


class Limits(NamedTuple):
    """What one request may ask for; see `ModbusSpec`."""

    max_registers: int = MAX_WORDS
    max_bits: int = MAX_BITS
    max_gap: int = 8

    @classmethod
    def of(cls, section: ModbusSpec) -> Limits:
        """The limits of a profile."""
        return cls(section.max_registers, section.max_bits, section.max_gap)


@dataclass(frozen=True, slots=True)
class Request:
    """``count`` registers or bits of a table from ``address``, and the values among them."""

    table: Table
    address: int
    count: int
    registers: tuple[Register, ...]

    def __str__(self) -> str:
        last = self.address + self.count - 1
        return f"{self.table} {self.address}" + (f"-{last}" if last > self.address else "")


@dataclass(frozen=True, slots=True)
class Write:
    """``words`` (0 and 1 for coils) that go to a table from ``address`` on; ``is_single``: by function 5 or 6."""

    table: Table
    address: int
    words: tuple[int, ...]
    is_single: bool

    def __str__(self) -> str:
        last = self.address + len(self.words) - 1
        return f"{self.table} {self.address}" + (f"-{last}" if last > self.address else "")


def merge(registers: Iterable[Register], limits: Limits) -> list[Request]:
    """Return the requests that read all of them, by table and address; none is larger than a device takes.

    A value that is longer than ``max_registers`` has a request of its own.
    """
    requests: list[Request] = []
    run: list[Register] = []
    end = 0
    for one in sorted(registers, key=lambda one: (one.table, one.address, one.end)):
        most = limits.max_bits if one.is_bit else limits.max_registers
        gap = limits.max_gap * (_BITS_PER_WORD if one.is_bit else 1)
        fits = bool(run) and one.table == run[0].table and one.address - end <= gap
        if not fits or max(end, one.end) - run[0].address > most:
            if run:
                requests.append(_request(run))
            run, end = [], 0
        run.append(one)
        end = max(end, one.end)
    if run:
        requests.append(_request(run))
    return requests


def split(request: Request) -> list[Request]:
    """Return smaller requests for the same registers: without the gaps, or halves; none for a single register."""
    if len({(one.address, one.end) for one in request.registers}) == 1:
        return []
    parts = merge(request.registers, Limits(max_gap=0))
    if len(parts) > 1:
        return parts
    middle = len(request.registers) // 2
    return [_request(request.registers[:middle]), _request(request.registers[middle:])]


def _request(registers: Sequence[Register]) -> Request:
    first = registers[0]
    return Request(first.table, first.address, max(one.end for one in registers) - first.address, tuple(registers))


def read_values(answers: Iterable[tuple[Request, Sequence[int]]]) -> dict[str, RegisterValue]:
    """Return the values that these answers hold, by name; those that mean no reading are left out."""
    words = {
        one.name: (one, content[one.address - request.address : one.end - request.address])
        for request, content in answers
        for one in request.registers
    }
    values = {}
    for name, (one, content) in words.items():
        value = one.read(content, _exponent(one, words))
        if value is not None:
            values[name] = value
    return values


def _exponent(one: Register, words: Mapping[str, tuple[Register, Sequence[int]]]) -> int | None:
    """The power of ten for a register; None where its register is not among the answers or means none."""
    if one.exponent is None:
        return 0
    if one.exponent not in words:
        return None
    other, content = words[one.exponent]
    power = other.read(content)
    return power if isinstance(power, int) and abs(power) <= 10 else None  # SunSpec: -10 to 10


def writes_of(values: Mapping[str, object], registers: Mapping[str, Register], *, always_multiple: bool) -> list[Write]:
    """Return the requests that write these values by name; what stands in a row goes together.

    Raises:
        Unwritable: a register is not there, or cannot hold its value.
    """
    if unknown := [name for name in values if name not in registers]:
        raise Unwritable(f"there is no register {unknown[0]!r}")
    pieces = sorted(
        (registers[name].table, registers[name].address, registers[name].write(one)) for name, one in values.items()
    )
    writes: list[Write] = []
    for table, address, words in pieces:
        last = writes[-1] if writes else None
        most = _MAX_WRITE_BITS if table == "coil" else _MAX_WRITE_WORDS
        if last is not None and last.table == table and last.address + len(last.words) == address:
            joined = last.words + words
            if len(joined) <= most:
                writes[-1] = Write(table, last.address, joined, is_single=False)
                continue
        writes.append(Write(table, address, words, is_single=len(words) == 1 and not always_multiple))
    return writes
