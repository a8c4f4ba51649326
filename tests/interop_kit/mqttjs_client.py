"""MQTT.js, the client of Node-RED, zigbee2mqtt and browsers: one node process, told what to do in lines of JSON."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from interop_kit.contract import ANSWER_S, PLAIN, Inbox, Maker, Message, Settings, SubscribeOptions
from interop_kit.node import node_environment, node_path

__all__ = ["mqttjs_clients"]

_SCRIPT = Path(__file__).with_name("mqttjs_bridge.cjs")


@asynccontextmanager
async def mqttjs_clients(version: int) -> AsyncIterator[Maker]:
    """Make clients that speak ``version``, all in one node process."""
    node = node_path()
    assert node is not None
    process = await asyncio.create_subprocess_exec(
        node, _SCRIPT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        env=node_environment(), limit=2**22,
    )  # fmt: skip
    bridge = _Bridge(process)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bridge.read(), name="mqttjs")
        try:
            yield lambda settings, port: MqttJsClient(bridge, settings, version, port)
        finally:
            process.kill()
            await process.wait()


class _Bridge:
    """Calls into node, each with a number under which the answer comes back."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self.inboxes: dict[str, Inbox] = {}

    async def read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            if "message" in told:
                self.inboxes[told["client"]].put(_message(told["message"]))
            elif "error" in told:
                self._calls.pop(told["call"]).set_exception(AssertionError(f"MQTT.js: {told['error']}"))
            else:
                self._calls.pop(told["call"]).set_result(told["result"])

    async def call(self, client: str, do: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None
        number = next(self._numbers)
        answer = self._calls[number] = asyncio.get_running_loop().create_future()
        line = json.dumps({"call": number, "client": client, "do": do, **arguments})
        self._process.stdin.write(f"{line}\n".encode())
        async with asyncio.timeout(ANSWER_S):
            return await answer


class MqttJsClient:
    """One MQTT.js client; its key in the bridge is not its client id, which two clients may share over time."""

    _keys = itertools.count(1)

    def __init__(self, bridge: _Bridge, settings: Settings, version: int, port: int) -> None:
        self._bridge, self._settings, self._version, self._port = bridge, settings, version, port
        self._key = f"client {next(self._keys)}"
        self._inbox = bridge.inboxes[self._key] = Inbox()

    async def connect(self) -> bool:
        settings, will = self._settings, self._settings.will
        options: dict[str, Any] = {
            "protocolVersion": self._version,
            "clientId": settings.client_id,
            "clean": not settings.keep,
            "keepalive": settings.keep_alive_s,
            "reconnectPeriod": 0,
        }
        if will is not None:
            options["will"] = {**asdict(will), "payload": will.payload.decode()}
        if (
            self._version == 5
        ):  # topic aliases and a small window, because other libraries do not use them by themselves
            options["autoAssignTopicAlias"] = True
            options["properties"] = {"receiveMaximum": 10, "sessionExpiryInterval": 600 if settings.keep else 0}
        return bool(await self._bridge.call(self._key, "connect", port=self._port, options=options))

    async def subscribe(self, topic: str, qos: int = 0, options: SubscribeOptions = PLAIN) -> int:
        wanted: dict[str, Any] = {"qos": qos}
        if self._version == 5:
            wanted |= {"nl": options.no_local, "rap": options.retain_as_published, "rh": options.retain_handling}
        if options.identifier is not None:
            wanted["properties"] = {"subscriptionIdentifier": options.identifier}
        return int(await self._bridge.call(self._key, "subscribe", topic=topic, options=wanted))

    async def unsubscribe(self, topic: str) -> None:
        await self._bridge.call(self._key, "unsubscribe", topic=topic)

    async def publish(self, message: Message) -> None:
        properties: dict[str, Any] = {"userProperties": dict(message.user)} if message.user else {}
        if message.content_type is not None:
            properties["contentType"] = message.content_type
        if message.response_topic is not None:
            properties["responseTopic"] = message.response_topic
        correlation = None if message.correlation is None else base64.b64encode(message.correlation).decode()
        await self._bridge.call(
            self._key,
            "publish",
            topic=message.topic,
            payload=base64.b64encode(message.payload).decode(),
            options={"qos": message.qos, "retain": message.retain, "properties": properties},
            correlation=correlation,
        )

    async def receive(self) -> Message:
        return await self._inbox.get()

    async def disconnect(self) -> None:
        await self._bridge.call(self._key, "end")

    async def close(self) -> None:
        """Nothing: the process ends with the test."""


def _message(told: dict[str, Any]) -> Message:
    properties = told["properties"]
    identifiers = properties.get("subscriptionIdentifier", [])
    correlation = told["correlation"]
    return Message(
        told["topic"],
        base64.b64decode(told["payload"]),
        told["qos"],
        told["retain"],
        tuple(properties.get("userProperties", {}).items()),
        properties.get("contentType"),
        properties.get("responseTopic"),
        None if correlation is None else base64.b64decode(correlation),
        tuple(identifiers if isinstance(identifiers, list) else [identifiers]),
    )
