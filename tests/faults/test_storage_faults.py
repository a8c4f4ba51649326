"""The disk fills up, fails, stalls or takes no writes while the gateway works (rows 13, 17 to 20, 22 of FAULTS.md)."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fieldgate_simulators.broker import Broker
from fieldgate_simulators.link import Link
from gateway_kit import Gateway, Publisher, Upstream, eventually, oracle
from mount_kit import Disk, mounted, needs_root, private_mounts
from strace_kit import inject, needs_strace


@dataclass
class Site:
    """A gateway whose uplink can be taken away, and what arrived."""

    gateway: Gateway
    link: Link
    upstream: Upstream

    async def everything_arrives(self, *devices: Publisher) -> dict[str, Any]:
        """The uplink is there again: drain, judge, and return the uplink's part of the status."""
        self.link.restore()
        status = await self.gateway.drained("up")
        await eventually("everything is there", lambda: not self.upstream.missing(devices))
        oracle(self.upstream, devices)
        assert status["uplinks"]["up"]["unaccounted"] == 0
        return dict(status["uplinks"]["up"])

    async def is_full(self, cause: str) -> None:
        async def condition() -> bool:
            return bool((await self.gateway.status())["journal"]["full"] == cause)

        await eventually(f"the journal says that it is full: {cause!r}", condition)

    async def nothing_is_acknowledged(self, device: Publisher, *, for_s: float = 0.5) -> None:
        acked = len(device.acked)
        await asyncio.sleep(for_s)  # nothing may happen in this time
        assert len(device.acked) == acked


@asynccontextmanager
async def site(folder: Path, *, state: Path | None = None, durability: str = "relay") -> AsyncIterator[Site]:
    async with Broker() as broker, Link("127.0.0.1", broker.port) as link:
        link.refuse()
        upstream = Upstream(broker.port)
        upstream.start()
        uplink = {"mqtt": {"url": f"mqtt://127.0.0.1:{link.port}", "keep_alive": "2s"}}
        gateway = Gateway(folder, uplinks={"up": uplink}, durability=durability)
        if state is not None:
            gateway.state = state
            gateway.settings["journal"]["path"] = str(state)
        try:
            yield Site(gateway, link, upstream)
        finally:
            upstream.close()
            if gateway.process is not None:
                await gateway.kill()


@contextmanager
def devices_at(gateway: Gateway, *names: str, **how: Any) -> Iterator[list[Publisher]]:
    devices = [Publisher(gateway.port, name=name, retry_s=0.05, **how) for name in names]
    try:
        for device in devices:
            device.start()
        yield devices
    finally:
        for device in devices:
            device.close()


# -- no space ----------------------------------------------------------------------------------------------------------


@pytest.mark.root
@needs_root
async def test_a_full_disk_stops_acknowledging_and_recovers_by_itself(tmp_path: Path) -> None:
    """Row 17: somebody else's log fills the card. Forwarding goes on, and no restart is needed."""
    with private_mounts(), mounted("tmpfs", tmp_path / "disk", options="size=6m") as disk:
        async with site(tmp_path, state=disk / "state") as here:
            await here.gateway.start()
            with devices_at(here.gateway, "a", "b", noise_bytes=400, window=100) as devices:
                await eventually("it runs", lambda: len(devices[0].acked) > 200)
                fill_up(disk / "others")
                await here.is_full("disk")
                await here.nothing_is_acknowledged(devices[0])
                at_full = len(devices[0].acked)

                here.link.restore()
                await eventually("what is stored goes out", lambda: len(here.upstream.arrived) >= at_full)
                await eventually("devices are acknowledged", lambda: len(devices[0].acked) > at_full + 200)
                here.link.refuse()
                here.link.reset()
                await here.is_full("disk")
                (disk / "others").unlink()
                at_full = len(devices[0].acked)
                await eventually("devices are acknowledged again", lambda: len(devices[0].acked) > at_full + 100)
                for device in devices:
                    device.stop()
                await here.everything_arrives(*devices)
                assert here.gateway.process is not None
                assert here.gateway.process.returncode is None


