"""What a client is told, and how much: reason strings, sizes, what is malformed and who hears of it."""

from __future__ import annotations

import pytest

from fieldgate.ingest.inbox_terms import InboxLimits
from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.handshake import SessionLimits
from fieldgate.mqtt.local_broker import BrokerLimits
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
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Reason,
    SubAck,
    Subscription,
    Unsubscribe,
    Will,
)
from listener_kit import HeldIntake, SettlingIntake
from session_kit import Client, Server


def goodbye(answers: list[Packet]) -> Disconnect:
    assert isinstance(answers[-1], Disconnect), answers
    return answers[-1]


def test_a_client_that_wants_no_problem_information_gets_it_in_disconnect_only() -> None:
    """[MQTT-3.1.2-29]: reason strings elsewhere would be a protocol error of ours."""
    server = Server(SettlingIntake())
    client = server.connect(version=5, properties=Properties(request_problem_information=0))

    assert client.subscribe(Subscription("$share/x")) == [SubAck(1, (Reason.TOPIC_FILTER_INVALID,))]
    assert client.publish(1, topic="$SYS/x") == [PubAck(1, Reason.NOT_AUTHORIZED)]
    assert client.send(PingReq()) == [PingResp()]
    end = goodbye(client.send_bytes(b"\xd0\x00"))

    assert end.properties is not None
    assert end.properties.reason_string


def test_a_reason_string_is_left_out_before_a_packet_is_too_large() -> None:
    """[MQTT-3.9.2-1], [MQTT-3.4.2-2], [MQTT-3.14.2-3]."""
    server = Server(SettlingIntake())
    client = server.connect(version=5, properties=Properties(maximum_packet_size=24), keep_alive_s=60)

    assert client.subscribe(Subscription("$share/x")) == [SubAck(1, (Reason.TOPIC_FILTER_INVALID,))]
    assert client.publish(1, topic="$SYS/x") == [PubAck(1, Reason.NOT_AUTHORIZED)]
    assert client.send_bytes(b"\xd0\x00") == [Disconnect(Reason.PROTOCOL_ERROR)]


def test_a_client_that_cannot_take_the_connack_is_refused() -> None:
    """[MQTT-3.2.0-1]: nothing may come before a CONNACK, so it is not DISCONNECT that says why."""
    server = Server()
    roomy, tight = server.open(5), server.open(5)
    connect = Connect("c", 5, properties=Properties(maximum_packet_size=10))

    assert roomy.send(connect) == [ConnAck(Reason.PACKET_TOO_LARGE)]
    connect.properties = Properties(maximum_packet_size=3)
    assert tight.send(connect) == []
    assert (roomy.closed, tight.closed) == ("politely", "politely")
    assert len(server.broker.sessions) == 0


def test_a_refused_connect_says_why_in_mqtt_5() -> None:
    """[MQTT5 3.2.2.3.9]."""
    (answer,) = Server().open(5).send(Connect("i" * 2000, 5))

    assert answer == ConnAck(Reason.CLIENT_ID_NOT_VALID, properties=Properties(reason_string="client id is too long"))


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        ("reserved flag", Reason.MALFORMED_PACKET),
        ("receive maximum 0", Reason.PROTOCOL_ERROR),
        ("maximum packet size 0", Reason.PROTOCOL_ERROR),
        ("property twice", Reason.PROTOCOL_ERROR),
        ("authentication data alone", Reason.PROTOCOL_ERROR),
    ],
)
def test_an_mqtt_5_connect_that_is_not_lawful_is_answered(problem: str, reason: Reason) -> None:
    """[MQTT-3.1.4-1], [MQTT5 4.13]: its author sees what is wrong; a 3.1.1 client only that something is."""
    flags, block = 2, b""
    match problem:
        case "reserved flag":
            flags = 3
        case "receive maximum 0":
            block = b"\x21\x00\x00"
        case "maximum packet size 0":
            block = b"\x27\x00\x00\x00\x00"
        case "property twice":
            block = b"\x11\x00\x00\x00\x01" * 2
        case _:
            block = b"\x16\x00\x01x"
    body = b"\x00\x04MQTT\x05" + bytes([flags]) + b"\x00\x3c" + bytes([len(block)]) + block + b"\x00\x01c"
    client = Server().open(5)

    (answer,) = client.send_bytes(bytes([0x10, len(body)]) + body)

    assert isinstance(answer, ConnAck)
    assert answer.reason == reason
    assert client.closed == "politely"


