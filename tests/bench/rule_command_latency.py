"""How long a rule takes to switch a device while events flow: ``python tests/bench/rule_command_latency.py``.

From the moment at which the event that the rule is about was due to be sent to that at which the device has the command
that the rule gave. The load is that of ``command_latency.py``: ten devices that send so many events a second together,
each of which the rule is asked about.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.command_latency import _DEVICES, Measured, _load
from command_gateway import Boiler
from fieldgate.mqtt.packets import PubAck
from listener_kit import RawClient
from rule_gateway import rule_gateway

RULES = """
rules:
  - id: switch
    on: {profile: boiler}
    when: n > 0
    fires: each
    do: [{command: {device: b0, set: {n: "{n}"}}}]
"""


async def measure(folder: Path, *, count: int, per_s: float, events_per_s: float) -> Measured:
    """Let the rule fire ``count`` times; return how long each command took. There is no uplink."""
    async with AsyncExitStack() as stack:
        gateway = rule_gateway(folder, RULES)
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
        sensor = await RawClient.connect(gateway.port, "sensor")
        measured = Measured()
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(boiler.serve())
            load = [tasks.create_task(_load(gateway, n, events_per_s / _DEVICES, measured)) for n in range(_DEVICES)]
            load.append(tasks.create_task(_hear_pubacks(sensor)))
            due = await _fire_all(sensor, count, per_s, measured)
            deadline = time.perf_counter() + 30
            while not due.keys() <= told.keys() and time.perf_counter() < deadline:
                await asyncio.sleep(0.05)
            for task in (serving, *load):
                task.cancel()
        if lost := due.keys() - told.keys():
            raise AssertionError(f"{len(lost)} commands did not reach the device")
        measured.latencies_s = [told[number] - due_s for number, due_s in due.items()]
        return measured


async def _hear_pubacks(sensor: RawClient) -> None:
    while True:
        assert isinstance(await sensor.receive(within_s=600), PubAck)


async def _fire_all(sensor: RawClient, count: int, per_s: float, measured: Measured) -> dict[int, float]:
    due: dict[int, float] = {}
    begin, events = time.perf_counter(), measured.events
    for number in range(1, count + 1):
        due_s = begin + number / per_s
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        due[number] = due_s
        payload = json.dumps({"temperature": 21.5, "n": number}).encode()
        sensor.publish(number % 60_000 + 1, payload, topic="site/boiler/sensor/telemetry")
    measured.over_s = time.perf_counter() - begin
    measured.events -= events
    return due


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", "--count", type=int, default=1000)
    parser.add_argument("--per-s", type=float, default=20.0, help="commands per second")
    parser.add_argument("--events", type=float, default=1000.0, help="events per second")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured = asyncio.run(measure(Path(folder), count=asked.count, per_s=asked.per_s, events_per_s=asked.events))
    sys.stdout.write(f"{measured}\n")


if __name__ == "__main__":
    main()
