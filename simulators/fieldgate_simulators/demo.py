"""The demo: devices on MQTT and on serial ports, the real gateway, an upstream broker, and a link that fails.

The gateway runs as a child process and is known only by its command line and by what ``status`` answers. The verdict
is counted at the upstream broker itself. Everything lives in one temporary folder and ends with the demo.
Loaded by the command line through the entry point ``demo`` of the group ``fieldgate.simulators``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from fieldgate_simulators.broker import Broker
from fieldgate_simulators.counting import judge
from fieldgate_simulators.demo_modbus import ModbusPart
from fieldgate_simulators.demo_outcome import Outcome, outcome_text
from fieldgate_simulators.demo_serial import SerialPart
from fieldgate_simulators.demo_state import OutageStory, RateMeter, Snapshot, outages, uplink_view
from fieldgate_simulators.demo_view import LiveView, PlainView, View
from fieldgate_simulators.errors import SimulatorError
from fieldgate_simulators.fleet import Fleet
from fieldgate_simulators.gateway_process import GatewayProcess
from fieldgate_simulators.link import Link
from fieldgate_simulators.simulate import stop_on_signals
from fieldgate_simulators.target import Target
from fieldgate_simulators.verifier import Verifier

__all__ = ["GATEWAY_COMMAND", "AskStatus", "Stage", "run_demo"]

AskStatus = Callable[[Path], Awaitable[Mapping[str, Any] | None]]
GATEWAY_COMMAND: Final = (sys.executable, "-m", "fieldgate", "run", "-c")

_HOST: Final = "127.0.0.1"
_SHOW_EVERY_S: Final = 0.25
_CONNECT_S: Final = 15.0
_SETTLE_S: Final = 15.0
_POLL_S: Final = 0.1

_CONFIG: Final = """\
gateway: {{id: demo}}
listen:
  - {{mqtt: "{host}:{port}"}}
{sources}uplinks:
  upstream:
    # Short time-outs: a black hole of ten seconds is to be noticed within it.
    mqtt:
      url: mqtt://{host}:{link_port}
      version: "{version}"
      keep_alive: 3s
      puback_timeout: 2s
      connect_timeout: 2s
