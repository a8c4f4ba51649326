"""Retained messages [MQTT5 3.3.1.3, 3.8.3.1; 3.1.1 3.3.1.3]: the last of each topic, for who comes later."""

from __future__ import annotations

import pytest

import mqtt_bytes as mb
from mqtt_peer import Server, fresh

clause = pytest.mark.clause


def heard(server: Server, topic: str, level: int, options: int = 2) -> list[tuple[bytes, bool, int]]:
    """What a client gets that subscribes now."""
    reader = server.connect(level=level)
    reader.subscribe((topic, options))
    return [(got.payload, got.retain, got.qos) for got in reader.messages()]


@clause(
    "MQTT5-3.3.1-5 MQTT5-3.3.1-9",
    "MQTT311-3.3.1-5 MQTT311-3.3.1-6 MQTT311-3.3.1-8",
)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_the_last_retained_message_reaches_a_new_subscriber_with_the_flag_set(
    server: Server, level: int, qos: int
) -> None:
    """At its own QoS; only the last."""
    topic = fresh("t")
    publisher = server.connect(level=level)
    publisher.publish(topic, b"first", qos=1, retain=True)
    publisher.publish(topic, b"second", qos=qos, retain=True)

    assert heard(server, topic, level) == [(b"second", True, qos)]


@clause("MQTT311-3.3.1-7", "MQTT5-3.3.1-5")
def test_a_retained_message_of_qos_0_replaces_one_of_qos_1(server: Server, level: int) -> None:
    """3.1.1 lets a server forget it, but the old one must go."""
    topic = fresh("t")
    publisher = server.connect(level=level)
    publisher.publish(topic, b"old", qos=1, retain=True)
    publisher.publish(topic, b"new", qos=0, retain=True)

    assert heard(server, topic, level) == [(b"new", True, 0)]


@clause("MQTT5-3.3.1-6", "MQTT5-3.3.1-7", "MQTT311-3.3.1-10", "MQTT311-3.3.1-11")
def test_an_empty_payload_removes_the_retained_message_and_is_delivered(server: Server, level: int) -> None:
    """To those who are there, with the flag cleared; it is not kept itself."""
    topic = fresh("t")
    publisher = server.connect(level=level)
    publisher.publish(topic, b"old", retain=True)
    watcher = server.connect(level=level)
    watcher.subscribe(topic)
    watcher.messages()

    publisher.publish(topic, b"", retain=True)

    assert [(got.payload, got.retain) for got in watcher.messages()] == [(b"", False)]
    assert heard(server, topic, level) == []


@clause("MQTT5-3.3.1-8", "MQTT311-3.3.1-12")
@pytest.mark.parametrize("payload", [b"live", b""])
def test_a_message_without_the_flag_leaves_the_retained_one_alone(server: Server, level: int, payload: bytes) -> None:
    """An empty one too."""
    topic = fresh("t")
    publisher = server.connect(level=level)
    publisher.publish(topic, b"kept", retain=True)
    publisher.publish(topic, payload)

    assert [one[0] for one in heard(server, topic, level)] == [b"kept"]


@clause("MQTT5-3.3.1-8", "MQTT311-3.3.1-12")
def test_a_message_without_the_flag_is_not_kept(server: Server, level: int) -> None:
    """Nobody was there, nobody gets it."""
    topic = fresh("t")
    server.connect(level=level).publish(topic, b"live")

    assert heard(server, topic, level) == []


@clause("MQTT311-3.3.1-9", "MQTT5-3.3.1-12")
def test_a_live_message_has_the_flag_cleared(server: Server, level: int) -> None:
    """That is how a subscriber tells old from new."""
    topic = fresh("t")
    watcher = server.connect(level=level)
    watcher.subscribe(topic)

    server.connect(level=level).publish(topic, b"p", retain=True)

    assert [got.retain for got in watcher.messages()] == [False]


@clause("MQTT5-3.3.1-13", "MQTT5-3.3.1-12")
@pytest.mark.parametrize("is_retained", [False, True])
@pytest.mark.parametrize("is_kept", [False, True], ids=["plain", "as published"])
def test_retain_as_published_keeps_the_flag_as_it_was(server: Server, is_retained: bool, is_kept: bool) -> None:
    """For bridges."""
    topic = fresh("t")
    watcher = server.connect()
    watcher.subscribe((topic, 1 | is_kept << 3))

    server.connect().publish(topic, b"p", retain=is_retained)

    assert [got.retain for got in watcher.messages()] == [is_retained and is_kept]


