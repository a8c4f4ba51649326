"""P1 for what is posted: every 204 is upstream in the end, over kills, outages and a full journal."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldgate_simulators.broker import Broker
from fieldgate_simulators.link import Link
from gateway_kit import Gateway, Upstream, eventually, oracle
from http_kit import Poster
from ports import free_port

LEVELS = pytest.mark.parametrize("durability", ["relay", "journal"])


def uplink(port: int) -> dict[str, Any]:
    return {"mqtt": {"url": f"mqtt://127.0.0.1:{port}"}}


@asynccontextmanager
async def posting(
    folder: Path, *, to: int, posters: int = 3, noise_bytes: int = 0, http: dict[str, Any] | None = None, **more: Any
) -> AsyncIterator[tuple[Gateway, list[Poster]]]:
    """A gateway whose uplink goes to port ``to``, and devices that post to it."""
    gateway = Gateway(folder, uplinks={"up": uplink(to)}, **more)
    port = free_port()
    gateway.settings["listen"].append({"http": f"127.0.0.1:{port}", **(http or {})})
    devices = [Poster(port, f"d{number}", noise_bytes=noise_bytes) for number in range(posters)]
    await gateway.start()
    try:
        for device in devices:
            device.start()
        yield gateway, devices
    finally:
        for device in devices:
            await asyncio.to_thread(device.stop)
        await gateway.kill()


async def settled(gateway: Gateway, upstream: Upstream, devices: list[Poster], *, within_s: float = 30.0) -> None:
    """The devices have stopped; everything that they were told is safe arrives, once per id, in order."""
    for device in devices:
        await asyncio.to_thread(device.stop)
    await gateway.drained("up")
    with contextlib.suppress(AssertionError):  # the oracle says what is missing
        await eventually("it is all there", lambda: not upstream.missing(devices), within_s=within_s)  # type: ignore[arg-type]
    oracle(upstream, devices)  # type: ignore[arg-type]


async def kills(folder: Path, *, durability: str, times: int, seed: int) -> None:
    rng = random.Random(seed)
    async with Broker() as broker:
        upstream = Upstream(broker.port)
        upstream.start()
        async with posting(folder, to=broker.port, posters=8, durability=durability) as (gateway, devices):
            for _ in range(times):
                acked = [len(device.acked) for device in devices]
                await eventually(
                    "each was answered",
                    lambda acked=acked: all(
                        len(one.acked) > before for one, before in zip(devices, acked, strict=True)
                    ),
                )
                await asyncio.sleep(rng.uniform(0.1, 0.8))
                await gateway.kill()
                await gateway.start()
            await settled(gateway, upstream, devices)
        upstream.close()
    assert sum(len(device.acked) for device in devices) >= 8 * times


@LEVELS
async def test_kills_lose_nothing_that_was_answered(tmp_path: Path, durability: str) -> None:
    """Row 7: a sender forgets a message when it is told 204, and power goes whenever it likes."""
    await kills(tmp_path, durability=durability, times=2, seed=7)


@pytest.mark.long
@pytest.mark.timeout(600)
@LEVELS
@pytest.mark.parametrize("seed", range(4))
async def test_many_kills_lose_nothing_that_was_answered(tmp_path: Path, durability: str, seed: int) -> None:
    """Row 7 in full counts."""
    await kills(tmp_path, durability=durability, times=40, seed=seed)


async def after_an_outage_and_a_kill(folder: Path, *, within_s: float = 30.0, **env: str) -> None:
    port = free_port()
    async with posting(folder, to=port, posters=8, env=env) as (gateway, devices):
        assert gateway.process is not None
        ended = asyncio.ensure_future(gateway.process.wait())
        await eventually(
            "many were answered", lambda: ended.done() or sum(len(device.acked) for device in devices) >= 60
        )
        await gateway.kill()
        await ended
        gateway.env = {}
        for device in devices:
            await asyncio.to_thread(device.stop)
        async with Broker(port=port) as broker:
            upstream = Upstream(broker.port)
            upstream.start()
            await gateway.start()
            await settled(gateway, upstream, devices, within_s=within_s)
            upstream.close()


async def test_what_is_answered_while_the_uplink_is_away_is_on_disk(tmp_path: Path) -> None:
    """Nobody is there to take it, and then the gateway is killed."""
    await after_an_outage_and_a_kill(tmp_path)


async def test_an_answer_before_the_commit_is_found_out(tmp_path: Path) -> None:
    """The mutant: if this passes the oracle, the two tests above prove nothing."""
    env = {"FIELDGATE_MUTANT": "ack-before-commit", "FIELDGATE_CRASH_AT": "before-commit:5"}
    with pytest.raises(AssertionError, match="acknowledged and lost"):
        await after_an_outage_and_a_kill(tmp_path, within_s=2, **env)


async def _is_full(gateway: Gateway) -> bool:
    return bool((await gateway.status())["journal"]["full"] == "limit")


async def test_a_full_journal_takes_nothing_more_and_loses_nothing(tmp_path: Path) -> None:
    """`reject_new`: what cannot be made safe is answered 503 in time; when there is room again, all goes on."""
    journal = {"max_size": "8MiB", "when_full": "reject_new"}
    http = {"answer_timeout": "1s"}
    async with Broker() as broker, Link("127.0.0.1", broker.port) as link:
        upstream = Upstream(broker.port)
        upstream.start()
        async with posting(tmp_path, to=link.port, posters=12, noise_bytes=40_000, http=http, journal=journal) as (
            gateway,
            devices,
        ):
            await eventually("something gets through", lambda: upstream.arrived)
            link.stall()  # nothing does; what is restored soon needs no new connection, with its pause before
            await eventually("all are told to come again", lambda: all(device.answers[503] for device in devices))
            await eventually("it says why", lambda: _is_full(gateway))
            answered = sum(len(device.acked) for device in devices)
            link.restore()
            await eventually("it goes on", lambda: sum(len(device.acked) for device in devices) > answered + 12)
            await settled(gateway, upstream, devices)
        upstream.close()
    assert {status for device in devices for status in device.answers} == {204, 503}


async def test_a_stop_answers_what_is_safe_and_sends_the_rest_away(tmp_path: Path) -> None:
    """SIGTERM under load: nothing that was answered is lost, and the process ends in time."""
    async with Broker() as broker:
        upstream = Upstream(broker.port)
        upstream.start()
        async with posting(tmp_path, to=broker.port) as (gateway, devices):
            await eventually("the load runs", lambda: all(len(device.acked) > 3 for device in devices))
            assert await gateway.stop() == 0
            await gateway.start()
            await settled(gateway, upstream, devices)
        upstream.close()
    assert {status for device in devices for status in device.answers} <= {204, 503}
