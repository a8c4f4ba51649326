"""The uplink over real sockets: protocol versions, timers, and what a person sees of it."""

from __future__ import annotations

import asyncio
import json

import pytest
from structlog.testing import capture_logs

from fieldgate.mqtt.packets import ConnAck, Publish, Reason
from uplink_kit import (
    MemoryFeed,
    Peer,
    ScriptedBroker,
    free_port,
    make_event,
    make_events,
    running,
    until,
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


# -- versions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["0x84", "return code 1", "close", "silence"])
async def test_auto_falls_back_to_3_1_1_by_itself_and_remembers(broker, feed, how):
    """An old broker must work without a line of configuration."""

    def old(peer: Peer) -> None:
        if peer.version == 4:
            peer.send(ConnAck())
        elif how == "close":
            peer.close()
        elif how == "silence":
            pass
        elif how == "0x84":
            peer.send(ConnAck(Reason.UNSUPPORTED_PROTOCOL_VERSION))
        else:
            peer.writer.write(b"\x20\x02\x00\x01")
            peer.close()

    broker.on_connect = old
    feed.add(make_events(3))

    async with running(feed, broker.port, mqtt={"connect_timeout": "150ms"}) as uplink:
        await feed.settled(3)
        assert uplink.status.version == "3.1.1"
        before = len(feed.down)
        broker.peers[-1].close()
        await feed.until(lambda: feed.down[before:] == [True, False])

    tried = [peer.version for peer in broker.peers]
    assert tried == [5] * (2 if how in ("close", "silence") else 1) + [4, 4]


async def test_a_configured_version_is_not_changed_and_the_refusal_is_shown(broker, feed):
    """Whoever writes version: "5" wants to hear that it does not work."""
    broker.on_connect = lambda peer: peer.send(ConnAck(Reason.UNSUPPORTED_PROTOCOL_VERSION))

    async with running(feed, broker.port, mqtt={"version": "5"}) as uplink:
        await until(lambda: len(broker.peers) >= 3 and uplink.status.state == "refused")
        assert "unsupported protocol version" in uplink.status.reason

    assert {peer.version for peer in broker.peers} == {5}


async def test_what_is_in_flight_is_encoded_anew_for_the_other_version(broker, feed):
    """The broker was replaced by an older one while messages were on the way; MQTT 5 bytes would break it."""

    def replaced(peer: Peer) -> None:
        peer.send(ConnAck(Reason.UNSUPPORTED_PROTOCOL_VERSION if peer.number > 1 and peer.version == 5 else 0))

    def second_only(peer: Peer, publish: Publish) -> None:
        if peer.number > 1:
            peer.ack(publish)
        elif len(peer.got) == 5:
            peer.close()

    broker.on_connect, broker.on_publish = replaced, second_only
    feed.add(make_events(5))

    async with running(feed, broker.port):
        await feed.settled(5)

    assert [peer.version for peer in broker.peers] == [5, 5, 4]
    assert [publish.payload for publish in broker.peers[2].got] == [publish.payload for publish in broker.peers[0].got]


# -- timers ------------------------------------------------------------------------------------------------------


async def test_an_unfinished_batch_leaves_after_its_delay_although_nothing_else_happens(broker, feed):
    """Nobody kicks again; a timer does."""
    feed.add(make_events(3))

    async with running(feed, broker.port, format="cloudevents-batch", batch={"max_delay": "30ms"}):
        await feed.settled(3)

    assert len(broker.arrived) == 1


async def test_the_rate_is_kept_by_the_clock(broker, feed):
    """150 events at 500/s: 50 at once, the rest in no less than a fifth of a second."""
    feed.add(make_events(150))
    loop = asyncio.get_running_loop()

    began_s = loop.time()  # however late the first is noticed, the last is no earlier

    async with running(feed, broker.port, rate="500/s"):
        await feed.settled(150)

    assert loop.time() - began_s >= 0.18


async def test_stop_while_connecting_ends_the_attempt(feed):
    """A connection that comes about afterwards is closed at once."""
    broker = ScriptedBroker()
    broker.on_connect = lambda _peer: None
    async with broker.serving(), running(feed, broker.port) as uplink:
        await until(lambda: bool(broker.peers))
        async with asyncio.timeout(4):
            await uplink.stop()

    assert feed.down == [True]


# -- what a person sees ------------------------------------------------------------------------------------------


async def test_one_log_line_per_change_of_state(broker, feed):
    """A night offline is not a night of log lines."""
    broker.on_connect = lambda peer: peer.send(ConnAck() if peer.number > 5 else ConnAck(0x86))

    with capture_logs() as logs:
        async with running(feed, broker.port) as uplink:
            await feed.until(lambda: feed.down[-1:] == [False])
            before = len(feed.down)
            broker.peers[-1].close()
            await feed.until(lambda: feed.down[before:] == [True, False])
            await until(lambda: uplink.status.state == "connected")

    assert [entry["event"] for entry in logs] == [
        "uplink.refused",
        "uplink.connected",
        "uplink.lost",
        "uplink.connected",
    ]
    assert "refuses the user name or password" in logs[0]["reason"]
    assert all(entry["uplink"] == "cloud" for entry in logs)


async def test_nobody_listens_is_said_with_the_address(feed):
    """The most frequent mistake of the first day."""
    port = free_port()

    async with running(feed, port) as uplink:
        await until(lambda: uplink.status.state == "backoff")

        assert uplink.status.reason == f"127.0.0.1:{port} refuses connections: nothing listens there"
        assert uplink.status.version is None


async def test_a_host_that_cannot_be_looked_up_is_said(feed):
    """Fault 46; each attempt asks again."""
    async with running(feed, 1, mqtt={"url": "mqtt://no-such-host.invalid:1883"}) as uplink:
        await until(lambda: uplink.status.state == "backoff")

        assert "cannot look up no-such-host.invalid" in uplink.status.reason


async def test_a_broker_that_does_not_read_bounds_what_is_written(broker, feed):
    """Back-pressure: what the network does not take stays in the journal."""
    gate = asyncio.Event()
    serve = Peer.serve

    async def reluctant(peer: Peer) -> None:
        if peer.number == 1:
            peer.send(ConnAck())
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await gate.wait()
            peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await serve(peer)

    broker.on_connect = lambda _peer: None
    large = b'"%b"' % (b"x" * 20_000)
    feed.add([make_event(seq, large) for seq in range(1, 2001)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Peer, "serve", reluctant)
        async with running(feed, broker.port) as uplink:
            await feed.until(lambda: feed.down == [False])
            await until(lambda: uplink.status.in_flight > 0)
            held = uplink.status.in_flight
            for _ in range(50):
                uplink.kick()
                await asyncio.sleep(0)

            assert uplink.status.in_flight <= max(held, 220)
            gate.set()
            await feed.settled(2000)
    assert numbers(broker.arrived) == list(range(1, 2001))
