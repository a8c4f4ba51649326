"""``uplinks: {local: {mqtt: self}}`` in a real gateway: decoded events for local subscribers, and no loop."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiomqtt

from command_kit import fieldgate
from gateway_kit import Gateway, Publisher, eventually, publish_once, running

LOCAL = {"mqtt": "self", "topic": "local/{device}"}
NOWHERE = {"mqtt": {"url": "mqtt://127.0.0.1:9"}}


class Reader:
    """A local subscriber, such as Node-RED."""

    def __init__(self, port: int, topic: str = "local/#") -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []
        self._port = port
        self._topic = topic

    async def __aenter__(self) -> Reader:
        self._client = aiomqtt.Client("127.0.0.1", self._port)
        await self._client.__aenter__()
        await self._client.subscribe(self._topic, qos=1)
        self._task = asyncio.create_task(self._read(), name="reader")
        return self

    async def _read(self) -> None:
        async for message in self._client.messages:
            self.got.append((str(message.topic), json.loads(message.payload)))

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._client.__aexit__(*error)


async def test_local_subscribers_get_decoded_events_and_none_of_them_comes_in_again(tmp_path: Path) -> None:
    """Even where the listener takes everything for an event: what the gateway publishes is none."""
    gateway = Gateway(tmp_path, uplinks={"local": LOCAL}, listen={"events": ["#"]})
    async with running(gateway), Reader(gateway.port) as reader:
        for number in range(20):
            await publish_once(gateway.port, "site/a", b'{"n":%d}' % number)
        await eventually("all arrive", lambda: len(reader.got) == 20)
        status = await gateway.drained("local")
        shown = await fieldgate("status", config=gateway.config)
        checked = await fieldgate("check", config=gateway.config)
        as_loaded = await fieldgate("config", "show", config=gateway.config)

    assert {topic for topic, _ in reader.got} == {"local/site.a"}
    assert [envelope["data"]["n"] for _, envelope in reader.got] == list(range(20))
    assert len({envelope["id"] for _, envelope in reader.got}) == 20
    assert status["events_in"] == 20
    one = status["uplinks"]["local"]
    assert (one["delivered"], one["pending"], one["unaccounted"]) == (20, 0, 0)
    assert "uplink   local   connected   for " in shown.out
    assert "to local subscribers" in shown.out
    assert "'self' is the only uplink" in checked.out + checked.err
    assert "uplinks.local.mqtt" in as_loaded.out
    assert "self" in as_loaded.out


async def test_a_dead_cloud_does_not_keep_events_from_the_local_side(tmp_path: Path) -> None:
    """The plant goes on; and what the cloud still wants stays stored."""
    gateway = Gateway(tmp_path, uplinks={"cloud": NOWHERE, "local": LOCAL})
    async with running(gateway), Reader(gateway.port) as reader:
        device = Publisher(gateway.port, total=300)
        device.start()
        await device.finished()
        await eventually("all arrive", lambda: len(reader.got) == 300)
        uplinks = (await gateway.drained("local"))["uplinks"]
        device.close()

    assert (uplinks["local"]["pending"], uplinks["local"]["delivered"]) == (0, 300)
    assert uplinks["cloud"]["pending"] == 300


async def test_live_events_pass_a_stored_backlog_which_is_marked(tmp_path: Path) -> None:
    """`drain: live_first`, with what was stored before the uplink was configured; order holds within each stream."""
    gateway = Gateway(tmp_path, uplinks={"cloud": NOWHERE})
    async with running(gateway):
        device = Publisher(gateway.port, name="old", total=150)
        device.start()
        await device.finished()
        device.close()
        assert await gateway.stop() == 0
    gateway.settings["uplinks"]["local"] = {**LOCAL, "drain": "live_first", "rate": "50/s"}
    async with running(gateway), Reader(gateway.port) as reader, aiomqtt.Client("127.0.0.1", gateway.port) as live:
        await eventually("the drain runs", lambda: reader.got)
        for number in range(5):
            await live.publish("site/new", b'{"n":%d}' % number, qos=1)
        status = await gateway.drained("local")
        await eventually("the last one arrives", lambda: reader.got[-1][1]["data"]["n"] == 149)

    places = [index for index, (_, one) in enumerate(reader.got) if one["subject"] == "site.new"]
    stored = [one for _, one in reader.got if one["subject"] != "site.new"]
    assert [reader.got[index][1]["data"]["n"] for index in places] == list(range(5))
    assert not any(reader.got[index][1].get("drained") for index in places)
    assert all(one["drained"] for one in stored)
    assert [one["data"]["n"] for one in stored] == sorted(one["data"]["n"] for one in stored)
    assert places[-1] < len(reader.got) - 20
    assert status["uplinks"]["local"]["delivered"] == 155
