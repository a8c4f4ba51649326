"""From the configuration and the profiles to what is asked of each unit."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from fieldgate.config.modbus import ModbusSourceConfig, ModbusUnitConfig
from fieldgate.ingest.modbus_unit import GroupPlan, UnitPlan
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.modbus import Limits, ModbusSpec, Register, make_registers, merge

__all__ = ["PlannedUnit", "plan_units"]


@dataclass(frozen=True, slots=True)
class PlannedUnit:
    """``problem`` is why nothing is read of it."""

    plan: UnitPlan
    registers: dict[str, Register] = field(default_factory=dict)
    writes_multiple: bool = False
    problem: str = ""


def plan_units(config: ModbusSourceConfig, source: str, catalogue: Catalogue) -> list[PlannedUnit]:
    """Return what is asked of each unit of the source, in the order of the configuration."""
    return [_plan(config, unit, config.device_of(unit, source), catalogue) for unit in config.units]


def _plan(config: ModbusSourceConfig, unit: ModbusUnitConfig, device: str, catalogue: Catalogue) -> PlannedUnit:
    timeout_s = config.timeout if unit.timeout is None else unit.timeout
    contract = catalogue.contracts.get(unit.profile)
    section = None if contract is None else contract.profile.modbus
    if section is None:
        what = "there is no profile" if contract is None else "there are no registers (modbus) in the profile"
        return PlannedUnit(UnitPlan(unit.unit, device, timeout_s, ()), problem=f"{what} {unit.profile!r}")
    registers = make_registers(section)
    groups = _groups(section, registers, unit.every or section.every)
    return PlannedUnit(UnitPlan(unit.unit, device, timeout_s, groups), registers, section.write == "multiple")


def _groups(section: ModbusSpec, registers: dict[str, Register], every_s: float) -> tuple[GroupPlan, ...]:
    """What has the same interval is read together; an interval that is written is a group of its own."""
    found: defaultdict[float | None, list[Register]] = defaultdict(list)
    for one in registers.values():
        if one.is_read:
            found[one.every_s].append(one)
    limits = Limits.of(section)
    return tuple(
        GroupPlan(every_s if own_s is None else own_s, tuple(merge(members, limits)))
        for own_s, members in found.items()
    )
