"""Dead letters are kept like events: kill -9, full and failing disks, damage; and a broken device wears no flash.

Rows 1, 2, 7, 17, 20, 23 and 30 of FAULTS.md for the file of the dead letters. What a device was acknowledged for and
is over the rate is no event and is not kept, so most of these tests set a rate that nothing comes near.
"""

from __future__ import annotations

import asyncio
import json
import random
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldgate.control import socket_path, stream
from gateway_kit import Gateway, Publisher, eventually, running
from mount_kit import Disk, mounted, needs_root, private_mounts
from strace_kit import inject, needs_strace

Figure = Callable[[str], None]


def quarantine(folder: Path, *, state: Path | None = None, rate: str = "1000/s", **more: Any) -> Gateway:
    """A gateway to which every device is unknown."""
    gateway = Gateway(folder, uplinks={})
    gateway.settings["devices"] = {"unknown": "quarantine", "dead_letters": {"rate": rate, **more}}
    if state is not None:
        gateway.state = state
        gateway.settings["journal"]["path"] = str(state)
    return gateway


@contextmanager
def device_at(gateway: Gateway, **how: Any) -> Iterator[Publisher]:
    device = Publisher(gateway.port, retry_s=0.1, **how)
    try:
        device.start()
        yield device
    finally:
        device.close()


async def kept(gateway: Gateway, topic: str = "*") -> set[int]:
    """The numbers of the messages that are kept."""
    await eventually("it answers", gateway.status_or_none)
    answer = stream(socket_path(gateway.state), {"do": "dead-letters.show", "topic": topic})
    return {json.loads(b64decode(one["payload_base64"]))["n"] async for one in answer}


async def letters_of(gateway: Gateway) -> dict[str, Any]:
    return dict((await gateway.status())["dead_letters"])


# -- kill -9 -----------------------------------------------------------------------------------------------------------


async def test_random_kills_under_load_lose_no_letter_that_was_acknowledged(tmp_path: Path) -> None:
    """Row 7: the device was told that its message is safe."""
    rng = random.Random(7)
    gateway = quarantine(tmp_path)
    await gateway.start()
    try:
        with device_at(gateway, window=20) as device:
            for _ in range(4):
                acked = len(device.acked)
                await eventually("it goes on", lambda before=acked: len(device.acked) > before + 20)
                await asyncio.sleep(rng.uniform(0.0, 0.3))  # the moment of the kill
                await gateway.kill()
                await gateway.start()
            device.stop()
            at_end = set(device.acked)

            assert len(at_end) > 80
            assert at_end - await kept(gateway) == set()
            assert (await letters_of(gateway))["sampled_out"] == 0
    finally:
        await gateway.kill()


async def _killed_at(gateway: Gateway, point: str, *, mutant: str = "") -> set[int]:
    """Let it die in the middle of a write; return which acknowledged messages are not kept."""
    gateway.env = {"FIELDGATE_CRASH_AT": point, "FIELDGATE_MUTANT": mutant}
    await gateway.start()
    with device_at(gateway, window=20) as device:
        assert gateway.process is not None
        assert await asyncio.wait_for(gateway.process.wait(), 30) == -9
        device.stop()
        acked = set(device.acked)
    gateway.env = {}
    async with running(gateway):
        return acked - await kept(gateway)


@pytest.mark.parametrize("point", ["before-letters", "after-letters"])
async def test_a_kill_before_or_after_the_commit_loses_no_acknowledged_letter(tmp_path: Path, point: str) -> None:
    """Rows 1 and 2."""
    assert await _killed_at(quarantine(tmp_path), f"{point}:5") == set()


async def test_acknowledging_before_the_commit_is_found_out(tmp_path: Path) -> None:
    """The mutant: if this loses nothing, the tests above prove nothing."""
    assert await _killed_at(quarantine(tmp_path), "before-letters:5", mutant="ack-before-letters") != set()