def test_a_3_1_1_connect_that_is_not_lawful_is_not_answered() -> None:
    """[3.1.1: MQTT-3.1.4-1]: close without a CONNACK."""
    client = Server().open()

    assert client.send_bytes(b"\x10\x0d\x00\x04MQTT\x04\x03\x00\x3c\x00\x01c") == []
    assert client.closed == "at once"


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("text", ["a\x01", "a\x1f", "\x7f", "a\x9fb", "\ufdd0", "\uffff", "\U0010ffff"])
def test_control_characters_in_names_are_malformed(version: int, text: str) -> None:
    """[MQTT5 1.5.4]: as mosquitto does; they have no use but to confuse who reads a log."""
    server = Server(SettlingIntake())
    writer, reader, leaver, other = (server.connect(name, version=version) for name in "wrlo")
    newcomer, mortal, user = server.open(version), server.open(version), server.open(version)

    ends = [
        writer.send(Publish(text, b"")),
        reader.subscribe(Subscription("fine"), Subscription(text)),
        leaver.send(Unsubscribe(1, (text,))),
    ]
    refused = [
        *newcomer.send(Connect(text, version)),
        *mortal.send(Connect("m", version, will=Will(text, b""))),
        *user.send(Connect("u", version, username=text)),
    ]

    assert {one.session.end_code for one in (writer, reader, leaver)} == {"malformed_packet"}
    assert server.broker.subscriptions.is_empty
    codes = [one.reason for one in refused if isinstance(one, ConnAck)]
    if version == 5:
        assert [goodbye(one).reason for one in ends] == [Reason.MALFORMED_PACKET] * 3
        assert codes == [Reason.CLIENT_ID_NOT_VALID, Reason.TOPIC_NAME_INVALID, Reason.BAD_USER_NAME_OR_PASSWORD]
    else:
        assert (refused, {newcomer.closed, mortal.closed, user.closed}) == ([], {"at once"})
    assert other.send(Unsubscribe(1, ("ok\u00a0\U0001f321",)))


def test_auth_without_a_method_is_a_protocol_error() -> None:
    """[MQTT5 4.12]: the CONNECT named none."""
    client = Server().connect(version=5)

    assert goodbye(client.send(Auth(0x19, Properties(authentication_method="m")))).reason == Reason.PROTOCOL_ERROR


@pytest.mark.parametrize("version", [4, 5])
def test_a_retained_message_that_cannot_be_kept_is_told_to_its_publisher(version: int) -> None:
    """FAULTS 66. What is an event is safe, and its acknowledgement says that; what is none was to be kept."""
    server = Server(
        SettlingIntake(), events=("e/#",), broker_limits=BrokerLimits(max_retained=1, max_retained_bytes=2000)
    )
    reader = server.connect("r")
    reader.subscribe(Subscription("#"))
    client = server.connect("w", version=version)

    answers = client.send(
        Publish("s/1", b"x", 1, True, packet_id=1),
        Publish("s/2", b"x", 1, True, packet_id=2),
        Publish("s/3", b"x", 2, True, packet_id=3),
        Publish("e/1", b"x", 1, True, packet_id=4),
        Publish("s/1", b"x" * 3000, 1, True, packet_id=5),
        Publish("s/1", b"", 1, True, packet_id=6),
    )

    no = Reason.QUOTA_EXCEEDED if version == 5 else 0
    assert [one.reason for one in answers if isinstance(one, PubAck | PubRec)] == [0, no, no, 0, no, 0]
    assert server.broker.retained.refused == {"max_retained": 3, "max_retained_size": 1}
    assert len([one for one in reader.received() if isinstance(one, Publish)]) == 6
    assert client.send(PubRel(3)) == [PubComp(3, Reason.PACKET_ID_NOT_FOUND if version == 5 else 0)]


