"""Our client sends and receives messages [MQTT5 3.3, 4.3 to 4.9; 3.1.1 likewise]: bytes of a scripted server."""

from __future__ import annotations

import pytest

import mqtt_bytes as mb
from client_script import Script, connack
from fieldgate.mqtt.client_happenings import Ended, Rejected
from fieldgate.mqtt.packets import Subscription

clause = pytest.mark.clause


def connected(level: int, *properties: mb.Property, is_uplink: bool = False, **settings: object) -> Script:
    script = Script(level, is_uplink=is_uplink, **settings)
    script.connect(connack(level, properties=properties))
    return script


# sending


@clause(
    "MQTT5-3.3.2-1 MQTT5-3.3.2-2 MQTT5-2.2.1-3 MQTT5-4.3.2-1 MQTT5-4.3.2-2 MQTT5-1.5.5-1 MQTT5-3.3.1-4 MQTT5-3.3.2-8",
    "MQTT311-3.3.2-1 MQTT311-3.3.2-2 MQTT311-2.3.1-1 MQTT311-2.3.1-2 MQTT311-4.3.2-1 MQTT311-3.3.1-4",
)
def test_a_publish_is_this_and_nothing_else(level: int) -> None:
    """QoS 1, no DUP, no RETAIN, no alias, an id of its own, whatever the length."""
    script = connected(level)
    topic = "site/é"

    sent = script.publish(3, topic=topic)
    long = script.publish(1, topic="t" * 20_000)

    assert [one.wire for one in sent] == [
        mb.publish(topic, b"%d" % number, level=level, qos=1, packet_id=number + 1) for number in range(3)
    ]
    assert long[0].wire == mb.publish("t" * 20_000, b"3", level=level, qos=1, packet_id=4)


@clause("MQTT5-2.2.1-3", "MQTT5-4.3.2-1", "MQTT311-2.3.1-2", "MQTT311-2.3.1-3")
def test_an_id_is_not_used_again_before_its_acknowledgement(level: int) -> None:
    """Over the wrap at 65,535, with one message that stays unacknowledged, and a SUBSCRIBE in between."""
    script = connected(level, window=65_000)
    script.publish(1)
    assert script.session.subscribe([Subscription("f", 1)], script.now_s) == 2
    script.said()

    used: list[int] = []
    for _ in range(700):
        ids = [int.from_bytes(one.body[3:5], "big") for one in script.publish(100)]
        used += ids
        script.hear(*(mb.ack(mb.PUBACK, packet_id) for packet_id in ids))

    assert len(used) == 70_000
    assert not {0, 1, 2} & set(used)
    assert script.delivered == list(range(1, 70_001))


@clause("MQTT5-4.3.2-3", "MQTT311-4.3.2-1", "MQTT5-2.2.1-5")
def test_only_its_own_puback_acknowledges_a_message(level: int) -> None:
    """Not a strange one, and not one that comes twice."""
    script = connected(level)
    script.publish(3)

    script.hear(mb.ack(mb.PUBACK, 9), mb.ack(mb.PUBACK, 2), mb.ack(mb.PUBACK, 2))

    assert script.delivered == [1]


@clause("MQTT5-4.4.0-2")
@pytest.mark.parametrize("reason", [0x80, 0x87, 0x97, 0x99], ids=hex)
def test_a_message_that_was_refused_is_not_retransmitted(reason: int) -> None:
    """Its owner decides whether it becomes a new message or is parked."""
    script = connected(5)
    script.publish(2)

    (rejected,) = script.hear(mb.ack(mb.PUBACK, 1, reason))
    script.session.closed()
    script.connect(connack(5, is_present=True))

    assert isinstance(rejected, Rejected)
    assert [one.body[3:5] for one in script.resend()] == [b"\0\2"]


