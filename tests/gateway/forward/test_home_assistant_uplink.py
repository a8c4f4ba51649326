"""Discovery goes beside the events: within the window, at the rate, never in their counts. Brokers are scripts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import pytest
from structlog.testing import capture_logs

from fieldgate.forward.ha_entity import KnownField
from fieldgate.forward.home_assistant import DevicesToTell, HomeAssistant, KnownDevice
from fieldgate.forward.mqtt_uplink import MqttUplink
from fieldgate.mqtt.client_sender import ClientSender
from fieldgate.mqtt.packets import ConnAck, Properties, Publish
from uplink_kit import FAST, MemoryFeed, Peer, ScriptedBroker, make_events, until, uplink_config

Key = tuple[str, str]


def devices(count: int, fields: int = 2) -> dict[Key, KnownDevice]:
    said = tuple(KnownField(f"f{number}", "number", "t", 1) for number in range(fields))
    return {("boiler", f"b{number}"): KnownDevice("boiler", f"b{number}", 1, said) for number in range(count)}


@asynccontextmanager
async def running(
    feed: MemoryFeed, port: int, known: dict[Key, KnownDevice], **changes: Any
) -> AsyncIterator[MqttUplink]:
    config = uplink_config(port, home_assistant={}, **changes)
    discovery = HomeAssistant(
        config, prefix="homeassistant", topic=config.mqtt.topic, gateway="gw", status_topic="fieldgate/{gateway}/status"
    )
    discovery.watch(DevicesToTell(lambda: list(known), known.get))
    uplink = MqttUplink("cloud", config, feed, gateway="gw", rng=Random(7), timing=FAST, home_assistant=discovery)
    task = asyncio.create_task(uplink.run(), name="uplink")
    try:
        yield uplink
    finally:
        await uplink.stop()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def broker() -> AsyncIterator[ScriptedBroker]:
    async with ScriptedBroker().serving() as broker:
        yield broker


def told(broker: ScriptedBroker) -> list[Publish]:
    return [one for one in broker.arrived if one.topic.startswith("homeassistant/")]


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_every_field_is_told_retained_on_connect_and_is_no_event(broker: ScriptedBroker, version: str) -> None:
    """Counts of the uplink are those of events; a person compares them with the far side's."""
    feed = MemoryFeed()
    feed.add(make_events(20))

    async with running(feed, broker.port, devices(3), mqtt={"version": version}) as uplink:
        await feed.settled(20)
        await until(lambda: len(told(broker)) == 6)
        await until(lambda: not uplink.status.in_flight)
        status = uplink.status

    assert {(one.qos, one.retain) for one in told(broker)} == {(1, True)}
    assert (status.sent, status.acked, status.stray_acks, status.parked) == (20, 20, 0, 0)


async def test_all_is_told_again_on_the_next_connection(broker: ScriptedBroker) -> None:
    """A broker may be another one, or have lost what it kept."""
    feed = MemoryFeed()

    async with running(feed, broker.port, devices(2)):
        await until(lambda: len(told(broker)) == 4)
        broker.peers[0].close()
        await until(lambda: len(told(broker)) == 8)

    assert {one.topic for one in told(broker)[:4]} == {one.topic for one in told(broker)[4:]}


@pytest.mark.parametrize(("own", "theirs"), [(1, 10), (10, 1), (3, 10), (10, 3)])
async def test_discovery_and_events_together_keep_to_the_window(broker: ScriptedBroker, own: int, theirs: int) -> None:
    """One more than the server's Receive Maximum ends the connection [MQTT-3.3.4-7]; the own window holds as well."""
    feed = MemoryFeed()
    feed.add(make_events(60))
    on_the_way = most = 0

    def later(peer: Peer, publish: Publish) -> None:
        nonlocal on_the_way, most
        on_the_way += 1
        most = max(most, on_the_way)

        def answer() -> None:
            nonlocal on_the_way
            on_the_way -= 1
            peer.ack(publish)

        asyncio.get_running_loop().call_later(0.002, answer)

    broker.on_connect = lambda peer: peer.send(ConnAck(properties=Properties(receive_maximum=theirs)))
    broker.on_publish = later

    async with running(feed, broker.port, devices(10), mqtt={"window": own}):
        await feed.settled(60)
        await until(lambda: len(told(broker)) == 20)

    assert len(broker.peers) == 1
    assert most <= min(own, theirs)


