"""Flow control [MQTT5 3.3.4, 4.9] and order [MQTT5 4.6; 3.1.1 4.6]."""

from __future__ import annotations

import pytest

import mqtt_bytes as mb
from mqtt_peer import Server, fresh

clause = pytest.mark.clause


@clause("MQTT5-3.3.4-9 MQTT5-4.9.0-1 MQTT5-4.9.0-2 MQTT5-3.3.4-10 MQTT5-4.9.0-3")
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.mosquitto_differs("sends two for each acknowledgement", window=(2, 7))
@pytest.mark.parametrize("window", [1, 2, 7])
def test_no_more_than_receive_maximum_is_on_the_way(server: Server, window: int, qos: int) -> None:
    """Pings and subscriptions are answered meanwhile; each acknowledgement makes room for one."""
    topic = fresh("t")
    watcher = server.connect(properties=((mb.RECEIVE_MAX, window),))
    watcher.subscribe((topic, qos))
    publisher = server.connect()
    for number in range(10):
        publisher.publish(topic, b"%d" % number, qos=qos)

    sent = [watcher.expect(mb.PUBLISH) for _ in range(window)]
    assert watcher.drain() == []
    assert watcher.subscribe((fresh("t"), 0)) == [0]
    payloads = [got.payload for got in sent]
    while len(payloads) < 10:
        packet_id = sent.pop(0).packet_id
        watcher.send(mb.ack(mb.PUBACK if qos == 1 else mb.PUBREC, packet_id))
        if qos == 2:
            assert watcher.expect(mb.PUBREL).packet_id == packet_id
            assert watcher.drain() == [], "PUBREC alone makes no room"
            watcher.send(mb.ack(mb.PUBCOMP, packet_id))
        (got,) = watcher.drain()
        sent.append(got)
        payloads.append(got.payload)

    assert payloads == [b"%d" % number for number in range(10)]


@clause("MQTT5-3.3.4-9", "MQTT5-4.4.0-2")
def test_a_refusing_pubrec_makes_room(server: Server) -> None:
    """It ends the exchange."""
    topic = fresh("t")
    watcher = server.connect(properties=((mb.RECEIVE_MAX, 1),))
    watcher.subscribe((topic, 2))
    publisher = server.connect()
    for number in range(2):
        publisher.publish(topic, b"%d" % number, qos=2)

    watcher.send(mb.ack(mb.PUBREC, watcher.expect(mb.PUBLISH).packet_id, 0x97))

    assert watcher.expect(mb.PUBLISH).payload == b"1"


@clause("MQTT5-4.9.0-3", "MQTT5-3.3.4-10")
def test_qos_0_may_pass_a_full_window_or_wait_but_is_not_lost(server: Server) -> None:
    """[MQTT5 4.9] leaves it to the sender."""
    topic = fresh("t")
    watcher = server.connect(properties=((mb.RECEIVE_MAX, 1),))
    watcher.subscribe((topic, 1))
    publisher = server.connect()
    publisher.publish(topic, b"1", qos=1)
    publisher.publish(topic, b"2", qos=1)
    publisher.publish(topic, b"3", qos=0)

    assert sorted(got.payload for got in watcher.messages()) == [b"1", b"2", b"3"]


@clause("MQTT5-4.9.0-1")
def test_who_announces_no_receive_maximum_gets_more_than_a_few(server: Server) -> None:
    """Its default is 65,535; a server may use less and must use some."""
    topic = fresh("t")
    watcher = server.connect()
    watcher.subscribe((topic, 1))
    publisher = server.connect()
    for number in range(15):
        publisher.publish(topic, b"%d" % number)

    assert [watcher.expect(mb.PUBLISH).payload for _ in range(15)] == [b"%d" % number for number in range(15)]


@clause("MQTT5-4.13.1-1")
@pytest.mark.mosquitto_differs("answers with a PUBREC of 0x97")
def test_more_than_the_servers_receive_maximum_ends_the_connection(server: Server) -> None:
    """[MQTT5 3.3.4]: 0x93. QoS 2 that is never released fills it."""
    peer = server.connect()
    limit = peer.connack.prop(mb.RECEIVE_MAX)
    assert limit is not None

    peer.send(*(mb.publish("t", qos=2, packet_id=number + 1) for number in range(limit)))
    for _ in range(limit):
        peer.expect(mb.PUBREC)
    peer.send(mb.publish("t", qos=2, packet_id=limit + 1))

    said = [got for got in peer.end() if got.kind != mb.PUBREC]
    assert [got.reason for got in said] == [0x93]


def test_as_many_as_the_servers_receive_maximum_are_taken(server: Server) -> None:
    """[MQTT5 3.2.2.3.3]: the limit itself is within the limit, again and again."""
    peer = server.connect()
    limit = peer.connack.prop(mb.RECEIVE_MAX)

    for _ in range(2):
        peer.send(*(mb.publish("t", qos=2, packet_id=number + 1) for number in range(limit)))
        assert [peer.expect(mb.PUBREC).packet_id for _ in range(limit)] == list(range(1, limit + 1))
        peer.send(*(mb.ack(mb.PUBREL, number + 1) for number in range(limit)))
        assert [peer.expect(mb.PUBCOMP).packet_id for _ in range(limit)] == list(range(1, limit + 1))


@clause("MQTT5-4.6.0-5 MQTT5-4.6.0-6", "MQTT311-4.6.0-5 MQTT311-4.6.0-6")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_of_one_client_keep_their_order(server: Server, level: int, qos: int) -> None:
    """Fifteen in one write, over a topic each and over one topic."""
    topic = fresh("t")
    watcher = server.connect(level=level)
    watcher.subscribe((f"{topic}/#", qos))
    publisher = server.connect(level=level)

    for number in range(15):
        sent = mb.publish(f"{topic}/{number % 3}", b"%d" % number, level=level, qos=qos, packet_id=number + 1)
        publisher.send(sent, mb.ack(mb.PUBREL, number + 1) if qos == 2 else b"")
    publisher.drain()

    assert [got.payload for got in watcher.messages()] == [b"%d" % number for number in range(15)]


@clause("MQTT5-4.6.0-5", "MQTT311-4.6.0-6")
def test_retained_messages_do_not_pass_or_replace_live_ones(server: Server, level: int) -> None:
    """What is published after the SUBACK comes after what was retained."""
    topic = fresh("t")
    publisher = server.connect(level=level)
    publisher.publish(topic, b"old", retain=True)
    watcher = server.connect(level=level)
    watcher.subscribe((topic, 1))

    publisher.publish(topic, b"new", retain=True)

    assert [(got.payload, got.retain) for got in watcher.messages()] == [(b"old", True), (b"new", False)]
