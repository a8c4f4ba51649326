"""``fieldgate devices infer`` and ``try`` on a live topic: beside a running gateway, and at any other broker."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt

from command_kit import fieldgate
from fieldgate.mqtt.packets import Publish
from gateway_kit import Gateway, eventually, running
from uplink_kit import Peer, ScriptedBroker


@asynccontextmanager
async def pumps(port: int) -> AsyncIterator[None]:
    """Three devices that say something thirty times a second."""

    is_over = asyncio.Event()

    async def speak() -> None:
        async with aiomqtt.Client("127.0.0.1", port) as client:
            for number in range(10_000):
                if is_over.is_set():
                    return
                data = {"pressure": 2.5 + number % 7 / 10, "running": number % 2 == 0}
                await client.publish(f"plant/pump/p{number % 3}/state", json.dumps(data), qos=1)
                await asyncio.sleep(0.03)

    task = asyncio.create_task(speak(), name="pumps")
    try:
        yield
    finally:
        is_over.set()  # no cancel: Python 3.11 loses one that comes with what `publish` waits for
        await asyncio.wait([task])


class Far:
    """The broker upstream, and the envelopes that it got."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.broker = ScriptedBroker()
        self.broker.on_publish = self._take

    def _take(self, peer: Peer, publish: Publish) -> None:
        said = json.loads(publish.payload)
        if "type" in said:  # else the birth message
            self.taken.append(said)
        peer.ack(publish)

    def of_type(self, name: str) -> list[dict[str, Any]]:
        return [one for one in self.taken if one["type"] == name]


async def test_a_draft_of_a_live_topic_becomes_a_contract_of_the_running_gateway(tmp_path: Path) -> None:
    """The whole way of the README's chapter: listen, draft, check, and the next event upstream is typed."""
    far = Far()
    async with far.broker.serving():
        gateway = Gateway(tmp_path, uplinks={"up": {"mqtt": {"url": f"mqtt://127.0.0.1:{far.broker.port}"}}})
        async with running(gateway), pumps(gateway.port):
            await eventually("events without a contract", lambda: far.of_type("fieldgate.generic"))
            drafted = await fieldgate("devices", "infer", "plant/#", "--count=12", "--write", config=gateway.config)
            checked = await fieldgate("devices", "check", config=gateway.config)
            await eventually("events under the contract", lambda: far.of_type("fieldgate.pump"))
            tried = await fieldgate(
                "devices", "try", "--topic", "plant/#", "--count=1", "--json", config=gateway.config
            )

    assert drafted.code == 0, drafted.err
    assert "12 messages of 3 topics" in drafted.err
    assert (checked.code, "1 profile" in checked.out) == (0, True)
    assert far.of_type("fieldgate.pump")[0]["dataschema"] == "urn:fieldgate:pump:1"
    assert far.of_type("fieldgate.pump")[0]["subject"] in {"p0", "p1", "p2"}
    assert tried.json["profile"] == "pump"


async def heard_something(gateway: Gateway) -> bool:
    """Whether local subscribers have got messages."""
    return bool((await gateway.status())["local_delivery"]["delivered"] > 3)


async def test_ctrl_c_ends_listening_and_what_came_until_then_counts(tmp_path: Path) -> None:
    """Nobody knows beforehand when enough was heard."""
    gateway = Gateway(tmp_path, uplinks={})
    async with running(gateway), pumps(gateway.port):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fieldgate", "devices", "infer", "plant/#", "--for", "10m", "-c", str(gateway.config),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            await eventually("it has heard something", lambda: heard_something(gateway))
            process.send_signal(signal.SIGINT)
            out, err = await asyncio.wait_for(process.communicate(), 30)
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    assert process.returncode == 0, err.decode()
    assert b"profile: pump" in out


async def test_a_broker_that_refuses_the_subscription_is_an_error_with_its_reason(tmp_path: Path) -> None:
    """An ACL that says no looks like silence otherwise."""
    acl = tmp_path / "acl.yaml"
    acl.write_text("anonymous: [{allow: publish, topic: '#'}]\n")
    gateway = Gateway(tmp_path, uplinks={}, listen={"auth": {"acl": str(acl), "anonymous": True}})
    async with running(gateway):
        ended = await fieldgate("devices", "infer", "plant/#", "--for", "20s", config=gateway.config)

    assert ended.code == 1
    assert "the broker refuses the subscription to 'plant/#': not authorized (0x87)" in ended.err