@clause("MQTT5-3.3.4-7", "MQTT5-4.9.0-1", "MQTT5-4.9.0-2")
@pytest.mark.parametrize("limit", [1, 2, 20, 65_535])
def test_the_servers_receive_maximum_is_the_most_on_the_way(limit: int) -> None:
    """Room appears with each PUBACK, one of 0x80 or more included; there is none before the CONNACK."""
    script = connected(5, (mb.RECEIVE_MAX, limit), window=50)
    room = script.session.room(1000)
    assert room == min(limit, 50)

    script.publish(room)
    assert script.session.room(1000) == 0
    script.hear(mb.ack(mb.PUBACK, 1))
    assert script.session.room(1000) == 1


@clause("MQTT5-3.3.4-8", "MQTT5-4.9.0-3")
def test_with_no_room_left_everything_else_goes_on() -> None:
    """Pings, subscriptions, and the acknowledgement of what comes."""
    script = connected(5, (mb.RECEIVE_MAX, 1), keep_alive_s=8, puback_timeout_s=600)
    script.publish(1)

    assert script.session.subscribe([Subscription("f", 1)], script.now_s)
    assert len(script.receive(script.delivery())) == 1
    script.settle(0)
    script.now_s += 7
    script.session.poll(script.now_s)

    assert [one.kind for one in script.said()] == [mb.SUBSCRIBE, mb.PUBACK, mb.PINGREQ_KIND]


# receiving


@clause(
    "MQTT5-3.3.4-1 MQTT5-4.3.2-4 MQTT5-4.5.0-2 MQTT5-2.2.1-5 MQTT5-3.4.2-1 MQTT5-3.4.2-2 MQTT5-3.4.2-3",
    "MQTT311-3.3.4-1 MQTT311-4.3.2-2 MQTT311-4.5.0-2 MQTT311-2.3.1-6",
)
@pytest.mark.parametrize("packet_id", [1, 255, 256, 65_535])
def test_a_message_is_acknowledged_once_it_is_safe(level: int, packet_id: int) -> None:
    """Four bytes with its id; nothing at QoS 0."""
    script = connected(level)
    assert len(script.receive(script.delivery(qos=1, packet_id=packet_id), script.delivery(qos=0))) == 2
    assert script.said() == []

    script.settle(0)
    script.settle(1)

    assert [one.wire for one in script.said()] == [mb.ack(mb.PUBACK, packet_id)]


@clause("MQTT5-4.6.0-2", "MQTT311-4.6.0-2")
def test_pubacks_go_out_in_the_order_of_the_publishes(level: int) -> None:
    """Whatever becomes safe first."""
    script = connected(level)
    script.receive(*(script.delivery(packet_id=number) for number in (5, 3, 9, 1)))

    said = []
    for number in (2, 3, 0, 1):
        script.settle(number)
        said += script.said()

    assert [int.from_bytes(one.body, "big") for one in said] == [5, 3, 9, 1]


@clause("MQTT5-4.3.2-5", "MQTT311-4.3.2-2")
def test_after_its_puback_an_id_is_a_new_message(level: int) -> None:
    """With DUP too."""
    script = connected(level)

    for number, dup in enumerate((False, True, False)):
        assert len(script.receive(script.delivery(packet_id=7, dup=dup))) == 1
        script.settle(number)
        assert [one.wire for one in script.said()] == [b"\x40\x02\x00\x07"]


@clause("MQTT5-1.5.4-3", "MQTT311-1.5.3-3")
@pytest.mark.parametrize("topic", ["\ufeff", "a\ufeff/b", "\u00e4", "a\u0308"], ids=ascii)
def test_no_character_of_a_topic_is_skipped(level: int, topic: str) -> None:
    """U+FEFF is a character like any other."""
    script = connected(level)

    (publish,) = script.receive(script.delivery(topic=topic))

    assert publish.topic == topic


STRINGS = "MQTT5-1.5.4-1 MQTT311-1.5.3-1"
NULLS = "MQTT5-1.5.4-2 MQTT311-1.5.3-2"