async def test_a_stop_writes_what_waits(tmp_path: Path) -> None:
    """SIGTERM in the half second in which a write waits for company: acknowledged, and kept."""
    gateway = quarantine(tmp_path)
    async with running(gateway):
        with device_at(gateway, total=3) as device:
            await eventually("they wait", lambda: _waits(gateway, 3))
            code = await gateway.stop()
            await eventually("they are acknowledged", lambda: len(device.acked) == 3)
        async with running(gateway):
            found = await kept(gateway)

    assert code == 0
    assert found == {0, 1, 2}


async def _waits(gateway: Gateway, count: int) -> bool:
    letters = await letters_of(gateway)
    return bool(letters["waiting"] + letters["kept"] == count)


# -- the disk ----------------------------------------------------------------------------------------------------------


@needs_strace
async def test_letters_without_space_are_tried_again(tmp_path: Path) -> None:
    """Row 17, without root: the write fails in the middle of a transaction, for a while."""
    gateway = quarantine(tmp_path)
    await gateway.start()  # makes its files, which takes many writes
    await gateway.stop()
    await gateway.start(*inject("pwrite64", "error=ENOSPC:when=8..12"))
    try:
        with device_at(gateway, total=300, window=50) as device:
            await device.finished()
            assert await kept(gateway) == set(range(300))
            assert "dead_letters.not_stored" in gateway.log_text()
            await eventually("so is the end", lambda: "dead_letters.stored_again" in gateway.log_text())
            await eventually("the problem is over", lambda: _is_well(gateway))
    finally:
        await gateway.kill()


async def _is_well(gateway: Gateway) -> bool:
    return bool((await letters_of(gateway))["problem"] == "")


@needs_strace
async def test_a_failed_sync_of_the_letters_costs_no_acknowledged_one(tmp_path: Path) -> None:
    """Row 20: nobody knows what that write left, so all that is kept goes to a new file, and the gateway runs on."""
    gateway = quarantine(tmp_path)
    await gateway.start(*inject("fdatasync", "error=EIO:when=16"))
    try:
        with device_at(gateway, total=1_500, window=50) as device:
            await device.finished(within_s=45)
            assert await kept(gateway) == set(range(1_500))
            assert gateway.process is not None
            assert gateway.process.returncode is None
            assert list(gateway.state.glob("dead_letters.db.damaged-*"))
    finally:
        await gateway.kill()


@pytest.mark.root
@needs_root
async def test_on_a_full_disk_nothing_is_acknowledged_and_it_recovers_by_itself(tmp_path: Path) -> None:
    """Row 17: somebody else's log fills the card. What is kept can still be looked at."""
    with private_mounts(), mounted("tmpfs", tmp_path / "disk", options="size=6m") as disk:
        gateway = quarantine(tmp_path, state=disk / "state")
        async with running(gateway):
            with device_at(gateway, noise_bytes=400, window=50) as device:
                await eventually("it runs", lambda: len(device.acked) > 100)
                _fill_up(disk / "others")
                await eventually("it is said", lambda: _has_problem(gateway))
                await asyncio.sleep(0.5)  # what was on its way
                at_full = len(device.acked)
                await asyncio.sleep(1.0)  # nothing may happen in this time
                still = len(device.acked)
                shown = await kept(gateway)
                (disk / "others").unlink()
                await eventually("it goes on", lambda: len(device.acked) > at_full + 100)
                device.stop()
                acked = set(device.acked)
                found = await kept(gateway)
                status = await letters_of(gateway)

    assert still == at_full
    assert len(shown) >= at_full
    assert acked - found == set()
    assert status["problem"] == ""