journal: {{path: {state}}}
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that is on stage while the demo runs."""

    link: Link
    fleet: Fleet
    serial: SerialPart
    modbus: ModbusPart
    verifier: Verifier
    gateway: GatewayProcess
    state_folder: Path
    kind: str


def run_demo(
    *,
    seconds: float,
    devices: int,
    rate: float,
    seed: int,
    plain: bool,
    status: AskStatus,
    serial: int = 0,
    modbus: bool = False,
    gateway_command: Sequence[str] = GATEWAY_COMMAND,
    patience_s: float = 15.0,
) -> int:
    """Run the demo and return the exit code: 0 if nothing accepted was lost or out of order, else 1.

    So it is with what ``serial`` devices on serial ports sent; with ``modbus`` there is a unit that is asked, too.

    ``status`` asks the gateway with the given state folder; None where it cannot be asked now. It only feeds the view.
    At the end what has not arrived is lost once nothing at all has arrived for ``patience_s``.
    """
    console = Console(highlight=False)
    view: View = PlainView(console) if plain or not console.is_terminal else LiveView(console)
    try:
        with tempfile.TemporaryDirectory(prefix="fieldgate-demo-") as folder:
            demo = _Demo(seconds, rate, status, view, patience_s)
            outcome = asyncio.run(
                demo.run(
                    Path(folder),
                    _Cast(devices, rate, serial, is_modbus=modbus, seed=seed),
                    command=gateway_command,
                    console=console,
                )
            )
    except SimulatorError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"error: {error}", markup=False)
        return 1
    except KeyboardInterrupt:  # a second Ctrl-C: no verdict
        return 130
    console.print(demo.story, markup=False, soft_wrap=True)
    console.print(outcome_text(outcome), soft_wrap=True)
    if demo.shortfall:
        console.print(demo.shortfall, markup=False, soft_wrap=True)
    return 0 if outcome.is_good else 1


@dataclass(frozen=True, slots=True)
class _Cast:
    """Who sends: MQTT devices at ``rate`` events per second together, and the others."""

    devices: int
    rate: float
    serial: int
    is_modbus: bool
    seed: int

    def __str__(self) -> str:
        ports = f" · {self.serial} on serial ports" if self.serial else ""
        return f"{self.devices} devices · {self.rate:g} events/s{ports}{' · a Modbus unit' if self.is_modbus else ''}"


class _Demo:
    def __init__(self, total_s: float, rate: float, status: AskStatus, view: View, patience_s: float) -> None:
        self._patience_s = patience_s
        self._total_s = total_s
        self._rate = rate
        self._status = status
        self._view = view
        self._phase = "live"
        self._began_s = 0.0
        self._shortfall = ""
        self._outage = OutageStory()
        self._accepted, self._arrived = RateMeter(), RateMeter()

    @property
    def shortfall(self) -> str:
        """How far the devices fell short of their rate; nothing if they did not."""
        return self._shortfall

    @property
    def story(self) -> str:
        """What the outage did, in a line."""
        return str(self._outage)

    async def run(self, folder: Path, cast: _Cast, *, command: Sequence[str], console: Console) -> Outcome:
        async with (
            stop_on_signals() as stop,
            _stage(folder, cast, command=command) as stage,
        ):
            console.print(f"upstream {stage.kind} · {cast}", markup=False)
            console.print(f"configuration, journal and logs, until the end: {folder}", markup=False, soft_wrap=True)
            self._began_s = asyncio.get_running_loop().time()
            try:
                with self._view:
                    async with asyncio.TaskGroup() as tasks:
                        watching = [
                            tasks.create_task(self._show(stage), name="view"),
                            tasks.create_task(_fail_when_it_ends(stage.gateway), name="gateway"),
                        ]
                        await self._play(stage, stop, tasks)
                        for task in watching:
                            task.cancel()
                    await self._show_now(stage)
            except ExceptionGroup as group:  # of our own tasks: a person is told the first
                first = group.exceptions[0]
                raise first if isinstance(first, SimulatorError) else group from None
            summary = stage.fleet.summary()
            if summary.is_short:
                self._shortfall = (
                    f"rate not reached: {summary.made:,} of {summary.planned:,} events ({self._rate:g}/s) were made; "
                    f"{summary.made / summary.seconds:,.0f}/s is what devices, gateway and broker did here"
                )
            apart = stage.verifier.apart_arrivals
            return Outcome(
                judge(stage.fleet.acknowledged, stage.verifier.arrivals),
                stage.serial.verdict(apart) if cast.serial else None,
                stage.modbus.view(apart) if cast.is_modbus else None,
                unplugs=stage.serial.unplugs,
            )

    async def _play(self, stage: Stage, stop: asyncio.Event, tasks: asyncio.TaskGroup) -> None:
        acts = [
            tasks.create_task(stage.fleet.measure(self._total_s), name="measure"),
            tasks.create_task(self._cut_and_restore(stage.link), name="outages"),
            tasks.create_task(stage.serial.play(self._total_s), name="serial"),
        ]
        stopping = tasks.create_task(stop.wait(), name="signals")
        await asyncio.wait({acts[0], stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (*acts, stopping):
            task.cancel()
        stage.link.restore()
        self._phase = "stopped"
        await stage.fleet.settled(_SETTLE_S)
        await self._drain(stage)
        self._phase = "done"

    async def _cut_and_restore(self, link: Link) -> None:
        for outage in outages(self._total_s):
            await asyncio.sleep(self._began_s + outage.begin_s - asyncio.get_running_loop().time())
            link.cut()
            self._phase = "link cut"
            await asyncio.sleep(self._began_s + outage.end_s - asyncio.get_running_loop().time())
            link.restore()
            self._phase = "draining"

    async def _drain(self, stage: Stage) -> None:
        """Wait until all that was accepted has arrived, for as long as something still arrives."""
        loop = asyncio.get_running_loop()
        arrivals, serial = stage.verifier.arrivals, stage.verifier.apart_arrivals
        seen, seen_s = arrivals.messages + serial.messages, loop.time()
        while loop.time() < seen_s + self._patience_s:
            stage.verifier.check()
            if (
                arrivals.readings >= stage.fleet.counts.acknowledged
                and not judge(stage.fleet.acknowledged, arrivals).lost
                and not stage.serial.verdict(serial).lost
            ):
                return
            await asyncio.sleep(_POLL_S)
            if arrivals.messages + serial.messages != seen:
                seen, seen_s = arrivals.messages + serial.messages, loop.time()

    async def _show(self, stage: Stage) -> None:
        while True:
            await self._show_now(stage)
            await asyncio.sleep(_SHOW_EVERY_S)

    async def _show_now(self, stage: Stage) -> None:
        stage.verifier.check()
        uplink = uplink_view(await self._status(stage.state_folder))
        now_s = asyncio.get_running_loop().time()
        counts, arrivals = stage.fleet.counts, stage.verifier.arrivals
        snapshot = Snapshot(
            at_s=now_s - self._began_s,
            total_s=self._total_s,
            phase=self._phase,
            connected=counts.connected,
            devices=stage.fleet.size,
            accepted=counts.acknowledged,
            accepted_rate=self._accepted.feed(counts.acknowledged, now_s),
            arrived=arrivals.readings,
            arrived_rate=self._arrived.feed(arrivals.readings, now_s),
            uplink=uplink,
            serial=stage.serial.view(stage.verifier.apart_arrivals),
            modbus=stage.modbus.view(stage.verifier.apart_arrivals),
        )
        self._outage.feed(snapshot)
        if self._phase == "draining" and self._outage.is_over:
            self._phase = "live"
        self._view.show(snapshot)


@contextlib.asynccontextmanager
async def _stage(folder: Path, cast: _Cast, *, command: Sequence[str]) -> AsyncIterator[Stage]:
    state = folder / "state"
    port = _free_port()
    async with (
        Broker(folder=folder / "upstream") as broker,
        Link(_HOST, broker.port, seed=cast.seed) as link,
        SerialPart(folder, devices=cast.serial, seed=cast.seed) as ports,
        ModbusPart(is_there=cast.is_modbus, seed=cast.seed) as modbus,
    ):
        config = folder / "fieldgate.yaml"
        # amqtt 0.12 takes the properties of an MQTT 5 CONNECT for a client id and waits for the rest of it.
        version = "auto" if broker.kind == "mosquitto" else "3.1.1"
        text = _CONFIG.format(
            host=_HOST,
            port=port,
            sources=f"sources:\n{sources}" if (sources := ports.sources + modbus.sources) else "",
            link_port=link.port,
            version=version,
            state=json.dumps(str(state)),
        )
        ports.write_profiles(folder / "devices.d")
        config.write_text(text, encoding="utf-8")
        gateway = GatewayProcess(command, config, host=_HOST, port=port, log_path=folder / "gateway.log")
        fleet = Fleet(Target(_HOST, port), devices=cast.devices, rate=cast.rate, seed=cast.seed)
        apart = {**ports.numbers_of, **modbus.numbers_of}
        async with Verifier(Target(_HOST, broker.port), apart=apart) as verifier, gateway, fleet:
            if not await fleet.all_connected(_CONNECT_S):
                raise SimulatorError(
                    f"only {fleet.counts.connected} of {cast.devices} devices could connect to the gateway"
                )
            await ports.all_open()
            yield Stage(link, fleet, ports, modbus, verifier, gateway, state, broker.kind)


async def _fail_when_it_ends(gateway: GatewayProcess) -> None:
    raise await gateway.failure()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((_HOST, 0))
        port: int = sock.getsockname()[1]
        return port
