"""Wills [MQTT5 3.1.2.5, 3.1.3.2; 3.1.1 3.1.2.5]: what is said for a client that can say nothing any more."""

from __future__ import annotations

import pytest

import mqtt_bytes as mb
from mqtt_peer import BOTH_SLOWLY, Peer, Server, fresh

clause = pytest.mark.clause


def watching(server: Server, topic: str, level: int = 5, options: int = 2) -> Peer:
    watcher = server.connect(level=level)
    watcher.subscribe((topic, options))
    return watcher


@clause(
    "MQTT5-3.1.2-7 MQTT5-3.1.2-8 MQTT5-3.1.2-14",
    "MQTT311-3.1.2-8 MQTT311-3.1.2-16",
)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_the_will_of_a_client_that_vanishes_is_published(server: Server, level: int, qos: int) -> None:
    """At its QoS, and not retained when it was not to be."""
    topic = fresh("w")
    watcher = watching(server, topic, level)
    peer = server.connect(level=level, will=(topic, b"gone"), will_qos=qos)

    peer.vanish()

    got = watcher.expect(mb.PUBLISH)
    assert (got.topic, got.payload, got.qos, got.retain) == (topic, b"gone", qos, False)
    later = watching(server, topic, level)
    assert later.messages() == []


@clause("MQTT5-3.1.2-15", "MQTT311-3.1.2-17")
def test_a_will_that_is_to_be_retained_is(server: Server, level: int) -> None:
    """The state of a device that is gone is known to who asks later."""
    topic = fresh("w")
    watcher = watching(server, topic, level)
    peer = server.connect(level=level, will=(topic, b"gone"), will_qos=1, will_retain=True)
    peer.vanish()
    assert not watcher.expect(mb.PUBLISH).retain

    later = watching(server, topic, level)

    assert [(got.payload, got.retain) for got in later.messages()] == [(b"gone", True)]


@clause(
    "MQTT5-3.14.4-3 MQTT5-3.1.2-10 MQTT5-3.1.2-8",
    "MQTT311-3.14.4-3 MQTT311-3.1.2-10 MQTT311-3.1.2-8",
)
def test_who_says_goodbye_leaves_no_will(server: Server, level: int) -> None:
    """DISCONNECT with 0x00, with or without saying so."""
    topic = fresh("w")
    watcher = watching(server, topic, level)

    for goodbye in (mb.disconnect(), mb.disconnect(0), mb.disconnect(0, ())) if level == 5 else (mb.disconnect(),):
        peer = server.connect(level=level, will=(topic, b"gone"))
        peer.send(goodbye)
        peer.end()

    assert watcher.messages() == []


@clause("MQTT5-3.1.2-10", "MQTT311-3.1.2-10", "MQTT311-3.1.2-12")
def test_a_will_is_published_once_and_belongs_to_its_connection(server: Server, level: int) -> None:
    """A later connection without a will has none."""
    topic = fresh("w")
    watcher = watching(server, topic, level)
    kept = ((mb.SESSION_EXPIRY, 60),) if level == 5 else ()
    peer = server.connect(level=level, clean=False, properties=kept, will=(topic, b"gone"))
    peer.vanish()
    assert watcher.expect(mb.PUBLISH).payload == b"gone"

    back = server.connect(peer.client_id, level=level, clean=False, properties=kept)
    back.vanish()
    server.connect(peer.client_id, level=level, clean=False, properties=kept)

    assert watcher.messages() == []


ERRORS = (0x80, 0x81, 0x93)


@clause("MQTT5-3.1.2-8")
@pytest.mark.mosquitto_differs("publishes the will for 0x04 only", reason=ERRORS)
@pytest.mark.parametrize("reason", [0x04, *ERRORS], ids=hex)
def test_only_a_normal_disconnect_takes_the_will_back(server: Server, reason: int) -> None:
    """0x04 and every error say: speak for me."""
    topic = fresh("w")
    watcher = watching(server, topic)
    peer = server.connect(will=(topic, b"gone"))

    peer.send(mb.disconnect(reason))
    peer.end()

    assert [got.payload for got in watcher.messages()] == [b"gone"]


@clause("MQTT5-3.1.2-8", "MQTT311-3.1.2-8", "MQTT5-4.13.1-1")
def test_a_client_that_is_ended_for_an_error_leaves_its_will(server: Server, level: int) -> None:
    """[MQTT5 3.1.2.5] names the server that closes because of a protocol error."""
    topic = fresh("w")
    watcher = watching(server, topic, level)
    peer = server.connect(level=level, will=(topic, b"gone"))

    peer.send(mb.packet(0x80, b"\0\1\0\0\1f\0"))

    peer.rejected(0x81)
    assert watcher.expect(mb.PUBLISH).payload == b"gone"


