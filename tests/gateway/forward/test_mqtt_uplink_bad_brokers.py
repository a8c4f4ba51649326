"""The uplink over real sockets, against a broker that misbehaves as the test says."""

from __future__ import annotations

import asyncio
import json
from random import Random

import pytest
from structlog.testing import capture_logs

from fieldgate.forward.mqtt_uplink import MqttUplink
from fieldgate.mqtt.packets import ConnAck, Disconnect, Properties, PubAck, Publish, Reason
from fieldgate.net.broker_connection import Timing
from uplink_kit import (
    MemoryFeed,
    Peer,
    ScriptedBroker,
    make_event,
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


async def test_never_a_puback_makes_a_new_connection_and_bounds_what_is_on_the_way(broker, feed):
    """Fault 35: it accepts, answers pings, and never acknowledges."""
    broker.on_publish = lambda peer, publish: peer.ack(publish) if peer.number > 2 else None
    feed.add(make_events(100))

    async with running(feed, broker.port, mqtt={"puback_timeout": "150ms", "window": 30}) as uplink:
        await feed.until(lambda: feed.down == [False, True])
        assert "no PUBACK" in uplink.status.reason
        assert uplink.status.in_flight == 30
        await feed.settled(100)

    assert len(broker.peers[0].got) == 30


async def test_a_servers_own_words_are_kept_up_to_a_length(broker, feed):
    """A reason string has up to 65,535 bytes, and would stand in the ledger beside each event, in status and log."""
    words = "ab" * 30_000
    broker.on_publish = lambda peer, publish: peer.send(
        PubAck(publish.packet_id, Reason.NOT_AUTHORIZED, Properties(reason_string=words))
    )
    feed.add(make_events(1))

    async with running(feed, broker.port) as uplink:
        await feed.settled(1)
        assert feed.done[1] == f"the server refuses it: not authorized (0x87), it says '{'ab' * 100}…'"

        broker.on_connect = lambda peer: peer.send(ConnAck(Reason.BANNED, properties=Properties(reason_string=words)))
        broker.peers[-1].close()
        await until(lambda: uplink.status.state == "refused")
        assert uplink.status.reason == f"the server has banned this client: banned (0x8a), it says '{'ab' * 100}…'"


async def test_unknown_and_repeated_pubacks_mark_nothing_as_delivered(broker, feed):
    """Fault 36."""

    def confused(peer: Peer, publish: Publish) -> None:
        peer.send(PubAck(publish.packet_id + 1000))
        if publish.packet_id != 2:
            peer.ack(publish)
            peer.ack(publish)

    broker.on_publish = confused
    feed.add(make_events(3))

    async with running(feed, broker.port) as uplink:
        await until(lambda: uplink.status.stray_acks == 5)

        assert sorted(feed.delivered_seqs) == [1, 3]
        assert uplink.status.in_flight == 1


async def test_refused_events_are_parked_with_the_reason_and_the_rest_flows(broker, feed):
    """Fault 37, for ever: not authorised for that topic."""
    broker.on_publish = lambda peer, publish: peer.ack(publish, 0x87 if b"bad" in publish.payload else 0)
    feed.add([make_event(1), make_event(2, b'"bad"'), make_event(3)])

    async with running(feed, broker.port) as uplink:
        await feed.settled(3)

        assert sorted(feed.delivered_seqs) == [1, 3]
        assert "not authorized (0x87)" in feed.done[2]
        assert uplink.status.parked == 1
        assert uplink.status.reconnects == 0


@pytest.mark.parametrize("code", [0x80, 0x83, 0x97])
async def test_a_refusal_that_passes_is_retried_after_a_pause(broker, feed, code):
    """Fault 37, for now: the connection stays, and the status says what is waited for."""
    refused = []
    broker.on_publish = lambda peer, publish: peer.ack(publish, 0 if len(refused) >= 3 else refused.append(1) or code)
    feed.add(make_events(3))

    async with running(feed, broker.port) as uplink:
        await feed.settled(3)

        assert sorted(feed.delivered_seqs) == [1, 2, 3]
        assert uplink.status.reconnects == 0
        assert len(broker.arrived) == 6


async def test_an_id_in_use_is_answered_with_another_one(broker, feed):
    """0x91: the message is good, its number is not."""
    broker.on_publish = lambda peer, publish: peer.ack(publish, 0x91 if publish.packet_id == 2 else 0)
    feed.add(make_events(3))

    async with running(feed, broker.port):
        await feed.settled(3)

    assert sorted(feed.delivered_seqs) == [1, 2, 3]
    assert [publish.packet_id for publish in broker.arrived] == [1, 2, 3, 4]


async def test_an_event_over_which_the_broker_ends_the_connection_as_too_large_is_parked(broker, feed):
    """DISCONNECT 0x95; the rest flows."""

    def picky(peer: Peer, publish: Publish) -> None:
        if len(publish.payload) < 2000:
            peer.ack(publish)
            return
        peer.send(Disconnect(Reason.PACKET_TOO_LARGE))
        peer.close()

    broker.on_publish = picky
    feed.add([*make_events(5), make_event(6, b'"%b"' % (b"x" * 2000)), *make_events(5, 7)])

    async with running(feed, broker.port):
        await feed.settled(11)

    assert sorted(feed.delivered_seqs) == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]
    assert "0x95" in feed.done[6]


