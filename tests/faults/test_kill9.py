"""kill -9 under load: what was acknowledged arrives, in order, under the same id (rows 1 to 9, 12 of FAULTS.md)."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest

from fieldgate_simulators.broker import Broker
from gateway_kit import Gateway, Publisher, Upstream, eventually, oracle, running

COUNT = 1_200  # twenty commits of a window at least
LEVELS = pytest.mark.parametrize("durability", ["relay", "journal"])


def uplink(port: int, **more: object) -> dict[str, object]:
    return {"mqtt": {"url": f"mqtt://127.0.0.1:{port}", "keep_alive": "2s"}, **more}


async def _kills_under_load(folder: Path, *, durability: str, kills: int, seed: int, env: dict[str, str]) -> None:
    rng = random.Random(seed)
    async with Broker() as broker:
        upstream = Upstream(broker.port)
        upstream.start()
        gateway = Gateway(folder, uplinks={"up": uplink(broker.port)}, durability=durability, env=env)
        await gateway.start()
        devices = [Publisher(gateway.port, name=f"d{number}") for number in range(4)]
        try:
            for device in devices:
                device.start()
            for _ in range(kills):
                acked = [len(device.acked) for device in devices]
                await eventually("each goes on", lambda before=acked: _each_goes_on(devices, before))
                await asyncio.sleep(rng.uniform(0.0, 0.4))  # the moment of the kill
                await gateway.kill()
                await gateway.start()
            for device in devices:
                device.stop()
            await gateway.drained("up")
            await eventually("everything is there", lambda: not upstream.missing(devices))

            oracle(upstream, devices)
        finally:
            for device in devices:
                device.close()
            upstream.close()
            await gateway.kill()


def _each_goes_on(devices: list[Publisher], before: list[int]) -> bool:
    return all(len(device.acked) > acked + 20 for device, acked in zip(devices, before, strict=True))


def _is_quiet(upstream: Upstream):  # type: ignore[no-untyped-def]  # a condition for `eventually`
    seen = [-1]

    async def condition() -> bool:
        before = seen[0]
        seen[0] = len(upstream.arrived)
        await asyncio.sleep(0.3)
        return len(upstream.arrived) == before

    return condition


@LEVELS
async def test_random_kills_under_load_lose_nothing_acknowledged(tmp_path: Path, durability: str) -> None:
    """Row 7, short form: an edge device loses its power whenever it likes."""
    await _kills_under_load(tmp_path, durability=durability, kills=4, seed=7, env={})


@pytest.mark.long
@pytest.mark.timeout(600)
@LEVELS
@pytest.mark.parametrize("seed", range(4))
async def test_a_minute_of_random_kills_loses_nothing_acknowledged(tmp_path: Path, durability: str, seed: int) -> None:
    """Row 7 in full counts."""
    await _kills_under_load(tmp_path, durability=durability, kills=40, seed=seed, env={})


async def _crash_at(folder: Path, point: str, *, durability: str) -> tuple[Upstream, Publisher]:
    """Let the gateway die at ``point`` in the middle of the load, start it again, let everything arrive."""
    async with Broker() as broker:
        upstream = Upstream(broker.port)
        upstream.start()
        gateway = Gateway(folder, uplinks={"up": uplink(broker.port)}, durability=durability)
        gateway.env = {"FIELDGATE_CRASH_AT": f"{point}:20"}
        await gateway.start()
        device = Publisher(gateway.port, total=COUNT)
        try:
            device.start()
            assert gateway.process is not None
            await asyncio.wait_for(gateway.process.wait(), 30)
            assert gateway.process.returncode == -9
            gateway.env = {}
            await gateway.start()
            await device.finished()
            await gateway.drained("up")
            await eventually("everything is there", lambda: not upstream.missing([device]))
            oracle(upstream, [device])
        finally:
            device.close()
            upstream.close()
            await gateway.kill()
    return upstream, device


@pytest.mark.parametrize("point", ["before-commit", "after-commit", "after-send", "before-mark"])
async def test_a_crash_at_a_chosen_point_loses_nothing(tmp_path: Path, point: str) -> None:
    """Rows 1, 2, 4 and 5: the four places where an event is between two owners."""
    upstream, device = await _crash_at(tmp_path, point, durability="journal")

    numbers = upstream.numbers(device.name)
    assert set(numbers) == set(range(COUNT))


@pytest.mark.parametrize("mutant", ["ack-before-commit"])
async def test_acknowledging_before_the_commit_is_found_out(tmp_path: Path, mutant: str) -> None:
    """Mutant: if this passes the oracle, the kill tests prove nothing."""
    del mutant
    folder = tmp_path
    async with Broker() as broker:
        gateway = Gateway(folder, uplinks={"up": uplink(broker.port)}, durability="journal")
        gateway.settings["uplinks"]["up"]["mqtt"]["url"] = (
            "mqtt://127.0.0.1:9"  # nobody is there: only the disk keeps it
        )
        gateway.env = {"FIELDGATE_CRASH_AT": "before-commit:20", "FIELDGATE_MUTANT": "ack-before-commit"}
        await gateway.start()
        device = Publisher(gateway.port)
        upstream = Upstream(broker.port)
        upstream.start()
        try:
            device.start()
            assert gateway.process is not None
            await asyncio.wait_for(gateway.process.wait(), 30)
            device.close()
            gateway.env = {}
            gateway.settings["uplinks"]["up"] = uplink(broker.port)
            async with running(gateway):
                await gateway.drained("up")
                await eventually("upstream is quiet", _is_quiet(upstream))

                with pytest.raises(AssertionError, match="acknowledged and lost"):
                    oracle(upstream, [device])
        finally:
            device.close()
            upstream.close()


async def test_a_second_gateway_on_the_same_journal_ends_with_a_clear_message(tmp_path: Path) -> None:
    """Row 12: two writers would destroy each other's promises."""
    gateway = Gateway(tmp_path, uplinks={})
    async with running(gateway):
        second = Gateway(tmp_path, uplinks={})
        second.settings["journal"]["path"] = str(gateway.state)
        second.config = tmp_path / "second.yaml"
        second.config.write_text(__import__("json").dumps(second.settings))
        ended = subprocess.run(
            [sys.executable, "-m", "fieldgate", "run", "-c", str(second.config)],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip

        assert ended.returncode == 78
        assert "in use by process" in ended.stderr
        assert "Traceback" not in ended.stderr


async def test_sigterm_under_load_stops_in_time_and_loses_nothing(tmp_path: Path) -> None:
    """Rows 8 and 9: systemd stops us in the middle of the work."""
    async with Broker() as broker:
        upstream = Upstream(broker.port)
        upstream.start()
        gateway = Gateway(tmp_path, uplinks={"up": uplink(broker.port)})
        await gateway.start()
        device = Publisher(gateway.port, version=5)
        try:
            device.start()
            await eventually("the load runs", lambda: len(device.acked) > 200)
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            code = await gateway.stop()
            took_s = loop.time() - began_s
            await gateway.start()
            device.stop()
            await gateway.drained("up")
            await eventually("everything is there", lambda: not upstream.missing([device]))

            assert code == 0
            assert took_s < 5.5
            oracle(upstream, [device])
        finally:
            device.close()
            upstream.close()
            await gateway.kill()
