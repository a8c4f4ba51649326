"""QoS 0, 1 and 2 [MQTT5 4.3; 3.1.1 4.3] and their acknowledgements [MQTT5 3.4 to 3.7], in both directions."""

from __future__ import annotations

import pytest

import mqtt_bytes as mb
from mqtt_peer import BOTH_SLOWLY, Peer, Server, fresh

clause = pytest.mark.clause


def watching(server: Server, topic: str, level: int, qos: int = 0) -> Peer:
    watcher = server.connect(level=level)
    watcher.subscribe((topic, qos))
    return watcher


# from a client to the server


@clause("MQTT5-4.3.2-5", "MQTT311-4.3.2-2")
@pytest.mark.parametrize("dup", [False, True])
def test_after_its_puback_an_id_is_a_new_message(server: Server, level: int, dup: bool) -> None:
    """Even with DUP: the client has forgotten the old one."""
    topic = fresh("t")
    watcher = watching(server, topic, level)
    peer = server.connect(level=level)

    for _ in range(3):
        peer.ask(mb.publish(topic, b"same", level=level, qos=1, packet_id=5, dup=dup), kind=mb.PUBACK)

    assert [got.payload for got in watcher.messages()] == [b"same"] * 3


@clause("MQTT5-4.3.3-10", "MQTT311-4.3.3-2")
@pytest.mark.mosquitto_differs("ends a client that sends a message of QoS 2 again on the same connection")
@pytest.mark.parametrize("dup", [False, True])
def test_until_its_pubrel_an_id_is_no_second_message(server: Server, level: int, dup: bool) -> None:
    """It is answered by PUBREC each time, and delivered once."""
    topic = fresh("t")
    watcher = watching(server, topic, level)
    peer = server.connect(level=level)

    peer.ask(mb.publish(topic, b"once", level=level, qos=2, packet_id=5), kind=mb.PUBREC)
    for _ in range(3):
        got = peer.ask(mb.publish(topic, b"once", level=level, qos=2, packet_id=5, dup=dup), kind=mb.PUBREC)
        assert got.reason in (0, 0x10)
    peer.ask(mb.ack(mb.PUBREL, 5), kind=mb.PUBCOMP)

    assert [got.payload for got in watcher.messages()] == [b"once"]


@clause("MQTT5-4.3.3-10", "MQTT311-4.3.3-2")
@pytest.mark.fieldgate_lacks("the second joins the first while that is not safe, and shares its PUBREC: on purpose")
@pytest.mark.mosquitto_differs("ends a client that sends a message of QoS 2 again on the same connection")
def test_each_of_two_in_one_write_is_answered(server: Server, level: int) -> None:
    """Though the second came before the first was answered."""
    topic = fresh("t")
    watcher = watching(server, topic, level)
    peer = server.connect(level=level)
    one = mb.publish(topic, b"once", level=level, qos=2, packet_id=5)

    peer.send(one, one)

    assert [got.packet_id for got in peer.drain()] == [5, 5]
    assert [got.payload for got in watcher.messages()] == [b"once"]


@clause("MQTT5-4.3.3-11", "MQTT5-4.3.3-12", "MQTT311-4.3.3-2")
def test_after_its_pubcomp_an_id_is_a_new_message(server: Server, level: int) -> None:
    """The exchange is over for both sides."""
    topic = fresh("t")
    watcher = watching(server, topic, level)
    peer = server.connect(level=level)

    for _ in range(3):
        peer.ask(mb.publish(topic, b"same", level=level, qos=2, packet_id=5), kind=mb.PUBREC)
        assert peer.ask(mb.ack(mb.PUBREL, 5), kind=mb.PUBCOMP).packet_id == 5

    assert [got.payload for got in watcher.messages()] == [b"same"] * 3


@clause("MQTT5-4.3.3-11", "MQTT5-3.7.2-1", "MQTT311-4.3.3-2")
def test_pubrel_for_an_id_that_is_not_known_is_completed(server: Server, level: int) -> None:
    """A client that lost its PUBCOMP sends PUBREL again; MQTT 5 clients are told 0x92."""
    peer = server.connect(level=level)

    got = peer.ask(mb.ack(mb.PUBREL, 123), kind=mb.PUBCOMP)

    assert got.packet_id == 123
    assert got.reason in ((0, 0x92) if level == 5 else (0,))


