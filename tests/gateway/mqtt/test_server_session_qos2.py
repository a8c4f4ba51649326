"""QoS 2 towards a subscriber: exactly once while the process lives, whatever becomes of the connection."""

from __future__ import annotations

import pytest

from fieldgate.mqtt.packets import (
    Disconnect,
    Packet,
    Properties,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Reason,
    SubAck,
    Subscription,
    Will,
)
from listener_kit import SettlingIntake
from session_kit import Client, Server

KEPT = Properties(session_expiry_s=600)


@pytest.fixture
def server() -> Server:
    return Server(SettlingIntake())


def subscriber(server: Server, client_id: str = "r", *, version: int = 5, qos: int = 2, **more: object) -> Client:
    properties = Properties(session_expiry_s=600, **more) if version == 5 else None  # type: ignore[arg-type]
    client = server.connect(client_id, version=version, clean=False, properties=properties)
    if not client.connack.session_present:
        assert client.subscribe(Subscription("t", qos)) == [SubAck(1, (qos,))]
    return client


def say(server: Server, *payloads: bytes, qos: int = 2) -> None:
    for payload in payloads:
        server.broker.publish("t", payload, qos=qos, now_s=server.now_s)


def goodbye(answers: list[Packet]) -> int:
    assert isinstance(answers[-1], Disconnect), answers
    return answers[-1].reason


@pytest.mark.parametrize("version", [4, 5])
def test_a_message_goes_through_the_four_packets(server: Server, version: int) -> None:
    """[MQTT-4.3.3-1 to 7]."""
    reader = subscriber(server, version=version)
    say(server, b"m")

    assert reader.received() == [Publish("t", b"m", 2, packet_id=1)]
    assert reader.send(PubRec(1)) == [PubRel(1)]
    assert reader.send(PubComp(1)) == []
    assert server.broker.sessions.find("r").outbound.released == {}


def test_what_a_client_published_at_qos_2_reaches_a_subscriber_once(server: Server) -> None:
    """Both hops: sent again by the publisher, and the subscriber still has it once [MQTT-4.3.3-10]."""
    reader = subscriber(server)
    writer = server.connect("w", version=5)

    writer.publish(7, qos=2)
    writer.publish(7, qos=2, dup=True)
    writer.send(PubRel(7))

    assert reader.received() == [Publish("t", b"7", 2, packet_id=1)]


@pytest.mark.parametrize("version", [4, 5])
def test_state_survives_the_connection_and_is_sent_again_in_order(server: Server, version: int) -> None:
    """[MQTT-4.4.0-1]: PUBLISH with DUP until PUBREC, PUBREL from then on; [MQTT-4.6.0-4]: PUBRELs as PUBRECs came."""
    reader = subscriber(server, version=version)
    say(server, b"1", b"2", b"3", b"4")
    reader.received()
    reader.send(PubRec(3), PubRec(1), PubComp(3))
    reader.send(PubRec(2))
    reader.vanish()
    say(server, b"5")

    again = subscriber(server, version=version)

    assert again.early == [
        PubRel(1),
        PubRel(2),
        Publish("t", b"4", 2, dup=True, packet_id=4),
        Publish("t", b"5", 2, packet_id=5),
    ]
    assert again.send(PubComp(1), PubComp(2), PubRec(4), PubRec(5)) == [PubRel(4), PubRel(5)]
    again.send(PubComp(4), PubComp(5))
    again.vanish()
    assert subscriber(server, version=version).early == []


def test_a_pubrec_that_was_answered_already_is_answered_again(server: Server) -> None:
    """[MQTT5 4.3.3]: the client may not have seen the PUBREL; mosquitto's FLOW tests."""
    reader = subscriber(server)
    say(server, b"m")

    assert reader.send(PubRec(1))[-1] == PubRel(1)
    assert reader.send(PubRec(1)) == [PubRel(1)]


