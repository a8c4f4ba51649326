"""``mqtt: self``: local subscribers get the decoded events; the local broker is real, the feed in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from fieldgate.config.uplink import UplinkConfig
from fieldgate.forward.expiry import Expiry
from fieldgate.forward.local_uplink import LocalUplink
from fieldgate.mqtt.packets import Publish, Subscription
from session_kit import Client, Server
from uplink_kit import RUN, MemoryFeed, make_event, make_events, until


@asynccontextmanager
async def handing_over(server: Server, feed: MemoryFeed, **config: Any) -> AsyncIterator[LocalUplink]:
    settings = UplinkConfig.model_validate({"mqtt": "self", **config})
    expiry = Expiry(run=RUN + 1, os_boot_of=lambda _run: None, wall_ns=lambda: None)
    uplink = LocalUplink("local", settings, feed, gateway="gw", subscribers=server.broker, expiry=expiry)
    task = asyncio.create_task(uplink.run(), name="uplink")
    try:
        yield uplink
    finally:
        await uplink.stop()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def got(client: Client) -> list[Publish]:
    return [packet for packet in client.received() if isinstance(packet, Publish)]


@pytest.mark.parametrize("form", ["cloudevents", "cloudevents-binary", "raw"])
@pytest.mark.parametrize("version", [4, 5])
async def test_subscribers_of_either_version_get_each_event_in_order(form, version):
    """Node-RED on the same Pi speaks what it speaks; QoS 1, as asked for."""
    server, feed = Server(), MemoryFeed()
    client = server.connect(version=version)
    client.subscribe(Subscription("fieldgate/#", 1))
    feed.add(make_events(30))

    async with handing_over(server, feed, format=form):
        await feed.settled(30)

    publishes = got(client)
    assert [publish.qos for publish in publishes] == [1] * 30
    assert {publish.topic for publish in publishes} == {"fieldgate/gw/site.a/message"}
    data = [json.loads(publish.payload) for publish in publishes]
    if form == "cloudevents":
        data = [envelope["data"] for envelope in data]
    assert data == [{"n": number} for number in range(1, 31)]
    if version == 5:
        types = {publish.properties.content_type for publish in publishes}
        assert types == {"application/cloudevents+json" if form == "cloudevents" else "application/json"}
        names = [name for name, _ in publishes[0].properties.user]
        assert ("id" in names) == (form == "cloudevents-binary")
    assert feed.delivered_seqs == list(range(1, 31))


async def test_nobody_there_is_no_reason_to_keep_anything():
    """Delivered means handed to the local broker; who subscribes later gets what comes later."""
    server, feed = Server(), MemoryFeed()
    feed.add(make_events(500))

    async with handing_over(server, feed) as uplink:
        await feed.settled(500)
        client = server.connect()
        client.subscribe(Subscription("#", 1))
        feed.add(make_events(1, 501))
        uplink.kick()
        await feed.settled(501)

    assert [json.loads(publish.payload)["data"] for publish in got(client)] == [{"n": 501}]


async def test_retain_lets_the_last_one_wait_for_who_comes_later():
    """A dashboard that starts shows something at once."""
    server, feed = Server(), MemoryFeed()
    feed.add(make_events(3))

    async with handing_over(server, feed, topic="now/{device}", retain=True, format="raw"):
        await feed.settled(3)
    client = server.connect()
    (_, publish) = client.subscribe(Subscription("now/#", 1))

    assert (publish.topic, publish.payload, publish.retain) == ("now/site.a", b'{"n":3}', True)


async def test_a_fault_ends_the_uplink_and_not_who_kicks_it():
    """Whoever kicks is the turn that commits for all others: it must not fail with one of them (P8)."""

    class Broken:
        is_listening = True

        def publish(self, *_: Any, **__: Any) -> None:
            raise RuntimeError("a fault of ours")

    feed, server = MemoryFeed(), Broken()
    settings = UplinkConfig.model_validate({"mqtt": "self"})
    uplink = LocalUplink("local", settings, feed, gateway="gw", subscribers=server)  # type: ignore[arg-type]
    task = asyncio.create_task(uplink.run(), name="uplink")
    await until(lambda: uplink.status.state == "connected")
    feed.add(make_events(1))

    uplink.kick()
    uplink.kick()

    with pytest.raises(RuntimeError, match="a fault of ours"):
        await task
    assert uplink.status.state == "connecting"
    assert feed.down == [False, True]


async def test_a_long_backlog_leaves_the_loop_its_turns():
    """Devices are served while 5,000 events are handed over."""
    server, feed = Server(), MemoryFeed()
    feed.add(make_events(5_000))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while len(feed.done) < 5_000:
            turns += 1
            await asyncio.sleep(0)

    async with handing_over(server, feed):
        await count()

    assert turns > 20


async def test_the_rate_holds():
    """A slow flow on the other side is not flooded after an outage of the gateway."""
    server, feed = Server(), MemoryFeed()
    feed.add(make_events(200))

    async with handing_over(server, feed, rate="20/s") as uplink:
        await until(lambda: len(feed.done) >= 4)
        assert len(feed.done) < 20
        assert uplink.status.quiet == "paused by rate: 20 events per second at most"


async def test_what_has_ended_is_not_handed_over():
    """honour_expiry, and the rest goes along for subscribers of MQTT 5."""
    server, feed = Server(), MemoryFeed()
    client = server.connect(version=5)
    client.subscribe(Subscription("#", 1))
    feed.add([make_event(1, expiry_s=0), make_event(2, expiry_s=2**31), make_event(3)])

    async with handing_over(server, feed, honour_expiry=True):
        await feed.settled(3)

    assert feed.done == {1: "expired", 2: "delivered", 3: "delivered"}
    left = [publish.properties.message_expiry_s for publish in got(client)]
    assert 2**30 < left[0] < 2**31  # it waited since this boot at least
    assert left[1] is None


async def test_a_fault_in_the_middle_loses_nothing_and_delivers_nothing_twice():
    """The supervisor starts it again; what was handed over stays so."""
    server, feed = Server(), MemoryFeed()
    feed.add(make_events(10))
    settings = UplinkConfig.model_validate({"mqtt": "self"})
    uplink = LocalUplink("local", settings, feed, gateway="gw", subscribers=server.broker)
    publish, calls = server.broker.publish, 0
    client = server.connect()
    client.subscribe(Subscription("#", 1))

    def fails_once(*args: Any, **more: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise RuntimeError("a defect")
        publish(*args, **more)

    server.broker.publish = fails_once  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        await uplink.run()
    assert uplink.status.state == "connecting"
    task = asyncio.create_task(uplink.run(), name="uplink")
    await feed.settled(10)
    await uplink.stop()
    task.cancel()

    assert feed.down == [False, True, False, True]
    assert feed.delivered_seqs == list(range(1, 11))
