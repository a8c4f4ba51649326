"""PUBLISH [MQTT5 3.3; 3.1.1 3.3]: flags, topic names, properties, and what reaches a subscriber of them."""

from __future__ import annotations

import pytest

import mqtt_bytes as mb
from mqtt_peer import BOTH_SLOWLY, Server, fresh

clause = pytest.mark.clause


@clause("MQTT5-3.3.1-4", "MQTT311-3.3.1-4", "MQTT5-4.13.1-1", "MQTT311-4.8.0-1")
@pytest.mark.parametrize("rest", [0, 1, 8, 9])
def test_qos_3_ends_the_connection(server: Server, level: int, rest: int) -> None:
    """Whatever DUP and RETAIN are."""
    peer = server.connect(level=level)

    peer.send(mb.packet(0x36 | rest, mb.text("t"), b"\0\1", b"\0" if level == 5 else b""))

    peer.rejected(0x81)


@clause("MQTT5-3.3.1-2", "MQTT311-3.3.1-2")
@pytest.mark.mosquitto_differs("takes DUP at QoS 0")
def test_dup_at_qos_0_ends_the_connection(server: Server, level: int) -> None:
    """A message that is not acknowledged is not sent again."""
    peer = server.connect(level=level)

    peer.send(mb.publish("t", level=level, dup=True))

    peer.rejected(0x81, 0x82)


@clause("MQTT5-3.3.1-3", "MQTT311-3.3.1-3")
@pytest.mark.parametrize("qos", [1, 2])
def test_dup_is_not_passed_on(server: Server, level: int, qos: int) -> None:
    """It says something about one connection, not about the message."""
    topic = fresh("t")
    watcher = server.connect(level=level)
    watcher.subscribe(topic)

    server.connect(level=level).publish(topic, b"p", qos=qos, dup=True)

    assert [got.dup for got in watcher.messages()] == [False]


BAD_TOPICS = {"#": "#", "+": "+", "a/#": "a/#", "a/+/b": "a/+/b", "a+": "a+", "a#": "a#"}


@clause("MQTT5-3.3.2-2", "MQTT311-3.3.2-2", "MQTT5-4.7.0-1", "MQTT311-4.7.1-1")
@pytest.mark.parametrize("topic", BAD_TOPICS)
def test_a_topic_with_a_wildcard_ends_the_connection(server: Server, level: int, topic: str) -> None:
    """Nobody can publish to everybody at once."""
    peer = server.connect(level=level)

    peer.send(mb.publish(topic, level=level))

    peer.rejected(0x81, 0x82, 0x90)


@clause("MQTT5-4.7.3-1", "MQTT311-4.7.3-1", "MQTT5-3.3.2-1", "MQTT311-3.3.2-1")
def test_an_empty_topic_ends_the_connection(server: Server, level: int) -> None:
    """At least one character; in MQTT 5, or an alias."""
    peer = server.connect(level=level)

    peer.send(mb.publish("", level=level))

    peer.rejected(0x82, 0x90, 0x81)


@clause("MQTT5-4.7.3-1", "MQTT311-4.7.3-1")
@pytest.mark.parametrize("topic", ["/", "//", "a//b", "/a", "a/", " ", "a b", "$", "$x/y", "é/ü"])
def test_unusual_topics_are_topics(server: Server, level: int, topic: str) -> None:
    """Empty levels and spaces count, as do the letters of the world."""
    watcher = server.connect(level=level)
    assert watcher.subscribe((topic, 1)) == [1]

    server.connect(level=level).publish(topic, b"p")

    assert [(got.topic, got.payload) for got in watcher.messages()] == [(topic, b"p")]


@clause("MQTT5-4.7.3-3", "MQTT311-4.7.3-3")
def test_a_topic_of_65_535_bytes_is_a_topic(server: Server, level: int) -> None:
    """The most that a string can hold."""
    peer = server.connect(level=level)

    got = peer.ask(mb.publish("t" * 65_535, b"p", level=level, qos=1, packet_id=1), kind=mb.PUBACK)

    assert got.reason in (0, 0x10)


@pytest.mark.parametrize("levels", [200, 300])
def test_a_topic_has_200_levels_at_most(server: Server, level: int, levels: int) -> None:
    """A limit of ours and of mosquitto's; a deeper one ends the connection."""
    peer = server.connect(level=level)

    peer.send(mb.publish("/".join("a" * levels), b"p", level=level, qos=1, packet_id=1))

    if levels <= 200:
        assert peer.expect(mb.PUBACK).reason in (0, 0x10)
    else:
        peer.rejected(0x90, 0x82)


