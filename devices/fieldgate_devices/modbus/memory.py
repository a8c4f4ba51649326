"""What stands in a device's registers, as an example or a person writes it: ``input 0`` and ``4366 199A``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, get_args

from fieldgate_devices.modbus.register import Register, RegisterValue
from fieldgate_devices.modbus.requests import Limits, merge, read_values
from fieldgate_devices.modbus.spec import Table

__all__ = ["Memory", "read_memory", "values_in"]

Memory = dict[tuple[str, int], int]
"""Words, and 0 or 1 for bits, by table and address."""

_TABLES: Final = get_args(Table)
_PLACE: Final = re.compile(r"([a-z]+)[ :]\s*(0[xX][0-9a-fA-F]{1,4}|[0-9]{1,5})")
_WORD: Final = re.compile(r"[0-9a-fA-F]{4}")


def read_memory(written: Mapping[str, str]) -> Memory:
    """Return the words; each place is a table and its first address, each text words of four hexadecimal digits.

    Coils and discrete inputs are digits, 0 or 1.

    Raises:
        ValueError: it is written otherwise.
    """
    memory: Memory = {}
    for place, text in written.items():
        match = _PLACE.fullmatch(place)
        if match is None or match[1] not in _TABLES:
            raise ValueError(
                f"{place!r} is no place; write a table and an address, such as 'input 0' ({', '.join(_TABLES)})"
            )
        address = int(match[2], 0)
        words = _bits(text) if match[1] in {"coil", "discrete"} else _words(text)
        if address + len(words) > 65_536:
            raise ValueError(f"{place!r} goes on behind address 65535")
        memory.update({(match[1], address + number): word for number, word in enumerate(words)})
    return memory


def _words(text: str) -> list[int]:
    digits = re.sub(r"\s|0[xX](?=[0-9a-fA-F]{4})", "", text)
    if not digits or len(digits) % 4 or not all(map(_WORD.fullmatch, re.findall(".{1,4}", digits))):
        raise ValueError(f"{text[:40]!r} are no registers; write four hexadecimal digits for each, such as 4366 199A")
    return [int(digits[place : place + 4], 16) for place in range(0, len(digits), 4)]


def _bits(text: str) -> list[int]:
    digits = re.sub(r"\s", "", text)
    if not digits or digits.strip("01"):
        raise ValueError(f"{text[:40]!r} are no coils; write 0 or 1 for each")
    return list(map(int, digits))


def values_in(memory: Memory, registers: Mapping[str, Register]) -> dict[str, RegisterValue]:
    """Return the values of the registers that stand in ``memory`` as a whole, as a poll would give them."""
    there = [
        one
        for one in registers.values()
        if one.is_read and all((one.table, address) in memory for address in range(one.address, one.end))
    ]
    requests = merge(there, Limits(max_gap=0))
    return read_values(
        (one, [memory[one.table, address] for address in range(one.address, one.address + one.count)])
        for one in requests
    )
