"""A stop in the middle of a drain: within its deadline, whatever the link is like, and the backlog is not lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldgate_simulators.broker import Broker
from fieldgate_simulators.link import Link
from gateway_kit import Gateway, Publisher, Upstream, eventually, oracle

EVENTS = 6000


@pytest.mark.parametrize("link_is", ["slow", "dead"])
async def test_a_stop_does_not_wait_for_a_drain(tmp_path: Path, link_is: str) -> None:
    """A shutdown after a week offline: systemd would kill what takes longer. Exit code 0 says that the deadline held,
    and that everything was written; one that had to be cut short is 1."""
    async with Broker() as broker, Link("127.0.0.1", broker.port) as link:
        upstream = Upstream(broker.port)
        upstream.start()
        gateway = Gateway(tmp_path, uplinks={"up": {"mqtt": {"url": f"mqtt://127.0.0.1:{link.port}"}}})
        device = Publisher(gateway.port, total=EVENTS, window=500)
        link.cut()
        await gateway.start()
        try:
            device.start()
            await device.finished()
            link.restore()
            link.limit_rate(100_000)
            await eventually("it drains", lambda: len(upstream.arrived) > 100)
            if link_is == "dead":
                link.stall()
            code = await gateway.stop()
            arrived = len(upstream.arrived)
            link.restore()
            await gateway.start()
            await gateway.drained("up")
            await eventually("all is there", lambda: not upstream.missing([device]))
        finally:
            device.close()
            upstream.close()
            await gateway.kill()

    assert code == 0
    assert arrived < EVENTS, "the drain was over before the stop: this shows nothing"
    oracle(upstream, [device])
    assert "Traceback" not in gateway.log_text()