@clause(
    "MQTT5-3.3.4-1 MQTT5-4.3.2-4 MQTT5-4.3.3-8 MQTT5-3.4.2-1 MQTT5-3.5.2-1 MQTT5-3.7.2-1",
    "MQTT311-3.3.4-1 MQTT311-4.3.2-2 MQTT311-4.3.3-2",
)
def test_the_answer_to_a_publish_is_that_of_its_qos(server: Server, level: int) -> None:
    """None, PUBACK, or PUBREC and then PUBCOMP."""
    topic = fresh("t")
    peer = server.connect(level=level)

    peer.send(mb.publish(topic, level=level))
    none = peer.drain()
    puback = peer.ask(mb.publish(topic, level=level, qos=1, packet_id=1), kind=mb.PUBACK)
    pubrec = peer.ask(mb.publish(topic, level=level, qos=2, packet_id=2), kind=mb.PUBREC)
    pubcomp = peer.ask(mb.ack(mb.PUBREL, 2), kind=mb.PUBCOMP)

    assert none == []
    assert {puback.reason, pubrec.reason} <= {0, 0x10}
    assert pubcomp.reason == 0
    if level == 4:
        assert [len(got.body) for got in (puback, pubrec, pubcomp)] == [2, 2, 2]


PASSED_ON = [
    pytest.param((mb.FORMAT, 0), id="payload format 0", marks=clause("MQTT5-3.3.2-4")),
    pytest.param((mb.FORMAT, 1), id="payload format 1", marks=clause("MQTT5-3.3.2-4")),
    pytest.param((mb.RESPONSE_TOPIC, "answers/é"), id="response topic", marks=clause("MQTT5-3.3.2-15")),
    pytest.param((mb.CORRELATION, b""), id="no correlation data", marks=clause("MQTT5-3.3.2-16")),
    pytest.param((mb.CORRELATION, bytes(range(256)) * 4), id="correlation data", marks=clause("MQTT5-3.3.2-16")),
    pytest.param((mb.CONTENT_TYPE, ""), id="empty content type", marks=clause("MQTT5-3.3.2-20")),
    pytest.param((mb.CONTENT_TYPE, "text/ö"), id="content type", marks=clause("MQTT5-3.3.2-20")),
    pytest.param((mb.USER, ("", "")), id="empty user property", marks=clause("MQTT5-3.3.2-17")),
    pytest.param((mb.USER, ("k" * 9000, "v" * 9000)), id="long user property", marks=clause("MQTT5-3.3.2-17")),
]


@pytest.mark.parametrize("one", PASSED_ON)
def test_properties_reach_subscribers_unaltered(server: Server, one: mb.Property) -> None:
    """Live, and retained."""
    topic = fresh("t")
    watcher = server.connect()
    watcher.subscribe(topic)

    server.connect().publish(topic, b"p", retain=True, properties=(one,))

    later = server.connect()
    later.subscribe(topic)
    assert [got.props for got in watcher.messages() + later.messages()] == [[one], [one]]


@clause("MQTT5-3.3.2-17", "MQTT5-3.3.2-18")
def test_user_properties_keep_their_order(server: Server) -> None:
    """The same name may stand twice; it is a list and no table."""
    users = [("b", "1"), ("a", "2"), ("b", "1"), ("b", "0"), ("", "x"), ("é", "ü")]
    topic = fresh("t")
    watcher = server.connect()
    watcher.subscribe(topic)

    server.connect().publish(topic, b"p", properties=tuple((mb.USER, user) for user in users))

    assert [got.all_of(mb.USER) for got in watcher.messages()] == [users]


def test_a_3_1_1_subscriber_gets_the_message_without_its_properties(server: Server) -> None:
    """It would take them for payload."""
    topic = fresh("t")
    watcher = server.connect(level=4)
    watcher.subscribe(topic)

    server.connect().publish(topic, b"p", properties=((mb.USER, ("a", "b")), (mb.CONTENT_TYPE, "c")))

    assert [got.payload for got in watcher.messages()] == [b"p"]


@clause("MQTT5-3.3.2-14")
@pytest.mark.parametrize("topic", ["#", "+", "a/#", "a/+/b"])
@pytest.mark.mosquitto_differs("takes such a response topic")
def test_a_response_topic_with_a_wildcard_ends_the_connection(server: Server, topic: str) -> None:
    """Nobody could publish to it."""
    peer = server.connect()

    peer.send(mb.publish("t", properties=((mb.RESPONSE_TOPIC, topic),)))

    peer.rejected(0x81, 0x82, 0x90)


@clause("MQTT5-3.3.2-14")
@pytest.mark.mosquitto_differs("takes a will with such a response topic")
def test_a_will_with_a_wildcard_in_its_response_topic_is_refused(server: Server) -> None:
    """It is a message like any other."""
    peer = server.open()

    peer.send(mb.connect("c", will=("w", b""), will_props=((mb.RESPONSE_TOPIC, "a/#"),)))

    peer.refused(0x81, 0x82, 0x90)


@clause("MQTT311-3.3.5-2")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_publish_that_is_not_authorised_is_acknowledged_or_ends_the_connection(server: Server, qos: int) -> None:
    """3.1.1 has no word for it; what matters is that it goes nowhere and nobody waits for ever."""
    watcher = server.connect()
    watcher.subscribe(("$SYS/mine", 1))
    peer = server.connect(level=4)

    peer.send(mb.publish("$SYS/mine", b"p", level=4, qos=qos, packet_id=3))
    said = peer.end() if server.name == "fieldgate" else [peer.next()]

    assert [got.kind for got in said] in ([], [mb.PUBACK if qos == 1 else mb.PUBREC])
    assert watcher.messages() == []


