"""SUBSCRIBE and SUBACK [MQTT5 3.8, 3.9; 3.1.1 3.8, 3.9], and what overlapping subscriptions deliver [MQTT5 3.3.4]."""

from __future__ import annotations

import pytest

import mqtt_bytes as mb
from mqtt_peer import Server, fresh

clause = pytest.mark.clause


@clause("MQTT5-3.8.4-1", "MQTT311-3.8.4-1", "MQTT5-3.8.4-7", "MQTT311-3.8.4-5", "MQTT5-3.9.3-2", "MQTT311-3.9.3-2")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_the_qos_asked_for_is_granted(server: Server, level: int, qos: int) -> None:
    """A client may rely on what the code says."""
    assert server.connect(level=level).subscribe((fresh("t"), qos)) == [qos]


@clause(
    "MQTT5-3.8.4-5 MQTT5-3.8.4-6 MQTT5-3.9.3-1 MQTT5-3.9.3-2",
    "MQTT311-3.8.4-4 MQTT311-3.8.4-5 MQTT311-3.9.3-1 MQTT311-3.9.3-2",
)
def test_many_filters_get_as_many_codes_in_their_order(server: Server, level: int) -> None:
    """One SUBACK for all of them."""
    asked = [(fresh("t"), number % 2) for number in range(50)]
    peer = server.connect(level=level)

    assert peer.subscribe(*asked) == [qos for _, qos in asked]
    assert peer.drain() == []


