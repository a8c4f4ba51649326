"""What only several keys of a Modbus source can say."""

from __future__ import annotations

from collections.abc import Iterator

from fieldgate.config.finding import Finding
from fieldgate.config.modbus import OF_PORTS, ModbusSourceConfig
from fieldgate.config.model import Config
from fieldgate_devices.files.document import Loc

__all__ = ["modbus_errors"]

_LAST_ON_A_BUS = 247  # Modbus over Serial Line V1.02, 2.2


def modbus_errors(config: Config) -> Iterator[Finding]:
    """Everything about Modbus sources that cannot work."""
    devices: dict[str, Loc] = {}
    for number, source in enumerate(config.sources):
        if source.modbus is None:
            continue
        loc: Loc = ("sources", number, "modbus")
        yield from _place(loc, source.modbus)
        yield from _units(loc, source.modbus)
        for place, unit in enumerate(source.modbus.units):
            at: Loc = (*loc, "units", place)
            name = source.modbus.device_of(unit, source.name)
            if name in devices:
                message = f"device: {name!r} is the name of another unit already; give each a name of its own"
                yield Finding((*at, "device"), message, ((*at, "device"), devices[name]))
            devices.setdefault(name, at)


def _place(loc: Loc, modbus: ModbusSourceConfig) -> Iterator[Finding]:
    if (modbus.port is None) == (modbus.url is None):
        said = "has neither port nor url" if modbus.port is None else "has port and url"
        yield Finding(loc, f"modbus: {said}; write port for a serial bus, or url for a server")
        return
    if modbus.url is not None:
        for key in OF_PORTS:
            if key in modbus.model_fields_set:
                message = f"{key}: belongs to a serial port; the converter or server at {modbus.url} sets its own"
                yield Finding((*loc, key), message, ((*loc, key), (*loc, "url")))
    if modbus.is_bus and modbus.in_flight > 1 and "in_flight" in modbus.model_fields_set:
        yield Finding((*loc, "in_flight"), "in_flight: on a serial bus one unit is asked at a time; leave it out")


def _units(loc: Loc, modbus: ModbusSourceConfig) -> Iterator[Finding]:
    seen: dict[int, int] = {}
    for place, unit in enumerate(modbus.units):
        at: Loc = (*loc, "units", place, "unit")
        if unit.unit in seen:
            message = f"unit: {unit.unit} stands twice; it is in entry {seen[unit.unit] + 1} already"
            yield Finding(at, message, (at, (*loc, "units", seen[unit.unit], "unit")))
        seen.setdefault(unit.unit, place)
        if modbus.is_bus and not 1 <= unit.unit <= _LAST_ON_A_BUS:
            yield Finding(at, f"unit: {unit.unit} is no unit of a serial bus; allowed: 1 to {_LAST_ON_A_BUS}")
