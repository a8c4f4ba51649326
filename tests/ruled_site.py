"""A gateway process that hears an HTTP station, a scale on a serial port and a Modbus pump, and has rules on them."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fieldgate_simulators.modbus_server import ModbusServer
from fieldgate_simulators.modbus_unit import ModbusUnit
from gateway_kit import Gateway, eventually
from modbus_kit import PUMP, make_unit
from ports import free_port
from rule_gateway import stored, write_rules
from serial_kit import PtyDevice

__all__ = ["Site", "ruled_site"]

SCALE = """
profile: my_scale
decode: {regex: {pattern: '(?P<state>ST|US),(?P<weight>[+-][0-9.]+)kg'}}
lenient: true
fields:
  weight: {type: float, unit: kg}
  state: {type: enum, values: [ST, US]}
commands:
  tare: {serial: T}
  show: {serial: {text: "D{text}"}, payload: {text: {type: string}}}
"""
STATION = """
profile: station
match: {mqtt: "http/roof/{device}"}
fields: {wind: {type: float, unit: m/s}, rain: {type: bool, optional: true}}
"""


class Site:
    """The gateway, and everything that it hears."""

    def __init__(self, gateway: Gateway, unit: ModbusUnit, bus: ModbusServer, scale: PtyDevice, http_port: int) -> None:
        self.gateway = gateway
        self.unit = unit
        self.bus = bus
        self.scale = scale
        self.http_port = http_port
        self.written = b""

    async def posts(self, name: str, **fields: Any) -> int:
        """The station sends this; return the status of the answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http_port}/roof/{name}", json.dumps(fields).encode(), method="POST"
        )

        def send() -> int:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)

        return await asyncio.to_thread(send)

    def weighs(self, weight: float, state: str = "ST") -> None:
        """The scale says so once."""
        self.scale.write(f"{state},{weight:+.2f}kg\r\n".encode())

    async def is_told(self, text: bytes) -> None:
        """Wait until the scale has heard this."""

        def heard() -> bool:
            self.written += self.scale.heard()
            return text in self.written

        await eventually(f"the scale hears {text!r}", heard)

    async def events(self, kind: str, **data: Any) -> list[dict[str, Any]]:
        """Those that the journal holds with these data."""
        return [one for one in await stored(self.gateway, kind) if data.items() <= one["data"].items()]

    async def comes(self, kind: str, **data: Any) -> list[dict[str, Any]]:
        """Wait for at least one."""
        return list(await eventually(f"{kind} {data}", lambda: self.events(kind, **data)))


@asynccontextmanager
async def ruled_site(folder: Path, rules: str, **more: Any) -> AsyncIterator[Site]:
    """The site with these rules; ``more`` as `Gateway` takes it. Its scale and its pump are there from the start."""
    write_rules(folder, rules)
    profiles = folder / "devices.d"
    profiles.mkdir(exist_ok=True)
    for name, text in (("scale", SCALE), ("station", STATION), ("pump", PUMP)):
        (profiles / f"{name}.yaml").write_text(text)
    unit, http_port = make_unit(1), free_port()
    gateway = Gateway(folder, **({"uplinks": {}} | more))
    async with ModbusServer([unit]) as bus:
        with PtyDevice(folder / "scale") as scale:
            gateway.settings["listen"].append({"http": f"127.0.0.1:{http_port}"})
            gateway.settings["sources"] = [
                {"name": "scale", "serial": {"port": str(scale.link), "framing": "lines", "profile": "my_scale"}},
                {
                    "name": "bus",
                    "modbus": {
                        "url": f"tcp://127.0.0.1:{bus.port}",
                        "timeout": "500ms",
                        "units": [{"unit": 1, "profile": "pump", "device": "pump-1"}],
                    },
                },
            ]
            await gateway.start()
            assert ".refused" not in gateway.log_text(), gateway.log_text()
            try:
                yield Site(gateway, unit, bus, scale, http_port)
            finally:
                await gateway.kill()
