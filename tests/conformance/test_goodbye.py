"""PINGREQ, keep alive, DISCONNECT and AUTH [MQTT5 3.12 to 3.15, 4.12, 4.13; 3.1.1 3.12 to 3.14, 4.8]."""

from __future__ import annotations

import time

import pytest

import mqtt_bytes as mb
from mqtt_peer import BOTH_SLOWLY, Server, fresh

clause = pytest.mark.clause


@clause("MQTT5-3.12.4-1", "MQTT311-3.12.4-1")
def test_each_pingreq_is_answered(server: Server, level: int) -> None:
    """Also a hundred in one write."""
    peer = server.connect(level=level)

    peer.send(mb.PINGREQ * 100)

    assert [peer.next().wire for _ in range(100)] == [b"\xd0\x00"] * 100


@clause("MQTT5-3.1.2-22", "MQTT311-3.1.2-24", "MQTT5-3.2.2-22")
def test_a_silent_client_is_cut_off_after_one_and_a_half_times_its_keep_alive(fieldgate: Server, level: int) -> None:
    """Not before. Its will is published, and MQTT 5 clients are told 0x8D."""
    topic = fresh("w")
    watcher = fieldgate.connect(level=level)
    watcher.subscribe(topic)
    peer = fieldgate.connect(level=level, keep_alive=1, will=(topic, b"gone"))
    began_s = time.monotonic()

    peer.rejected(0x8D)

    assert time.monotonic() - began_s > 1.4
    assert watcher.expect(mb.PUBLISH).payload == b"gone"


@clause("MQTT5-3.1.2-22", "MQTT311-3.1.2-24")
@pytest.mark.parametrize("sent", [mb.PINGREQ, mb.publish("t", level=4)], ids=["PINGREQ", "PUBLISH"])
def test_any_packet_is_a_sign_of_life(fieldgate: Server, sent: bytes) -> None:
    """Not only PINGREQ."""
    peer = fieldgate.connect(level=4, keep_alive=1)

    for _ in range(4):
        fieldgate.wait(0.5)
        peer.send(sent)

    assert peer.drain() == []


@clause("MQTT5-3.1.2-22", "MQTT311-3.1.2-24")
def test_keep_alive_0_has_no_limit(fieldgate: Server, level: int) -> None:
    """FAULTS 69: it is legal; what an MQTT 5 client is asked for instead is told to it."""
    peer = fieldgate.connect(level=level, keep_alive=0)

    fieldgate.wait(2.0)

    server_s = peer.connack.prop(mb.SERVER_KEEP_ALIVE)
    assert server_s is None or server_s >= 60, "the server may ask for a sign of life now and then"
    assert peer.drain() == []


@clause("MQTT5-3.14.4-1", "MQTT5-3.14.4-2")
def test_nothing_behind_a_disconnect_is_processed(server: Server, level: int) -> None:
    """The server closes what its client has left."""
    topic = fresh("t")
    watcher = server.connect(level=level)
    watcher.subscribe(topic)
    peer = server.connect(level=level)

    peer.send(mb.disconnect(), mb.publish(topic, b"p", level=level), mb.PINGREQ)

    assert peer.end() == []
    assert watcher.messages() == []


@clause("MQTT5-3.14.2-1", "MQTT5-3.14.2-2", "MQTT5-3.14.4-1", "MQTT5-3.14.4-2", "MQTT5-4.13.2-1")
@pytest.mark.parametrize(
    "sent",
    [b"\xc1\x00", b"\x82\x02\x00\x01", b"\x36\x04\x00\x01t\x00", b"\x30\xff\xff\xff\x7f", b"\x20\x02\x00\x00"],
    ids=["flags", "cut short", "QoS 3", "too large", "CONNACK"],
)
def test_a_servers_disconnect_is_its_last_word(fieldgate: Server, sent: bytes) -> None:
    """One code of the table, no session expiry, then the close; nothing of what came behind is answered."""
    peer = fieldgate.connect()

    peer.send(sent + mb.PINGREQ * 3)

    (got,) = peer.end()
    assert got.reason in (0x81, 0x82, 0x95)
    assert got.prop(mb.SESSION_EXPIRY) is None


