"""A gateway with boilers and rules, and what it says of itself, for tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt

from command_gateway import boiler_gateway
from fieldgate.control import socket_path, stream
from gateway_kit import Gateway

__all__ = ["HOT", "hear", "rule_gateway", "say", "stored", "write_rules"]

HOT = """
rules:
  - id: hot
    on: {profile: boiler}
    when: temperature > 80
    until: temperature < 75
    do:
      - alert: {severity: critical, text: "{device} is at {temperature:.1f} °C"}
"""


def write_rules(folder: Path, text: str, name: str = "boiler.yaml") -> Path:
    """Put a file of rules beside the configuration, at once."""
    path = folder / "rules.d" / name
    path.parent.mkdir(exist_ok=True)
    half = path.with_suffix(".tmp")
    half.write_text(text)
    return half.replace(path)


def rule_gateway(folder: Path, rules: str = HOT, **more: Any) -> Gateway:
    """A gateway that knows boilers and these rules; ``more`` as `Gateway` takes it."""
    write_rules(folder, rules)
    return boiler_gateway(folder, **more)


async def say(gateway: Gateway, device: str, qos: int = 1, **fields: Any) -> None:
    """A boiler says something; with QoS 1 this returns when that is safe."""
    async with aiomqtt.Client("127.0.0.1", gateway.port) as client:
        await client.publish(f"site/boiler/{device}/telemetry", json.dumps(fields).encode(), qos=qos)


async def stored(gateway: Gateway, kind: str | None = None) -> list[dict[str, Any]]:
    """The events that the journal holds, with their data read."""
    found = [one async for one in stream(socket_path(gateway.state), {"do": "journal.read"})]
    return [one | {"data": json.loads(one["data"])} for one in found if kind in (None, one["type"])]


@asynccontextmanager
async def hear(gateway: Gateway, *filters: str) -> AsyncIterator[list[aiomqtt.Message]]:
    """A local client that subscribes; what it has got so far."""
    got: list[aiomqtt.Message] = []

    async def listen(client: aiomqtt.Client) -> None:
        async for message in client.messages:
            got.append(message)  # noqa: PERF401 - while it goes on, others look at it

    async with aiomqtt.Client("127.0.0.1", gateway.port) as client:
        for one in filters:
            await client.subscribe(one, qos=1)
        task = asyncio.create_task(listen(client))
        try:
            yield got
        finally:
            task.cancel()
