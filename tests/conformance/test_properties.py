"""Every property on every packet [MQTT5 2.2.2.2, table 2-4]: taken where it may stand, elsewhere malformed."""

from __future__ import annotations

from typing import Any

import pytest

import mqtt_bytes as mb
from mqtt_peer import Peer, Server, fresh

clause = pytest.mark.clause

PROPERTIES: dict[str, tuple[int, Any]] = {
    "payload format": (mb.FORMAT, 1), "message expiry": (mb.EXPIRY, 60), "content type": (mb.CONTENT_TYPE, "c"),
    "response topic": (mb.RESPONSE_TOPIC, "r"), "correlation data": (mb.CORRELATION, b"d"),
    "subscription id": (mb.SUBSCRIPTION_ID, 1), "session expiry": (mb.SESSION_EXPIRY, 0),
    "assigned client id": (mb.ASSIGNED_ID, "i"), "server keep alive": (mb.SERVER_KEEP_ALIVE, 9),
    "authentication method": (mb.AUTH_METHOD, "m"), "authentication data": (mb.AUTH_DATA, b"d"),
    "request problem information": (mb.PROBLEM_INFO, 1), "will delay": (mb.WILL_DELAY, 0),
    "request response information": (mb.RESPONSE_REQUEST, 0), "response information": (mb.RESPONSE_INFO, "i"),
    "server reference": (mb.REFERENCE, "s"), "reason string": (mb.REASON, "r"), "receive maximum": (mb.RECEIVE_MAX, 5),
    "topic alias maximum": (mb.ALIAS_MAX, 5), "topic alias": (mb.ALIAS, 1), "maximum QoS": (mb.MAX_QOS, 1),
    "retain available": (mb.RETAIN_AVAILABLE, 1), "user property": (mb.USER, ("n", "v")),
    "maximum packet size": (mb.MAX_PACKET, 1000), "wildcards available": (mb.WILDCARDS, 1),
    "subscription ids available": (mb.IDS_AVAILABLE, 1), "shared subscriptions available": (mb.SHARED_AVAILABLE, 1),
}  # fmt: skip
VALUES = dict(PROPERTIES.values())
NAMES = {identifier: name for name, (identifier, _) in PROPERTIES.items()}
ACK = {mb.REASON, mb.USER}
ALLOWED: dict[str, set[int]] = {
    "CONNECT": {mb.SESSION_EXPIRY, mb.AUTH_METHOD, mb.AUTH_DATA, mb.PROBLEM_INFO, mb.RESPONSE_REQUEST, mb.RECEIVE_MAX,
                mb.ALIAS_MAX, mb.USER, mb.MAX_PACKET},
    "will": {mb.FORMAT, mb.EXPIRY, mb.CONTENT_TYPE, mb.RESPONSE_TOPIC, mb.CORRELATION, mb.WILL_DELAY, mb.USER},
    "PUBLISH": {mb.FORMAT, mb.EXPIRY, mb.CONTENT_TYPE, mb.RESPONSE_TOPIC, mb.CORRELATION, mb.ALIAS, mb.USER},
    "PUBACK": ACK,
    "PUBREC": ACK,
    "PUBREL": ACK,
    "PUBCOMP": ACK,
    "SUBSCRIBE": {mb.SUBSCRIPTION_ID, mb.USER},
    "UNSUBSCRIBE": {mb.USER},
    "DISCONNECT": {mb.SESSION_EXPIRY, mb.REASON, mb.USER},
}  # fmt: skip
UNSAID = {("DISCONNECT", mb.REFERENCE)}  # a server's; whether a client may send it, the standard does not say
REPEATABLE = {mb.USER}
ILLEGAL = [
    ("CONNECT", mb.PROBLEM_INFO, 2), ("CONNECT", mb.RESPONSE_REQUEST, 2), ("CONNECT", mb.RECEIVE_MAX, 0),
    ("CONNECT", mb.MAX_PACKET, 0), ("PUBLISH", mb.FORMAT, 2), ("PUBLISH", mb.FORMAT, 255), ("PUBLISH", mb.ALIAS, 0),
    ("SUBSCRIBE", mb.SUBSCRIPTION_ID, 0), ("will", mb.FORMAT, 2), ("will", mb.FORMAT, 255),
]  # fmt: skip


def built(place: str, *properties: mb.Property) -> bytes:
    """A packet that is right but for its properties."""
    match place:
        case "CONNECT":
            return mb.connect(fresh("c"), properties=properties)
        case "will":
            return mb.connect(fresh("c"), will=("w", b""), will_props=properties)
        case "PUBLISH":
            return mb.publish(fresh("t"), b"p", properties=properties)
        case "SUBSCRIBE":
            return mb.subscribe(fresh("t"), properties=properties)
        case "UNSUBSCRIBE":
            return mb.unsubscribe(fresh("t"), properties=properties)
        case "DISCONNECT":
            return mb.disconnect(0, properties)
    return mb.ack({"PUBACK": 4, "PUBREC": 5, "PUBREL": 6, "PUBCOMP": 7}[place], 1, 0, properties)


def opened(server: Server, place: str) -> Peer:
    """A client that may send such a packet now."""
    return server.open() if place in ("CONNECT", "will") else server.connect()


