"""Sessions [MQTT5 3.1.2.4, 3.1.2.11.2, 4.1, 4.4; 3.1.1 3.1.2.4, 4.1, 4.4]: what outlives a connection, and what not."""

from __future__ import annotations

import pytest

import mqtt_bytes as mb
from mqtt_peer import BOTH_SLOWLY, Peer, Server, fresh

clause = pytest.mark.clause


def keeping(
    server: Server, level: int, client_id: str | None = None, *, clean: bool = False, expiry_s: int = 60
) -> Peer:
    """A client whose session outlives its connection."""
    properties = ((mb.SESSION_EXPIRY, expiry_s),) if level == 5 else ()
    return server.connect(client_id, level=level, clean=clean, properties=properties)


def left(peer: Peer) -> None:
    """The client has said goodbye and the server has seen it."""
    peer.send(mb.disconnect())
    assert peer.end() == []


@clause(
    "MQTT5-3.1.2-5 MQTT5-4.1.0-1 MQTT5-3.1.2-23 MQTT5-4.5.0-1",
    "MQTT311-3.1.2-4 MQTT311-4.1.0-1 MQTT311-3.1.2-5 MQTT311-4.5.0-1",
)
@pytest.mark.parametrize("is_polite", [True, False], ids=["after DISCONNECT", "after a break"])
@pytest.mark.parametrize("qos", [1, 2])
def test_what_came_while_a_client_was_away_is_delivered_in_order_when_it_is_back(
    server: Server, level: int, qos: int, is_polite: bool
) -> None:
    """The reason why sessions exist."""
    topic = fresh("t")
    away = keeping(server, level)
    away.subscribe((topic, qos))
    left(away) if is_polite else away.vanish()
    publisher = server.connect(level=level)
    for number in range(10):
        publisher.publish(topic, b"%d" % number, qos=qos)

    back = keeping(server, level, away.client_id)

    got = back.messages()
    assert back.connack.session_present
    assert [one.payload for one in got] == [b"%d" % number for number in range(10)]
    assert {one.qos for one in got} == {qos}
    if is_polite:  # a break is noticed in its own time; what was written into it comes again with DUP
        assert {one.dup for one in got} == {False}


@clause("MQTT5-3.1.2-6", "MQTT311-3.1.2-4", "MQTT5-3.1.3-2", "MQTT311-3.1.3-2")
def test_another_client_id_has_another_session(server: Server, level: int) -> None:
    """A session belongs to its client id and to nobody else."""
    topic = fresh("t")
    first = keeping(server, level)
    first.subscribe(topic)
    left(first)

    other = keeping(server, level)
    server.connect(level=level).publish(topic, b"p")

    assert not other.connack.session_present
    assert other.messages() == []


@clause("MQTT311-3.1.2-6", "MQTT5-4.1.0-2", "MQTT5-3.1.2-4")
def test_a_session_that_was_not_to_be_kept_is_gone_with_its_connection(server: Server, level: int) -> None:
    """Clean session in 3.1.1, session expiry 0 in MQTT 5."""
    topic = fresh("t")
    first = server.connect(level=level)
    first.subscribe(topic)
    left(first)
    server.connect(level=level).publish(topic, b"p")

    again = server.connect(first.client_id, level=level, clean=False)

    assert not again.connack.session_present
    assert again.messages() == []


@clause("MQTT5-4.1.0-1", "MQTT311-4.1.0-2")
def test_a_session_of_expiry_0_lasts_as_long_as_its_connection(server: Server, level: int) -> None:
    """However long that is."""
    topic = fresh("t")
    peer = server.connect(level=level)
    peer.subscribe(topic)

    for number in range(3):
        server.connect(level=level).publish(topic, b"%d" % number)
        server.connect(level=level)

    assert [got.payload for got in peer.messages()] == [b"0", b"1", b"2"]


@clause(
    "MQTT5-4.4.0-1 MQTT5-3.3.1-1 MQTT5-4.3.2-3",
    "MQTT311-4.4.0-1 MQTT311-3.3.1-1 MQTT311-2.3.1-4 MQTT311-4.6.0-1 MQTT311-4.6.0-6 MQTT311-4.3.2-1",
)
@pytest.mark.parametrize("qos", [1, 2])
def test_unacknowledged_deliveries_come_again_with_dup_in_their_order_and_under_their_ids(
    server: Server, level: int, qos: int
) -> None:
    """Then what was new; and nothing that was acknowledged."""
    topic = fresh("t")
    first = keeping(server, level)
    first.subscribe((topic, qos))
    publisher = server.connect(level=level)
    for number in range(5):
        publisher.publish(topic, b"%d" % number, qos=qos)
    sent = [first.expect(mb.PUBLISH) for _ in range(5)]
    first.send(mb.ack(mb.PUBACK if qos == 1 else mb.PUBREC, sent[0].packet_id))
    if qos == 2:
        first.expect(mb.PUBREL)
        first.send(mb.ack(mb.PUBCOMP, sent[0].packet_id))
    left(first)
    publisher.publish(topic, b"5", qos=qos)

    back = keeping(server, level, first.client_id)

    got = [back.expect(mb.PUBLISH) for _ in range(5)]
    assert [one.payload for one in got] == [b"1", b"2", b"3", b"4", b"5"]
    assert [one.dup for one in got] == [True] * 4 + [False]
    assert [one.packet_id for one in got[:4]] == [one.packet_id for one in sent[1:]]
    assert got[4].packet_id not in {one.packet_id for one in sent[1:]}