@clause("MQTT311-4.8.0-1")
@pytest.mark.parametrize(
    "topic",
    [
        pytest.param(b"\xff", marks=clause(STRINGS), id="not UTF-8"),
        pytest.param(b"\xed\xa0\x80", marks=clause(STRINGS), id="surrogate"),
        pytest.param(b"\xc0\xaf", marks=clause(STRINGS), id="overlong"),
        pytest.param(b"a\0", marks=clause(NULLS), id="null"),
        pytest.param(b"a/#", marks=clause("MQTT5-3.3.2-2 MQTT311-3.3.2-2"), id="#"),
        pytest.param(b"+", marks=clause("MQTT5-3.3.2-2 MQTT311-3.3.2-2"), id="+"),
        pytest.param(b"", id="empty"),
    ],
)
def test_a_topic_that_is_none_ends_the_connection(level: int, topic: bytes) -> None:
    """A broker is not trusted more than a device."""
    script = connected(level)

    script.ends(script.delivery(topic=topic), codes=(0x81, 0x82, 0x90))


@clause("MQTT5-4.13.2-1")
@pytest.mark.parametrize(
    "properties",
    [
        pytest.param(((mb.USER, (b"\xff", "v")),), marks=clause("MQTT5-1.5.7-1"), id="user property name"),
        pytest.param(((mb.USER, ("n", b"\0")),), marks=clause("MQTT5-1.5.7-1"), id="user property value"),
        pytest.param(((mb.CONTENT_TYPE, b"\xff"),), marks=clause("MQTT5-3.3.2-19"), id="content type"),
        pytest.param(((mb.RESPONSE_TOPIC, b"\xff"),), marks=clause("MQTT5-3.3.2-13"), id="response topic"),
        pytest.param(((mb.ALIAS, 0),), marks=clause("MQTT5-3.3.2-8"), id="alias 0"),
        pytest.param(((mb.SUBSCRIPTION_ID, 0),), id="subscription id 0"),
    ],
)
def test_properties_that_may_not_be_end_the_connection(properties: tuple[mb.Property, ...]) -> None:
    """A broker is not trusted more than a device."""
    script = connected(5)

    script.ends(script.delivery(properties=properties), codes=(0x81, 0x82, 0x90, 0x94))


@pytest.mark.parametrize("topic", ["a/#", "+", ""])
def test_a_response_topic_that_is_none_is_left_to_whoever_would_answer(topic: str) -> None:
    """Mosquitto 2.0 passes on what it got; to leave would only bring the same message again, for ever."""
    script = connected(5)

    received = script.receive(script.delivery(properties=((mb.RESPONSE_TOPIC, topic),)))
    script.settle(0)

    assert len(received) == 1
    assert [one.kind for one in script.said()] == [mb.PUBACK]


@pytest.mark.parametrize("topic", ["t", ""])
def test_an_alias_ends_the_connection_because_none_was_offered(topic: str) -> None:
    """[MQTT5 3.3.2.3.4]: without a topic it would even be a message about nothing."""
    script = connected(5)

    script.ends(script.delivery(topic=topic, properties=((mb.ALIAS, 1),)), codes=(0x82, 0x94))


@clause("MQTT5-1.5.5-1", "MQTT5-4.13.2-1")
@pytest.mark.parametrize(
    "sent",
    [b"\xd0\x80\x00", b"\x30\xff\xff\xff\xff\x01", mb.packet(0x30, mb.text("t"), b"\x80\x00")],
    ids=["remaining length too long", "remaining length of five", "property length too long"],
)
def test_a_number_longer_than_it_need_be_ends_the_connection(sent: bytes) -> None:
    """As for a server."""
    connected(5).ends(sent)