@clause("MQTT5-3.3.4-6")
@pytest.mark.mosquitto_differs("takes a subscription identifier from a client")
def test_a_publish_with_a_subscription_identifier_ends_the_connection(server: Server) -> None:
    """Only a server knows whose subscription a message is for."""
    peer = server.connect()

    peer.send(mb.publish("t", properties=((mb.SUBSCRIPTION_ID, 1),)))

    peer.rejected(0x81, 0x82)


@clause("MQTT5-3.3.2-6")
def test_a_message_expiry_reaches_subscribers_as_what_is_left_of_it(server: Server) -> None:
    """Nothing was waited for, so nothing is taken off."""
    topic = fresh("t")
    watcher = server.connect()
    watcher.subscribe(topic)

    server.connect().publish(topic, b"p", properties=((mb.EXPIRY, 1000),))

    (got,) = watcher.messages()
    assert 995 <= got.prop(mb.EXPIRY) <= 1000


@clause("MQTT5-3.3.2-5", "MQTT5-3.3.2-6")
@BOTH_SLOWLY
def test_a_message_that_has_expired_is_not_delivered_and_others_say_what_is_left(server: Server) -> None:
    """Queued for a client that was away, and retained."""
    topic = fresh("t")
    kept = ((mb.SESSION_EXPIRY, 60),)
    away = server.connect(clean=False, properties=kept)
    away.subscribe(f"{topic}/#")
    away.vanish()
    publisher = server.connect()
    publisher.publish(f"{topic}/short", b"p", retain=True, properties=((mb.EXPIRY, 1),))
    publisher.publish(f"{topic}/long", b"p", retain=True, properties=((mb.EXPIRY, 100),))

    server.wait(1.6)

    back = server.connect(away.client_id, clean=False, properties=kept)
    later = server.connect()
    later.subscribe(f"{topic}/#")
    for reader in (back, later):
        (got,) = reader.messages()
        assert got.topic == f"{topic}/long"
        assert 90 <= got.prop(mb.EXPIRY) <= 99


@clause("MQTT5-3.3.2-3", "MQTT311-3.3.2-3", "MQTT5-4.5.0-1", "MQTT311-4.5.0-1")
def test_a_message_reaches_those_whose_filter_matches_its_topic_and_nobody_else(server: Server, level: int) -> None:
    """Its topic is the one it was published to."""
    topic = fresh("t")
    watchers = {
        one: server.connect(level=level) for one in (f"{topic}/a", f"{topic}/+", f"{topic}/#", "other/#", f"{topic}")
    }
    for one, watcher in watchers.items():
        watcher.subscribe(one)

    server.connect(level=level).publish(f"{topic}/a", b"p")

    got = {one: [message.topic for message in watcher.messages()] for one, watcher in watchers.items()}
    assert got == {
        f"{topic}/a": [f"{topic}/a"],
        f"{topic}/+": [f"{topic}/a"],
        f"{topic}/#": [f"{topic}/a"],
        "other/#": [],
        topic: [],
    }


@clause("MQTT5-3.1.2-24", "MQTT5-3.1.2-25")
def test_a_message_larger_than_a_client_takes_is_not_sent_and_the_next_one_is(server: Server) -> None:
    """Only for that client; it is as if it had been delivered."""
    topic = fresh("t")
    small = server.connect(properties=((mb.MAX_PACKET, 100),))
    large = server.connect()
    for watcher in (small, large):
        watcher.subscribe(topic)
    publisher = server.connect()
    publisher.publish(topic, bytes(200), qos=1)
    publisher.publish(topic, b"next", qos=1)

    assert [got.payload for got in small.messages()] == [b"next"]
    assert [got.payload for got in large.messages()] == [bytes(200), b"next"]


@clause("MQTT5-3.1.2-24")
@pytest.mark.mosquitto_differs("sends one byte more than its client takes", spare=(-1,))
@pytest.mark.parametrize("spare", [-1, 0])
def test_the_limit_of_a_client_counts_the_whole_packet(server: Server, spare: int) -> None:
    """From the first byte of the fixed header."""
    topic = fresh("t")
    payload = bytes(60)
    size = len(mb.publish(topic, payload))
    watcher = server.connect(properties=((mb.MAX_PACKET, size + spare),))
    watcher.subscribe((topic, 0))

    server.connect().publish(topic, payload)

    assert [got.wire for got in watcher.messages()] == ([mb.publish(topic, payload)] if spare >= 0 else [])


def test_a_packet_larger_than_the_server_takes_ends_the_connection(server: Server) -> None:
    """[MQTT5 3.2.2.3.6]: 0x95, before its body has come."""
    peer = server.connect()
    limit = peer.connack.prop(mb.MAX_PACKET)
    assert limit is not None

    peer.send(b"\x30" + mb.varint(limit + 1))

    peer.rejected(0x95)