@pytest.mark.parametrize(("version", "reason"), [(4, 0), (5, Reason.PACKET_ID_NOT_FOUND)])
def test_a_pubrec_for_an_unknown_id_is_answered_and_a_pubcomp_ignored(
    server: Server, version: int, reason: int
) -> None:
    """[MQTT5 3.6.2.1]: no error during recovery; the client must get rid of its half of the message."""
    reader = subscriber(server, version=version)

    assert reader.send(PubRec(9), PubComp(10), PubAck(11)) == [PubRel(9, reason)]
    assert reader.is_connected


def test_a_pubrec_that_refuses_ends_the_delivery(server: Server) -> None:
    """[MQTT-4.3.3-4]: no PUBREL, and the id and its place in the window are free."""
    reader = subscriber(server, receive_maximum=1)
    say(server, b"1", b"2")
    reader.received()

    assert reader.send(PubRec(1, Reason.QUOTA_EXCEEDED)) == [Publish("t", b"2", 2, packet_id=2)]
    assert reader.send(PubRec(77, Reason.PACKET_ID_IN_USE)) == []


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize(
    ("qos", "answers"),
    [(1, [PubRec(1)]), (1, [PubComp(1)]), (2, [PubAck(1)]), (2, [PubComp(1)]), (2, [PubRec(1), PubAck(1)])],
    ids=str,
)
def test_an_answer_of_the_wrong_kind_is_a_protocol_error(
    server: Server, version: int, qos: int, answers: list[Packet]
) -> None:
    """[MQTT-4.3.2], [MQTT-4.3.3]: what is acknowledged like that was not understood."""
    reader = subscriber(server, version=version, qos=qos)
    say(server, b"m", qos=qos)

    got = reader.send(*answers)

    assert reader.session.end_code == "protocol_error"
    if version == 5:
        assert goodbye(got) == Reason.PROTOCOL_ERROR


def test_the_window_is_shared_by_qos_1_and_2_until_puback_or_pubcomp(server: Server) -> None:
    """[MQTT-3.3.4-9], [MQTT5 4.9]: PUBREC does not give the place back."""
    reader = subscriber(server, receive_maximum=2)
    say(server, b"1")
    say(server, b"2", qos=1)
    say(server, b"3", b"4")
    say(server, b"5", qos=0)

    assert [one.payload for one in reader.received() if isinstance(one, Publish)] == [b"1", b"2"]
    assert reader.send(PubRec(1)) == [PubRel(1)]
    assert reader.send(PubComp(1)) == [Publish("t", b"3", 2, packet_id=3)]
    assert reader.send(PubAck(2)) == [Publish("t", b"4", 2, packet_id=4), Publish("t", b"5")]


def test_a_smaller_window_after_reconnecting_holds_for_what_is_sent_again(server: Server) -> None:
    """[MQTT5 4.9]: Receive Maximum is that of the connection; the client may have shrunk."""
    reader = subscriber(server)
    say(server, b"1", b"2", b"3")
    say(server, b"4", qos=1)
    reader.vanish()
    say(server, b"5")

    again = subscriber(server, receive_maximum=1)

    assert again.early == [Publish("t", b"1", 2, dup=True, packet_id=1)]
    assert again.send(PubRec(1), PubComp(1)) == [PubRel(1), Publish("t", b"2", 2, dup=True, packet_id=2)]
    assert again.send(PubRec(2), PubComp(2)) == [PubRel(2), Publish("t", b"3", 2, dup=True, packet_id=3)]
    assert again.send(PubRec(3), PubComp(3)) == [PubRel(3), Publish("t", b"4", 1, dup=True, packet_id=4)]
    assert again.send(PubAck(4)) == [Publish("t", b"5", 2, packet_id=5)]


def test_qos_0_that_waited_for_the_network_is_not_kept_for_a_client_that_is_away(server: Server) -> None:
    """What is promised waits; a state of yesterday that nobody promised does not arrive tomorrow."""
    reader = subscriber(server)
    reader.session.set_congested(True, server.now_s)
    say(server, b"1", qos=0)
    say(server, b"2", qos=1)
    say(server, b"3", qos=0)

    reader.vanish()
    again = subscriber(server)

    assert [one.payload for one in again.early if isinstance(one, Publish)] == [b"2"]
    assert server.broker.sessions.away_bytes == 0


