"""A rule sends events to one uplink that is away for long: its own limit counts, and what it costs is told there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from secrets import token_hex
from typing import Any

import aiomqtt

from command_kit import fieldgate
from fieldgate_simulators.broker import Broker
from gateway_kit import Gateway, Upstream, eventually, running
from ports import free_port
from rule_gateway import rule_gateway

ROUTE = """
rules:
  - {id: away, on: {device: "big*"}, do: [{route: [cloud]}]}
"""
EVENTS = 600


async def test_what_a_route_loses_to_a_limit_is_counted_and_told_upstream(tmp_path: Path) -> None:
    """The other uplink gets what is its own meanwhile, and loses nothing to the one that is away."""
    port = free_port()
    async with Broker() as site:
        uplinks: dict[str, Any] = {
            "cloud": {"mqtt": {"url": f"mqtt://127.0.0.1:{port}"}, "max_size": "64KiB"},
            "site": {"mqtt": {"url": f"mqtt://127.0.0.1:{site.port}"}},
        }
        at_site = Upstream(site.port)
        at_site.start()
        async with running(rule_gateway(tmp_path, ROUTE, uplinks=uplinks)) as gateway:
            await _says(gateway, "big/b1", EVENTS)
            await _says(gateway, "other/b1", 20)
            await eventually("the site has its own", lambda: len(at_site.events()) == 20)
            lost = await eventually("the limit was reached", lambda: _lost(gateway))
            shown = await fieldgate("status", config=gateway.config)
            async with Broker(port=port):
                cloud = Upstream(port)
                cloud.start()
                status = await gateway.drained("cloud")
                await eventually("the gap is told", lambda: [one for one in cloud.arrived if "gap" in one["type"]])
                gaps = [one["data"] for one in cloud.arrived if "gap" in one["type"]]
                arrived = {one["id"] for one in cloud.arrived if one["type"] == "fieldgate.generic"}
                cloud.close()
        at_site.close()

    away, near = status["uplinks"]["cloud"], status["uplinks"]["site"]
    assert lost.keys() == {"evicted"}
    assert (away["routed"], away["unaccounted"]) == (EVENTS + 20, 0)
    assert len(arrived) == EVENTS + 20 - away["ledger"]["evicted"]
    assert sum(one["count"] for one in gaps) == away["ledger"]["evicted"] == lost["evicted"]
    assert {one["reason"] for one in gaps} == {"evicted"}
    assert f"{lost['evicted']}" in shown.out
    assert (near["routed"], near["delivered"], near["ledger"]) == (20, 20, {})


async def _says(gateway: Gateway, topic: str, count: int) -> None:
    async with (
        aiomqtt.Client("127.0.0.1", gateway.port, max_inflight_messages=100) as client,
        asyncio.TaskGroup() as all_,
    ):
        client.pending_calls_threshold = count
        for number in range(count):
            payload = b'{"n":%d,"x":"%s"}' % (number, token_hex(300).encode())
            all_.create_task(client.publish(topic, payload, qos=1), name=f"event-{number}")


async def _lost(gateway: Gateway) -> dict[str, int]:
    return dict((await gateway.status())["uplinks"]["cloud"]["ledger"])
