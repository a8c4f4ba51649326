"""The brokers that people have, as the gateway's upstream: an outage with each of them costs nothing.

Each is cut off by a black hole and not by closing its sockets: amqtt loses what it has acknowledged when a connection
is closed abruptly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fieldgate_simulators.link import Link
from gateway_kit import Gateway, Publisher, Upstream, eventually, oracle, running
from interop_kit.brokers import BROKERS, BrokerProgram
from interop_kit.node import lacks
from interop_kit.table import PROPERTY

PAIRS = [
    pytest.param(broker, version, id=f"{broker.name}-{version}") for broker in BROKERS for version in broker.versions
]
AUTO = "3.1.1"  # what `auto` must find: neither amqtt nor aedes speaks 5


def _note(request: pytest.FixtureRequest, broker: BrokerProgram, table: str, row: str, version: str) -> None:
    request.node.user_properties.append((PROPERTY, (table, row, f"{broker.name} {version}")))
    if broker.missing is not None:
        lacks(broker.missing)


@pytest.mark.interop
@pytest.mark.parametrize(("broker", "version"), PAIRS)
async def test_an_outage_of_the_upstream_loses_and_reorders_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, broker: BrokerProgram, version: str
) -> None:
    """P1 to P3 with somebody else's broker, in the version that it speaks or that was found out."""
    _note(request, broker, "brokers as upstream", "outage", version)
    async with broker.running() as port, Link("127.0.0.1", port) as link:
        upstream = Upstream(port)
        upstream.start()
        mqtt = {"url": f"mqtt://127.0.0.1:{link.port}", "version": version, "puback_timeout": "1s"}
        mqtt["connect_timeout"] = "1s"  # amqtt says nothing to a CONNECT of MQTT 5
        devices = [Publisher(0, name=f"d{number}", total=200, window=40) for number in range(2)]
        async with running(Gateway(tmp_path, uplinks={"up": {"mqtt": mqtt}})) as gateway:
            for device in devices:
                device.port = gateway.port
                device.start()
            await eventually("events flow", lambda: len(upstream.arrived) > 50)
            link.cut()
            for device in devices:
                await device.finished()  # acknowledged all the same
            await eventually("the uplink is known to be down", lambda: _state_is_not(gateway, "connected"))
            link.restore()
            status = await gateway.drained("up")
            await eventually("everything is there", lambda: not upstream.missing(devices))

            oracle(upstream, devices)
            assert status["uplinks"]["up"]["version"] == (AUTO if version == "auto" else version)
            assert status["uplinks"]["up"]["unaccounted"] == 0
        for device in devices:
            device.close()
        upstream.close()


async def _state_is_not(gateway: Gateway, state: str) -> bool:
    status: dict[str, Any] = await gateway.status()
    return bool(status["uplinks"]["up"]["state"] != state)
