"""The brokers that people have, as the gateway's upstream and as what it reads: an outage with each costs nothing.

An upstream is cut off by a black hole and not by closing its sockets: amqtt loses what it has acknowledged when a
connection is closed abruptly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fieldgate_simulators.broker import Broker
from fieldgate_simulators.link import Link
from gateway_kit import Gateway, Publisher, Upstream, eventually, oracle, running
from interop_kit.brokers import BROKERS, BrokerProgram
from interop_kit.lacks import LACKS
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


@pytest.mark.interop
@pytest.mark.parametrize("row", ["read", "lost connection"])
@pytest.mark.parametrize(("broker", "version"), PAIRS)
async def test_what_a_broker_acknowledged_is_read_and_arrives_upstream(
    request: pytest.FixtureRequest, tmp_path: Path, broker: BrokerProgram, version: str, row: str
) -> None:
    """A broker that is already there is read in its own version, also over a lost connection to it."""
    if row in LACKS.get(broker.name, {}):
        pytest.skip(LACKS[broker.name][row])
    _note(request, broker, "brokers as source", row, version)
    async with broker.running() as port, Link("127.0.0.1", port) as link, Broker(folder=tmp_path / "up") as cloud:
        upstream = Upstream(cloud.port)
        upstream.start()
        devices = [Publisher(port, name=f"d{number}", total=300, window=20) for number in range(2)]
        async with running(_reading(tmp_path, link.port, version, upstream=cloud.url)) as gateway:
            await eventually("the source reads", lambda: _reads(gateway))
            for device in devices:
                device.start()
            await eventually("events flow", lambda: len(upstream.arrived) > 50)
            if row == "lost connection":
                link.refuse()
                link.reset()
            for device in devices:
                await device.finished()
            link.restore()
            await eventually("everything is there", lambda: not upstream.missing(devices))

            oracle(upstream, devices)
        for device in devices:
            device.close()
        upstream.close()


def _reading(folder: Path, port: int, version: str, *, upstream: str) -> Gateway:
    gateway = Gateway(folder, uplinks={"up": {"mqtt": {"url": upstream}}})
    mqtt = {"url": f"mqtt://127.0.0.1:{port}", "version": version, "subscribe": ["t/#"]}
    mqtt["connect_timeout"] = "1s"  # amqtt says nothing to a CONNECT of MQTT 5
    gateway.settings["sources"] = [{"name": "floor", "mqtt": mqtt}]
    return gateway


async def _reads(gateway: Gateway) -> bool:
    status = await gateway.status_or_none()
    if status is None:
        return False
    source = status["sources"]["floor"]
    return bool(source["state"] == "connected" and source["subscribed"] == source["subscriptions"])


async def _state_is_not(gateway: Gateway, state: str) -> bool:
    status: dict[str, Any] = await gateway.status()
    return bool(status["uplinks"]["up"]["state"] != state)
