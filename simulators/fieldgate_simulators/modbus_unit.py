"""Simulated Modbus units: a map of registers whose values move, and faults to be switched on and off.

The protocol is pymodbus' own server; what a unit holds and how it fails is decided here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData, SimDevice

from fieldgate_devices.modbus import Register, RegisterValue
from fieldgate_simulators.signals import RandomWalk, Signal, Tally

__all__ = ["ModbusFaults", "ModbusUnit", "meter_signals"]

_TABLES: Final = ("coil", "discrete", "holding", "input")  # in the order in which pymodbus has them
_OF_FUNCTION: Final = {
    1: "coil",
    5: "coil",
    15: "coil",
    2: "discrete",
    3: "holding",
    6: "holding",
    16: "holding",
    4: "input",
}
_BITS: Final = frozenset({"coil", "discrete"})


@dataclass(slots=True)
class ModbusFaults:
    """What is wrong with a unit now. ``exception`` answers everything; ``refused`` are addresses it does not have."""

    is_silent: bool = False
    exception: int | None = None
    delay_s: float = 0.0
    corrupts: bool = False
    refused: set[tuple[str, int]] = field(default_factory=set)


class ModbusUnit:
    """Unit ``number`` with these registers. ``signals`` give the values of some, new ones for each request.

    ``has_gaps``: addresses between its registers are refused, as by many devices; else they are 0. ``memory`` is what
    it holds, ``requests`` counts by function, ``written`` has each write: table, address and words.
    """

    def __init__(
        self,
        number: int,
        registers: Mapping[str, Register],
        *,
        signals: Mapping[str, Signal] | None = None,
        seed: int = 0,
        has_gaps: bool = False,
    ) -> None:
        self.number = number
        self.faults = ModbusFaults()
        self.requests: Counter[int] = Counter()
        self.written: list[tuple[str, int, tuple[int, ...]]] = []
        self.memory: dict[tuple[str, int], int] = {}
        self._registers = registers
        self._signals = dict(signals or {})
        self._rng = Random(seed)
        self._has_gaps = has_gaps
        for one in registers.values():
            self.memory.update({(one.table, address): 0 for address in range(one.address, one.end)})
        self._move()

    def set(self, name: str, value: RegisterValue) -> None:
        """Let a register hold ``value``, whether or not a client may write it."""
        one = self._registers[name]
        words = Register(one.name, "coil" if one.is_bit else "holding", one.address, one.count, one.type,
                         one.word_order, one.byte_order, one.scale, one.offset).write(value)  # fmt: skip
        self.memory.update({(one.table, one.address + place): word for place, word in enumerate(words)})

    def get(self, name: str) -> RegisterValue | None:
        """Return what a register holds."""
        one = self._registers[name]
        return one.read([self.memory[one.table, address] for address in range(one.address, one.end)])

    def _move(self) -> None:
        for name, signal in self._signals.items():
            self.set(name, signal.next(self._rng))

    def device(self) -> SimDevice:
        """Return it as pymodbus' server takes it."""
        blocks = [self._block(table) for table in _TABLES]
        return SimDevice(self.number, (blocks[0], blocks[1], blocks[2], blocks[3]), action=self._act)

    def _block(self, table: str) -> list[SimData]:
        ends = [address for one, address in self.memory if one == table]
        if not ends:
            return (
                [SimData(0, values=[False] * 16, datatype=DataType.BITS)] if table in _BITS else [SimData(0, values=0)]
            )
        if table in _BITS:
            return [SimData(0, values=[False] * (max(ends) // 16 * 16 + 16), datatype=DataType.BITS)]
        return [SimData(min(ends), values=[0] * (max(ends) - min(ends) + 1), datatype=DataType.REGISTERS)]

    async def _act(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        block: list[int],
        written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """pymodbus asks for each request, before it looks at its registers: ``block``, which begins at ``start``."""
        faults, table = self.faults, _OF_FUNCTION.get(function, "")
        if written is None or function not in {5, 6}:  # which read back what they wrote
            self.requests[function] += 1
        if faults.delay_s:
            await asyncio.sleep(faults.delay_s)
        if faults.exception is not None:
            return ExcCodes(faults.exception)
        if table in _BITS:
            return self._act_on_bits(table, start, block, address, written)
        places = [(table, one) for one in range(address, address + count)]
        if any(place in faults.refused or (self._has_gaps and place not in self.memory) for place in places):
            return ExcCodes.ILLEGAL_ADDRESS
        if written is None:
            self._move()
        else:
            self._keep(table, address, [int(one) for one in written])
        for place in places:
            block[place[1] - start] = self.memory.get(place, 0)
        return None

    def _act_on_bits(
        self, table: str, start: int, block: list[int], address: int, written: list[int] | list[bool] | None
    ) -> ExcCodes | None:
        if written is not None:
            self._keep(table, address, [int(one) for one in written])
        for (one, place), bit in self.memory.items():
            if one == table:
                word, shift = place // 16 - start, place % 16
                block[word] = block[word] & ~(1 << shift) | bit << shift
        return None

    def _keep(self, table: str, address: int, words: Sequence[int]) -> None:
        self.written.append((table, address, tuple(words)))
        self.memory.update({(table, address + place): word for place, word in enumerate(words)})


def meter_signals(rng: Random) -> dict[str, Signal]:
    """Return what an energy meter of the profile ``sdm120`` measures."""
    return {
        "voltage": RandomWalk(rng.uniform(226, 234), step=0.5, low=207, high=253, digits=1),
        "current": RandomWalk(rng.uniform(0.5, 8), step=0.3, low=0, high=45, digits=2),
        "power": RandomWalk(rng.uniform(100, 1800), step=60, low=0, high=10_000, digits=1),
        "power_factor": RandomWalk(0.97, step=0.01, low=0.8, high=1.0, digits=2),
        "frequency": RandomWalk(50.0, step=0.02, low=49.8, high=50.2),
        "energy_import": Tally(rng.randint(1_000, 90_000), most=1),
    }
