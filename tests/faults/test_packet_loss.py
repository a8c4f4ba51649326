"""Rows 33 and 41: a network that loses packets, which TCP sends again, each time after a longer wait. As root."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway_kit import Gateway, Publisher, Upstream, eventually, oracle, running
from lossy_kit import FAR, NEAR, Wire, needs_root, own_network, wire
from uplink_kit import free_port, mosquitto

pytestmark = [pytest.mark.root, needs_root]

Figure = Callable[[str], None]


@asynccontextmanager
async def site(folder: Path, *, loss: float, **mqtt: object) -> AsyncIterator[tuple[Gateway, Upstream, Wire]]:
    """A gateway that reaches its broker over a wire, and what arrives there; the wire carries nothing else."""
    far = free_port()
    with own_network():
        async with (
            wire(loss=loss, delay_s=0.01) as line,
            mosquitto(folder, f"listener {far} {NEAR}") as port,
            running(Gateway(folder, uplinks={"up": {"mqtt": {"url": f"mqtt://{FAR}:{far}", **mqtt}}})) as gateway,
        ):
            upstream = Upstream(port)
            upstream.start()
            try:
                yield gateway, upstream, line
            finally:
                upstream.close()


async def test_a_fifth_of_all_packets_lost_costs_time_and_no_event(tmp_path: Path, figure: Figure) -> None:
    """The edge of a mobile network: it drains, in order, and the timeouts as they come bear the waits of TCP."""
    async with site(tmp_path, loss=0.2) as (gateway, upstream, line):
        device = Publisher(gateway.port, total=500)
        device.start()
        await device.finished()
        status = await gateway.drained("up", within_s=50)
        device.close()
        await eventually("everything is there", lambda: not upstream.missing([device]))

        oracle(upstream, [device])
        figure(f"{line.lost} packets lost, {line.carried} carried, {status['uplinks']['up']['reconnects']} reconnects")
        assert line.lost > 20
        assert status["uplinks"]["up"]["unaccounted"] == 0
        assert status["uplinks"]["up"]["reconnects"] <= 1  # one packet lost eight times over is too long a wait


async def test_a_wire_that_loses_everything_lets_nothing_through(tmp_path: Path) -> None:
    """The control: the gateway has no other way to its broker, and what waits goes once there is one."""
    async with site(tmp_path, loss=1.0) as (gateway, upstream, line):
        device = Publisher(gateway.port, total=100)
        device.start()
        await device.finished()
        assert upstream.events() == []
        assert line.carried == 0
        assert line.lost > 0

        line.loss = 0.0
        await gateway.drained("up")
        device.close()
        await eventually("everything is there", lambda: not upstream.missing([device]))

        oracle(upstream, [device])


async def test_a_wire_that_falls_silent_is_noticed_and_what_was_on_it_is_sent_again(tmp_path: Path) -> None:
    """Row 33 as TCP sees it: no packet comes back, and it would go on trying for a quarter of an hour."""
    async with site(tmp_path, loss=0.0, keep_alive="2s", connect_timeout="1s") as (gateway, upstream, line):

        async def is_up() -> bool:
            return bool((await gateway.status())["uplinks"]["up"]["state"] == "connected")

        async def is_down() -> bool:
            return not await is_up()

        await eventually("it is connected", is_up)
        device = Publisher(gateway.port, total=5_000)
        device.start()
        await eventually("events flow", lambda: len(upstream.arrived) > 100)
        line.loss = 1.0
        await eventually("it is known to be down", is_down, within_s=1.5 * 2 + 2)
        line.loss = 0.0
        await device.finished()
        status = await gateway.drained("up")
        device.close()
        await eventually("everything is there", lambda: not upstream.missing([device]))

        oracle(upstream, [device])
        assert status["uplinks"]["up"]["unaccounted"] == 0
