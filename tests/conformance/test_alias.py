"""Topic aliases [MQTT5 3.3.2.3.4] both ways."""

from __future__ import annotations

import pytest

import mqtt_bytes as mb
from mqtt_peer import Peer, Server, fresh

clause = pytest.mark.clause


def aliased(topic: str, payload: bytes, alias: int, *, qos: int = 0, packet_id: int = 0) -> bytes:
    return mb.publish(topic, payload, qos=qos, packet_id=packet_id, properties=((mb.ALIAS, alias),))


def watching(server: Server, topic: str, alias_max: int | None = None) -> Peer:
    watcher = server.connect(properties=() if alias_max is None else ((mb.ALIAS_MAX, alias_max),))
    watcher.subscribe((f"{topic}/#", 1))
    return watcher


@clause("MQTT5-3.3.2-12")
def test_every_alias_up_to_the_maximum_is_taken(server: Server) -> None:
    """Set, used, and set to another topic."""
    topic = fresh("t")
    watcher = watching(server, topic)
    peer = server.connect()
    limit = peer.connack.prop(mb.ALIAS_MAX)
    assert limit

    for alias in range(1, limit + 1):
        peer.send(aliased(f"{topic}/a{alias}", b"set", alias), aliased("", b"used", alias))
        peer.send(aliased(f"{topic}/b{alias}", b"set", alias), aliased("", b"used", alias))
    assert peer.drain() == []

    wanted = [
        (f"{topic}/{kind}{alias}", word) for alias in range(1, limit + 1) for kind in "ab" for word in (b"set", b"used")
    ]
    assert [(got.topic, got.payload) for got in watcher.messages()] == wanted


@clause("MQTT5-3.3.2-8", "MQTT5-4.13.1-1")
@pytest.mark.mosquitto_differs("says 0x81", alias=(0,))
@pytest.mark.parametrize("alias", [0, "maximum + 1", 65_535])
def test_an_alias_out_of_range_ends_the_connection(server: Server, alias: int | str) -> None:
    """0x94."""
    peer = server.connect()
    number = peer.connack.prop(mb.ALIAS_MAX) + 1 if isinstance(alias, str) else alias

    peer.send(aliased("t", b"p", number))

    peer.rejected(0x94)


@clause("MQTT5-4.13.1-1")
def test_an_alias_that_was_not_set_ends_the_connection(server: Server) -> None:
    """[MQTT5 3.3.2.1]: a protocol error."""
    peer = server.connect()

    peer.send(aliased("", b"p", 1))

    peer.rejected(0x82, 0x94)


@clause("MQTT5-3.3.2-7")
def test_aliases_end_with_their_connection(server: Server) -> None:
    """Though the session goes on."""
    kept = ((mb.SESSION_EXPIRY, 60),)
    first = server.connect(clean=False, properties=kept)
    first.send(aliased(fresh("t"), b"p", 1))
    first.drain()
    first.send(mb.disconnect())
    first.end()
    back = server.connect(first.client_id, clean=False, properties=kept)
    assert back.connack.session_present

    back.send(aliased("", b"p", 1))

    back.rejected(0x82, 0x94)


def test_two_clients_have_aliases_of_their_own(server: Server) -> None:
    """[MQTT5 3.3.2.3.4]: they belong to a connection."""
    topic = fresh("t")
    watcher = watching(server, topic)
    first, second = server.connect(), server.connect()

    first.send(aliased(f"{topic}/1", b"", 1))
    second.send(aliased(f"{topic}/2", b"", 1))
    for peer in (first, second):
        peer.drain()
        peer.send(aliased("", b"p", 1))
        peer.drain()

    assert [got.topic for got in watcher.messages() if got.payload] == [f"{topic}/1", f"{topic}/2"]


def test_an_alias_is_not_passed_on_and_is_no_part_of_a_retained_message(server: Server) -> None:
    """[MQTT5 3.3.2.3.4]."""
    topic = fresh("t")
    watcher = watching(server, topic)
    peer = server.connect()

    peer.send(
        aliased(f"{topic}/a", b"1", 1),
        mb.publish("", b"2", qos=1, packet_id=1, retain=True, properties=((mb.ALIAS, 1),)),
    )
    peer.expect(mb.PUBACK)

    got = watcher.messages() + watching(server, topic).messages()
    assert [(one.topic, one.payload, one.prop(mb.ALIAS)) for one in got] == [
        (f"{topic}/a", b"1", None), (f"{topic}/a", b"2", None), (f"{topic}/a", b"2", None),
    ]  # fmt: skip


@clause("MQTT5-3.1.2-27")
@pytest.mark.parametrize("alias_max", [None, 0])
def test_a_client_that_takes_no_aliases_gets_none(server: Server, alias_max: int | None) -> None:
    """Absent and 0 are the same."""
    topic = fresh("t")
    watcher = watching(server, topic, alias_max)
    publisher = server.connect()

    for number in range(10):
        publisher.publish(f"{topic}/{number % 2}", b"p")

    got = watcher.messages()
    assert len(got) == 10
    assert all(one.topic and one.prop(mb.ALIAS) is None for one in got)


@clause("MQTT5-3.1.2-26", "MQTT5-3.3.2-11")
@pytest.mark.parametrize("alias_max", [1, 3, 65_535])
def test_a_client_that_takes_aliases_can_resolve_what_it_gets(server: Server, alias_max: int) -> None:
    """Within its maximum; a first use names the topic. A server need not use any."""
    topic = fresh("t")
    watcher = watching(server, topic, alias_max)
    publisher = server.connect()
    sent = [f"{topic}/{number % 5}" for number in range(30)]
    for one in sent:
        publisher.publish(one, b"p")

    known: dict[int, str] = {}
    found = []
    for got in watcher.messages():
        alias = got.prop(mb.ALIAS)
        if alias is not None:
            assert 1 <= alias <= alias_max
            if got.topic:
                known[alias] = got.topic
        found.append(got.topic or known[alias])
    assert found == sent


@clause("MQTT5-3.3.2-7", "MQTT5-3.1.2-26")
def test_what_is_sent_again_on_a_new_connection_names_its_topic(server: Server) -> None:
    """The client has forgotten the aliases of the old one."""
    topic = fresh("t")
    kept = ((mb.SESSION_EXPIRY, 60), (mb.ALIAS_MAX, 10))
    first = server.connect(clean=False, properties=kept)
    first.subscribe((f"{topic}/#", 1))
    publisher = server.connect()
    for _ in range(4):
        publisher.publish(f"{topic}/a", b"p")
    assert len(first.drain()) == 4
    first.send(mb.disconnect())
    first.end()

    back = server.connect(first.client_id, clean=False, properties=kept)

    again = back.drain()
    assert [got.topic for got in again[:1]] == [f"{topic}/a"]
    known = {got.prop(mb.ALIAS) for got in again if got.topic}
    assert all(got.topic or got.prop(mb.ALIAS) in known for got in again)
    assert all(got.dup for got in again)
