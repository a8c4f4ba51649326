"""The Modbus unit of the demo: an energy meter that the gateway asks over TCP, twice a second.

A unit that is asked sends nothing by itself: what was not answered is asked again, so that nothing can be lost. What
is counted is that there are events, each with a reading of its own, in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from random import Random
from types import TracebackType
from typing import Any, Final, Self

from fieldgate_devices.builtin import builtin_profiles
from fieldgate_devices.modbus import make_registers
from fieldgate_devices.reading import read_profile
from fieldgate_devices.yaml_text import flow
from fieldgate_simulators.counting import Arrivals, NumberOf
from fieldgate_simulators.demo_state import ModbusView
from fieldgate_simulators.modbus_server import ModbusServer
from fieldgate_simulators.modbus_unit import ModbusUnit, meter_signals

__all__ = ["ModbusPart"]

_DEVICE: Final = "modbus-meter"
_PROFILE: Final = "sdm120"
_EVERY: Final = "500ms"


class _Count:
    """A register that tells the requests."""

    def __init__(self) -> None:
        self._value = 0

    def next(self, rng: Random) -> int:
        """Return one more than before."""
        self._value += 1
        return self._value


class ModbusPart:
    """One unit behind a TCP port, or none; use it as a context."""

    def __init__(self, *, is_there: bool, seed: int) -> None:
        self._units = [_unit(seed)] if is_there else []
        self._server = ModbusServer(self._units)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self._units:
            await self._stack.enter_async_context(self._server)
        return self

    async def __aexit__(self, _type: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        await self._stack.aclose()

    @property
    def sources(self) -> str:
        """Its lines in the section ``sources``; nothing without a unit."""
        if not self._units:
            return ""
        units = [{"unit": 1, "profile": _PROFILE, "device": _DEVICE, "every": _EVERY}]
        source = {"name": "meters", "modbus": {"url": f"tcp://127.0.0.1:{self._server.port}", "units": units}}
        return f"  - {flow(source)}\n"

    @property
    def numbers_of(self) -> Mapping[str, NumberOf]:
        """How its readings are counted."""
        return {_DEVICE: _requests_told} if self._units else {}

    def view(self, arrivals: Arrivals) -> ModbusView:
        """How it stands."""
        return ModbusView(
            units=len(self._units),
            requests=sum(unit.requests.total() for unit in self._units),
            arrived=len(arrivals.by_device[_DEVICE]) if _DEVICE in arrivals.by_device else 0,
        )


def _requests_told(data: Mapping[str, Any]) -> int | None:
    value = data.get("energy_import")
    return round(value) if isinstance(value, int | float) else None


def _unit(seed: int) -> ModbusUnit:
    contract = read_profile(builtin_profiles()[f"<built-in>/{_PROFILE}.yaml"], _PROFILE).contract
    assert contract is not None
    assert contract.profile.modbus is not None
    signals = {**meter_signals(Random(seed)), "energy_import": _Count()}
    return ModbusUnit(1, make_registers(contract.profile.modbus), signals=signals, seed=seed)
