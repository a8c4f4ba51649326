"""Run a simulated serial device, or a replay, on its own: says what to write into the configuration, and counts.

Loaded by the command line through the entry point ``simulate-serial`` of the group ``fieldgate.simulators``.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from fieldgate_devices.yaml_text import flow
from fieldgate_simulators.errors import SimulatorError
from fieldgate_simulators.line_faults import LineFaults
from fieldgate_simulators.serial_pty import SerialDevice
from fieldgate_simulators.serial_replay import SerialReplay
from fieldgate_simulators.simulate import stop_on_signals

__all__ = ["run_serial"]

_LIVE_EVERY_S: Final = 0.25
_PLAIN_EVERY_S: Final = 5.0


def run_serial(
    *,
    kind: str | None,
    replay: Path | None,
    link: Path | None,
    baud: int | None,
    rate: float,
    seed: int,
    seconds: float | None,
    corrupt: float,
    noise: float,
    pause: float,
    replug_every: float,
    as_json: bool,
) -> int:
    """Run until ``seconds`` are over, the file is said, or SIGINT or SIGTERM comes; return the exit code."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    out = Console(highlight=False, soft_wrap=True)
    name = kind or "replay"
    where = link or Path(tempfile.gettempdir()) / f"fieldgate-{name}"
    faults = LineFaults(corrupt=corrupt, noise=noise, pause=pause, pieces=16 if pause else 0)
    try:
        device: SerialDevice | SerialReplay
        if replay is not None:
            device = SerialReplay(replay, where, baud=9600 if baud is None else baud, seed=seed, faults=faults)
        else:
            device = SerialDevice(name, where, rate=rate, seed=seed, faults=faults, replug_every_s=replug_every)
        asyncio.run(_run(device, name, seconds=seconds, says=errors if as_json else out, progress=errors))
    except SimulatorError as error:
        errors.print(f"error: {error}", markup=False)
        return 1
    except KeyboardInterrupt:
        return 130
    if as_json:
        source = device.source(name) if isinstance(device, SerialDevice) else None
        out.print(json.dumps({"link": str(where), "source": source, **device.counts.as_dict()}), markup=False)
    else:
        out.print(_summary(device), markup=False)
    return 0


async def _run(
    device: SerialDevice | SerialReplay, name: str, *, seconds: float | None, says: Console, progress: Console
) -> None:
    async with stop_on_signals() as stop, device, asyncio.TaskGroup() as tasks:
        says.print(_introduction(device, name), markup=False)
        showing = tasks.create_task(_show(device, progress), name="progress")
        running = tasks.create_task(device.run(seconds=seconds), name="device")
        stopping = tasks.create_task(stop.wait(), name="signals")
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (running, stopping, showing):
            task.cancel()


def _introduction(device: SerialDevice | SerialReplay, name: str) -> str:
    where = f"{device.line.link} → {device.line.port}"
    if isinstance(device, SerialReplay):
        return f"replay of {device.size_bytes:,} bytes at {where}, from when it is opened"
    lines = [f"{device.kind.says}, at {where}", "", "into fieldgate.yaml:", "", "sources:"]
    lines.append(f"  - {flow(device.source(name))}")
    if device.kind.profile_text:
        lines += ["", f"into devices.d/{device.kind.profile}.yaml, beside it:", "", device.kind.profile_text.rstrip()]
    return "\n".join([*lines, ""])


async def _show(device: SerialDevice | SerialReplay, console: Console) -> None:
    """Rewrite one line on a terminal; elsewhere write a line now and then."""
    if not console.is_terminal:
        while True:
            await asyncio.sleep(_PLAIN_EVERY_S)
            console.print(_progress(device), markup=False)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(Text(_progress(device)), refresh=True)
            await asyncio.sleep(_LIVE_EVERY_S)


def _progress(device: SerialDevice | SerialReplay) -> str:
    counts, line = device.counts, device.line
    state = "open" if line.is_open else "plugged in, nobody has it open" if line.is_plugged else "unplugged"
    if isinstance(device, SerialReplay):
        return f"{state} · {counts.sent_bytes:,} of {device.size_bytes:,} bytes"
    return f"{state} · sent {counts.sent:,} · spoiled {counts.spoiled:,} · unheard {counts.unheard:,}"


def _summary(device: SerialDevice | SerialReplay) -> str:
    counts = device.counts
    if isinstance(device, SerialReplay):
        rows: list[tuple[str, Any, str]] = [
            ("bytes", counts.sent_bytes, f"of {device.size_bytes:,}"),
            ("pieces", counts.made, f"{counts.spoiled:,} of them spoiled"),
        ]
    else:
        rows = [
            ("made", counts.made, "readings"),
            ("sent", counts.sent, "whole and unspoiled, while somebody had the port open"),
            ("spoiled", counts.spoiled, "sent with a fault in them or before them"),
            ("cut", counts.cut, "of which only the beginning was sent"),
            ("unheard", counts.unheard, "made while nobody had it open"),
            ("unplugged", counts.unplugged, "times"),
            ("commands", counts.commands, f"heard, {counts.executed:,} of them executed"),
        ]
    return "\n".join(f"  {name:<10} {count:>9,}   {meaning}" for name, count, meaning in rows)
