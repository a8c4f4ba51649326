"""The contract of `fieldgate.forward.uplink`, kept by all ways out: MQTT brokers, local subscribers, webhooks.

Real sockets. `MemoryFeed` checks on its side that each event is settled once, and only after it was taken.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from random import Random
from typing import Any

import pytest

from fieldgate.forward.local_uplink import LocalUplink
from fieldgate.forward.mqtt_uplink import MqttUplink
from fieldgate.forward.status import UP, UplinkStatus
from fieldgate.forward.uplink import Uplink
from fieldgate.forward.webhook_uplink import WebhookUplink
from fieldgate_devices.event import Extra, Publish
from uplink_kit import FAST, MemoryFeed, ScriptedBroker, make_event, until, uplink_config
from webhook_kit import Request, ScriptedHook, alert, answer, webhook_config

RULES = Extra(cause="0123456789abcdef-1", notify=("pager",))


class Way:
    """One way out with its far side. ``got`` are the numbers of the events that arrived there, repeats included."""

    def __init__(self, feed: MemoryFeed) -> None:
        self.feed = feed
        self.got: list[int] = []
        self.make: Callable[[], Uplink] = lambda: pytest.fail("no uplink")

    @asynccontextmanager
    async def running(self, uplink: Any = None) -> AsyncIterator[Any]:
        """A new uplink until it is stopped; or one run of ``uplink``, which ends as the supervisor ends it."""
        is_new, uplink = uplink is None, uplink or self.make()
        task = asyncio.create_task(uplink.run(), name="uplink")
        try:
            yield uplink
            assert not task.done(), "it returned, or failed"
        finally:
            if is_new:
                await uplink.stop()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def took(self, envelope: bytes) -> None:
        self.got.append(int(json.loads(envelope)["id"].split("-")[1]))


@asynccontextmanager
async def to_broker(feed: MemoryFeed) -> AsyncIterator[Way]:
    way, broker = Way(feed), ScriptedBroker()

    def took(peer: Any, publish: Any) -> None:
        way.took(publish.payload)
        peer.ack(publish)

    broker.on_publish = took
    async with broker.serving():
        config = uplink_config(broker.port)
        way.make = lambda: MqttUplink("cloud", config, feed, gateway="gw", rng=Random(7), timing=FAST)
        yield way


@asynccontextmanager
async def to_subscribers(feed: MemoryFeed) -> AsyncIterator[Way]:
    way = Way(feed)

    class Subscribers:
        is_listening = True

        def publish(self, topic: str, payload: bytes, **_how: object) -> None:
            way.took(payload)

    config = uplink_config(1)
    way.make = lambda: LocalUplink("local", config, feed, gateway="gw", subscribers=Subscribers())
    yield way


@asynccontextmanager
async def to_webhook(feed: MemoryFeed) -> AsyncIterator[Way]:
    way, hook = Way(feed), ScriptedHook()

    def took(request: Request) -> bytes:
        way.took(request.body)
        return answer(204)

    hook.on_request = took
    async with hook.serving():
        config = webhook_config(hook.port)
        way.make = lambda: WebhookUplink("pager", config, feed, gateway="gw", rng=Random(7), timing=FAST)
        yield way


Opens = Callable[[MemoryFeed], AbstractAsyncContextManager[Way]]
WAYS = [to_broker, to_subscribers, to_webhook]


@pytest.mark.parametrize("opens", WAYS)
async def test_all_events_arrive_once_in_order_and_count_as_delivered(opens: Opens):
    """Nothing is wrong: then nothing comes twice, and the accounts can be settled."""
    feed = MemoryFeed()
    feed.add([make_event(seq) for seq in range(1, 31)])
    feed.add([make_event(31, lane=0), make_event(32, b"\x00", is_json=False), make_event(33, extra=RULES)])
    async with opens(feed) as way, way.running() as uplink:
        await feed.settled(33)
        await until(lambda: uplink.status.acked == 33)
        status: UplinkStatus = uplink.status

    assert way.got == list(range(1, 34))
    assert feed.delivered_seqs == list(range(1, 34))
    assert status.state in UP
    assert (status.sent, status.retries, status.parked) == (33, 0, 0)
    assert status.size_bytes > 0


@pytest.mark.parametrize("opens", WAYS)
async def test_nothing_counts_as_delivered_that_has_not_arrived(opens: Opens):
    """The device is told that its event is safe on the strength of this."""
    feed = MemoryFeed()
    feed.add([make_event(seq) for seq in range(1, 101)])
    async with opens(feed) as way, way.running():
        for count in (1, 50, 100):
            await feed.settled(count)
            assert set(feed.delivered_seqs) <= set(way.got)


@pytest.mark.parametrize("opens", WAYS)
async def test_what_comes_later_is_sent_at_a_kick(opens: Opens):
    """An uplink that has caught up sleeps; a kick with nothing to send is harmless."""
    feed = MemoryFeed()
    async with opens(feed) as way, way.running() as uplink:
        await feed.until(lambda: False in feed.down)
        for seq in (1, 2, 3):
            uplink.kick()
            feed.add([make_event(seq)])
            uplink.kick()
            await feed.settled(seq)

    assert way.got == [1, 2, 3]


@pytest.mark.parametrize("opens", WAYS)
async def test_another_run_goes_on_where_the_last_one_ended(opens: Opens):
    """The supervisor starts an uplink again after a fault: at least once, in order."""
    feed = MemoryFeed()
    feed.add([make_event(seq) for seq in range(1, 201)])
    async with opens(feed) as way:
        uplink = way.make()
        for count in (40, 80, 120, 200):
            async with way.running(uplink):
                await feed.settled(count)

    assert list(dict.fromkeys(way.got)) == list(range(1, 201))
    assert set(feed.done.values()) == {"delivered"}


@pytest.mark.parametrize("opens", WAYS)
async def test_the_feed_is_told_whether_the_uplink_is_there(opens: Opens):
    """While it is not, the outbox does not wait for it before it writes."""
    feed = MemoryFeed()
    async with opens(feed) as way, way.running() as uplink:
        await feed.until(lambda: feed.down[-1:] == [False])
        await until(lambda: uplink.status.state in UP)

    assert feed.down[-1] is True


@pytest.mark.parametrize("opens", WAYS)
async def test_after_a_stop_nothing_is_sent(opens: Opens):
    """The journal is closed then: what would be delivered could not be noted."""
    feed = MemoryFeed()
    async with opens(feed) as way, way.running() as uplink:
        await feed.until(lambda: False in feed.down)
        await uplink.stop()
        feed.add([make_event(1)])
        uplink.kick()
        await asyncio.sleep(0.05)  # what does not happen can only be waited for

    assert way.got == []
    assert feed.done == {}


@pytest.mark.parametrize("opens", WAYS)
async def test_a_kick_before_it_runs_is_harmless(opens: Opens):
    """The outbox kicks all uplinks from its first turn on."""
    feed = MemoryFeed()
    feed.add([make_event(1)])
    async with opens(feed) as way:
        way.make().kick()
        assert feed.handed_out == 0

        async with way.running():
            await feed.settled(1)


@pytest.mark.parametrize("opens", WAYS)
async def test_a_message_that_cannot_be_sent_is_parked_and_the_next_event_goes_on(opens: Opens):
    """Whatever the reason: one message is not the end of an uplink."""
    feed = MemoryFeed()
    wish = Extra(uplinks=("cloud",), publish=Publish("house/#", 1))
    feed.add([make_event(1), make_event(2, extra=wish), alert(3)])
    async with opens(feed) as way, way.running() as uplink:
        await feed.settled(3)
        await until(lambda: uplink.status.parked == 1)

    assert way.got == [1, 3]
    assert feed.done[1] == feed.done[3] == "delivered"
    assert feed.done[2] != "delivered"
