"""What the tests of Modbus share: profiles, simulated units on a port or a bus, and a source that asks them."""

from __future__ import annotations

import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fieldgate.config.source import SourceConfig
from fieldgate.ingest.modbus_assembly import make_modbus_source
from fieldgate.ingest.modbus_source import ModbusSource
from fieldgate.ingest.source import Intake
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.modbus import make_registers
from fieldgate_devices.reading import read_profile
from fieldgate_simulators.modbus_unit import ModbusUnit
from source_run import run_source

__all__ = ["PUMP", "catalogue_of", "make_unit", "modbus_config", "running_modbus"]

PUMP = """
profile: pump
modbus:
  every: 100ms
  registers:
    flow: {address: 0, type: int16, scale: 0.1}
    energy: {address: 2, type: float32, word_order: little}
    limit: {address: 10, type: uint16}
    target: {address: 11, type: int32, scale: 0.5}
    is_on: {table: coil, address: 3}
    alarm: {table: discrete, address: 17}
fields:
  flow: {type: float, unit: L/min, optional: true}
  energy: {type: float, unit: kWh, optional: true}
  limit: {type: int, optional: true}
  target: {type: float, optional: true}
  is_on: {type: bool, optional: true}
  alarm: {type: bool, optional: true}
commands:
  set_limit: {modbus: limit, payload: {limit: {type: int, min: 0, max: 70000}}}
  set_both: {modbus: [limit, target], payload: {limit: {type: int}, target: {type: float}}}
  start: {modbus: {register: is_on, value: true}}
"""


def catalogue_of(*profiles: str) -> Catalogue:
    """The catalogue of these profiles."""
    contracts = []
    for text in profiles or (PUMP,):
        read = read_profile(textwrap.dedent(text).encode(), "p.yaml")
        assert read.contract is not None, [str(one) for one in read.problems]
        contracts.append(read.contract)
    return Catalogue(contracts)


def make_unit(number: int = 1, profile: str = PUMP, **options: Any) -> ModbusUnit:
    """A simulated unit with the registers of a profile."""
    (contract,) = catalogue_of(profile).contracts.values()
    assert contract.profile.modbus is not None
    return ModbusUnit(number, make_registers(contract.profile.modbus), **options)


def modbus_config(units: list[dict[str, Any]] | None = None, **modbus: Any) -> SourceConfig:
    """A source named ``bus`` whose units are of the profile ``pump``."""
    units = [{"profile": "pump", **one} for one in units or [{"unit": 1}]]
    return SourceConfig.model_validate({"name": "bus", "modbus": {"units": units, "timeout": 2.0} | modbus})


@asynccontextmanager
async def running_modbus(
    intake: Intake, units: list[dict[str, Any]] | None = None, *, catalogue: Catalogue | None = None, **modbus: Any
) -> AsyncIterator[ModbusSource]:
    """A source that runs until the block ends."""
    async with run_source(
        make_modbus_source(modbus_config(units, **modbus), intake, catalogue=catalogue or catalogue_of())
    ) as source:
        yield source