@clause("MQTT5-2.1.3-1", "MQTT311-2.2.2-2", "MQTT311-2.2.2-1", "MQTT5-3.3.1-4", "MQTT311-3.3.1-4", "MQTT311-4.8.0-1")
@pytest.mark.parametrize(
    "first", [0x41, 0x91, 0xB4, 0xD1, 0xD8, 0x36, 0x00, 0x80, 0xA0, 0xC0, 0x10], ids=lambda first: f"{first:02x}"
)
def test_flags_and_types_that_may_not_be_end_the_connection(level: int, first: int) -> None:
    """Reserved flags, QoS 3, and what only a client says."""
    script = connected(level)
    body = {4: b"\0\1", 9: b"\0\1\0", 11: b"\0\1", 3: b"\0\1t\0\1"}.get(first >> 4, b"")

    script.ends(mb.packet(first, body))


@clause("MQTT5-3.14.1-1", "MQTT5-3.15.1-1")
@pytest.mark.parametrize("first", [0xE1, 0xE8, 0xF1, 0xF2])
def test_flags_of_disconnect_and_auth_are_looked_at(first: int) -> None:
    """0x81, though the server was leaving anyway."""
    connected(5).ends(mb.packet(first, b"\0"), codes=(0x81,))


@clause("MQTT5-4.13.2-1", "MQTT5-3.14.4-1")
@pytest.mark.parametrize("reason", [0x00, 0x8B, 0x8E, 0x9C], ids=hex)
def test_a_servers_disconnect_is_its_end_and_ours(reason: int) -> None:
    """Nothing more is sent on that connection."""
    script = connected(5)

    happenings = script.hear(mb.disconnect(reason), script.delivery())

    assert [type(one) for one in happenings] == [Ended]
    assert script.said() == []
    assert script.session.room(10) == 0


def test_a_qos_2_publish_ends_the_connection(level: int) -> None:
    """An uplink asks for nothing, so the server must not; a source takes it."""
    connected(level, is_uplink=True).ends(script_qos_2(level), codes=(0x9B, 0x82))


def script_qos_2(level: int) -> bytes:
    return mb.publish("t", b"p", level=level, qos=2, packet_id=1)


@clause("MQTT5-4.9.0-2")
def test_more_than_our_receive_maximum_ends_the_connection() -> None:
    """0x93, by an uplink. A source reads on later instead: mosquitto breaks the limit when a session resumes."""
    script = connected(5, is_uplink=True, receive_maximum=3)

    script.ends(*(script.delivery(packet_id=number + 1) for number in range(4)), codes=(0x93,))


# subscribing


@clause(
    "MQTT5-3.8.1-1 MQTT5-3.10.1-1 MQTT5-3.8.3-1 MQTT5-3.10.3-1 MQTT5-2.2.1-3 MQTT5-2.2.2-1",
    "MQTT311-3.8.1-1 MQTT311-3.10.1-1 MQTT311-3.8.3-1 MQTT311-3.8.3-3 MQTT311-3.10.3-1 MQTT311-3.10.3-2",
    "MQTT311-2.3.1-1",
)
def test_subscribe_and_unsubscribe_are_this_and_nothing_else(level: int) -> None:
    """To the byte."""
    script = connected(level)

    script.session.subscribe([Subscription("a/+", 1), Subscription("é/#", 0)], script.now_s)
    script.session.unsubscribe(["a/+", "é/#"], script.now_s)

    assert [one.wire for one in script.said()] == [
        mb.subscribe(("a/+", 1), ("é/#", 0), packet_id=1, level=level),
        mb.unsubscribe("a/+", "é/#", packet_id=2, level=level),
    ]


# the transport


@clause("MQTT5-4.2.0-1", "MQTT311-7.1.2-1", "MQTT311-7.0.0-1", "MQTT311-7.0.0-2")
def test_the_stream_may_be_cut_anywhere(level: int) -> None:
    """A transport of bytes has no borders: a whole life, byte by byte."""
    script = Script(level)
    script.session.connect(level, script.now_s)
    script.said()
    stream = connack(level) + script.delivery(b"one") + b"\xd0\0" + script.delivery(b"two", packet_id=2)

    publishes = [publish for at in range(len(stream)) for publish in script.receive(stream[at : at + 1])]

    assert [publish.payload for publish in publishes] == [b"one", b"two"]