async def test_an_event_on_which_the_broker_hangs_up_is_parked(broker, feed):
    """Fault 45."""
    broker.on_publish = lambda peer, publish: peer.close() if b"poison" in publish.payload else peer.ack(publish)
    feed.add([make_event(1), make_event(2, b'"poison"'), make_event(3), make_event(4)])

    async with running(feed, broker.port):
        await feed.settled(4)

    assert sorted(feed.delivered_seqs) == [1, 3, 4]
    assert "closes the connection" in feed.done[2]


async def test_a_broker_that_accepts_and_never_answers_is_given_up_in_time(broker, feed):
    """Fault 34: the connect timeout covers the CONNACK."""
    broker.on_connect = lambda peer: peer.send(ConnAck()) if peer.number > 1 else None

    async with running(feed, broker.port, mqtt={"connect_timeout": "100ms"}) as uplink:
        await until(lambda: uplink.status.state == "backoff")
        assert "did not answer in time" in uplink.status.reason
        await feed.until(lambda: feed.down[-1] is False)


async def test_garbage_from_the_broker_ends_that_connection_only(broker, feed):
    """A captive portal that talks HTTP must not be mistaken for a broker."""
    broker.on_connect = lambda peer: (
        peer.send(ConnAck()) if peer.number > 2 else peer.writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    )
    feed.add(make_events(1))

    with capture_logs() as logs:
        async with running(feed, broker.port):
            await feed.settled(1)

    assert any("broke the protocol" in str(entry.get("reason")) for entry in logs)


async def test_a_takeover_is_said_and_backed_off_from(broker, feed):
    """Fault 39: two gateways with one client id; no hot loop."""
    broker.on_connect = lambda peer: (peer.send(ConnAck()), peer.send(Disconnect(Reason.SESSION_TAKEN_OVER)))
    waits = []
    uplink = MqttUplink(
        "u", uplink_config(broker.port), feed, gateway="gw", rng=_Recording(waits), timing=Timing(0.001, 0.5, 0.0)
    )
    task = asyncio.create_task(uplink.run(), name="uplink")

    await until(lambda: len(waits) == 9)
    reason = uplink.status.reason
    await uplink.stop()
    task.cancel()

    assert "same client id" in reason
    assert waits == sorted(waits)
    assert waits[-1] > 100 * waits[0]


class _Recording(Random):
    """The longest wait each time, shortened; so that the growth shows."""

    def __init__(self, bounds: list[float]) -> None:
        super().__init__(1)
        self._bounds = bounds

    def uniform(self, a: float, b: float) -> float:
        self._bounds.append(b)
        return min(b, 0.01)
