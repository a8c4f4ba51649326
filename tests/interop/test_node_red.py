"""Node-RED on the same machine: a flow reads from the listener and writes back, and its answers are events upstream."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fieldgate_simulators.broker import Broker
from gateway_kit import Gateway, Upstream, eventually, running
from interop_kit.contract import Client, Library, Message, Settings
from interop_kit.node import INTEROP, lacks, node_environment, node_path, why_no_package
from interop_kit.paho_client import paho_clients
from ports import free_port

FOLDER = INTEROP / "node-red"


@asynccontextmanager
async def _node_red(folder: Path, port: int) -> AsyncIterator[None]:
    """Node-RED without its editor's telemetry or anything of the user's, with our flow and the listener's port."""
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
            env={**node_environment(FOLDER), "FIELDGATE_PORT": str(port)},
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


@pytest.mark.long
async def test_a_flow_of_node_red_reads_from_the_listener_and_writes_back(tmp_path: Path) -> None:
    """The rule that many have before they have ours; its decision reaches the device and is kept like any event."""
    if (why := why_no_package("node-red", FOLDER)) is not None:
        lacks(why)
    (tmp_path / "red").mkdir()
    async with (
        Broker() as broker,
        running(Gateway(tmp_path, uplinks={"up": {"mqtt": {"url": broker.url}}})) as gateway,
        _device(gateway.port) as device,
        _node_red(tmp_path / "red", gateway.port),
    ):
        upstream = Upstream(broker.port)
        upstream.start()
        await device.subscribe("boiler/+/heating", 1)
        log = tmp_path / "red" / "node-red.log"
        await eventually("the flow is connected", lambda: "Connected to broker" in log.read_text("utf-8"), within_s=40)
        await _subscribed(device)

        for celsius in (18, 22):
            await device.publish(Message("boiler/b1/temperature", json.dumps({"celsius": celsius}).encode(), 1))
        answers = [await _decision(device) for _ in range(2)]

        assert [(one.topic, json.loads(one.payload)) for one in answers] == [
            ("boiler/b1/heating", {"on": True}),
            ("boiler/b1/heating", {"on": False}),
        ]
        await eventually("the answers are events", lambda: _decisions(upstream)[-2:] == [True, False])
        upstream.close()


def _decisions(upstream: Upstream) -> list[bool]:
    return [one["data"]["on"] for one in upstream.events() if "on" in one["data"]]


async def _decision(device: Client) -> Message:
    """The flow's next answer that is not to a probe."""
    while (message := await device.receive()).topic == "boiler/probe/heating":
        continue
    return message


async def _subscribed(device: Client) -> None:
    """Ask the flow until it answers: it subscribes some time after it has connected."""
    while True:
        await device.publish(Message("boiler/probe/temperature", b'{"celsius": 0}', 1))
        try:
            async with asyncio.timeout(0.5):
                await device.receive()
        except TimeoutError:
            continue
        return
