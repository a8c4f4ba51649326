"""A gateway with rules whose state must survive, and what it has said of it, here and upstream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt

from fieldgate_simulators.broker import Broker
from gateway_kit import Gateway, Upstream, eventually, publish_once

__all__ = ["RuleSite", "rule_site"]

BOILER = """
profile: boiler
match: {mqtt: "site/boiler/{device}/telemetry"}
fields:
  temperature: {type: float, unit: °C, min: -40, max: 150}
"""


class RuleSite:
    """The gateway, an upstream that keeps everything, and the device's voice."""

    def __init__(self, gateway: Gateway, upstream: Upstream) -> None:
        self.gateway = gateway
        self.upstream = upstream

    def write(self, name: str, text: str) -> None:
        """A file of rules, put in its place as editors do."""
        folder = self.gateway.folder / "rules.d"
        folder.mkdir(exist_ok=True)
        new = folder / f".{name}.new"
        new.write_text(text, encoding="utf-8")
        new.rename(folder / f"{name}.yaml")

    async def says(self, temperature: float, *, device: str = "b1") -> None:
        """One event, safe."""
        payload = json.dumps({"temperature": temperature}).encode()
        await publish_once(self.gateway.port, f"site/boiler/{device}/telemetry", payload)

    async def state_is_written(self) -> None:
        """Nothing that a rule remembers waits for the disk any more."""

        async def is_so() -> bool:
            stored = (await self.gateway.status())["rules"]["stored"]
            return bool(stored["commits"]) and not stored["is_behind"]

        await eventually("the state of rules is on disk", is_so)

    async def restart(self, *, is_kill: bool = True) -> None:
        """End it, and start it again."""
        await (self.gateway.kill() if is_kill else self.gateway.stop())
        await self.gateway.start()

    def events(self, kind: str, **members: Any) -> list[dict[str, Any]]:
        """The data of what arrived upstream, each event once, in order of arrival."""
        found = {one["id"]: one["data"] for one in list(self.upstream.arrived) if one["type"] == f"fieldgate.{kind}"}
        return [one for one in found.values() if members.items() <= one.items()]

    async def comes(self, kind: str, *, count: int = 1, **members: Any) -> list[dict[str, Any]]:
        """Wait for so many of them."""

        def are_there() -> list[dict[str, Any]] | None:
            found = self.events(kind, **members)
            return found if len(found) >= count else None

        return list(await eventually(f"{count} of {kind} {members}", are_there))

    async def retained_alerts(self) -> dict[str, dict[str, Any]]:
        """What a local subscriber is given at once, by topic."""
        found: dict[str, dict[str, Any]] = {}
        async with aiomqtt.Client("127.0.0.1", self.gateway.port) as client:
            await client.subscribe("fieldgate/g/alerts/#", qos=1)
            await client.subscribe("fieldgate/g/nothing", qos=1)  # acknowledged after what is retained was sent
            with_end = asyncio.timeout(0.5)
            try:
                async with with_end:
                    async for message in client.messages:
                        if message.retain:
                            found[str(message.topic)] = json.loads(message.payload)
            except TimeoutError:
                pass
        return found


@asynccontextmanager
async def rule_site(folder: Path, **files: str) -> AsyncIterator[RuleSite]:
    """A running gateway with these files of rules."""
    (folder / "devices.d").mkdir()
    (folder / "devices.d" / "boiler.yaml").write_text(BOILER, encoding="utf-8")
    async with Broker() as broker:
        upstream = Upstream(broker.port)
        upstream.start()
        gateway = Gateway(
            folder, uplinks={"up": {"mqtt": {"url": f"mqtt://127.0.0.1:{broker.port}", "keep_alive": "2s"}}}
        )
        site = RuleSite(gateway, upstream)
        for name, text in files.items():
            site.write(name, text)
        await gateway.start()
        try:
            yield site
        finally:
            upstream.close()
            await gateway.kill()