class TestReceiveMaximum:
    """What a client may have on the way to us [MQTT5 4.9]."""

    def client(self, server: Server, client_id: str = "c") -> Client:
        return server.connect(client_id, version=5, clean=False, properties=Properties(session_expiry_s=60))

    def test_qos_2_counts_until_pubcomp(self) -> None:
        """PUBREC does not give the place back, PUBCOMP does."""
        server = Server(SettlingIntake(), inbox_limits=InboxLimits(receive_maximum=2))
        client = self.client(server)
        client.publish(1, 2, qos=2)
        client.send(PubRel(1))
        assert client.publish(3, qos=2) == [PubRec(3)]

        assert goodbye(client.publish(4, qos=1)).reason == Reason.RECEIVE_MAXIMUM_EXCEEDED

    def test_a_refused_one_does_not_count(self) -> None:
        """[MQTT5 4.9]: a PUBREC of 0x80 or greater ends it."""
        server = Server(SettlingIntake(), inbox_limits=InboxLimits(receive_maximum=1))
        client = self.client(server)

        for packet_id in (1, 2, 3):
            (answer,) = client.publish(packet_id, topic="$SYS/x", qos=2)
            assert isinstance(answer, PubRec)
            assert answer.reason == Reason.NOT_AUTHORIZED

    def test_a_full_window_may_be_sent_again_after_reconnecting(self) -> None:
        """The client did not see our PUBRECs: what it sends again are the same messages, not twice as many."""
        server = Server(SettlingIntake(), inbox_limits=InboxLimits(receive_maximum=2))
        client = self.client(server)
        client.publish(1, 2, qos=2)
        client.vanish()

        again = self.client(server)

        assert again.publish(1, 2, qos=2, dup=True) == [PubRec(1), PubRec(2)]
        assert again.send(PubRel(1), PubRel(2)) == [PubComp(1), PubComp(2)]
        assert server.intake.payloads == [b"1", b"2"]

    def test_what_an_earlier_connection_left_does_not_count(self) -> None:
        """[MQTT5 4.9]: quotas begin anew with the connection."""
        server = Server(SettlingIntake(), inbox_limits=InboxLimits(receive_maximum=2))
        client = self.client(server)
        client.publish(1, 2, qos=2)
        client.vanish()

        assert self.client(server).publish(3, 4, qos=2) == [PubRec(3), PubRec(4)]

    def test_ids_that_are_never_released_are_bounded_over_connections(self) -> None:
        """FAULTS 65, CVE-2023-28366: else each connection would add some."""
        server = Server(SettlingIntake(), inbox_limits=InboxLimits(receive_maximum=2, max_unreleased=5))
        for first in (1, 3):
            client = self.client(server)
            client.publish(first, first + 1, qos=2)
            client.vanish()
        client = self.client(server)
        client.publish(5, qos=2)

        client.publish(6, qos=2)

        assert goodbye(client.publish(0, qos=0)).reason == Reason.QUOTA_EXCEEDED
        assert len(server.broker.sessions.find("c").unreleased) == 6


def test_what_the_publisher_says_is_passed_on_whatever_its_payload_is() -> None:
    """[MQTT-3.3.2-4]: the payload format is the publisher's claim; we pass it on and do not check it."""
    server = Server(SettlingIntake())
    reader = server.connect("r", version=5)
    reader.subscribe(Subscription("t"))
    own = Properties(payload_format=1)

    server.connect("w", version=5).send(Publish("t", b"\xff\xfe", properties=own))

    assert reader.received() == [Publish("t", b"\xff\xfe", properties=own)]
    assert server.intake.payloads == [b"\xff\xfe"]


def test_the_levels_of_a_will_and_the_size_of_everything_hold_for_a_raw_connect() -> None:
    """A CONNECT is a packet like any other: over the limit nothing of it is read."""
    client = Server(HeldIntake(), limits=SessionLimits(max_packet_bytes=100)).open(5)

    answers = client.send_bytes(encode(Connect("c", 5, will=Will("w", b"x" * 200)), 5))

    assert answers == []
    assert client.closed == "at once"