@clause("MQTT5-3.8.4-8", "MQTT311-3.8.4-6")
@pytest.mark.parametrize("sent", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_a_delivery_has_the_lower_qos_of_message_and_subscription(
    server: Server, level: int, sent: int, granted: int
) -> None:
    """Nine cases."""
    topic = fresh("t")
    watcher = server.connect(level=level)
    watcher.subscribe((topic, granted))

    server.connect(level=level).publish(topic, b"p", qos=sent)

    assert [got.qos for got in watcher.messages()] == [min(sent, granted)]


@clause("MQTT5-3.8.3-2", "MQTT311-3.8.3-3", "MQTT5-4.13.1-1", "MQTT311-4.8.0-1")
def test_subscribe_without_a_filter_ends_the_connection(server: Server, level: int) -> None:
    """It asks for nothing."""
    peer = server.connect(level=level)

    peer.send(mb.subscribe(level=level))

    peer.rejected(0x82, 0x81)


@clause("MQTT311-3.8.3-4")
@pytest.mark.parametrize("options", [3, *(1 << bit for bit in range(2, 8)), 0xFF], ids=lambda value: f"{value:08b}")
def test_reserved_bits_of_3_1_1_end_the_connection(server: Server, options: int) -> None:
    """Options came with MQTT 5."""
    peer = server.connect(level=4)

    peer.send(mb.subscribe((fresh("t"), options), level=4))

    peer.rejected()


@clause("MQTT5-3.8.3-5")
@pytest.mark.parametrize("options", [0x40, 0x80, 0xC0, 0x41], ids=lambda value: f"{value:08b}")
def test_reserved_option_bits_end_the_connection(server: Server, options: int) -> None:
    """Malformed."""
    peer = server.connect()

    peer.send(mb.subscribe((fresh("t"), options)))

    peer.rejected(0x81, 0x82)


@clause("MQTT5-4.13.1-1")
@pytest.mark.parametrize("options", [0x03, 0x30, 0x33], ids=["QoS 3", "retain handling 3", "both"])
def test_option_values_that_there_are_not_end_the_connection(server: Server, options: int) -> None:
    """[MQTT5 3.8.3.1]: protocol errors."""
    peer = server.connect()

    peer.send(mb.subscribe((fresh("t"), options)))

    peer.rejected(0x81, 0x82)


@clause("MQTT5-3.8.3-4")
@pytest.mark.mosquitto_differs("takes no-local on a shared subscription")
def test_no_local_on_a_shared_subscription_ends_the_connection(server: Server) -> None:
    """Who gets a message must not depend on who published it."""
    peer = server.connect()

    peer.send(mb.subscribe((f"$share/g/{fresh('t')}", 0x05)))

    peer.rejected(0x82)


@clause("MQTT5-3.8.3-3")
def test_no_local_keeps_a_clients_own_messages_from_it(server: Server) -> None:
    """By client id; others get them."""
    topic = fresh("t")
    peer = server.connect()
    peer.subscribe((topic, 0x05))
    other = server.connect()
    other.subscribe((topic, 0x05))

    peer.publish(topic, b"mine")
    other.publish(topic, b"others")

    assert [got.payload for got in peer.messages()] == [b"others"]
    assert [got.payload for got in other.messages()] == [b"mine"]


@clause("MQTT5-3.8.4-3", "MQTT311-3.8.4-3")
def test_the_same_filter_again_replaces_the_subscription(server: Server, level: int) -> None:
    """With its QoS; there is one subscription and one delivery."""
    topic = fresh("t")
    peer = server.connect(level=level)
    assert peer.subscribe((topic, 1)) == [1]
    assert peer.subscribe((topic, 0)) == [0]

    server.connect(level=level).publish(topic, b"p")

    assert [got.qos for got in peer.messages()] == [0]


@clause("MQTT5-3.8.4-3")
@pytest.mark.mosquitto_differs("keeps Retain As Published of the subscription replaced")
def test_the_same_filter_again_replaces_options_and_identifier(server: Server) -> None:
    """Also by none."""
    topic = fresh("t")
    peer = server.connect()
    peer.subscribe((topic, 0x09), properties=((mb.SUBSCRIPTION_ID, 5),))
    publisher = server.connect()

    publisher.publish(topic, b"1", retain=True)
    peer.subscribe((topic, 0x21), properties=((mb.SUBSCRIPTION_ID, 6),))
    publisher.publish(topic, b"2", retain=True)
    peer.subscribe((topic, 0x21))
    publisher.publish(topic, b"3", retain=True)

    found = [(got.payload, got.retain, got.all_of(mb.SUBSCRIPTION_ID)) for got in peer.messages()]
    assert found == [(b"1", True, [5]), (b"2", False, [6]), (b"3", False, [])]


@clause("MQTT5-3.8.4-4", "MQTT311-3.8.4-3")
def test_no_message_is_lost_while_a_subscription_is_replaced(server: Server, level: int) -> None:
    """Subscribed again between any two of them, twenty times."""
    topic = fresh("t")
    peer = server.connect(level=level)
    peer.subscribe((topic, 1))
    publisher = server.connect(level=level)

    for number in range(20):
        publisher.publish(topic, b"%d" % number)
        peer.send(mb.subscribe((topic, 1), level=level))

    got = [one for one in peer.drain() if one.kind == mb.PUBLISH]
    assert [one.payload for one in got] == [b"%d" % number for number in range(20)]


@clause("MQTT5-3.3.4-2", "MQTT311-3.3.5-1", "MQTT5-3.3.4-4", "MQTT5-3.3.4-3")
@pytest.mark.mosquitto_differs("delivers at the QoS of one of them", level=(4,))
def test_overlapping_subscriptions_deliver_at_their_highest_qos(server: Server, level: int) -> None:
    """One copy of ours, with the identifiers of all; several copies would be legal."""
    topic = fresh("t")
    peer = server.connect(level=level)
    for number, (topic_filter, qos) in enumerate(((f"{topic}/#", 0), (f"{topic}/+", 1), (f"{topic}/a", 0)), 11):
        peer.subscribe((topic_filter, qos), properties=((mb.SUBSCRIPTION_ID, number),) if level == 5 else ())

    server.connect(level=level).publish(f"{topic}/a", b"p", qos=1)

    got = peer.messages()
    assert max(one.qos for one in got) == 1
    if level == 5:
        ids = [number for one in got for number in one.all_of(mb.SUBSCRIPTION_ID)]
        assert sorted(ids) == [11, 12, 13]
    if server.name == "fieldgate":
        assert len(got) == 1


@clause("MQTT5-3.3.4-4")
def test_subscriptions_that_share_an_identifier_are_both_named(server: Server) -> None:
    """[MQTT5 3.3.4] allows the same identifier for several subscriptions; a filter without one adds none."""
    topic = fresh("t")
    peer = server.connect()
    peer.subscribe((f"{topic}/#", 0), (f"{topic}/+", 0), properties=((mb.SUBSCRIPTION_ID, 9),))
    peer.subscribe((f"{topic}/a", 0))

    server.connect().publish(f"{topic}/a", b"p", qos=0)

    assert [number for got in peer.messages() for number in got.all_of(mb.SUBSCRIPTION_ID)] == [9, 9]


@clause("MQTT5-3.3.4-3")
@pytest.mark.parametrize("number", [1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455])
def test_a_subscription_identifier_of_every_length_comes_back(server: Server, number: int) -> None:
    """1 to 268,435,455."""
    topic = fresh("t")
    peer = server.connect()
    peer.subscribe((topic, 0), properties=((mb.SUBSCRIPTION_ID, number),))

    server.connect().publish(topic, b"p", qos=0)

    assert [got.all_of(mb.SUBSCRIPTION_ID) for got in peer.messages()] == [[number]]


@clause("MQTT5-4.13.1-1")
@pytest.mark.parametrize("ids", [(0,), (1, 2), (1, 1)], ids=str)
def test_a_wrong_subscription_identifier_ends_the_connection(server: Server, ids: tuple[int, ...]) -> None:
    """[MQTT5 3.8.2.1.2]: not 0, and not twice."""
    peer = server.connect()

    peer.send(mb.subscribe(fresh("t"), properties=tuple((mb.SUBSCRIPTION_ID, number) for number in ids)))

    peer.rejected(0x81, 0x82)


BAD_FILTERS = ["", "#/", "a#", "a/#/b", "#a", "##", "a+", "+a", "a/b+/c", "++", "a/+b"]
BAD_SHARED = [
    "$share/", "$share/g", "$share/g/", "$share//t", "$share/+/t", "$share/#/t", "$share/g+/t", "$share/g/a#",
    "$share/g/a+/b",
]  # fmt: skip


@clause("MQTT5-4.7.1-1 MQTT5-4.7.1-2 MQTT5-4.7.3-1", "MQTT311-4.7.1-2 MQTT311-4.7.1-3 MQTT311-4.7.3-1")
@pytest.mark.parametrize("topic_filter", BAD_FILTERS)
def test_a_filter_that_is_none_ends_the_connection(server: Server, level: int, topic_filter: str) -> None:
    """`#` alone and last, `+` alone in its level, and at least one character."""
    peer = server.connect(level=level)

    peer.send(mb.subscribe(topic_filter, level=level))

    peer.rejected(0x81, 0x82, 0x8F)


@clause("MQTT5-4.8.2-1", "MQTT5-4.8.2-2")
@pytest.mark.mosquitto_differs("takes it as an ordinary filter, or any name", topic_filter=BAD_SHARED[:5])
@pytest.mark.parametrize("topic_filter", BAD_SHARED)
def test_a_shared_filter_that_is_none_is_not_accepted(server: Server, topic_filter: str) -> None:
    """By the end of the connection, or by a code."""
    peer = server.connect()

    peer.send(mb.subscribe(topic_filter))

    got = peer.next()
    assert got.kind in (mb.DISCONNECT, mb.SUBACK)
    assert (got.reasons[0] if got.kind == mb.SUBACK else got.reason) in (0x80, 0x81, 0x82, 0x8F)


@clause("MQTT5-3.8.4-5", "MQTT311-3.8.4-4")
def test_a_bad_filter_among_good_ones_subscribes_to_none(fieldgate: Server, level: int) -> None:
    """A malformed packet has no effect."""
    topic = fresh("t")
    kept = ((mb.SESSION_EXPIRY, 60),) if level == 5 else ()
    peer = fieldgate.connect(level=level, clean=False, properties=kept)
    peer.send(mb.subscribe(topic, "a#", level=level))
    peer.rejected(0x81)

    back = fieldgate.connect(peer.client_id, level=level, clean=False, properties=kept)
    fieldgate.connect(level=level).publish(topic, b"p")

    assert back.messages() == []


@clause("MQTT5-3.9.2-1", "MQTT5-3.9.2-2", "MQTT5-3.1.2-24")
@pytest.mark.parametrize("spare", [0, 5, 50])
def test_a_suback_is_never_larger_than_its_client_takes(fieldgate: Server, spare: int) -> None:
    """A filter that is refused may be explained only where there is room."""
    limit = 20 + spare
    peer = fieldgate.connect(properties=((mb.MAX_PACKET, 40 + limit),))
    deep = "/".join("a" * 150)

    got = peer.ask(mb.subscribe(*[(f"{deep}/{number}", 0) for number in range(8)]), kind=mb.SUBACK)

    assert len(got.wire) <= 40 + limit
    assert len(got.reasons) == 8