def _fill_up(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


async def _has_problem(gateway: Gateway) -> bool:
    return "full" in (await letters_of(gateway))["problem"]


async def test_a_damaged_file_costs_what_was_on_the_damaged_pages_and_is_said(tmp_path: Path) -> None:
    """Row 23: the gateway starts, keeps what can be read, and sets the file aside."""
    gateway = quarantine(tmp_path)
    async with running(gateway):
        with device_at(gateway, total=300, noise_bytes=200, window=50) as device:
            await device.finished()
        assert await gateway.stop() == 0
        path = gateway.state / "dead_letters.db"
        content = bytearray(path.read_bytes())
        middle = len(content) // 2 // 4096 * 4096
        content[middle : middle + 4096] = random.Random(3).randbytes(4096)
        path.write_bytes(content)
        async with running(gateway):
            found = await kept(gateway)

    assert 250 < len(found) < 300
    assert "dead_letters.damaged" in gateway.log_text()
    assert (gateway.state / "dead_letters.db.damaged-1").exists()


async def test_a_file_deleted_under_the_running_gateway_is_made_again(tmp_path: Path) -> None:
    """Row 30: with all that it held."""
    gateway = quarantine(tmp_path)
    async with running(gateway):
        with device_at(gateway, total=100, window=20) as device:
            await eventually("it runs", lambda: len(device.acked) >= 50)
            for path in gateway.state.glob("dead_letters.db*"):
                path.unlink()
            await device.finished()
        await gateway.kill()
        async with running(gateway):
            found = await kept(gateway)

    assert found == set(range(100))


# -- power cuts --------------------------------------------------------------------------------------------------------


async def _lost_by_power_cuts(folder: Path, *, cuts: int, mutant: str = "") -> list[set[int]]:
    """Cut the power in the middle of the load, again and again; return what each cut cost."""
    rng = random.Random(14)
    with private_mounts():
        disk = Disk(folder, "ext4")
        try:
            gateway = quarantine(folder, state=disk.path / "state")
            gateway.env = {"FIELDGATE_MUTANT": mutant}
            lost = []
            for number in range(cuts):
                await gateway.start()
                with device_at(gateway, name=f"d{number}", window=20) as device:
                    await eventually("it runs", lambda device=device: len(device.acked) > rng.randint(20, 100))
                    acked = set(device.acked)  # what counts is what was known before the cut
                    disk.cut()
                    await gateway.kill()
                disk.turn_off()
                disk.turn_on()
                await gateway.start()
                lost.append(acked - await kept(gateway, device.topic))
                await gateway.kill()
            return lost
        finally:
            disk.throw_away()


@pytest.mark.root
@needs_root
@pytest.mark.parametrize("cuts", [4, pytest.param(30, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
async def test_a_power_cut_costs_no_acknowledged_letter(tmp_path: Path, cuts: int, figure: Figure) -> None:
    """Row 14. Each cut hits the file as the cut before left it."""
    lost = await _lost_by_power_cuts(tmp_path, cuts=cuts)

    figure(f"{sum(map(bool, lost))} of {cuts} cuts lost anything")
    assert lost == [set()] * cuts


@pytest.mark.root
@needs_root
async def test_writes_without_a_sync_are_found_out_by_power_cuts(tmp_path: Path) -> None:
    """The control: SQLite without its sync."""
    assert any(await _lost_by_power_cuts(tmp_path, cuts=3, mutant="letters-without-sync"))


# -- flash -------------------------------------------------------------------------------------------------------------


def _written_bytes(pid: int) -> int:
    """What the process has had written to storage."""
    text = Path(f"/proc/{pid}/io").read_text()
    return int(dict(line.split(": ") for line in text.splitlines())["write_bytes"])


@pytest.mark.parametrize("seconds", [2, pytest.param(60, marks=[pytest.mark.long, pytest.mark.timeout(180)])])
async def test_a_device_that_breaks_its_contract_all_the_time_wears_no_flash(
    tmp_path: Path, figure: Figure, seconds: int
) -> None:
    """A thousand messages a second and more, ten of them kept, in one write."""
    gateway = quarantine(tmp_path, rate="10/s")
    async with running(gateway):
        assert gateway.process is not None
        before = _written_bytes(gateway.process.pid)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        with device_at(gateway, window=100) as device:
            await asyncio.sleep(seconds)  # what is measured
            device.stop()
            sent = len(device.acked)
            took_s = loop.time() - began_s
        written = _written_bytes(gateway.process.pid) - before
        status = await letters_of(gateway)

    assert sent > 50 * seconds
    assert status["kept"] <= 10 * (took_s + 2)
    assert status["kept"] + status["sampled_out"] + status["waiting"] >= sent
    assert written / seconds < 100_000
    figure(
        f"{sent:,} messages in {seconds} s, {status['kept']} kept in {status['commits']} writes: "
        f"{written / 1000:,.0f} kB written, {written / seconds / 1000:.1f} kB a second"
    )
