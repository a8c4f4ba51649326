"""From serial lines to the upstream broker: every kind of device, the real gateway, and lines that spoil bytes."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from fieldgate_devices.yaml_text import flow
from fieldgate_simulators.broker import Broker
from fieldgate_simulators.counting import judge
from fieldgate_simulators.gateway_process import GatewayProcess
from fieldgate_simulators.line_faults import LineFaults
from fieldgate_simulators.serial_kinds import KINDS
from fieldgate_simulators.serial_pty import SerialDevice
from fieldgate_simulators.target import Target
from fieldgate_simulators.verifier import Verifier
from gateway_kit import eventually
from ports import free_port

CHECKED = [name for name in KINDS if name != "scale"]  # lines without a checksum may be spoiled and look right
FRAMES = 150

CONFIG = """\
gateway: {{id: test}}
listen: [{{mqtt: "127.0.0.1:{port}"}}]
journal: {{path: {state}}}
uplinks: {{up: {{mqtt: {{url: "{url}"}}}}}}
sources:
{sources}"""


async def test_every_frame_that_was_sent_whole_arrives_once_and_no_other_does(tmp_path: Path) -> None:
    """A flipped bit in a thousand bytes, noise, any pieces, and each device is unplugged in mid-frame."""
    faults = LineFaults(corrupt=0.0002, noise=0.02, pieces=40)
    devices = {
        name: SerialDevice(name, tmp_path / name, rate=None, seed=11, faults=faults, away_s=0.1) for name in CHECKED
    }
    config, port = tmp_path / "fieldgate.yaml", free_port()
    (tmp_path / "devices.d").mkdir()
    (tmp_path / "devices.d/sim_cobs.yaml").write_text(KINDS["cobs"].profile_text)
    sources = "".join(f"  - {flow(device.source(name))}\n" for name, device in devices.items())
    numbers_of = {device.device or name: device.kind.number_of for name, device in devices.items()}
    command = [sys.executable, "-m", "fieldgate", "run", "-c"]
    async with Broker() as broker, AsyncExitStack() as stack:
        url = f"mqtt://{broker.host}:{broker.port}"
        config.write_text(CONFIG.format(port=port, state=tmp_path / "state", url=url, sources=sources))
        for device in devices.values():
            await stack.enter_async_context(device)
        gateway = GatewayProcess(command, config, host="127.0.0.1", port=port, log_path=tmp_path / "log")
        async with Verifier(Target(broker.host, broker.port), apart=numbers_of) as verifier, gateway:

            async def play(device: SerialDevice) -> None:
                await device.run(frames=FRAMES // 2)
                await device.replug()
                await device.run(frames=FRAMES)

            async with asyncio.TaskGroup() as tasks:
                for name, device in devices.items():
                    tasks.create_task(play(device), name=name)
            sent = {device.device or name: device.sent for name, device in devices.items()}
            arrivals = verifier.apart_arrivals
            await eventually("all have arrived", lambda: not judge(sent, arrivals).lost)

    verdict = judge(sent, arrivals)
    spoiled = {device.device or name: device.spoiled for name, device in devices.items()}
    invented = {
        name: number
        for name, numbers in arrivals.by_device.items()
        for number in numbers
        if number not in sent[name] and number not in spoiled[name]
    }
    assert (verdict.accepted, verdict.lost, verdict.out_of_order) == (len(CHECKED) * FRAMES, 0, 0)
    assert (verdict.same_reading, invented) == (0, {})
    assert sum(device.counts.spoiled for device in devices.values()) > 0
    assert all(device.counts.cut >= 1 for device in devices.values())
