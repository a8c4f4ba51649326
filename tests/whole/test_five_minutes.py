"""The chapter "Add your device in five minutes" of the README, walked word by word beside a running gateway."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt

from fieldgate.mqtt.packets import Publish
from gateway_kit import Gateway, eventually, running
from readme_kit import chapter, is_shown
from uplink_kit import Peer, ScriptedBroker

BLOCKS = chapter("Add your device in five minutes")
STATES = ({"bar": 2.5, "mode": "auto", "running": True}, {"bar": 2.6, "mode": "manual", "running": False})


@asynccontextmanager
async def pumps(port: int) -> AsyncIterator[None]:
    """The pumps of the chapter: p0 runs by itself, p1 does not."""

    is_over = asyncio.Event()

    async def speak() -> None:
        async with aiomqtt.Client("127.0.0.1", port) as client:
            for number in range(10_000):
                if is_over.is_set():
                    return
                name = f"plant/pump/p{number % 2}/state"
                await client.publish(name, json.dumps(STATES[number % 2]), qos=1)
                await asyncio.sleep(0.03)

    task = asyncio.create_task(speak(), name="pumps")
    try:
        yield
    finally:
        is_over.set()  # no cancel: Python 3.11 loses one that comes with what `publish` waits for
        await asyncio.wait([task])


async def shell(line: str, folder: Path) -> str:
    """What a line of the chapter prints, with the folder left out as in the chapter."""
    own = f"{sys.executable} -m fieldgate"
    process = await asyncio.create_subprocess_shell(
        re.sub(r"^fieldgate\b", own, line), cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "FIELDGATE_CONFIG": "fieldgate.yaml"},
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, f"{line}\n{out.decode()}{err.decode()}"
    return out.decode().replace(f"{folder}/", "")


def test_the_pumps_of_the_test_are_those_that_a_reader_can_be() -> None:
    """Who has no pump types the loop of the chapter, and must get what the rest of it shows."""
    (loop,) = (text for kind, text in BLOCKS if kind == "console")

    for number, state in enumerate(STATES):
        assert f"mosquitto_pub -q 1 -t plant/pump/p{number}/state -m '{json.dumps(state)}'" in loop


async def test_a_device_is_added_as_the_readme_says(tmp_path: Path) -> None:
    """The first thing that an integrator does; it must work as it is written."""
    taken: list[dict[str, Any]] = []
    broker = ScriptedBroker()

    def take(peer: Peer, publish: Publish) -> None:
        said = json.loads(publish.payload)
        if "type" in said:
            taken.append(said)
        peer.ack(publish)

    broker.on_publish = take
    (written,) = (text for kind, text in BLOCKS if kind == "yaml")
    async with broker.serving():
        gateway = Gateway(tmp_path, uplinks={"cloud": {"mqtt": {"url": f"mqtt://127.0.0.1:{broker.port}"}}})
        gateway.settings["gateway"]["id"] = "plant-7"
        async with running(gateway), pumps(gateway.port):
            is_same = written.replace("1883", str(gateway.port)).replace("2883", str(broker.port))
            gateway.config.write_text(f"{is_same}journal: {{path: {gateway.state}}}\n")
            for place, (kind, text) in enumerate(BLOCKS):
                if kind != "sh":
                    continue
                printed = "".join([await shell(line, tmp_path) for line in text.splitlines()])
                if BLOCKS[place + 1 : place + 2] and BLOCKS[place + 1][0] == "text":
                    shown = BLOCKS[place + 1][1]
                    assert is_shown(shown.splitlines(), printed.splitlines()), f"shown:\n{shown}\nprinted:\n{printed}"

            def of_p1() -> list[dict[str, Any]]:
                return [one for one in taken if one["type"] == "fieldgate.pump" and one["subject"] == "p1"]

            await eventually("an event under the contract", of_p1)

    (envelope,) = (json.loads(text) for kind, text in BLOCKS if kind == "json")
    arrived = of_p1()[-1]
    assert {name: arrived[name] if value == "…" else value for name, value in envelope.items()} == arrived
    assert list(envelope) == list(arrived)
