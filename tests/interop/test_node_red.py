"""Node-RED on the same machine: a flow reads from the listener and writes back, and its answers are events upstream."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldgate_simulators.broker import Broker
from gateway_kit import Gateway, Upstream, eventually, running
from interop_kit.contract import Client, Library, Message, Settings
from interop_kit.node import INTEROP, lacks, node_environment, node_path, why_no_package
from interop_kit.paho_client import paho_clients
from ports import free_port

FOLDER = INTEROP / "node-red"


@asynccontextmanager
async def _node_red(folder: Path, port: int, topic: str) -> AsyncIterator[None]:
    """Node-RED without its editor, telemetry or anything of the user's: our flow reads ``topic`` at the listener."""
    node = node_path()
    assert node is not None
    shutil.copy(FOLDER / "flow.json", folder / "flows.json")
    (folder / "settings.js").write_text(
        "module.exports = {flowFile: 'flows.json', telemetry: {enabled: false}, disableEditor: true};", encoding="utf-8"
    )
    red = FOLDER / "node_modules" / "node-red" / "red.js"
    with (folder / "node-red.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            node, red, "--userDir", folder, "--port", str(free_port()), stdout=log, stderr=log,
            env={**node_environment(FOLDER), "FIELDGATE_PORT": str(port), "FIELDGATE_TOPIC": topic},
        )  # fmt: skip
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@asynccontextmanager
async def _device(port: int) -> AsyncIterator[Client]:
    async with Library("paho", 5, paho_clients).clients_of(port) as make:
        device = make(Settings("boiler"))
        await device.connect()
        yield device


RAW, DECODED = "boiler/+/temperature", "local/#"


@pytest.mark.long
@pytest.mark.parametrize("topic", [RAW, DECODED])
async def test_a_flow_of_node_red_reads_from_the_listener_and_writes_back(tmp_path: Path, topic: str) -> None:
    """The rule that many have before they have ours, on what the device said or on the decoded event; its decision
    reaches the device and is kept like any event."""
    if (why := why_no_package("node-red", FOLDER)) is not None:
        lacks(why)
    (tmp_path / "red").mkdir()
    async with Broker() as broker:
        uplinks: dict[str, dict[str, Any]] = {"up": {"mqtt": {"url": broker.url}}}
        if topic == DECODED:
            uplinks["local"] = {"mqtt": "self", "topic": "local/{device}"}
        upstream = Upstream(broker.port)
        upstream.start()
        async with (
            running(Gateway(tmp_path, uplinks=uplinks)) as gateway,
            _device(gateway.port) as device,
            _node_red(tmp_path / "red", gateway.port, topic),
        ):
            await device.subscribe("boiler/+/heating", 1)
            await _subscribed(device)

            for celsius in (18, 22):
                await _say(device, "b1", celsius)
            answers = [await _decision(device) for _ in range(2)]

            assert [(one.topic, json.loads(one.payload)) for one in answers] == [
                ("boiler/b1/heating", {"on": True}),
                ("boiler/b1/heating", {"on": False}),
            ]
            await eventually("the answers are events", lambda: _decisions(upstream)[-2:] == [True, False])
        upstream.close()


async def _say(device: Client, boiler: str, celsius: float) -> None:
    payload = json.dumps({"boiler": boiler, "celsius": celsius}).encode()
    await device.publish(Message(f"boiler/{boiler}/temperature", payload, 1))


def _decisions(upstream: Upstream) -> list[bool]:
    return [one["data"]["on"] for one in upstream.events() if "on" in one["data"]]


async def _decision(device: Client) -> Message:
    """The flow's next answer that is not to a probe."""
    while (message := await device.receive()).topic == "boiler/probe/heating":
        continue
    return message


async def _subscribed(device: Client, *, within_s: float = 40) -> None:
    """Ask the flow until it answers: Node-RED takes seconds to start, and says nothing when it has subscribed."""
    async with asyncio.timeout(within_s):
        while True:
            await _say(device, "probe", 0)
            try:
                async with asyncio.timeout(0.5):
                    await device.receive()
                    return
            except TimeoutError:
                continue
