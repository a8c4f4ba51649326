"""The life of a connection, from CONNECT to its end: clause by clause, in memory."""

from __future__ import annotations

import pytest

from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.handshake import SessionLimits
from fieldgate.mqtt.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    Properties,
    PubAck,
    Publish,
    Reason,
    SubAck,
    Subscription,
    UnsubAck,
    Unsubscribe,
)
from listener_kit import SettlingIntake
from session_kit import Client, Server


def pass_time(server: Server, client: Client, seconds: float) -> None:
    server.now_s += seconds
    client.session.tick(server.now_s)


def goodbye(client: Client, answers: list[Packet]) -> int:
    """The reason of the DISCONNECT that ends the answers."""
    assert client.closed == "politely"
    assert isinstance(answers[-1], Disconnect), answers
    return answers[-1].reason


def test_a_3_1_1_client_is_accepted() -> None:
    client = Server().open()

    assert client.send(Connect("c", 4)) == [ConnAck(0)]
    assert client.is_connected


def test_a_mqtt_5_client_is_told_the_limits() -> None:
    """What we enforce, the client must be able to know."""
    limits = SessionLimits(max_packet_bytes=1000, receive_maximum=7)
    client = Server(limits=limits).open(5)

    assert client.send(Connect("c", 5)) == [
        ConnAck(
            0,
            False,
            Properties(receive_maximum=7, maximum_packet_size=1000, topic_alias_maximum=16),
        )
    ]


def test_a_client_without_an_id_gets_one() -> None:
    """[MQTT-3.1.3-6], [MQTT-3.2.2-16]."""
    server = Server()
    old, new = server.connect("", version=4), server.connect("", version=5)

    assert old.session.client_id == "assigned-1"
    assert new.connack.properties.assigned_client_id == "assigned-2"


def test_a_3_1_1_client_without_an_id_cannot_keep_a_session() -> None:
    """[MQTT-3.1.3-8]: return code 2, then close."""
    client = Server().open()

    assert client.send(Connect("", 4, clean_start=False)) == [ConnAck(2)]
    assert client.closed == "politely"


@pytest.mark.parametrize(("version", "code"), [(4, 2), (5, Reason.CLIENT_ID_NOT_VALID)])
def test_a_client_id_of_unreasonable_length_is_refused(version: int, code: int) -> None:
    """Ids are kept, logged and compared."""
    client = Server().open(version)

    (answer,) = client.send(Connect("i" * 1025, version))

    assert isinstance(answer, ConnAck)
    assert answer.reason == code
    assert client.closed == "politely"


def test_mqtt_3_1_is_refused_with_return_code_1() -> None:
    """[3.1.1: MQTT-3.1.2-2]; a 3.1 client understands it."""
    client = Server().open()
    connect = b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01c"

    assert client.send_bytes(connect) == [ConnAck(1)]
    assert client.closed == "politely"


def test_an_unknown_version_is_refused_in_the_words_of_mqtt_5() -> None:
    """[MQTT5 3.1.2.2]: 0x84."""
    client = Server().open(5)

    (answer,) = client.send_bytes(b"\x10\x0e\x00\x04MQTT\x06\x02\x00\x3c\x00\x00\x01c")

    assert isinstance(answer, ConnAck)
    assert answer.reason == Reason.UNSUPPORTED_PROTOCOL_VERSION
    assert client.closed == "politely"


def test_enhanced_authentication_is_refused() -> None:
    """[MQTT5 4.12]: 0x8C for a method that we do not have."""
    client = Server().open(5)

    answers = client.send(Connect("c", 5, properties=Properties(authentication_method="SCRAM")))

    assert answers == [
        ConnAck(
            Reason.BAD_AUTHENTICATION_METHOD,
            properties=Properties(reason_string="enhanced authentication is not supported"),
        )
    ]
    assert client.closed == "politely"


@pytest.mark.parametrize(
    "first", [PingReq(), Publish("t", b""), Disconnect(), ConnAck()], ids=lambda packet: type(packet).__name__
)
def test_a_first_packet_that_is_not_connect_ends_the_connection_without_a_word(first: Packet) -> None:
    """[MQTT-3.1.0-1]; a port scanner learns nothing."""
    server = Server()
    client = server.open()

    assert client.send(first) == []
    assert client.closed == "at once"
    assert server.intake.batches == []