def rejected(peer: Peer, place: str, *codes: int) -> None:
    """Whatever an end means for that packet."""
    if place in ("CONNECT", "will"):
        peer.refused(*codes)
    else:
        peer.rejected(*codes)


def _grid(*, is_allowed: bool) -> list:
    return [
        pytest.param(place, identifier, id=f"{place} {NAMES[identifier]}")
        for place, allowed in ALLOWED.items()
        for identifier in VALUES
        if (identifier in allowed) is is_allowed and (place, identifier) not in UNSAID
    ]


@clause("MQTT5-4.13.1-1", "MQTT5-3.1.4-1")
@pytest.mark.parametrize(("place", "identifier"), _grid(is_allowed=False))
@pytest.mark.mosquitto_differs(
    "takes a subscription identifier from a client", place=("PUBLISH",), identifier=(mb.SUBSCRIPTION_ID,)
)
def test_a_property_that_may_not_stand_there_is_malformed(server: Server, place: str, identifier: int) -> None:
    """The whole table, 27 properties on ten packets."""
    peer = opened(server, place)

    peer.send(built(place, (identifier, VALUES[identifier])))

    rejected(peer, place, 0x81, 0x82)


@pytest.mark.parametrize(("place", "identifier"), _grid(is_allowed=True))
def test_a_property_that_may_stand_there_is_taken(server: Server, place: str, identifier: int) -> None:
    """And the client lives, or leaves as it wanted to."""
    peer = opened(server, place)
    method = ((mb.AUTH_METHOD, "m"),) if identifier == mb.AUTH_DATA else ()

    peer.send(built(place, *method, (identifier, VALUES[identifier])))

    if place in ("CONNECT", "will"):
        wanted = (0x8C, 0x87) if identifier in (mb.AUTH_METHOD, mb.AUTH_DATA) else (0,)
        assert peer.expect(mb.CONNACK).reason in wanted
    elif place == "DISCONNECT":
        assert peer.end() == []
    else:
        assert all(got.kind != mb.DISCONNECT for got in peer.drain())


@clause("MQTT5-4.13.1-1", "MQTT5-3.1.4-1")
@pytest.mark.parametrize(
    ("place", "identifier"),
    [one for one in _grid(is_allowed=True) if one.values[1] not in (REPEATABLE | {mb.AUTH_METHOD, mb.AUTH_DATA})],
)
def test_a_property_that_stands_twice_is_a_protocol_error(server: Server, place: str, identifier: int) -> None:
    """All but User Property; a SUBSCRIBE has one Subscription Identifier."""
    peer = opened(server, place)

    peer.send(built(place, *[(identifier, VALUES[identifier])] * 2))

    rejected(peer, place, 0x81, 0x82)


@clause("MQTT5-4.13.1-1")
@pytest.mark.parametrize(("place", "identifier", "value"), ILLEGAL)
@pytest.mark.mosquitto_differs("takes it", place=("PUBLISH", "will"), identifier=(mb.FORMAT,))
def test_a_value_out_of_range_is_a_protocol_error(server: Server, place: str, identifier: int, value: int) -> None:
    """Flags are 0 or 1, maxima are not 0."""
    peer = opened(server, place)

    peer.send(built(place, (identifier, value)))

    rejected(peer, place, 0x81, 0x82, 0x94)


@clause("MQTT5-4.13.1-1")
@pytest.mark.parametrize("identifier", [0, 4, 5, 6, 7, 10, 12, 16, 20, 27, 29, 30, 32, 43, 127, 128, 16_384])
def test_a_property_that_does_not_exist_is_malformed(server: Server, identifier: int) -> None:
    """Nobody knows how long it is."""
    peer = server.connect()
    block = mb.varint(identifier) + b"\0\0"

    peer.send(mb.packet(0x30, mb.text("t"), mb.varint(len(block)), block))

    peer.rejected(0x81, 0x82)


@clause("MQTT5-4.13.1-1")
@pytest.mark.parametrize("place", ["PUBLISH", "SUBSCRIBE", "CONNECT", "will", "PUBREL", "DISCONNECT"])
@pytest.mark.parametrize("change", [-1, 1, 100])
def test_a_property_length_that_does_not_fit_is_malformed(server: Server, place: str, change: int) -> None:
    """The block ends within a property, or behind the packet."""
    right = built(place, (mb.USER, ("n" * 20, "v" * 20)))
    block = mb.one_prop(mb.USER, ("n" * 20, "v" * 20))
    wrong = right.replace(mb.varint(len(block)) + block, mb.varint(len(block) + change) + block)
    peer = opened(server, place)

    peer.send(wrong)

    rejected(peer, place, 0x81, 0x82)


@clause("MQTT5-3.1.2-23")
@pytest.mark.parametrize("expiry_s", [1, 60, 0xFFFF_FFFE, 0xFFFF_FFFF])
def test_a_session_expiry_is_granted_or_the_client_is_told(server: Server, expiry_s: int) -> None:
    """[MQTT5 3.2.2.3.2]: a server that keeps sessions for less says for how long."""
    peer = server.connect(clean=False, properties=((mb.SESSION_EXPIRY, expiry_s),))
    granted = peer.connack.prop(mb.SESSION_EXPIRY)
    peer.send(mb.disconnect())
    peer.end()

    assert granted is None or 0 < granted < expiry_s
    assert server.connect(peer.client_id, clean=False).connack.session_present