@clause("MQTT5-3.1.2-8", "MQTT311-3.1.2-8")
def test_a_takeover_publishes_the_will_of_the_first(server: Server, level: int) -> None:
    """Its network connection was closed without DISCONNECT."""
    topic = fresh("w")
    watcher = watching(server, topic, level)
    first = server.connect(level=level, will=(topic, b"gone"))

    server.connect(first.client_id, level=level)

    assert watcher.expect(mb.PUBLISH).payload == b"gone"


@clause("MQTT5-3.1.3-9", "MQTT5-3.1.2-8")
@pytest.mark.parametrize("is_vanished", [True, False], ids=["after a break", "by takeover"])
@BOTH_SLOWLY
def test_a_delayed_will_is_not_sent_if_the_client_is_back_in_time(server: Server, is_vanished: bool) -> None:
    """A short gap is no death."""
    topic = fresh("w")
    watcher = watching(server, topic)
    kept = ((mb.SESSION_EXPIRY, 60),)
    peer = server.connect(properties=kept, will=(topic, b"gone"), will_props=((mb.WILL_DELAY, 2),))
    if is_vanished:
        peer.vanish()

    server.connect(peer.client_id, clean=False, properties=kept)
    server.wait(2.6)

    assert watcher.messages() == []


@clause("MQTT5-3.1.2-8")
@BOTH_SLOWLY
def test_a_delayed_will_is_sent_when_its_delay_has_passed_and_not_before(server: Server) -> None:
    """The session lives on."""
    topic = fresh("w")
    watcher = watching(server, topic)
    peer = server.connect(
        properties=((mb.SESSION_EXPIRY, 60),), will=(topic, b"gone"), will_props=((mb.WILL_DELAY, 2),)
    )
    peer.vanish()

    assert watcher.messages() == []
    assert watcher.expect(mb.PUBLISH).payload == b"gone"
    assert server.connect(peer.client_id, clean=False).connack.session_present


@clause("MQTT5-3.1.2-8")
@pytest.mark.mosquitto_differs("delays the will of a session that has ended")
def test_the_will_of_a_session_that_ends_with_its_connection_is_not_delayed(server: Server) -> None:
    """Nobody can come back in time."""
    topic = fresh("w")
    watcher = watching(server, topic)
    peer = server.connect(will=(topic, b"at once"), will_props=((mb.WILL_DELAY, 60),))

    peer.vanish()

    assert watcher.expect(mb.PUBLISH).payload == b"at once"


@clause("MQTT5-3.1.2-8")
@pytest.mark.mosquitto_differs("forgets a delayed will at a clean start, which ends the session")
def test_a_delayed_will_is_sent_when_a_clean_start_ends_the_session(server: Server) -> None:
    """A new client under the old name is not the old one come back [MQTT5 3.1.4]."""
    topic = fresh("w")
    watcher = watching(server, topic)
    peer = server.connect(
        properties=((mb.SESSION_EXPIRY, 60),), will=(topic, b"by clean start"), will_props=((mb.WILL_DELAY, 60),)
    )
    peer.vanish()

    server.connect(peer.client_id, clean=True)

    assert watcher.expect(mb.PUBLISH).payload == b"by clean start"


@clause(
    "MQTT5-3.1.3-10 MQTT5-3.3.2-4 MQTT5-3.3.2-15 MQTT5-3.3.2-16 MQTT5-3.3.2-17 MQTT5-3.3.2-18",
    "MQTT5-3.3.2-20",
)
def test_the_properties_of_a_will_are_those_of_its_message(server: Server) -> None:
    """User properties in their order."""
    topic = fresh("w")
    watcher = watching(server, topic)
    own = ((mb.FORMAT, 1), (mb.CONTENT_TYPE, "text/plain"), (mb.RESPONSE_TOPIC, "answers"), (mb.CORRELATION, b"\0\1"))
    users = (("b", "1"), ("a", "2"), ("b", "1"), ("", ""))
    peer = server.connect(
        will=(topic, b"gone"), will_props=(*own, *((mb.USER, user) for user in users), (mb.WILL_DELAY, 0))
    )

    peer.vanish()

    got = watcher.expect(mb.PUBLISH)
    assert sorted(one for one in got.props if one[0] != mb.USER) == sorted(own)
    assert tuple(got.all_of(mb.USER)) == users


@clause("MQTT5-3.1.2-7", "MQTT311-3.1.2-8")
def test_the_will_of_a_client_that_was_refused_is_not_published(server: Server, level: int) -> None:
    """There was no connection that could end."""
    topic = fresh("w")
    watcher = watching(server, topic, level)
    peer = server.open(level)
    method = ((mb.AUTH_METHOD, "none such"),) if level == 5 else ()

    peer.send(mb.connect("", level=level, clean=False, will=(topic, b"gone"), properties=method))
    peer.end()

    assert watcher.messages() == []
