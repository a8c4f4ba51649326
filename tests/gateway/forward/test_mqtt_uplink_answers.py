"""An uplink that hears commands: servers that do not want it, answers, and how old a command is."""

from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs

from fieldgate.decide.orders import Order, Status
from fieldgate.mqtt.packets import (
    ConnAck,
    Packet,
    PingResp,
    Properties,
    Publish,
    Reason,
    Subscribe,
)
from order_desk_kit import WALL_NS, ScriptedDesk, answer_to, running_with_commands
from source_kit import GoodBroker
from uplink_commands_kit import TOPIC, acks, command
from uplink_kit import MemoryFeed, Peer, make_events, until


@pytest.fixture
async def broker():
    async with GoodBroker().serving() as broker:
        yield broker


@pytest.fixture
def desk():
    return ScriptedDesk()


# -- a server that does not want it ------------------------------------------------------------------------------


async def test_a_refused_subscription_is_said_once_and_costs_no_event(broker, desk):
    """The platform team has not allowed it yet."""
    broker.grant = lambda packet: (Reason.NOT_AUTHORIZED,)
    feed = MemoryFeed()
    feed.add(make_events(50))

    with capture_logs() as logs:
        async with running_with_commands(desk, broker.port, feed=feed) as uplink:
            await feed.settled(50)
            await until(lambda: uplink.status.commands.problem)
            broker.peers[0].close()
            await until(lambda: len(broker.subscribed) == 2)
            await until(lambda: uplink.status.commands.problem)
            status = uplink.status

    assert (status.state, status.commands.subscribed) == ("connected", False)
    assert status.commands.problem == "this client may not read it"
    assert [one["reason"] for one in logs if one["event"] == "uplink.commands_refused"] == [
        "this client may not read it"
    ]


async def test_a_server_that_hangs_up_over_the_subscription_is_left_in_peace(desk):
    """AWS IoT does where the policy forbids it: the events must go on, and none may be suspected."""
    async with GoodBroker().serving() as broker:
        feed = MemoryFeed()

        def on_other(peer: Peer, packet: Packet) -> None:
            if isinstance(packet, Subscribe):
                broker.subscribed.append(packet)
                peer.close()

        broker.on_other = on_other
        feed.add(make_events(50))
        async with running_with_commands(desk, broker.port, feed=feed) as uplink:
            await feed.settled(50)
            status = uplink.status

    assert len(broker.subscribed) == 1
    assert feed.delivered_seqs == list(range(1, 51))
    assert status.parked == 0


# -- answers -----------------------------------------------------------------------------------------------------


async def test_an_answer_is_kept_until_the_server_has_it(broker, desk):
    """A cut before its PUBACK: it is sent again on the next connection."""
    broker.on_subscribed = lambda peer: peer.send(command()) if peer.number == 1 else None
    broker.on_publish = lambda peer, publish: peer.close() if peer.number == 1 else peer.ack(publish)

    async with running_with_commands(desk, broker.port) as uplink:
        await until(lambda: uplink.status.commands.answered == 1)

    first, second = broker.arrived
    assert first.payload == second.payload
    assert len(desk.was_told) == 1


async def test_where_the_server_takes_no_answer_the_other_topic_is_used(broker, desk):
    """The sender of a command may write a topic that is not ours to write to."""
    asked = Properties(response_topic="forbidden/7", correlation_data=b"c")
    broker.on_subscribed = lambda peer: peer.send(command(properties=asked))
    broker.on_publish = lambda peer, publish: peer.ack(
        publish, Reason.NOT_AUTHORIZED if publish.topic.startswith("forbidden") else 0
    )

    async with running_with_commands(desk, broker.port) as uplink:
        await until(lambda: uplink.status.commands.answered == 1)

    assert [one.topic for one in broker.arrived] == ["forbidden/7", f"{TOPIC}/answer"]


async def test_a_server_that_hangs_up_over_an_answer_gets_it_elsewhere_and_then_no_more(broker, desk):
    """Else whoever writes such a topic keeps the uplink from its work for ever."""
    asked = Properties(response_topic="forbidden/7", correlation_data=b"c")
    broker.on_subscribed = lambda peer: peer.send(command(properties=asked)) if peer.number == 1 else None
    feed = MemoryFeed()

    def on_publish(peer: Peer, publish: Publish) -> None:
        if publish.topic.startswith("forbidden") or publish.topic.endswith("answer"):
            peer.close()
        else:
            peer.ack(publish)

    broker.on_publish = on_publish
    with capture_logs() as logs:
        async with running_with_commands(desk, broker.port, feed=feed) as uplink:
            await until(lambda: uplink.status.commands.answers_dropped == 1)
            feed.add(make_events(5))
            uplink.kick()
            await feed.settled(5)

    assert feed.delivered_seqs == [1, 2, 3, 4, 5]
    assert len(desk.was_told) == 1
    assert [one["event"] for one in logs].count("uplink.answer_refused") == 1


