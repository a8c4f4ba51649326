"""Run simulated Modbus units on their own: says what to write into the configuration, and counts what is asked.

Loaded by the command line through the entry point ``simulate-modbus`` of the group ``fieldgate.simulators``.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random
from typing import Any, Final

from rich.console import Console

from fieldgate_devices.builtin import builtin_profiles
from fieldgate_devices.modbus import make_registers
from fieldgate_devices.reading import read_profile
from fieldgate_devices.yaml_text import flow
from fieldgate_simulators.errors import SimulatorError
from fieldgate_simulators.modbus_server import ModbusBus, ModbusServer
from fieldgate_simulators.modbus_unit import ModbusUnit, meter_signals
from fieldgate_simulators.simulate import stop_on_signals

__all__ = ["run_modbus"]

_PROFILE: Final = "sdm120"


def run_modbus(
    *,
    units: int,
    host: str,
    port: int,
    link: Path | None,
    seed: int,
    silent: list[int],
    slow: float,
    corrupt: list[int],
    exception: int | None,
    seconds: float | None,
    as_json: bool,
) -> int:
    """Run until ``seconds`` are over, or SIGINT or SIGTERM comes; return the exit code."""
    out, errors = (Console(highlight=False, soft_wrap=True, stderr=stderr) for stderr in (False, True))
    made = [_meter(number, seed) for number in range(1, units + 1)]
    for one in made:
        one.faults.is_silent = one.number in silent
        one.faults.corrupts = one.number in corrupt
        one.faults.delay_s = slow
        one.faults.exception = exception
    try:
        asyncio.run(_run(made, host, port, link, seconds=seconds, says=errors if as_json else out))
    except (SimulatorError, OSError) as error:
        errors.print(f"error: {error}", markup=False)
        return 1
    except KeyboardInterrupt:
        return 130
    facts = {str(one.number): {"requests": one.requests.total(), "writes": len(one.written)} for one in made}
    if as_json:
        out.print(json.dumps({"units": facts}), markup=False)
    else:
        for number, counts in facts.items():
            out.print(f"unit {number}: {counts['requests']:,} requests, {counts['writes']:,} writes", markup=False)
    return 0


def _meter(number: int, seed: int) -> ModbusUnit:
    path = f"<built-in>/{_PROFILE}.yaml"
    contract = read_profile(builtin_profiles()[path], path).contract
    assert contract is not None
    assert contract.profile.modbus is not None
    signals = meter_signals(Random(f"{seed}:{number}"))
    return ModbusUnit(number, make_registers(contract.profile.modbus), signals=signals, seed=seed)


async def _run(
    units: list[ModbusUnit], host: str, port: int, link: Path | None, *, seconds: float | None, says: Console
) -> None:
    server = ModbusServer(units, host=host, port=port) if link is None else ModbusBus(units, link)
    async with stop_on_signals() as stop, server:
        place: dict[str, Any] = {"url": f"tcp://{host}:{server.port}"} if isinstance(server, ModbusServer) else {}
        place = place or {"port": str(link)}
        listed = [{"unit": one.number, "profile": _PROFILE, "device": f"meter-{one.number}"} for one in units]
        says.print("energy meters, until Ctrl-C; in fieldgate.yaml:", markup=False)
        says.print(f"  sources:\n    - {flow({'name': 'meters', 'modbus': {**place, 'units': listed}})}", markup=False)
        try:
            async with asyncio.timeout(seconds):
                await stop.wait()
        except TimeoutError:
            pass
