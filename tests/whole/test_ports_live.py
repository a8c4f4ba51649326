"""``fieldgate ports`` beside a running gateway: a port that it reads is left to it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import psutil

from fieldgate_simulators.gateway_process import GatewayProcess
from fieldgate_simulators.serial_pty import SerialDevice
from gateway_kit import eventually
from ports import free_port

CONFIG = """\
gateway: {{id: test}}
listen: [{{mqtt: "127.0.0.1:{port}"}}]
journal: {{path: {state}}}
sources:
  - {{name: gnss, serial: {{port: {link}, framing: nmea, profile: nmea_gnss}}}}
"""


async def test_a_port_of_the_running_gateway_is_named_as_its_own_and_not_opened(tmp_path: Path) -> None:
    """Somebody who looks for a port must not take bytes from the gateway."""
    link, config, port = tmp_path / "gnss", tmp_path / "fieldgate.yaml", free_port()
    config.write_text(CONFIG.format(port=port, state=tmp_path / "state", link=link))
    command = [sys.executable, "-m", "fieldgate", "run", "-c"]
    gateway = GatewayProcess(command, config, host="127.0.0.1", port=port, log_path=tmp_path / "log")
    async with SerialDevice("gnss", link, rate=20) as device, gateway:
        await eventually("the gateway has opened the port", lambda: device.line.is_open)

        told = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fieldgate", "ports", str(link), "-c", str(config), "--json", stdout=-1
        )
        output, _ = await told.communicate()

    (found,) = json.loads(output)
    assert (found["is_gateways"], found["heard"], found["source"]) == (True, None, None)
    assert not psutil.pid_exists(found["user_pid"])
