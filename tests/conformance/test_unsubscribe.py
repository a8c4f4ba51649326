"""UNSUBSCRIBE and UNSUBACK [MQTT5 3.10, 3.11; 3.1.1 3.10, 3.11]."""

from __future__ import annotations

import pytest

import mqtt_bytes as mb
from mqtt_peer import Server, fresh

clause = pytest.mark.clause


@clause("MQTT5-3.10.4-4", "MQTT311-3.10.4-4", "MQTT5-3.10.4-2", "MQTT311-3.10.4-2")
def test_unsubscribe_is_answered_and_stops_delivery(server: Server, level: int) -> None:
    """What is published after the UNSUBACK does not come."""
    topic = fresh("t")
    peer = server.connect(level=level)
    peer.subscribe(topic)
    publisher = server.connect(level=level)
    publisher.publish(topic, b"before")
    assert [got.payload for got in peer.messages()] == [b"before"]

    got = peer.ask(mb.unsubscribe(topic, level=level, packet_id=700), kind=mb.UNSUBACK)
    publisher.publish(topic, b"after")

    assert got.packet_id == 700
    assert peer.messages() == []


@clause(
    "MQTT5-3.10.4-1 MQTT5-3.10.4-5 MQTT5-3.10.4-6 MQTT5-3.11.3-1 MQTT5-3.11.3-2",
    "MQTT311-3.10.4-1 MQTT311-3.10.4-5 MQTT311-3.10.4-6",
)
def test_filters_are_compared_character_by_character(server: Server, level: int) -> None:
    """A filter that would match is not the same filter; each has its code, in order, in one UNSUBACK."""
    topic = fresh("t")
    peer = server.connect(level=level)
    peer.subscribe((f"{topic}/+", 1), (f"{topic}/b", 1))

    asked = (f"{topic}/a", f"{topic}/#", f"{topic}/b", f"{topic}/B", f"{topic}/b", f"{topic}/+/")
    got = peer.ask(mb.unsubscribe(*asked, level=level), kind=mb.UNSUBACK)
    server.connect(level=level).publish(f"{topic}/c", b"p")

    if level == 5:
        assert got.reasons == [0x11, 0x11, 0x00, 0x11, 0x11, 0x11]
    else:
        assert got.wire == b"\xb0\x02\x00\x01"
    assert [one.payload for one in peer.messages()] == [b"p"]


@clause("MQTT5-3.10.4-5", "MQTT311-3.10.4-5")
def test_unsubscribing_from_nothing_is_answered(server: Server, level: int) -> None:
    """It is no error."""
    peer = server.connect(level=level)

    got = peer.ask(mb.unsubscribe(fresh("t"), level=level, packet_id=65_535), kind=mb.UNSUBACK)

    assert got.wire == (b"\xb0\x04\xff\xff\x00\x11" if level == 5 else b"\xb0\x02\xff\xff")


@clause("MQTT5-3.10.3-2", "MQTT311-3.10.3-2", "MQTT5-4.13.1-1", "MQTT311-4.8.0-1")
def test_unsubscribe_without_a_filter_ends_the_connection(server: Server, level: int) -> None:
    """It asks for nothing."""
    peer = server.connect(level=level)

    peer.send(mb.unsubscribe(level=level))

    peer.rejected(0x82, 0x81)


@clause("MQTT5-4.7.1-1", "MQTT311-4.7.1-2", "MQTT5-4.7.3-1", "MQTT311-4.7.3-1")
@pytest.mark.parametrize("topic_filter", ["", "a#", "#/a", "a+"])
def test_a_filter_that_is_none_ends_the_connection(server: Server, level: int, topic_filter: str) -> None:
    """As in SUBSCRIBE."""
    peer = server.connect(level=level)

    peer.send(mb.unsubscribe(topic_filter, level=level))

    peer.rejected(0x81, 0x82, 0x8F)


@clause("MQTT5-3.10.4-3", "MQTT311-3.10.4-3")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_delivery_that_has_begun_is_completed(server: Server, level: int, qos: int) -> None:
    """It is still the server's to send again on the next connection."""
    topic = fresh("t")
    kept = ((mb.SESSION_EXPIRY, 60),) if level == 5 else ()
    peer = server.connect(level=level, clean=False, properties=kept)
    peer.subscribe((topic, qos))
    server.connect(level=level).publish(topic, b"p", qos=qos)
    sent = peer.expect(mb.PUBLISH)
    assert sent.qos == qos

    peer.ask(mb.unsubscribe(topic, level=level), kind=mb.UNSUBACK)
    peer.send(mb.disconnect())
    peer.end()
    back = server.connect(peer.client_id, level=level, clean=False, properties=kept)
    got = back.expect(mb.PUBLISH)

    assert (got.packet_id, got.payload, got.dup) == (sent.packet_id, b"p", True)


@clause("MQTT5-3.10.4-1")
def test_a_shared_subscription_is_ended_by_its_full_name(fieldgate: Server) -> None:
    """`$share/g/t` and `t` are two filters."""
    topic = fresh("t")
    peer = fieldgate.connect()
    peer.subscribe((topic, 1))

    got = peer.ask(mb.unsubscribe(f"$share/g/{topic}", topic), kind=mb.UNSUBACK)

    assert got.reasons == [0x11, 0x00]


@clause("MQTT5-3.11.2-1", "MQTT5-3.11.2-2", "MQTT5-3.1.2-24")
def test_an_unsuback_is_never_larger_than_its_client_takes(server: Server) -> None:
    """Nothing but the codes."""
    limit = 40
    peer = server.connect(properties=((mb.MAX_PACKET, limit),))

    got = peer.ask(mb.unsubscribe(*(fresh("t") for _ in range(20))), kind=mb.UNSUBACK)

    assert len(got.wire) <= limit
    assert got.reasons == [0x11] * 20
