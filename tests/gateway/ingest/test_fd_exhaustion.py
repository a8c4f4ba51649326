"""FAULTS 80: without file descriptors the listener pauses, serves whom it has, and accepts again later."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from fieldgate.mqtt.packets import PingReq, PingResp
from listener_kit import RawClient

# A listener in a process of its own: limits of descriptors hold for a whole process.
PROGRAM = """
import asyncio, json, resource, sys
from listener_kit import SettlingIntake, serving

async def main():
    async with serving(SettlingIntake()) as listener:
        import os
        used = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 10, used + 10))
        print(json.dumps(listener.port), flush=True)
        await asyncio.Event().wait()

loop = None
if sys.argv[1] == "uvloop":
    import uvloop
    loop = uvloop.new_event_loop
with asyncio.Runner(loop_factory=loop) as runner:
    runner.run(main())
"""


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def _connect_until(port: int, *, within_s: float) -> RawClient:
    """Try until the places that were given back can be had: uvloop turns away at once whom it has no place for."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                return await RawClient.connect(port, "late")
            except (ConnectionError, EOFError):
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_accept_pauses_without_a_busy_loop_and_resumes(loop: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, loop,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        cwd=Path(__file__).parents[2], env={"PYTHONPATH": "."},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        port = 0
        while not port:
            line = (await process.stdout.readline()).decode().strip()
            port = json.loads(line) if line.isdigit() else 0
        first = await RawClient.connect(port, "first")
        crowd = [await RawClient.open(port) for _ in range(30)]
        before = cpu_s(process.pid)

        for _ in range(10):
            first.write(PingReq())
            assert await first.receive() == PingResp()
            await asyncio.sleep(0.05)
        assert cpu_s(process.pid) - before < 0.3
        for one in crowd:
            await one.close()

        late = await _connect_until(port, within_s=20)
        late.write(PingReq())
        assert await late.receive() == PingResp()
    finally:
        await RawClient.close_all()
        process.kill()
        await process.communicate()