def test_packets_right_behind_connect_are_taken() -> None:
    """[MQTT5 3.1.4]: clients need not wait for CONNACK."""
    server = Server(SettlingIntake())
    client = server.open()

    answers = client.send(Connect("c", 4), Publish("t", b"a", 1, packet_id=1), PingReq())

    assert answers == [ConnAck(0), PingResp(), PubAck(1)]
    assert server.intake.payloads == [b"a"]


@pytest.mark.parametrize("version", [4, 5])
def test_connect_byte_by_byte_is_connect(version: int) -> None:
    """TCP has no packets."""
    client = Server().open(version)
    answers: list[Packet] = []

    for byte in encode(Connect("c", version), version):
        assert answers == []
        answers = client.send_bytes(bytes([byte]))

    assert isinstance(answers[0], ConnAck)


@pytest.mark.parametrize("version", [4, 5])
def test_a_second_connect_is_a_protocol_error(version: int) -> None:
    """[MQTT-3.1.0-2]."""
    client = Server().connect(version=version)

    answers = client.send(Connect("c", version))

    assert client.session.end_code == "protocol_error"
    assert answers == [] if version == 4 else goodbye(client, answers) == Reason.PROTOCOL_ERROR


@pytest.mark.parametrize(
    "packet",
    [
        ConnAck(),
        SubAck(1, (0,)),
        PingResp(),
        UnsubAck(1, (0,)),
        Auth(0x18, Properties(authentication_method="m")),
    ],
    ids=repr,
)
def test_what_only_a_server_may_say_or_nobody_asked_for_ends_that_client_only(packet: Packet) -> None:
    """FAULTS 64, CVE-2021-28166."""
    server = Server()
    client, other = server.connect("bad", version=5), server.connect("good", version=5)

    answers = client.send(packet)

    assert goodbye(client, answers) in (Reason.PROTOCOL_ERROR, Reason.MALFORMED_PACKET)
    assert other.send(PingReq()) == [PingResp()]


def test_a_3_1_1_client_is_not_told_why_it_is_ended() -> None:
    """It has no DISCONNECT from the server."""
    client = Server().connect()

    assert client.send_bytes(b"\xd0\x00") == []
    assert client.closed == "politely"


def test_what_came_before_a_bad_packet_counts() -> None:
    """The good part of a read was received; its events are taken."""
    server = Server()
    client = server.connect()

    client.send_bytes(encode(Publish("t", b"good", 1, packet_id=1), 4) + b"\x00\x00" + b"junk")

    assert server.intake.payloads == [b"good"]
    assert client.closed == "politely"


def test_nothing_after_the_end_is_looked_at() -> None:
    server = Server()
    client = server.connect()

    client.send(Disconnect(), Publish("t", b"late"))
    client.session.receive(encode(Publish("t", b"later"), 4), server.now_s)

    assert server.intake.batches == []


def test_no_connect_within_the_deadline_ends_the_connection() -> None:
    """FAULTS 61: idle sockets cost something."""
    server = Server()
    client = server.open()

    pass_time(server, client, 4.9)
    assert client.closed is None
    client.send_bytes(b"\x10")  # a trickle does not help
    pass_time(server, client, 0.2)

    assert client.closed == "at once"
    assert client.session.end_code == "connect_timeout"


@pytest.mark.parametrize("version", [4, 5])
def test_a_client_silent_for_one_and_a_half_keep_alives_is_ended(version: int) -> None:
    """[MQTT-3.1.2-22]; 0x8D in MQTT 5."""
    server = Server()
    client = server.connect(version=version, keep_alive_s=10)

    pass_time(server, client, 14.9)
    client.send(PingReq())
    pass_time(server, client, 14.9)
    assert client.is_connected
    pass_time(server, client, 0.2)

    assert client.closed == "politely"
    if version == 5:
        assert goodbye(client, client.received()) == Reason.KEEP_ALIVE_TIMEOUT


def test_a_3_1_1_client_without_keep_alive_is_taken_and_capped() -> None:
    """FAULTS 69: rumqttd refuses keep-alive 0, which is legal; a socket that is silent for hours is still no client."""
    server = Server(limits=SessionLimits(max_keep_alive_s=100))
    client = server.connect(keep_alive_s=0)

    pass_time(server, client, 149)
    assert client.is_connected
    pass_time(server, client, 2)

    assert client.session.end_code == "keep_alive_timeout"