@clause("MQTT5-4.3.3-9")
def test_the_same_id_at_another_qos_is_another_message(server: Server) -> None:
    """Ids of QoS 1 and QoS 2 that were completed are free for either."""
    topic = fresh("t")
    watcher = watching(server, topic, 5)
    peer = server.connect()

    peer.ask(mb.publish(topic, b"1", qos=1, packet_id=5), kind=mb.PUBACK)
    peer.ask(mb.publish(topic, b"2", qos=2, packet_id=5), kind=mb.PUBREC)
    peer.ask(mb.ack(mb.PUBREL, 5), kind=mb.PUBCOMP)
    peer.ask(mb.publish(topic, b"3", qos=1, packet_id=5), kind=mb.PUBACK)

    assert [got.payload for got in watcher.messages()] == [b"1", b"2", b"3"]


@clause("MQTT5-4.3.3-13")
@BOTH_SLOWLY
def test_a_qos_2_exchange_goes_on_when_its_message_has_expired(server: Server) -> None:
    """Nobody was there to get it; the ids are still to be settled."""
    peer = server.connect()
    peer.ask(mb.publish(fresh("t"), b"p", qos=2, packet_id=5, properties=((mb.EXPIRY, 1),)), kind=mb.PUBREC)

    server.wait(1.1)

    assert peer.ask(mb.ack(mb.PUBREL, 5), kind=mb.PUBCOMP).reason == 0


@clause("MQTT311-4.6.0-2", "MQTT311-4.6.0-3", "MQTT5-4.3.2-4", "MQTT5-4.3.3-8")
def test_acknowledgements_come_in_the_order_of_the_publishes(server: Server, level: int) -> None:
    """A hundred of either kind in one write."""
    topic = fresh("t")
    peer = server.connect(level=level)
    qualities = [1 + number % 2 for number in range(18)]

    peer.send(
        *(mb.publish(topic, level=level, qos=qos, packet_id=300 + number) for number, qos in enumerate(qualities))
    )
    got = [peer.next() for _ in qualities]

    assert [(one.kind, one.packet_id) for one in got] == [
        (mb.PUBACK if qos == 1 else mb.PUBREC, 300 + number) for number, qos in enumerate(qualities)
    ]


@clause("MQTT5-3.6.2-1", "MQTT5-4.13.1-1")
@pytest.mark.parametrize("kind", [mb.PUBACK, mb.PUBREC, mb.PUBREL, mb.PUBCOMP])
@pytest.mark.parametrize("reason", [0x01, 0x04, 0x11, 0x18, 0x81, 0xA2, 0xFF])
def test_a_reason_that_is_not_of_its_table_ends_the_connection(fieldgate: Server, kind: int, reason: int) -> None:
    """[MQTT5 3.4.2.1 to 3.7.2.1]."""
    peer = fieldgate.connect()

    peer.send(mb.ack(kind, 1, reason))

    peer.rejected(0x81, 0x82)


@clause("MQTT5-2.2.1-5")
@pytest.mark.parametrize("kind", [mb.PUBACK, mb.PUBREC, mb.PUBCOMP])
def test_an_acknowledgement_that_nobody_waits_for_is_harmless(server: Server, level: int, kind: int) -> None:
    """It may be for a message that the server has given up; the answer to a PUBREC is a PUBREL that says so."""
    peer = server.connect(level=level)

    peer.send(mb.ack(kind, 4321))

    got = peer.drain()
    assert [(one.kind, one.packet_id) for one in got] == ([(mb.PUBREL, 4321)] if kind == mb.PUBREC else [])
    if got and level == 5:
        assert got[0].reason in (0, 0x92)


# from the server to a client


@clause("MQTT5-4.3.2-1 MQTT5-4.3.2-2 MQTT5-2.2.1-4 MQTT5-3.3.1-1", "MQTT311-4.3.2-1 MQTT311-2.3.1-1 MQTT311-2.3.1-4")
def test_deliveries_of_qos_1_have_ids_of_their_own_and_no_dup(server: Server, level: int) -> None:
    """As long as none is acknowledged, no id is used twice."""
    topic = fresh("t")
    watcher = watching(server, topic, level, 1)
    publisher = server.connect(level=level)

    for number in range(15):
        publisher.publish(topic, b"%d" % number)
    got = [watcher.expect(mb.PUBLISH) for _ in range(15)]

    assert {(one.qos, one.dup) for one in got} == {(1, False)}
    assert len({one.packet_id for one in got}) == 15
    assert 0 not in {one.packet_id for one in got}


