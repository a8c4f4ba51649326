"""A gateway process that reads serial devices: ptys, whose frames bear a number and a checksum."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fieldgate_devices.framing.spec import framer_of
from fieldgate_simulators.broker import Broker
from gateway_kit import Gateway, Upstream, eventually
from serial_kit import PtyDevice

__all__ = ["CHECKED", "frame", "gateway_on", "is_read", "lines_of", "source", "uplink", "upstream_at"]

CHECKED = {"lines": {"end": "lf", "check": {"crc": "CRC-32/ISO-HDLC", "form": "hex"}}}
_encode = framer_of(CHECKED).encode


def frame(number: int, device: str = "scale") -> bytes:
    """A frame that stands for itself: it begins and ends with a line end."""
    return b"\n" + _encode(json.dumps({"device_": device, "n": number}).encode())


def uplink(port: int) -> dict[str, Any]:
    return {"mqtt": {"url": f"mqtt://127.0.0.1:{port}", "keep_alive": "2s"}}


@asynccontextmanager
async def gateway_on(
    folder: Path,
    *devices: PtyDevice,
    to: int,
    durability: str = "journal",
    env: dict[str, str] | None = None,
    journal: dict[str, Any] | None = None,
    **serial: Any,
) -> AsyncIterator[Gateway]:
    """A gateway that reads ``devices``, named as their links are, and forwards to port ``to``."""
    gateway = Gateway(folder, uplinks={"up": uplink(to)}, durability=durability, env=env, journal=journal)
    settings = {"framing": CHECKED, **serial}
    gateway.settings["sources"] = [
        {"name": one.link.name, "serial": {"port": str(one.link), **settings}} for one in devices
    ]
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.kill()


@asynccontextmanager
async def upstream_at(broker: Broker) -> AsyncIterator[Upstream]:
    upstream = Upstream(broker.port)
    upstream.start()
    try:
        yield upstream
    finally:
        upstream.close()


async def source(gateway: Gateway, name: str = "scale") -> dict[str, Any]:
    return dict((await gateway.status())["sources"][name])


async def is_read(gateway: Gateway, size_bytes: int, name: str = "scale") -> None:
    """Wait until so many bytes were read since the gateway's start: the port holds nothing any more."""

    async def condition() -> bool:
        return bool((await source(gateway, name))["bytes"] >= size_bytes)

    await eventually(f"{size_bytes} bytes of {name} are read", condition)


def lines_of(gateway: Gateway, event: str) -> list[str]:
    return [line for line in gateway.log_text().splitlines() if f"event={event} " in line]