@clause("MQTT5-3.3.1-9", "MQTT5-3.3.1-10", "MQTT5-3.3.1-11", "MQTT5-3.8.4-4")
@pytest.mark.parametrize(("handling", "counts"), [(0, [1, 1, 1]), (1, [1, 0, 0]), (2, [0, 0, 0])])
def test_retain_handling_decides_who_gets_retained_messages(server: Server, handling: int, counts: list[int]) -> None:
    """0: at each SUBSCRIBE; 1: if the subscription is new; 2: never. Changing the QoS does not make it new."""
    topic = fresh("t")
    server.connect().publish(topic, b"p", retain=True)
    reader = server.connect()

    found = []
    for qos in (1, 1, 0):
        reader.subscribe((topic, qos | handling << 4))
        found.append(len(reader.messages()))

    assert found == counts


@clause("MQTT5-3.3.1-10")
def test_a_subscription_that_was_ended_is_new_again(server: Server) -> None:
    """Also one that was ended with its session."""
    topic = fresh("t")
    server.connect().publish(topic, b"p", retain=True)
    reader = server.connect()
    reader.subscribe((topic, 0x11))
    reader.messages()

    reader.ask(mb.unsubscribe(topic), kind=mb.UNSUBACK)
    reader.subscribe((topic, 0x11))

    assert len(reader.messages()) == 1


@clause("MQTT311-3.8.4-3", "MQTT5-3.8.4-4", "MQTT5-3.3.1-9")
def test_subscribing_again_sends_the_retained_messages_again(server: Server, level: int) -> None:
    """In 3.1.1 always."""
    topic = fresh("t")
    server.connect(level=level).publish(topic, b"p", retain=True)
    reader = server.connect(level=level)

    found = []
    for _ in range(2):
        reader.subscribe((topic, 1))
        found += [(got.payload, got.retain) for got in reader.messages()]

    assert found == [(b"p", True)] * 2


@clause("MQTT5-3.3.1-9", "MQTT311-3.3.1-6", "MQTT5-4.7.2-1", "MQTT311-4.7.2-1")
def test_a_filter_with_wildcards_gets_all_retained_messages_that_it_matches(server: Server, level: int) -> None:
    """Each of them once."""
    root = fresh("t")
    publisher = server.connect(level=level)
    for topic in ("", "/a", "/a/b", "/a/b/c", "/x/b", "x"):
        publisher.publish(root + topic, topic.encode(), retain=True)
    filters = {
        f"{root}/#": {b"root", b"/a", b"/a/b", b"/a/b/c", b"/x/b"},
        f"{root}/+": {b"/a"},
        f"{root}/+/b": {b"/a/b", b"/x/b"},
        f"{root}/+/b/#": {b"/a/b", b"/a/b/c", b"/x/b"},
        "+/x/b": {b"/x/b"},
        f"{root}x": {b"x"},
    }
    publisher.publish(root, b"root", retain=True)

    for topic_filter, wanted in filters.items():
        reader = server.connect(level=level)
        reader.subscribe(topic_filter)
        found = [got.payload for got in reader.messages() if got.topic.startswith(root)]
        assert sorted(found) == sorted(wanted), topic_filter


@clause("MQTT5-3.8.4-5", "MQTT311-3.8.4-4")
def test_overlapping_filters_in_one_subscribe_are_as_if_sent_one_by_one(server: Server, level: int) -> None:
    """Each brings its retained messages."""
    topic = fresh("t")
    server.connect(level=level).publish(topic, b"p", retain=True)
    reader = server.connect(level=level)

    reader.subscribe((topic, 1), (f"{topic}/#", 1))

    assert len(reader.messages()) == 2


def test_retained_messages_carry_the_subscription_identifier(server: Server) -> None:
    """[MQTT5 3.3.4]: a client that tells its subscriptions apart tells these apart too."""
    topic = fresh("t")
    server.connect().publish(topic, b"p", retain=True)
    reader = server.connect()

    reader.subscribe(topic, properties=((mb.SUBSCRIPTION_ID, 321),))

    assert [got.all_of(mb.SUBSCRIPTION_ID) for got in reader.messages()] == [[321]]
