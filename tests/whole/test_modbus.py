"""Modbus from outside: a simulated unit, the gateway as a process, events upstream, commands that write registers."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from command_kit import fieldgate
from fieldgate_devices.builtin import builtin_profiles
from fieldgate_devices.modbus import make_registers
from fieldgate_devices.reading import read_profile
from fieldgate_simulators.broker import Broker
from fieldgate_simulators.modbus_server import ModbusServer
from fieldgate_simulators.modbus_unit import ModbusUnit, meter_signals
from gateway_kit import Gateway, Upstream, eventually, running
from modbus_kit import PUMP, make_unit


def gateway_with(folder: Path, units: list[dict[str, Any]], port: int, **uplinks: Any) -> Gateway:
    gateway = Gateway(folder, uplinks=uplinks)
    (folder / "devices.d").mkdir(exist_ok=True)
    (folder / "devices.d" / "pump.yaml").write_text(PUMP, encoding="utf-8")
    gateway.settings["sources"] = [
        {"name": "bus", "modbus": {"url": f"tcp://127.0.0.1:{port}", "timeout": "500ms", "units": units}}
    ]
    return gateway


def meter() -> ModbusUnit:
    """An SDM120."""
    path = "<built-in>/sdm120.yaml"
    contract = read_profile(builtin_profiles()[path], path).contract
    assert contract is not None
    assert contract.profile.modbus is not None
    return ModbusUnit(1, make_registers(contract.profile.modbus), signals=meter_signals(Random(7)))


def readings(upstream: Upstream) -> list[dict[str, Any]]:
    """What came of the meter."""
    return [one for one in list(upstream.arrived) if one["type"] == "fieldgate.sdm120" and "meter-1" in one["source"]]


async def test_what_a_meter_measures_goes_upstream_as_events_of_its_profile(tmp_path: Path) -> None:
    """The way of an installer's first device: three lines of configuration, a built-in profile."""
    unit, dead = meter(), make_unit(9)
    dead.faults.is_silent = True
    units = [
        {"unit": 1, "profile": "sdm120", "device": "meter-1", "every": "100ms"},
        {"unit": 9, "profile": "pump", "device": "pump-9"},
    ]

    async with Broker() as broker, ModbusServer([unit, dead]) as server:
        upstream = Upstream(broker.port)
        upstream.start()
        cloud = {"mqtt": {"url": f"mqtt://127.0.0.1:{broker.port}"}}
        gateway = gateway_with(tmp_path, units, server.port, cloud=cloud)
        async with running(gateway):
            await eventually("events of the meter", lambda: len(readings(upstream)) >= 3)
            await eventually("unit 9 is known to be silent", lambda: _is_silent(gateway))
            shown = await fieldgate("status", config=gateway.config)
            checked = await fieldgate("check", config=gateway.config)
        upstream.close()

    event = readings(upstream)[0]
    assert 207 <= event["data"]["voltage"] <= 253
    assert len({one["id"] for one in readings(upstream)}) == len(readings(upstream))
    assert checked.code == 0, checked.err + checked.out
    assert "source   bus   connected" in shown.out
    assert "unit 1   meter-1 (sdm120)   answers" in shown.out
    assert "unit 9   pump-9 (pump)   SILENT   never heard" in shown.out
    assert "no answer within 0.5 s" in shown.out


async def _is_silent(gateway: Gateway) -> bool:
    source = (await gateway.status())["sources"]["bus"]
    return source["kind"] == "modbus" and [one["state"] for one in source["units"]] == ["ok", "silent"]


async def test_a_command_is_written_to_registers_and_answered(tmp_path: Path) -> None:
    """One path for all commands: checked by the profile, recorded, written, confirmed."""
    unit = make_unit(1)
    units = [{"unit": 1, "profile": "pump", "device": "pump-1"}]

    async with ModbusServer([unit]) as server:
        gateway = gateway_with(tmp_path, units, server.port)
        async with running(gateway):
            await eventually("the pump is read", lambda: _is_read(gateway))
            done = await fieldgate("command", "pump-1", "set_both", "limit=7", "target=-2.5", config=gateway.config)
            started = await fieldgate("command", "pump-1", "start", config=gateway.config)
            too_much = await fieldgate("command", "pump-1", "set_limit", "limit=66000", config=gateway.config)
            unit.faults.exception = 4
            failed = await fieldgate("command", "pump-1", "set_limit", "limit=8", config=gateway.config)
            listed = await fieldgate("commands", "--json", config=gateway.config)

    assert (done.code, started.code) == (0, 0), done.err + done.out + started.err + started.out
    assert (unit.get("limit"), unit.get("target"), unit.get("is_on")) == (7, -2.5, True)
    assert too_much.code == 3
    assert "limit is 66000, which uint16 cannot hold; allowed: 0 to 65535" in too_much.out + too_much.err
    assert failed.code == 3
    assert "the unit answers: server device failure" in failed.out + failed.err
    rows = [json.loads(line) for line in listed.out.splitlines()]
    assert [one["status"] for one in rows].count("done") == 2


async def _is_read(gateway: Gateway) -> bool:
    units = (await gateway.status())["sources"]["bus"]["units"]
    return units[0]["polls"] > 0