def fill_up(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


@needs_strace
async def test_commits_without_space_are_tried_again(tmp_path: Path) -> None:
    """Row 17, without root: the write fails in the middle of a transaction, twice."""
    async with site(tmp_path) as here:
        await here.gateway.start()  # makes its files, which takes many writes
        await here.gateway.stop()
        await here.gateway.start(*inject("pwrite64", "error=ENOSPC:when=40..41"))
        with devices_at(here.gateway, "a", total=1_500, window=200) as devices:
            await here.is_full("disk")
            await devices[0].finished()

            await here.everything_arrives(*devices)
            assert "journal.has_room" in here.gateway.log_text()


@pytest.mark.root
@needs_root
async def test_a_disk_without_inodes_keeps_what_it_has(tmp_path: Path) -> None:
    """Row 18: the running gateway needs no new file; one that starts gives up its ballast for the one it needs."""
    with private_mounts(), mounted("tmpfs", tmp_path / "disk", options="size=64m,nr_inodes=40") as disk:
        async with site(tmp_path, state=disk / "state") as here:
            await here.gateway.start()
            with devices_at(here.gateway, "a", total=2_000, window=200) as devices:
                await eventually("it runs", lambda: len(devices[0].acked) > 100)
                use_inodes(disk)
                await devices[0].finished()
                assert await here.gateway.stop() == 0
                use_inodes(disk)
                await here.gateway.start(may_be_mute=True)  # its socket would be one more file
                here.link.restore()
                await eventually("everything is there", lambda: not here.upstream.missing(devices))
                for path in disk.glob("other-*"):
                    path.unlink()
                await here.everything_arrives(*devices)


def use_inodes(folder: Path) -> None:
    for number in range(1_000):
        try:
            (folder / f"other-{number}").touch()
        except OSError:
            return
    raise AssertionError("there is no end of inodes")


def run_once(gateway: Gateway, *prefix: str) -> subprocess.CompletedProcess[str]:
    """Run the gateway where it is expected to end by itself."""
    gateway.config.write_text(json.dumps(gateway.settings), encoding="utf-8")
    command = [*prefix, sys.executable, "-m", "fieldgate", "run", "-c", str(gateway.config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


# -- a failing disk ----------------------------------------------------------------------------------------------------


@pytest.mark.root
@needs_root
async def test_a_disk_that_turns_read_only_is_still_read_and_forwarded(tmp_path: Path) -> None:
    """Row 19: ext4 finds an error and takes no writes any more, as cards do at the end of their life."""
    with private_mounts():
        disk = Disk(tmp_path, "ext4", options="errors=remount-ro")
        try:
            async with site(tmp_path, state=disk.path / "state") as here:
                await here.gateway.start()
                with devices_at(here.gateway, "a", window=100) as devices:
                    await eventually("it runs", lambda: len(devices[0].acked) > 1_000)
                    disk.find_an_error()
                    await here.is_full("read_only")
                    await here.nothing_is_acknowledged(devices[0])
                    at_end = set(devices[0].acked)
                    here.link.restore()
                    await eventually("what is stored goes out", lambda: at_end <= set(here.upstream.numbers("a")))

                    await here.gateway.kill()
                    disk.turn_off()
                    disk.turn_on()
                    await here.gateway.start()
                    devices[0].stop()
                    await here.everything_arrives(*devices)
        finally:
            disk.throw_away()


@needs_strace
async def test_a_failed_sync_ends_the_gateway_and_nothing_was_promised(tmp_path: Path) -> None:
    """Row 20: after an EIO nobody knows what is on the disk; whoever goes on as if nothing was loses data."""
    async with site(tmp_path) as here:
        await here.gateway.start(*inject("fdatasync", "error=EIO:when=12"))
        with devices_at(here.gateway, "a", total=3_000, window=100) as devices:
            assert here.gateway.process is not None
            code = await asyncio.wait_for(here.gateway.process.wait(), 30)
            acked = len(devices[0].acked)
            await here.gateway.start()
            await devices[0].finished()
            await here.everything_arrives(*devices)

            assert code == 1
            assert 0 < acked < 3_000
            assert "gateway.failed" in here.gateway.log_text()
            assert "Traceback" not in here.gateway.log_text()


# -- a slow disk -------------------------------------------------------------------------------------------------------


@needs_strace
@pytest.mark.parametrize("stall_s", [0.2, pytest.param(2.0, marks=pytest.mark.long)])
async def test_a_stalling_disk_delays_acknowledgements_and_nothing_else(tmp_path: Path, stall_s: float) -> None:
    """Row 22: an SD card takes seconds for a sync; nobody is acknowledged early, everybody is still heard."""
    async with site(tmp_path, durability="journal") as here:
        await here.gateway.start(*inject("fdatasync", f"delay_enter={int(stall_s * 1e6)}:when=5+"))
        with devices_at(here.gateway, "a", window=1_000) as devices:
            await eventually("the disk stalls", lambda: len(devices[0].acked) > 3_000)  # three commits at least
            waits_s = [await ping_s(here.gateway.port) for _ in range(10)]
            alone_s = await acknowledged_after_s(here.gateway.port)
            unsettled = (await here.gateway.status())["unsettled_bytes"]
            devices[0].stop()
            await eventually("everything is acknowledged", lambda: len(devices[0].acked) == devices[0].sent)
            here.link.restore()
            await eventually("it arrives", lambda: not here.upstream.missing(devices))

            oracle(here.upstream, devices)
            assert alone_s >= stall_s
            assert sorted(waits_s)[5] < stall_s / 2, "most wait for no sync; whoever waited for each would wait longer"
            assert unsettled < 2 << 20


CONNECT = b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04"
PUBLISH = b"\x32\x31\0\x07t/alone\0\x01" + b'{"n": 0, "device": "only", "pad": "-"}'


async def ping_s(port: int) -> float:
    """How long a new client waits for CONNACK and PINGRESP."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(CONNECT + b"ping" + b"\xc0\0")
    assert await reader.readexactly(6) == b"\x20\x02\0\0\xd0\0"
    writer.close()
    return loop.time() - began_s


async def acknowledged_after_s(port: int) -> float:
    """How long a client waits for the PUBACK of its only message."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(CONNECT + b"only")
    assert await reader.readexactly(4) == b"\x20\x02\0\0"
    began_s = loop.time()
    writer.write(PUBLISH)
    assert await reader.readexactly(4) == b"\x40\x02\0\x01"
    writer.close()
    return loop.time() - began_s


# -- starts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("starts", [3, pytest.param(60, marks=[pytest.mark.long, pytest.mark.timeout(300)])])
async def test_a_crash_loop_costs_nothing(tmp_path: Path, starts: int) -> None:
    """Row 13: killed again and again while it starts, also before it listens."""
    rng = random.Random(13)
    async with site(tmp_path) as here:
        await here.gateway.start()
        with devices_at(here.gateway, "a", total=1_000, window=200) as devices:
            await devices[0].finished()
            await here.gateway.kill()
            for _ in range(starts):
                starting = asyncio.ensure_future(here.gateway.start())
                await asyncio.sleep(rng.uniform(0.2, 0.8))  # the moment of the kill
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
                await here.gateway.kill()
            await here.gateway.start()
            await here.everything_arrives(*devices)

            assert "journal.lost_events" not in here.gateway.log_text()


# -- rights ------------------------------------------------------------------------------------------------------------


def powerless() -> tuple[str, ...]:
    """A command that takes from root what lets it pass every permission; nothing for everybody else."""
    return ("setpriv", "--inh-caps=-all", "--bounding-set=-all") if os.geteuid() == 0 else ()


@pytest.mark.parametrize("wrong", ["state folder", "its parent", "data file", "a file in its place"])
def test_missing_rights_are_said_in_one_clear_line(tmp_path: Path, wrong: str) -> None:
    """Row 31: systemd must not restart what only a person can mend, and the person must be told what."""
    gateway = Gateway(tmp_path, uplinks={})
    gateway.state = tmp_path / "lib" / "state"
    gateway.settings["journal"]["path"] = str(gateway.state)
    gateway.state.mkdir(parents=True)
    match wrong:
        case "state folder":
            gateway.state.chmod(0o500)
        case "its parent":
            gateway.state.rmdir()
            gateway.state.parent.chmod(0o500)
        case "data file":
            (gateway.state / "journal-000001.db").touch(mode=0o000)
        case _:
            gateway.state.rmdir()
            gateway.state.touch()

    ended = run_once(gateway, *powerless())
    gateway.state.parent.chmod(0o700)

    problems = [line for line in ended.stderr.splitlines() if "level=warning" not in line]
    assert ended.returncode == 78
    assert len(problems) == 1
    assert str(gateway.state) in problems[0]
