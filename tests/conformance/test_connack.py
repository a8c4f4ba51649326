"""CONNACK [MQTT5 3.2; 3.1.1 3.2]: what a client is told, and that it is true."""

from __future__ import annotations

import pytest

import mqtt_bytes as mb
from mqtt_peer import Server, fresh

clause = pytest.mark.clause


@clause(
    "MQTT5-3.2.2-1 MQTT5-3.2.2-2 MQTT5-3.2.2-3 MQTT5-3.2.2-8",
    "MQTT311-3.2.2-1 MQTT311-3.2.2-3",
)
@pytest.mark.parametrize("clean", [True, False])
def test_a_new_session_is_not_present(server: Server, level: int, clean: bool) -> None:
    """Flags 0 and code 0, to the bit."""
    peer = server.connect(level=level, clean=clean)

    assert peer.connack.body[:2] == b"\0\0"


@clause(
    "MQTT5-3.2.2-3 MQTT5-3.1.2-5 MQTT5-3.1.2-23",
    "MQTT311-3.2.2-2 MQTT311-3.1.2-4",
)
def test_a_session_that_was_kept_is_present(server: Server, level: int) -> None:
    """Flags 1 and code 0."""
    properties = ((mb.SESSION_EXPIRY, 60),) if level == 5 else ()
    first = server.connect(level=level, clean=False, properties=properties)
    first.send(mb.disconnect())
    first.end()

    second = server.connect(first.client_id, level=level, clean=False, properties=properties)

    assert second.connack.body[:2] == b"\1\0"


@clause(
    "MQTT5-3.2.2-2 MQTT5-3.1.2-4 MQTT5-3.1.4-4",
    "MQTT311-3.2.2-1 MQTT311-3.1.2-6 MQTT311-3.1.4-3",
)
def test_a_clean_start_is_never_present_and_forgets_the_session(server: Server, level: int) -> None:
    """Its subscriptions, its messages and whatever comes later of them."""
    properties = ((mb.SESSION_EXPIRY, 60),) if level == 5 else ()
    topic = fresh("t")
    first = server.connect(level=level, clean=False, properties=properties)
    first.subscribe(topic)
    first.vanish()
    publisher = server.connect(level=level)
    publisher.publish(topic, b"queued")

    second = server.connect(first.client_id, level=level, clean=True)
    publisher.publish(topic, b"later")

    assert second.connack.body[:2] == b"\0\0"
    assert second.messages() == []


@clause(
    "MQTT5-3.2.2-6 MQTT5-3.2.2-7 MQTT5-4.13.2-1",
    "MQTT311-3.2.2-4 MQTT311-3.2.2-5",
)
def test_a_refusal_has_no_session_present_and_closes(server: Server, level: int) -> None:
    """Even for a client whose session there is."""
    kept = ((mb.SESSION_EXPIRY, 60),) if level == 5 else ()
    first = server.connect(level=level, clean=False, properties=kept)
    first.vanish()
    peer = server.open(level)

    bad = (
        mb.connect(first.client_id, clean=False, properties=((mb.AUTH_METHOD, "none"),))
        if level == 5
        else mb.connect("", level=4, clean=False)
    )
    peer.send(bad)

    (got,) = peer.end()
    assert got.reason != 0
    assert not got.session_present


@clause("MQTT311-3.2.2-6")
def test_what_no_return_code_fits_is_closed_without_connack(server: Server) -> None:
    """3.1.1 has no code for a malformed CONNECT."""
    peer = server.open(4)

    peer.send(mb.connect("c", level=4, flags=0x03))

    assert peer.end() == []


def test_what_is_announced_is_what_is_kept(server: Server) -> None:
    """[MQTT5 3.2.2.3]: a client may rely on each limit that is not mentioned having its default."""
    topic = fresh("t")
    peer = server.connect()

    said = {identifier for identifier, _ in peer.connack.props}
    codes = peer.subscribe((f"{topic}/+", 2), properties=((mb.SUBSCRIPTION_ID, 7),))

    assert len(said) == len(peer.connack.props), "a property stands twice"
    assert not said & {mb.AUTH_METHOD, mb.AUTH_DATA, mb.REFERENCE}
    assert (peer.connack.prop(mb.MAX_QOS) is None) == (codes == [2])
    assert peer.connack.prop(mb.WILDCARDS) != 0
    assert peer.connack.prop(mb.IDS_AVAILABLE) != 0
    assert peer.connack.prop(mb.RETAIN_AVAILABLE) != 0


@clause("MQTT5-4.8.2-1")
def test_shared_subscriptions_are_available(server: Server) -> None:
    """What is not announced as missing can be used."""
    peer = server.connect()

    assert peer.connack.prop(mb.SHARED_AVAILABLE) != 0
    assert peer.subscribe((f"$share/g/{fresh('t')}", 1)) == [1]


@clause("MQTT5-3.1.2-28")
@pytest.mark.parametrize("asked", [None, 0, 1])
def test_response_information_is_not_sent_to_who_did_not_ask(server: Server, asked: int | None) -> None:
    """A server may leave it out even then."""
    peer = server.connect(properties=() if asked is None else ((mb.RESPONSE_REQUEST, asked),))

    if asked != 1:
        assert peer.connack.prop(mb.RESPONSE_INFO) is None


@clause("MQTT5-3.2.2-19", "MQTT5-3.2.2-20", "MQTT5-3.1.2-24", "MQTT5-3.14.0-1")
@pytest.mark.parametrize("limit", [20, 30, 40, 60, 100])
def test_a_connack_is_never_larger_than_its_client_takes(fieldgate: Server, limit: int) -> None:
    """What does not fit is left out; where even the rest does not fit, the connection ends without a CONNACK."""
    peer = fieldgate.open()

    peer.send(mb.connect("", properties=((mb.MAX_PACKET, limit),)), mb.disconnect())

    said = peer.end()
    assert all(len(got.wire) <= limit for got in said)
    assert mb.DISCONNECT not in [got.kind for got in said[:1]]


@clause("MQTT5-3.2.2-19", "MQTT5-3.2.2-20", "MQTT5-3.1.2-24")
@pytest.mark.parametrize("limit", [5, 10, 20, 30, 60, 100])
def test_a_refusal_is_never_larger_than_its_client_takes(server: Server, limit: int) -> None:
    """A Reason String is left out where it would not fit."""
    peer = server.open()

    peer.send(mb.connect("c", properties=((mb.MAX_PACKET, limit), (mb.AUTH_METHOD, "x" * 200))))

    assert all(len(got.wire) <= limit for got in peer.end())


@clause("MQTT5-3.1.2-24", "MQTT5-3.14.0-1")
def test_a_client_that_takes_less_than_the_smallest_connack_is_not_answered(fieldgate: Server) -> None:
    """Maximum Packet Size 1 holds for the CONNACK too."""
    peer = fieldgate.open()

    peer.send(mb.connect("c", properties=((mb.MAX_PACKET, 1),)))

    assert peer.end() == []