@clause("MQTT5-3.14.2-3", "MQTT5-3.14.2-4", "MQTT5-3.1.2-24")
@pytest.mark.parametrize("limit", [24, 30, 50, 100])
def test_a_disconnect_is_never_larger_than_its_client_takes(fieldgate: Server, limit: int) -> None:
    """The reason string is left out where there is no room for it."""
    peer = fieldgate.connect(properties=((mb.MAX_PACKET, limit),))

    peer.send(mb.publish("a/" * 60 + "#"))

    (got,) = peer.end()
    assert len(got.wire) <= limit
    assert got.reason in (0x81, 0x82, 0x90)


@clause("MQTT5-3.14.2-1", "MQTT5-4.13.1-1")
@pytest.mark.parametrize("reason", [0x01, 0x10, 0x11, 0x18, 0x84, 0xFF], ids=hex)
def test_a_disconnect_with_a_code_that_is_not_of_its_table_ends_the_connection(fieldgate: Server, reason: int) -> None:
    """With a word about it."""
    peer = fieldgate.connect()

    peer.send(mb.disconnect(reason))

    peer.rejected(0x81, 0x82)


@clause("MQTT5-3.14.2-1")
@pytest.mark.parametrize(
    "sent",
    [
        b"\xe0\x00",
        b"\xe0\x01\x00",
        b"\xe0\x02\x00\x00",
        b"\xe0\x01\x04",
        b"\xe0\x01\x80",
        mb.disconnect(0, ((mb.REASON, "why"), (mb.USER, ("a", "b")))),
    ],
    ids=bytes.hex,
)
def test_every_form_of_disconnect_is_understood(server: Server, sent: bytes) -> None:
    """Code and properties may be left out."""
    peer = server.connect()

    peer.send(sent)

    assert peer.end() == []


@clause("MQTT5-4.12.1-2", "MQTT5-4.13.1-1")
@pytest.mark.parametrize("reason", [0x00, 0x18, 0x19], ids=hex)
def test_auth_from_who_asked_for_none_ends_the_connection(server: Server, reason: int) -> None:
    """[MQTT5 4.12]: a protocol error."""
    peer = server.connect()

    peer.send(mb.auth(reason, (mb.AUTH_METHOD, "m")))

    peer.rejected(0x82, 0x8C)


@clause("MQTT5-3.1.2-29")
@pytest.mark.parametrize("asked", [0, 1])
def test_reasons_are_explained_only_to_who_asks(server: Server, asked: int) -> None:
    """Request Problem Information 0: no Reason String and no User Property on an acknowledgement."""
    peer = server.connect(properties=((mb.PROBLEM_INFO, asked),))

    answers = [
        peer.ask(mb.subscribe(("/".join("a" * 150), 0)), kind=mb.SUBACK),
        peer.ask(mb.unsubscribe(fresh("t")), kind=mb.UNSUBACK),
        peer.ask(mb.publish("t", qos=1, packet_id=1), kind=mb.PUBACK),
        peer.ask(mb.ack(mb.PUBREL, 9), kind=mb.PUBCOMP),
    ]

    if asked == 0:
        assert all(got.prop(mb.REASON) is None and not got.all_of(mb.USER) for got in answers)


@clause("MQTT311-4.8.0-1", "MQTT5-4.13.1-1", "MQTT5-4.13.2-1")
def test_one_clients_error_is_nobody_elses(server: Server, level: int) -> None:
    """P8."""
    topic = fresh("t")
    others = [server.connect(level=level) for _ in range(5)]
    for other in others:
        other.subscribe(topic)
    bad = server.connect(level=level)

    bad.send(mb.packet(0x30, b"\0\5a"))
    bad.rejected(0x81)
    server.connect(level=level).publish(topic, b"p")

    assert [[got.payload for got in other.messages()] for other in others] == [[b"p"]] * 5


@clause("MQTT311-7.0.0-1", "MQTT311-7.0.0-2", "MQTT311-7.1.1-1")
def test_a_plain_client_needs_nothing_beyond_the_standard(server: Server, level: int) -> None:
    """Connect, subscribe, publish, receive, say goodbye: with no option set at all."""
    topic = fresh("t")
    peer = server.connect(level=level)
    peer.subscribe((topic, 1))
    peer.publish(topic, b"p", qos=1)
    assert [got.payload for got in peer.messages()] == [b"p"]

    peer.send(mb.disconnect())

    assert peer.end() == []


@BOTH_SLOWLY
@clause("MQTT5-3.1.2-22", "MQTT311-3.1.2-24")
def test_a_client_that_pings_in_time_lives(server: Server) -> None:
    """For more than twice its keep alive."""
    peer = server.connect(keep_alive=1)

    for _ in range(3):
        server.wait(0.7, exactly=True)
        assert peer.drain() == []
