"""Shared subscriptions [MQTT5 4.8.2]: each message to one of the group."""

from __future__ import annotations

import pytest

import mqtt_bytes as mb
from mqtt_peer import Peer, Server, fresh

clause = pytest.mark.clause


def member(server: Server, topic: str, *, group: str = "g", qos: int = 1, level: int = 5) -> Peer:
    peer = server.connect(level=level)
    assert peer.subscribe((f"$share/{group}/{topic}", qos)) == [qos]
    return peer


@clause("MQTT5-4.8.2-1", "MQTT5-4.8.2-2")
@pytest.mark.parametrize("name", ["g", "G 1", "ä", "$", "share"])
def test_each_message_goes_to_one_of_the_group(server: Server, name: str) -> None:
    """And to each group, and to every ordinary subscriber."""
    topic = fresh("t")
    group = [member(server, topic, group=name) for _ in range(3)]
    alone = member(server, topic, group="other")
    ordinary = server.connect()
    ordinary.subscribe((topic, 1))
    publisher = server.connect()
    sent = [b"%d" % number for number in range(12)]
    for payload in sent:
        publisher.publish(topic, payload)

    parts = [[got.payload for got in peer.messages()] for peer in group]

    assert sorted(payload for part in parts for payload in part) == sorted(sent)
    assert [got.payload for got in alone.messages()] == sent
    assert [got.payload for got in ordinary.messages()] == sent


def test_work_is_shared_out(server: Server) -> None:
    """[MQTT5 4.8.2] leaves the choice to the server; one that gives all to one shares nothing."""
    topic = fresh("t")
    group = [member(server, topic) for _ in range(3)]
    publisher = server.connect()
    for _ in range(60):
        publisher.publish(topic, b"p")

    assert all(len(peer.messages()) >= 5 for peer in group)


@clause("MQTT5-4.8.2-3", "MQTT5-3.8.4-8")
def test_the_granted_qos_of_the_one_chosen_is_respected(server: Server) -> None:
    """Members of a group may differ."""
    topic = fresh("t")
    members = {0: member(server, topic, qos=0), 1: member(server, topic, qos=1)}
    publisher = server.connect()
    for _ in range(20):
        publisher.publish(topic, b"p")

    got = {qos: [one.qos for one in peer.messages()] for qos, peer in members.items()}

    assert set(got[0]) <= {0}
    assert set(got[1]) <= {1}
    assert len(got[0]) + len(got[1]) == 20


def test_a_member_that_leaves_gets_nothing_more(server: Server) -> None:
    """By UNSUBSCRIBE, or by ending its session."""
    topic = fresh("t")
    stays, leaves, ends = (member(server, topic) for _ in range(3))
    assert leaves.ask(mb.unsubscribe(f"$share/g/{topic}"), kind=mb.UNSUBACK).reasons == [0]
    ends.send(mb.disconnect())
    ends.end()
    publisher = server.connect()
    for _ in range(10):
        publisher.publish(topic, b"p")

    assert leaves.messages() == []
    assert len(stays.messages()) == 10


@clause("MQTT5-3.10.4-1")
def test_a_shared_and_an_ordinary_subscription_are_two(server: Server) -> None:
    """The same client gets the message for each of them."""
    topic = fresh("t")
    peer = member(server, topic)
    peer.subscribe((topic, 1))
    server.connect().publish(topic, b"p")
    assert len(peer.messages()) == 2

    assert peer.ask(mb.unsubscribe(topic), kind=mb.UNSUBACK).reasons == [0]
    server.connect().publish(topic, b"p")

    assert len(peer.messages()) == 1


@pytest.mark.mosquitto_differs("sends them")
def test_retained_messages_are_not_sent_to_a_shared_subscription(server: Server) -> None:
    """[MQTT5 4.8.2]: to whom of the group would they go?"""
    topic = fresh("t")
    server.connect().publish(topic, b"old", retain=True)

    peer = member(server, topic)

    assert peer.messages() == []


@clause("MQTT5-4.8.2-6")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_that_was_refused_goes_to_nobody_else(server: Server, qos: int) -> None:
    """It was delivered, and not liked."""
    topic = fresh("t")
    group = [member(server, topic, qos=qos) for _ in range(2)]
    server.connect().publish(topic, b"p", qos=qos)
    (chosen, sent), *others = [(peer, got) for peer in group for got in peer.drain()]

    chosen.send(mb.ack(mb.PUBACK if qos == 1 else mb.PUBREC, sent.packet_id, 0x80))

    assert others == []
    assert [peer.drain() for peer in group] == [[], []]


@clause("MQTT5-4.8.2-4", "MQTT5-4.8.2-5")
@pytest.mark.parametrize("is_back", [True, False])
def test_a_qos_2_delivery_is_completed_to_the_one_it_was_begun_with(server: Server, is_back: bool) -> None:
    """Or to nobody, when its session ends: exactly once is more than some way or other."""
    topic = fresh("t")
    kept = ((mb.SESSION_EXPIRY, 60),)
    chosen = server.connect(clean=False, properties=kept)
    assert chosen.subscribe((f"$share/g/{topic}", 2)) == [2]
    server.connect().publish(topic, b"p", qos=2)
    sent = chosen.expect(mb.PUBLISH)
    other = member(server, topic, qos=2)
    chosen.send(mb.disconnect())
    chosen.end()
    assert other.drain() == []

    back = server.connect(chosen.client_id, clean=not is_back, properties=kept)

    assert other.drain() == []
    got = [(one.packet_id, one.payload, one.dup) for one in back.drain()]
    assert got == ([(sent.packet_id, b"p", True)] if is_back else [])


def test_the_identifier_of_a_shared_subscription_comes_with_its_messages(server: Server) -> None:
    """[MQTT5 3.3.4]: that of the client's own SUBSCRIBE."""
    topic = fresh("t")
    peer = server.connect()
    peer.subscribe((f"$share/g/{topic}", 1), properties=((mb.SUBSCRIPTION_ID, 44),))
    server.connect().publish(topic, b"p")

    assert [got.all_of(mb.SUBSCRIPTION_ID) for got in peer.messages()] == [[44]]


@clause("MQTT5-4.7.2-1")
def test_wildcards_match_in_a_group_as_elsewhere(server: Server) -> None:
    """Also what they do not match."""
    topic = fresh("t")
    peer = member(server, f"{topic}/+/b/#")
    publisher = server.connect()
    for one in ("x/b", "x/b/c/d", "x/c", "b"):
        publisher.publish(f"{topic}/{one}", one.encode())

    assert [got.payload for got in peer.messages()] == [b"x/b", b"x/b/c/d"]


@clause("MQTT5-4.5.0-1")
def test_a_group_whose_members_are_all_away_keeps_its_messages(server: Server) -> None:
    """[MQTT5 4.8.2]: like any session that was asked to be kept."""
    topic = fresh("t")
    kept = ((mb.SESSION_EXPIRY, 60),)
    peer = server.connect(clean=False, properties=kept)
    peer.subscribe((f"$share/g/{topic}", 1))
    peer.send(mb.disconnect())
    peer.end()
    publisher = server.connect()
    for number in range(5):
        publisher.publish(topic, b"%d" % number)

    back = server.connect(peer.client_id, clean=False, properties=kept)

    assert [got.payload for got in back.messages()] == [b"%d" % number for number in range(5)]
