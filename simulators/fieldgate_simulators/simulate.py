"""Run a fleet on its own against any MQTT broker: a line of progress, and a summary at the end.

Loaded by the command line through the entry point ``simulate`` of the group ``fieldgate.simulators``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from fieldgate_simulators.errors import SimulatorError
from fieldgate_simulators.fleet import Fleet, FleetSummary
from fieldgate_simulators.target import Target

__all__ = ["run_simulation", "stop_on_signals"]

_SETTLE_S: Final = 5.0
_LIVE_EVERY_S: Final = 0.25
_PLAIN_EVERY_S: Final = 5.0


def run_simulation(
    *, target: str, devices: int, rate: float, seed: int, topic: str, seconds: float | None, as_json: bool
) -> int:
    """Run until ``seconds`` are over or SIGINT or SIGTERM comes; return the exit code.

    0: every reading was acknowledged; 1: some were not, or the fleet could not start (which is said on stderr).
    """
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        fleet_target = Target.parse(target)
        fleet = Fleet(fleet_target, devices=devices, rate=rate, seed=seed, topic=topic)
        summary = asyncio.run(_simulate(fleet, fleet_target, seconds=seconds, progress=errors))
    except SimulatorError as error:
        errors.print(f"error: {error}", markup=False)
        return 1
    except KeyboardInterrupt:  # a second Ctrl-C does not wait for the last PUBACKs
        return 130
    out = Console(highlight=False, soft_wrap=True)
    if as_json:
        out.print(json.dumps(summary.as_dict()), markup=False)
    else:
        out.print(_summary_text(summary, str(fleet_target)), markup=False)
    return 0 if summary.unacknowledged == 0 else 1


@contextlib.asynccontextmanager
async def stop_on_signals() -> AsyncIterator[asyncio.Event]:
    """Set the event at the first SIGINT, SIGTERM or SIGHUP; a second one acts as if there were no handler."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    stop = asyncio.Event()

    def ask_to_stop() -> None:
        stop.set()
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, ask_to_stop)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _simulate(fleet: Fleet, target: Target, *, seconds: float | None, progress: Console) -> FleetSummary:
    await target.probe()
    async with stop_on_signals() as stop, fleet, asyncio.TaskGroup() as tasks:
        showing = tasks.create_task(_show(fleet, progress), name="progress")
        measuring = tasks.create_task(fleet.measure(seconds), name="measure")
        stopping = tasks.create_task(stop.wait(), name="signals")
        await asyncio.wait({measuring, stopping}, return_when=asyncio.FIRST_COMPLETED)
        measuring.cancel()
        stopping.cancel()
        await fleet.settled(_SETTLE_S)
        showing.cancel()
    return fleet.summary()


async def _show(fleet: Fleet, console: Console) -> None:
    """Rewrite one line on a terminal; elsewhere write a line now and then."""
    if not console.is_terminal:
        while True:
            await asyncio.sleep(_PLAIN_EVERY_S)
            console.print(_progress_text(fleet), markup=False)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(Text(_progress_text(fleet)), refresh=True)
            await asyncio.sleep(_LIVE_EVERY_S)


def _progress_text(fleet: Fleet) -> str:
    counts = fleet.counts
    return (
        f"devices {counts.connected}/{fleet.size} connected · made {counts.made:,} · "
        f"acknowledged {counts.acknowledged:,} · waiting {counts.unacknowledged:,} · disconnects {counts.disconnects:,}"
    )


def _summary_text(summary: FleetSummary, target: str) -> str:
    lines = [
        f"{summary.devices} devices → {target} for {summary.seconds:.1f} s",
        f"  made            {summary.made:>10,}",
        f"  acknowledged    {summary.acknowledged:>10,}   ({summary.rate:,.1f}/s)",
        f"  unacknowledged  {summary.unacknowledged:>10,}",
        f"  sent again      {max(0, summary.sent - summary.made):>10,}",
        f"  disconnects     {summary.disconnects:>10,}",
    ]
    if summary.is_short:
        lines.append(f"  asked for       {summary.planned:>10,}   (the rate was not reached)")
    if summary.skipped:
        lines.append(f"  not made        {summary.skipped:>10,}   (a device's memory was full)")
    return "\n".join(lines)