async def test_the_check_of_the_window_notices_a_discovery_that_is_not_counted(
    broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: the room for events is the whole window, whatever goes beside them."""
    monkeypatch.setattr(
        ClientSender, "room", lambda self, window: min(window, self.terms.window) - self.in_flight.sent_count
    )

    with pytest.raises(AssertionError):
        await test_discovery_and_events_together_keep_to_the_window(broker, 1, 10)


async def test_discovery_counts_against_the_rate(broker: ScriptedBroker) -> None:
    """A broker that throws out who sends too much does not ask what it was."""
    feed = MemoryFeed()
    loop = asyncio.get_running_loop()
    began_s = loop.time()

    async with running(feed, broker.port, devices(5), rate="20/s"):
        await until(lambda: len(told(broker)) == 10)

    assert loop.time() - began_s >= (10 - 3) / 20


async def test_a_server_that_refuses_discovery_gets_the_events(broker: ScriptedBroker) -> None:
    """It is said once; nothing of it is parked, and the birth is not what was refused."""
    feed = MemoryFeed()
    feed.add(make_events(5))
    broker.on_publish = lambda peer, one: peer.ack(one, 0x87 if one.topic.startswith("homeassistant/") else 0)

    with capture_logs() as logs:
        async with running(
            feed, broker.port, devices(3), mqtt={"status_topic": "fieldgate/{gateway}/status"}
        ) as uplink:
            await feed.settled(5)
            await until(lambda: len(told(broker)) == 6)
            await until(lambda: any(one["event"] == "uplink.discovery_refused" for one in logs))
            assert uplink.status.parked == 0

    said = [one["event"] for one in logs if one["event"].endswith("_refused")]
    assert said == ["uplink.discovery_refused"]


async def test_a_device_that_appears_is_told_and_one_forgotten_is_taken_back(broker: ScriptedBroker) -> None:
    """While the connection stands, by a kick; the empty message is retained like the one it removes."""
    feed = MemoryFeed()
    known: dict[Key, KnownDevice] = {}

    async with running(feed, broker.port, known) as uplink:
        await until(lambda: uplink.status.state == "connected")
        discovery = uplink.home_assistant
        assert discovery is not None
        known.update(devices(1))
        discovery.appeared(("boiler", "b0"))
        uplink.kick()
        await until(lambda: len(told(broker)) == 2)
        known.clear()
        discovery.forgotten(("boiler", "b0"), {"f0": "number", "f1": "number"})
        uplink.kick()
        await until(lambda: len(told(broker)) == 4)

    first, second = told(broker)[:2], told(broker)[2:]
    assert [one.topic for one in first] == [one.topic for one in second]
    assert [(one.payload, one.retain) for one in second] == [(b"", True)] * 2
    assert json.loads(first[0].payload)["name"] == "F0"


async def test_a_message_too_large_for_the_server_is_left_out(broker: ScriptedBroker) -> None:
    """A server's Maximum Packet Size below a kilobyte is rare, and no reason to lose the connection for ever."""
    broker.on_connect = lambda peer: peer.send(ConnAck(properties=Properties(maximum_packet_size=250)))
    feed = MemoryFeed()
    feed.add(make_events(1, first=5))

    async with running(feed, broker.port, devices(3), format="cloudevents-binary"):
        await feed.settled(1)
        await until(lambda: len(broker.arrived) >= 1)

    assert told(broker) == []
    assert len(broker.peers) == 1