def test_qos_0_does_not_pass_what_is_still_to_be_sent_again(server: Server) -> None:
    """One line per client; the older state never arrives after the newer one."""
    reader = subscriber(server)
    say(server, b"1", b"2", b"3")
    reader.vanish()
    again = subscriber(server, receive_maximum=1)

    say(server, b"4", qos=0)

    assert [one.payload for one in again.early if isinstance(one, Publish)] == [b"1"]
    assert again.send(PubRec(1), PubComp(1)) == [PubRel(1), Publish("t", b"2", 2, dup=True, packet_id=2)]
    assert again.send(PubRec(2), PubComp(2)) == [
        PubRel(2),
        Publish("t", b"3", 2, dup=True, packet_id=3),
        Publish("t", b"4"),
    ]


def test_an_id_is_not_used_again_before_pubcomp(server: Server) -> None:
    """[MQTT-2.2.1-4]: an id between PUBREC and PUBCOMP is in use."""
    reader = subscriber(server)
    say(server, b"m")
    reader.send(PubRec(1))
    server.broker.sessions.find("r").outbound.next_id = 65_535

    say(server, b"n", b"o")

    assert [one.packet_id for one in reader.received() if isinstance(one, Publish)] == [65_535, 2]


def test_retained_messages_and_wills_are_delivered_at_qos_2(server: Server) -> None:
    """[MQTT-3.1.2-8], [MQTT-3.8.4-8]."""
    server.broker.publish("t", b"kept", qos=2, retain=True, now_s=server.now_s)
    reader = server.connect("r", version=5)
    will = Will("t", b"gone", 2)
    mortal = server.connect("m", version=5, will=will)

    answers = reader.subscribe(Subscription("t", 2))
    mortal.vanish()

    assert answers == [SubAck(1, (2,)), Publish("t", b"kept", 2, True, packet_id=1)]
    assert reader.received() == [Publish("t", b"gone", 2, packet_id=2)]


def test_what_is_too_large_for_the_client_takes_no_place(server: Server) -> None:
    """[MQTT-3.1.2-25]: as if it had been delivered."""
    reader = subscriber(server, receive_maximum=1, maximum_packet_size=40)
    say(server, b"x" * 100, b"small")

    assert reader.received() == [Publish("t", b"small", 2, packet_id=2)]
    assert server.broker.drops == {"too_large_for_client": 1}


def test_what_became_too_large_while_the_client_was_away_is_not_sent_again(server: Server) -> None:
    """The new connection may take less than the old one did."""
    reader = subscriber(server)
    say(server, b"x" * 100, b"small")
    reader.vanish()

    again = subscriber(server, maximum_packet_size=40)

    assert again.early == [Publish("t", b"small", 2, dup=True, packet_id=2)]


def test_unsubscribing_leaves_what_is_in_flight(server: Server) -> None:
    """[MQTT-3.10.4-3]: what was begun is completed, and what was queued may follow."""
    reader = subscriber(server, receive_maximum=1)
    say(server, b"1", b"2")
    reader.received()
    server.broker.unsubscribe(server.broker.sessions.find("r"), "t")
    say(server, b"3")

    assert reader.send(PubRec(1)) == [PubRel(1)]
    assert reader.send(PubComp(1)) == [Publish("t", b"2", 2, packet_id=2)]
    assert reader.send(PubRec(2), PubComp(2)) == [PubRel(2)]


def test_qos_2_and_1_of_a_client_that_is_away_wait_in_one_line(server: Server) -> None:
    """[MQTT-4.6.0-5], [MQTT-4.6.0-6]: one order per client, whatever the QoS."""
    subscriber(server).vanish()
    for number in range(6):
        say(server, b"%d" % number, qos=1 + number % 2)

    again = subscriber(server)

    assert [(one.payload, one.qos, one.dup) for one in again.early if isinstance(one, Publish)] == [
        (b"%d" % number, 1 + number % 2, False) for number in range(6)
    ]
