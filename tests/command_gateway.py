"""A gateway with boilers that can be told something, devices that do as a test says, and a caller on its socket."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fieldgate.control import ControlError, GatewayNotRunning, ask, socket_path
from fieldgate.mqtt.packets import Properties, PubAck, Publish, SubAck, Subscribe, Subscription
from gateway_kit import Gateway
from listener_kit import RawClient

__all__ = ["BOILER", "Boiler", "boiler_gateway", "give", "give_until_answered"]

BOILER = """
profile: boiler
match: {mqtt: "site/boiler/{device}/telemetry"}
fields: {temperature: {type: float, optional: true}, n: {type: int, optional: true}}
commands:
  set:
    description: Sets what it heats to.
    publish: "site/boiler/{device}/set"
    payload:
      n: {type: int, min: 0, max: 100000}
      target: {type: float, unit: °C, min: 20, max: 90, optional: true}
    timeout: 20s
  quick:
    publish: "site/boiler/{device}/set"
    payload: {n: {type: int}}
    timeout: 300ms
  confirmed:
    publish: {topic: "site/boiler/{device}/set", text: "{n}"}
    payload: {n: {type: int}}
    reply: {mqtt: "site/boiler/{device}/telemetry", json: {n: "{n}"}}
    timeout: 2s
"""


def boiler_gateway(folder: Path, **more: Any) -> Gateway:
    """A gateway that knows boilers; ``more`` as `Gateway` takes it."""
    profiles = folder / "devices.d"
    profiles.mkdir(exist_ok=True)
    (profiles / "boiler.yaml").write_text(BOILER)
    gateway = Gateway(folder, **({"uplinks": {}} | more))
    gateway.settings["devices"] = {"path": str(profiles)}
    return gateway


class Boiler:
    """A device on a raw connection: remembers what it was told, and acknowledges what ``acks`` says."""

    def __init__(self, gateway: Gateway, name: str, *, acks: Callable[[int], bool] | None = None) -> None:
        self.gateway = gateway
        self.name = name
        self.executed: Counter[int] = Counter()
        self.messages: list[Publish] = []
        self.acks = acks or (lambda _: True)
        self.client: RawClient | None = None

    async def connect(self, *, clean: bool = True, kept_s: int = 0, version: int = 5, is_heard: bool = True) -> None:
        """Connect, subscribe and say something, so that the gateway knows it."""
        properties = Properties(session_expiry_s=kept_s) if version == 5 else None
        client = self.client = await RawClient.connect(
            self.gateway.port, self.name, clean=clean, version=version, properties=properties
        )
        if client.connack.session_present:
            return
        client.write(Subscribe(1, (Subscription(f"site/boiler/{self.name}/set", 1),)))
        assert isinstance(await client.receive(), SubAck)
        if is_heard:
            client.publish(9, b'{"temperature": 20}', topic=f"site/boiler/{self.name}/telemetry")
            assert isinstance(await client.receive(), PubAck)

    async def serve(self) -> None:
        """Do what it is told, until the connection is over."""
        assert self.client is not None
        try:
            while True:
                packet = await self.client.receive(within_s=600)
                if isinstance(packet, Publish):
                    self.messages.append(packet)
                    told = json.loads(packet.payload)
                    number = told["n"] if isinstance(told, dict) else told
                    self.executed[number] += 1
                    if self.acks(number) and packet.qos:
                        self.client.write(PubAck(packet.packet_id))
        except (EOFError, OSError):
            return

    async def say(self, payload: bytes) -> None:
        """Publish as it does of itself."""
        assert self.client is not None
        self.client.publish(10, payload, topic=f"site/boiler/{self.name}/telemetry")


async def give(gateway: Gateway, device: str, number: int, **more: Any) -> dict[str, Any]:
    """Give a command over the control socket, as ``fieldgate command`` does; return the answer."""
    request = {"do": "command.give", "device": device, "name": "set", "arguments": {"n": number}, "id": f"id-{number}"}
    return await ask(socket_path(gateway.state), request | more)


async def give_until_answered(gateway: Gateway, device: str, number: int) -> dict[str, Any] | None:
    """The same; None where the gateway went away, or is not there."""
    try:
        return await give(gateway, device, number) or None
    except (ControlError, GatewayNotRunning, asyncio.CancelledError):
        return None