@clause(
    "MQTT5-4.3.3-1 MQTT5-4.3.3-2 MQTT5-4.3.3-3 MQTT5-4.3.3-4 MQTT5-4.3.3-5 MQTT5-3.6.2-1",
    "MQTT311-4.3.3-1",
)
def test_a_delivery_of_qos_2_goes_through_its_four_packets(server: Server, level: int) -> None:
    """PUBLISH, PUBREC, PUBREL, PUBCOMP, all with one id; nothing is said twice in between."""
    topic = fresh("t")
    watcher = watching(server, topic, level, 2)
    server.connect(level=level).publish(topic, b"p", qos=2)

    sent = watcher.expect(mb.PUBLISH)
    assert watcher.drain() == []
    pubrel = watcher.ask(mb.ack(mb.PUBREC, sent.packet_id), kind=mb.PUBREL)
    assert watcher.drain() == []
    watcher.send(mb.ack(mb.PUBCOMP, sent.packet_id))

    assert (sent.qos, sent.dup) == (2, False)
    assert (pubrel.first, pubrel.packet_id, pubrel.reason) == (0x62, sent.packet_id, 0)
    assert watcher.drain() == []


@clause("MQTT311-4.6.0-4", "MQTT5-4.3.3-4")
def test_pubrels_come_in_the_order_of_the_pubrecs(server: Server, level: int) -> None:
    """Also where that is not the order of the messages."""
    topic = fresh("t")
    watcher = watching(server, topic, level, 2)
    publisher = server.connect(level=level)
    for number in range(6):
        publisher.publish(topic, b"%d" % number, qos=2)
    ids = [watcher.expect(mb.PUBLISH).packet_id for _ in range(6)]
    order = [ids[at] for at in (3, 0, 5, 1, 4, 2)]

    watcher.send(*(mb.ack(mb.PUBREC, packet_id) for packet_id in order))

    assert [watcher.expect(mb.PUBREL).packet_id for _ in order] == order


@clause("MQTT5-4.4.0-2", "MQTT5-4.8.2-6")
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("reason", [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99])
def test_a_delivery_that_was_refused_is_acknowledged_and_not_sent_again(server: Server, qos: int, reason: int) -> None:
    """Not on the next connection either; after a PUBREC like that there is no PUBREL."""
    topic = fresh("t")
    kept = ((mb.SESSION_EXPIRY, 60),)
    watcher = server.connect(clean=False, properties=kept)
    watcher.subscribe((topic, qos))
    server.connect().publish(topic, b"p", qos=qos)
    sent = watcher.expect(mb.PUBLISH)
    assert sent.qos == qos

    watcher.send(mb.ack(mb.PUBACK if qos == 1 else mb.PUBREC, sent.packet_id, reason))
    assert watcher.drain() == []
    watcher.send(mb.disconnect())
    watcher.end()

    assert server.connect(watcher.client_id, clean=False, properties=kept).drain() == []


@clause("MQTT5-4.3.3-7")
@BOTH_SLOWLY
def test_expiry_does_not_end_a_qos_2_exchange_that_has_begun(server: Server) -> None:
    """The PUBREC comes late; the PUBREL comes all the same."""
    topic = fresh("t")
    watcher = watching(server, topic, 5, 2)
    server.connect().publish(topic, b"p", qos=2, properties=((mb.EXPIRY, 1),))
    sent = watcher.expect(mb.PUBLISH)

    server.wait(1.3)

    assert watcher.ask(mb.ack(mb.PUBREC, sent.packet_id), kind=mb.PUBREL).reason == 0


@clause(
    "MQTT5-3.4.2-2 MQTT5-3.4.2-3 MQTT5-3.5.2-2 MQTT5-3.5.2-3 MQTT5-3.6.2-2 MQTT5-3.6.2-3 MQTT5-3.7.2-2 MQTT5-3.7.2-3"
)
@pytest.mark.parametrize("limit", [24, 30, 50, 100, 200])
def test_acknowledgements_are_never_larger_than_their_client_takes(server: Server, limit: int) -> None:
    """A reason may be explained only where there is room."""
    peer = server.connect(properties=((mb.MAX_PACKET, limit),))

    answers = [
        peer.ask(mb.publish("t", qos=1, packet_id=1), kind=mb.PUBACK),
        peer.ask(mb.publish("t", qos=2, packet_id=2), kind=mb.PUBREC),
        peer.ask(mb.ack(mb.PUBREL, 2), kind=mb.PUBCOMP),
        peer.ask(mb.ack(mb.PUBREL, 3), kind=mb.PUBCOMP),
    ]

    assert max(len(got.wire) for got in answers) <= limit