@clause(
    "MQTT5-4.4.0-1 MQTT5-4.3.3-5 MQTT5-4.3.3-6",
    "MQTT311-4.4.0-1 MQTT311-4.3.3-1",
)
def test_an_unanswered_pubrel_comes_again_and_its_publish_does_not(server: Server, level: int) -> None:
    """Once PUBREL was sent, sending the PUBLISH again would make two messages of one."""
    topic = fresh("t")
    first = keeping(server, level)
    first.subscribe((topic, 2))
    server.connect(level=level).publish(topic, b"p", qos=2)
    sent = first.expect(mb.PUBLISH)
    first.ask(mb.ack(mb.PUBREC, sent.packet_id), kind=mb.PUBREL)
    first.vanish()

    back = keeping(server, level, first.client_id)

    assert back.expect(mb.PUBREL).packet_id == sent.packet_id
    back.send(mb.ack(mb.PUBCOMP, sent.packet_id))
    assert back.drain() == []


@clause("MQTT5-4.4.0-1", "MQTT5-4.3.2-3")
def test_nothing_is_sent_again_while_the_connection_stands(server: Server) -> None:
    """MQTT 5 forbids it; a client that is slow is not helped by more."""
    topic = fresh("t")
    peer = server.connect()
    peer.subscribe((topic, 1))
    server.connect().publish(topic, b"p")
    peer.expect(mb.PUBLISH)

    for _ in range(5):
        assert peer.drain() == []


@clause("MQTT5-4.3.3-10", "MQTT311-4.3.3-2", "MQTT5-4.1.0-1")
def test_qos_2_ids_that_were_not_released_are_known_after_reconnecting(server: Server, level: int) -> None:
    """A publisher whose connection broke before PUBREC sends again, and its message is one message."""
    topic = fresh("t")
    watcher = server.connect(level=level)
    watcher.subscribe(topic)
    first = keeping(server, level)
    first.ask(mb.publish(topic, b"p", level=level, qos=2, packet_id=8), kind=mb.PUBREC)
    first.vanish()

    back = keeping(server, level, first.client_id)
    back.ask(mb.publish(topic, b"p", level=level, qos=2, packet_id=8, dup=True), kind=mb.PUBREC)
    assert back.ask(mb.ack(mb.PUBREL, 8), kind=mb.PUBCOMP).reason == 0

    assert [got.payload for got in watcher.messages()] == [b"p"]


@clause("MQTT5-3.1.2-4", "MQTT311-3.1.2-6")
def test_a_clean_start_forgets_qos_2_ids_too(server: Server, level: int) -> None:
    """A new session has no old packet ids."""
    topic = fresh("t")
    watcher = server.connect(level=level)
    watcher.subscribe(topic)
    first = keeping(server, level)
    first.ask(mb.publish(topic, b"old", level=level, qos=2, packet_id=8), kind=mb.PUBREC)
    first.vanish()

    again = keeping(server, level, first.client_id, clean=True)
    again.ask(mb.publish(topic, b"new", level=level, qos=2, packet_id=8), kind=mb.PUBREC)
    again.ask(mb.ack(mb.PUBREL, 8), kind=mb.PUBCOMP)

    assert [got.payload for got in watcher.messages()][-1] == b"new"


def test_disconnect_can_end_a_session_and_change_its_expiry(server: Server) -> None:
    """[MQTT5 3.14.2.2.2]."""
    first = keeping(server, 5)
    first.send(mb.disconnect(0, ((mb.SESSION_EXPIRY, 0),)))
    first.end()

    assert not keeping(server, 5, first.client_id).connack.session_present


def test_disconnect_cannot_make_a_session_of_none(server: Server) -> None:
    """[MQTT5 3.14.2.2.2]: a protocol error."""
    peer = server.connect()

    peer.send(mb.disconnect(0, ((mb.SESSION_EXPIRY, 10),)))

    peer.rejected(0x82)


@clause("MQTT5-4.1.0-2")
@BOTH_SLOWLY
def test_a_session_is_discarded_when_its_expiry_has_passed(server: Server) -> None:
    """One second here."""
    first = keeping(server, 5, expiry_s=1)
    left(first)

    server.wait(2.0)

    assert not keeping(server, 5, first.client_id).connack.session_present


@clause("MQTT311-3.1.2-7")
def test_retained_messages_outlive_the_session_of_their_publisher(server: Server, level: int) -> None:
    """They belong to the topic."""
    topic = fresh("t")
    publisher = server.connect(level=level)
    publisher.publish(topic, b"kept", retain=True)
    left(publisher)

    reader = server.connect(level=level)
    reader.subscribe(topic)

    assert [(got.payload, got.retain) for got in reader.messages()] == [(b"kept", True)]


@clause("MQTT5-3.1.2-5", "MQTT5-4.1.0-1")
def test_a_session_may_be_taken_up_by_the_other_version(server: Server) -> None:
    """A device whose firmware was updated keeps its messages."""
    topic = fresh("t")
    old = keeping(server, 4)
    old.subscribe((topic, 1))
    left(old)
    server.connect().publish(topic, b"p", properties=((mb.USER, ("n", "v")),))

    new = keeping(server, 5, old.client_id)

    assert new.connack.session_present
    assert [got.payload for got in new.messages()] == [b"p"]


@clause("MQTT5-3.1.4-3", "MQTT5-3.1.2-5", "MQTT311-3.1.4-2")
def test_a_takeover_keeps_the_session(server: Server, level: int) -> None:
    """The subscriptions of the first connection are the second's."""
    topic = fresh("t")
    first = keeping(server, level)
    first.subscribe(topic)

    second = keeping(server, level, first.client_id)
    server.connect(level=level).publish(topic, b"p")

    assert second.connack.session_present
    assert [got.payload for got in second.messages()] == [b"p"]