@pytest.mark.parametrize(("asked_s", "told_s", "enforced_s"), [(0, 100, 150), (101, 100, 150), (100, None, 150)])
def test_an_mqtt_5_client_is_told_the_longest_keep_alive(asked_s: int, told_s: int | None, enforced_s: float) -> None:
    """[MQTT-3.2.2-21], and [MQTT-3.1.2-22] holds for what it was told."""
    server = Server(limits=SessionLimits(max_keep_alive_s=100))
    client = server.connect(version=5, keep_alive_s=asked_s)

    pass_time(server, client, enforced_s - 1)
    assert client.is_connected
    pass_time(server, client, 2)

    assert client.connack.properties.server_keep_alive_s == told_s
    assert client.session.end_code == "keep_alive_timeout"


def test_a_3_1_1_client_has_the_keep_alive_that_it_asks_for() -> None:
    """It cannot be told another one."""
    server = Server(limits=SessionLimits(max_keep_alive_s=100))
    client = server.connect(keep_alive_s=1000)

    pass_time(server, client, 1499)
    assert client.is_connected
    pass_time(server, client, 2)

    assert client.session.end_code == "keep_alive_timeout"


def test_a_packet_over_the_limit_is_refused_before_its_body_comes() -> None:
    """FAULTS 60 and 70: 0x95, and never acknowledged."""
    server = Server()
    client = server.connect(version=5)

    answers = client.send_bytes(b"\x32\xff\xff\xff\x7f")

    assert goodbye(client, answers) == Reason.PACKET_TOO_LARGE


def test_answers_larger_than_the_client_takes_end_it_instead() -> None:
    """[MQTT-3.1.2-24]."""
    client = Server().connect(version=5, properties=Properties(maximum_packet_size=40))

    answers = client.subscribe(*(Subscription(f"t/{one}") for one in range(60)))

    assert client.closed == "politely"
    assert answers == [Disconnect(Reason.PACKET_TOO_LARGE)]


def test_topic_aliases_are_resolved() -> None:
    """[MQTT5 3.3.2.3.4]; ours are per connection."""
    server = Server(SettlingIntake())
    client = server.connect(version=5)

    client.send(
        Publish("a/b", b"1", 1, packet_id=1, properties=Properties(topic_alias=3)),
        Publish("", b"2", 1, packet_id=2, properties=Properties(topic_alias=3)),
        Publish("c", b"3", 1, packet_id=3, properties=Properties(topic_alias=3)),
        Publish("", b"4", 0, properties=Properties(topic_alias=3)),
    )

    assert [(one.topic, one.payload) for one in server.intake.heard] == [
        ("a/b", b"1"),
        ("a/b", b"2"),
        ("c", b"3"),
        ("c", b"4"),
    ]


@pytest.mark.parametrize(
    ("topic", "alias", "reason"), [("t", 17, Reason.TOPIC_ALIAS_INVALID), ("", 1, Reason.PROTOCOL_ERROR)]
)
def test_a_bad_topic_alias_ends_the_client(topic: str, alias: int, reason: Reason) -> None:
    """[MQTT-3.3.2-8], and an alias that was never set."""
    client = Server().connect(version=5)

    answers = client.send(Publish(topic, b"", 1, packet_id=1, properties=Properties(topic_alias=alias)))

    assert goodbye(client, answers) == reason


def test_unsubscribe_is_answered_in_the_words_of_the_version() -> None:
    """[MQTT-3.11.3-1]; 3.1.1 has no reason codes there."""
    server = Server()
    old, new = server.connect("old"), server.connect("new", version=5)
    new.subscribe(Subscription("a"))

    assert old.send(Unsubscribe(3, ("a",))) == [UnsubAck(3)]
    assert new.send(Unsubscribe(4, ("a", "b"))) == [UnsubAck(4, (0, Reason.NO_SUBSCRIPTION_EXISTED))]
    assert not server.broker.is_listening


def test_what_a_client_is_told_about_its_mistake_is_short() -> None:
    """A problem may quote a topic of 64 KiB; the reason and the log must not."""
    client = Server().connect(version=5)

    answers = client.send_bytes(b"\x30\xe3\xd4\x03" + (60_000).to_bytes(2, "big") + b"+" * 60_000 + b"\0")

    assert isinstance(answers[-1], Disconnect)
    assert answers[-1].properties is not None
    assert len(answers[-1].properties.reason_string or "") <= 200
