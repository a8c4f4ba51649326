"""How long a command takes to its device while events flow: ``python tests/bench/command_latency.py``.

A gateway as a child process, ten devices on raw connections that send so many events a second together, one device that
is told something, and a caller: on the control socket (``cli``), or a client of the upstream broker (``upstream``).
Open loop: commands are given on a schedule, and each bears the moment at which it was due.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiomqtt

sys.path.insert(0, str(Path(__file__).parents[1]))

from command_gateway import Boiler, boiler_gateway, give
from fieldgate.mqtt.packets import PubAck
from fieldgate_simulators.broker import Broker
from gateway_kit import Gateway
from listener_kit import RawClient

_DEVICES = 10
_TURNS_PER_S = 50  # a device sends what is due of its events so often


@dataclass
class Measured:
    """Seconds from due to the device, by command; ``events`` is what the devices had acknowledged meanwhile."""

    latencies_s: list[float] = field(default_factory=list)
    events: int = 0
    over_s: float = 0.0

    def share(self, part: float) -> float:
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))]

    def __str__(self) -> str:
        return (
            f"{len(self.latencies_s)} commands at {self.events / self.over_s:,.0f} events/s: "
            f"p50 {statistics.median(self.latencies_s) * 1e3:.1f} ms, p99 {self.share(0.99) * 1e3:.1f} ms, "
            f"most {max(self.latencies_s) * 1e3:.1f} ms"
        )


async def measure(folder: Path, *, way: str, count: int, per_s: float, events_per_s: float) -> Measured:
    """Give ``count`` commands; return how long each took."""
    async with AsyncExitStack() as stack:
        uplinks: dict[str, dict[str, object]] = {}
        if way == "upstream":
            broker = await stack.enter_async_context(Broker())
            uplinks["up"] = {"mqtt": {"url": f"mqtt://127.0.0.1:{broker.port}", "commands": True}}
            upstream = await stack.enter_async_context(aiomqtt.Client("127.0.0.1", broker.port))
        gateway = boiler_gateway(folder, uplinks=uplinks)
        await gateway.start()
        stack.push_async_callback(gateway.kill)
        stack.push_async_callback(RawClient.close_all)
        boiler = Boiler(gateway, "b0")
        await boiler.connect()
        told: dict[int, float] = {}

        def note(number: int) -> bool:
            told[number] = time.perf_counter()
            return True

        boiler.acks = note

        async def by_cli(number: int) -> None:
            await give(gateway, "b0", number)

        async def by_uplink(number: int) -> None:
            await upstream.publish(
                "fieldgate/g/b0/command/set", json.dumps({"n": number, "id": f"id-{number}"}).encode(), qos=1
            )

        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(boiler.serve())
            measured = Measured()
            load = [tasks.create_task(_load(gateway, n, events_per_s / _DEVICES, measured)) for n in range(_DEVICES)]
            if way == "upstream":
                await _until_heard(by_uplink, told)
            due = await _give_all(by_cli if way == "cli" else by_uplink, count, per_s, measured)
            deadline = time.perf_counter() + 30
            while not due.keys() <= told.keys() and time.perf_counter() < deadline:
                await asyncio.sleep(0.05)
            for task in (serving, *load):
                task.cancel()
        measured.latencies_s = [told[number] - due_s for number, due_s in due.items() if number in told]
        if lost := due.keys() - told.keys():
            raise AssertionError(f"{len(lost)} commands did not reach the device")
        return measured


async def _until_heard(ask: Callable[[int], Awaitable[None]], told: dict[int, float]) -> None:
    """The uplink has subscribed once a command comes through."""
    number = 90_000
    while not told:
        await ask(number)
        number += 1
        await asyncio.sleep(0.2)


async def _give_all(
    ask: Callable[[int], Awaitable[None]], count: int, per_s: float, measured: Measured
) -> dict[int, float]:
    due: dict[int, float] = {}
    begin, events = time.perf_counter(), measured.events
    async with asyncio.TaskGroup() as giving:
        for number in range(1, count + 1):
            due_s = begin + number / per_s
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            due[number] = due_s
            giving.create_task(ask(number))  # type: ignore[arg-type]  # an Awaitable that is a coroutine
    measured.over_s = time.perf_counter() - begin
    measured.events -= events
    return due


async def _load(gateway: Gateway, number: int, per_s: float, measured: Measured) -> None:
    """One device that sends its share of the events, at QoS 1, on a schedule."""
    client = await RawClient.connect(gateway.port, f"load-{number}")
    topic, payload = f"site/boiler/load-{number}/telemetry", b'{"temperature": 21.5}'

    async def count_pubacks() -> None:
        while True:
            packet = await client.receive(within_s=600)
            measured.events += isinstance(packet, PubAck)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(count_pubacks())
        begin, sent = time.perf_counter(), 0
        while True:
            due = int((time.perf_counter() - begin) * per_s)
            for _ in range(due - sent):
                sent += 1
                client.publish(sent % 60_000 + 1, payload, topic=topic)
            await asyncio.sleep(1 / _TURNS_PER_S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", choices=["cli", "upstream"], default="cli")
    parser.add_argument("-n", "--count", type=int, default=1000)
    parser.add_argument("--per-s", type=float, default=20.0, help="commands per second")
    parser.add_argument("--events", type=float, default=1000.0, help="events per second")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured = asyncio.run(
            measure(Path(folder), way=asked.way, count=asked.count, per_s=asked.per_s, events_per_s=asked.events)
        )
    sys.stdout.write(f"{measured}\n")


if __name__ == "__main__":
    main()
