"""Row 81: a memory limit is met by reading less, not by dying; and dying of it loses nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fieldgate_simulators.broker import Broker
from gateway_kit import Gateway, Publisher, Upstream, eventually, oracle

MEMORY_V1, V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
_TAKE = "import time; taken = [b'x' * (1 << 20) for _ in range(140)]; time.sleep(60)"
NOWHERE = {"mqtt": {"url": "mqtt://127.0.0.1:9"}}


class MemoryGroup:
    """A cgroup (v1 or v2) that holds a process to a size."""

    def __init__(self) -> None:
        self._is_v1 = MEMORY_V1.is_dir()
        self.path = (MEMORY_V1 if self._is_v1 else V2) / f"fieldgate-test-{os.getpid()}"
        self.path.mkdir()

    def limit(self, size_bytes: int) -> None:
        name = "memory.limit_in_bytes" if self._is_v1 else "memory.max"
        (self.path / name).write_text(str(size_bytes))

    def kills(self) -> int:
        file = self.path / ("memory.oom_control" if self._is_v1 else "memory.events")
        return int(dict(line.split() for line in file.read_text().splitlines())["oom_kill"])

    def prefix(self) -> tuple[str, ...]:
        """What starts a command inside."""
        return ("/bin/sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$@"', "sh")


@contextmanager
def memory_group() -> Iterator[MemoryGroup]:
    try:
        group = MemoryGroup()
        group.limit(1 << 30)
        group.kills()
    except (OSError, KeyError) as error:
        pytest.skip(f"no memory cgroup can be made here: {error}")
    try:
        yield group
    finally:
        group.path.rmdir()


@pytest.mark.root
async def test_a_flood_within_a_memory_limit_is_held_back_and_a_kill_for_memory_loses_nothing(tmp_path: Path) -> None:
    """The uplink is away, forty devices send 60 KB each as fast as they may: what does not fit is not read."""
    if os.geteuid() != 0:
        pytest.skip("needs root to make a memory cgroup")
    gateway = Gateway(tmp_path, uplinks={"up": NOWHERE}, journal={"max_size": "400MB"})
    devices = [Publisher(gateway.port, name=f"d{n}", total=60, window=20, noise_bytes=30_000) for n in range(40)]
    async with Broker() as broker:
        with memory_group() as group:
            group.limit(150 << 20)
            await gateway.start(*group.prefix())
            try:
                for device in devices:
                    device.start()
                await eventually("half is safe", lambda: _acked(devices) >= 1_200, within_s=40)
                kills_in_flood = group.kills()
                await _squeeze(group, gateway)
                kills = group.kills()
            finally:
                await gateway.kill()
        upstream = Upstream(broker.port)
        upstream.start()
        gateway.settings["uplinks"]["up"] = {"mqtt": {"url": f"mqtt://127.0.0.1:{broker.port}"}}
        await gateway.start()
        try:
            for device in devices:
                await device.finished(within_s=40)
            await gateway.drained("up", within_s=40)
            await eventually("all is there", lambda: not upstream.missing(devices), within_s=20)

            oracle(upstream, devices)
        finally:
            for device in devices:
                device.close()
            upstream.close()
            await gateway.kill()

    assert kills_in_flood == 0
    assert kills >= 1, "the kill is what was to be shown"


def _acked(devices: list[Publisher]) -> int:
    return sum(len(device.acked) for device in devices)


async def _squeeze(group: MemoryGroup, gateway: Gateway) -> None:
    """Let a neighbour in the same group, whom the kernel spares rather, take the memory until the gateway is killed."""
    assert gateway.process is not None
    Path(f"/proc/{gateway.process.pid}/oom_score_adj").write_text("1000", encoding="ascii")
    neighbour = await asyncio.create_subprocess_exec(*group.prefix(), sys.executable, "-c", _TAKE)
    try:
        async with asyncio.timeout(20):
            assert await gateway.process.wait() == -signal.SIGKILL
    finally:
        if neighbour.returncode is None:
            neighbour.kill()
        await neighbour.wait()
