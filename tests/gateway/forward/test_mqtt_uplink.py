"""The uplink over real sockets, against a broker that does what the test says."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from random import Random

import pytest
from structlog.testing import capture_logs

from fieldgate.forward.mqtt_uplink import MqttUplink
from fieldgate.mqtt.packets import ConnAck, Disconnect, Properties, Publish
from uplink_kit import (
    FAST,
    MemoryFeed,
    Peer,
    ScriptedBroker,
    free_port,
    make_events,
    running,
    until,
    uplink_config,
)


@pytest.fixture
async def broker():
    async with ScriptedBroker().serving() as broker:
        yield broker


@pytest.fixture
async def feed():
    return MemoryFeed()


def numbers(publishes: list[Publish]) -> list[int]:
    return [int(json.loads(publish.payload)["id"].split("-")[1]) for publish in publishes]


async def test_events_reach_the_broker_and_are_told_as_delivered(broker, feed):
    """The main job."""
    feed.add(make_events(500))

    async with running(feed, broker.port) as uplink:
        await feed.settled(500)

        assert feed.delivered_seqs == list(range(1, 501))
        assert numbers(broker.arrived) == list(range(1, 501))
        assert {publish.topic for publish in broker.arrived} == {"fieldgate/gw/site.a/message"}
        status = uplink.status
        assert (status.state, status.version, status.in_flight) == ("connected", "5", 0)
        assert (status.sent, status.acked, status.retries) == (500, 500, 0)
    assert feed.down == [False, True]


async def test_a_kick_sends_what_has_come_since(broker, feed):
    """The pipeline calls it for each batch; nobody polls."""
    async with running(feed, broker.port) as uplink:
        await feed.until(lambda: feed.down == [False])
        for first in range(1, 50, 10):
            feed.add(make_events(10, first))
            uplink.kick()
        await feed.settled(50)

    assert numbers(broker.arrived) == list(range(1, 51))


async def test_who_connects_is_what_the_configuration_says(broker, feed, monkeypatch):
    """User, password, client id and keep-alive; the password comes from where the file says."""
    monkeypatch.setenv("UPLINK_PASSWORD", "hush-hush")
    mqtt = {"username": "plant", "password": "${env:UPLINK_PASSWORD}", "keep_alive": "90s"}

    with capture_logs() as logs:
        async with running(feed, broker.port, mqtt=mqtt) as uplink:
            await feed.until(lambda: feed.down == [False])
            shown = repr(uplink.status) + repr(logs)

    connect = broker.peers[0].connect
    assert (connect.client_id, connect.username, connect.password) == ("fieldgate-gw-cloud", "plant", b"hush-hush")
    assert (connect.keep_alive_s, connect.clean_start) == (90, False)
    assert "hush" not in shown


@pytest.mark.clause("MQTT5-3.14.4-2", "MQTT311-3.14.4-1")
async def test_the_end_is_a_disconnect_in_good_order(broker, feed):
    """The broker publishes no will and keeps the session; the connection is closed, not left to the broker."""
    async with running(feed, broker.port):
        await feed.until(lambda: feed.down == [False])
    await until(lambda: isinstance(broker.peers[0].packets[-1], Disconnect) and broker.peers[0].is_closed)

    assert broker.peers[0].packets[-1].reason == 0


async def test_stop_without_a_connection_returns_at_once(feed):
    """The gateway stops within 5 s, whatever the network."""
    async with running(feed, free_port()) as uplink, asyncio.timeout(4):
        await uplink.stop()


# -- messages again --------------------------------------------------------------------------------------------


async def test_a_kept_session_gets_the_same_ids_with_dup_in_order(broker, feed):
    """Cut after 3 of 10 PUBACKs; the session survives upstream."""

    def some(peer: Peer, publish: Publish) -> None:
        if peer.number > 1 or publish.packet_id <= 3:
            peer.ack(publish)
        elif len(peer.got) == 10:
            peer.close()

    broker.on_connect = lambda peer: peer.send(ConnAck(session_present=peer.number > 1))
    broker.on_publish = some
    feed.add(make_events(10))

    async with running(feed, broker.port) as uplink:
        await feed.settled(10)
        status = uplink.status

    again = broker.peers[1].got
    assert [(publish.packet_id, publish.dup) for publish in again] == [(n, True) for n in range(4, 11)]
    assert [publish.payload for publish in again] == [publish.payload for publish in broker.peers[0].got[3:]]
    assert (status.retries, status.reconnects) == (7, 1)


async def test_a_lost_session_gets_everything_unacknowledged_as_new_in_order(broker, feed):
    """Fault 38: the broker restarted and has forgotten us."""

    def some(peer: Peer, publish: Publish) -> None:
        if peer.number > 1:
            peer.ack(publish)
        elif len(peer.got) == 10:
            peer.close()

    broker.on_publish = some
    feed.add(make_events(10))

    async with running(feed, broker.port):
        await feed.settled(10)

    assert numbers(broker.peers[1].got) == list(range(1, 11))
    assert not any(publish.dup for publish in broker.peers[1].got)


async def test_a_new_process_begins_with_new_messages(broker, feed):
    """What was in flight comes from the journal again; its old packet ids died with the process."""
    broker.on_publish = lambda peer, publish: peer.ack(publish) if peer.number > 1 else None
    broker.on_connect = lambda peer: peer.send(ConnAck(session_present=peer.number > 1))
    feed.add(make_events(5))
    async with running(feed, broker.port):
        await until(lambda: len(broker.arrived) == 5)
    feed.put_back()

    async with running(feed, broker.port):
        await feed.settled(5)

    assert [publish.dup for publish in broker.peers[1].got] == [False] * 5
    assert [publish.payload for publish in broker.peers[1].got] == [publish.payload for publish in broker.peers[0].got]


async def test_a_fault_of_our_own_ends_run_and_the_next_run_begins_from_the_feed(broker, feed):
    """The supervisor restarts what fails; half-booked state must not survive that."""
    feed.add(make_events(3))
    broken = MqttUplink("u", uplink_config(broker.port), feed, gateway="gw", rng=Random(1), timing=FAST)
    told = feed.delivered

    def fail(_batch: object, _start: int, _stop: int) -> None:
        feed.delivered = told
        raise ZeroDivisionError("a bug")

    feed.delivered = fail

    with pytest.raises(ZeroDivisionError):
        await broken.run()
    second = asyncio.create_task(broken.run(), name="uplink")
    await feed.settled(3)

    assert sorted(feed.delivered_seqs) == [1, 2, 3]
    await broken.stop()
    second.cancel()
    with suppress(asyncio.CancelledError):
        await second


async def test_a_fault_while_sending_reaches_the_supervisor_and_not_the_caller_of_kick(broker, feed, monkeypatch):
    """P8: kick is called from the listener's read; a bug of one uplink must not end a device's connection."""
    uplink = MqttUplink("u", uplink_config(broker.port), feed, gateway="gw", rng=Random(1), timing=FAST)
    task = asyncio.create_task(uplink.run(), name="uplink")
    await feed.until(lambda: feed.down == [False])
    feed.add(make_events(2))
    monkeypatch.setattr(feed, "take", lambda _max: 1 / 0)

    uplink.kick()

    with pytest.raises(ZeroDivisionError):
        await task


@pytest.mark.parametrize("limit", [1, 20])
async def test_receive_maximum_is_never_exceeded(broker, feed, limit):
    """Cloud brokers disconnect for one too many."""
    most = 0

    def later(peer: Peer, publish: Publish) -> None:
        nonlocal most
        waiting.append(publish)
        most = max(most, len(waiting))
        if len(waiting) == limit or len(broker.arrived) == 100:
            for one in waiting:
                peer.ack(one)
            waiting.clear()

    waiting: list[Publish] = []
    broker.on_connect = lambda peer: peer.send(ConnAck(properties=Properties(receive_maximum=limit)))
    broker.on_publish = later
    feed.add(make_events(100))

    async with running(feed, broker.port):
        await feed.settled(100)

    assert most == limit
    assert numbers(broker.arrived) == list(range(1, 101))