async def test_what_an_earlier_process_has_not_told_is_told_now(broker, desk):
    """The gateway was killed between the device's answer and the server's PUBACK."""
    order = Order(
        device="site/a",
        name="set",
        arguments={},
        origin="uplink:cloud",
        id="a7",
        received_boot_ns=1,
        received_wall_ns=WALL_NS,
        reply_to="replies/7",
        correlation=b"a7",
    )
    plain = Order(
        device="site/a", name="set", arguments={}, origin="uplink:cloud", id="b", received_boot_ns=1, received_wall_ns=1
    )
    desk.earlier = [(order, answer_to(order, Status.UNKNOWN, "it was stopped")), (plain, answer_to(plain))]

    async with running_with_commands(desk, broker.port) as uplink:
        await until(lambda: uplink.status.commands.answered == 2)

    assert [one.topic for one in broker.arrived] == ["replies/7", "fieldgate/gw/site.a/command/set/answer"]
    assert [told.id for told, _ in desk.was_told] == ["a7", "b"]


async def test_answers_do_not_wait_behind_a_window_of_events(broker, desk):
    """A drain after an outage fills the window all the time."""
    order: list[str] = []
    feed = MemoryFeed()
    feed.add(make_events(2000))
    waiting: list[tuple[Peer, Publish]] = []

    def on_publish(peer: Peer, publish: Publish) -> None:
        order.append(publish.topic)
        waiting.append((peer, publish))
        if len(waiting) == 10:
            if len(order) == 10:
                peer.send(command())
            for one, packet in waiting:
                one.ack(packet)
            waiting.clear()
        elif len(order) > 1900:
            for one, packet in waiting:
                one.ack(packet)
            waiting.clear()

    broker.on_connect = lambda peer: peer.send(ConnAck(properties=Properties(receive_maximum=10)))
    broker.on_publish = on_publish
    async with running_with_commands(desk, broker.port, feed=feed) as uplink:
        await feed.settled(2000)
        await until(lambda: uplink.status.commands.answered == 1)

    assert order.index(f"{TOPIC}/answer") < 50


# -- how old a command is ----------------------------------------------------------------------------------------


async def test_what_waited_while_the_gateway_was_away_counts_as_old(broker, desk):
    """Nobody says when it was published: after an outage a valve must not open for what was wanted hours ago."""
    broker.session = True
    broker.on_subscribed = lambda peer: peer.send(command(1))
    answered: list[list[int]] = []  # what was acknowledged when a PINGREQ was answered
    feed = MemoryFeed()

    def on_ping(peer: Peer) -> None:
        answered.append(acks(peer))
        peer.send(PingResp())

    def on_publish(peer: Peer, publish: Publish) -> None:
        peer.ack(publish)
        if json.loads(publish.payload).get("data") == {"n": 2}:
            peer.send(command(2))

    broker.on_ping, broker.on_publish = on_ping, on_publish
    async with running_with_commands(desk, broker.port, feed=feed) as uplink:
        await until(lambda: [1] in answered)
        for number in (
            1,
            2,
        ):  # the second is sent when the PINGRESP was read, which came before the PUBACK of the first
            feed.add(make_events(1, number))
            uplink.kick()
            await feed.settled(number)
        await until(lambda: len(desk.orders) == 2)

    backlog, fresh = desk.orders
    assert fresh.received_boot_ns - backlog.received_boot_ns > 86_000 * 10**9


async def test_a_server_that_cannot_be_read_is_left_without_its_session(desk):
    """A 3.1.1 server delivers what is too large for us; it would again, at each connection, for ever."""
    async with GoodBroker(session=True).serving() as broker:
        large = command(1, b"x" * 300_000)
        broker.on_connect = lambda peer: [
            peer.send(ConnAck(session_present=not peer.connect.clean_start)),
            None if peer.connect.clean_start else peer.send(large),
        ]
        feed = MemoryFeed()
        async with running_with_commands(desk, broker.port, feed=feed, mqtt={"version": "3.1.1"}) as uplink:
            await until(lambda: uplink.status.commands.subscribed)
            feed.add(make_events(5))
            uplink.kick()
            await feed.settled(5)

    assert [peer.connect.clean_start for peer in broker.peers][:3] == [False, False, True]
