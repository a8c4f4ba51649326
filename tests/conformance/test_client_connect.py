"""Our client connects [MQTT5 3.1, 3.2; 3.1.1 3.1, 3.2]: its CONNECT to the byte, and what it makes of the answer."""

from __future__ import annotations

import pytest

import mqtt_bytes as mb
from client_script import Script, connack
from fieldgate.mqtt.client_happenings import Connected, Ended, Refused
from fieldgate.mqtt.codec import MalformedPacket

clause = pytest.mark.clause


@clause(
    "MQTT5-3.1.0-1 MQTT5-3.1.2-1 MQTT5-3.1.2-11 MQTT5-3.1.2-12 MQTT5-3.1.2-13 MQTT5-3.1.2-16 MQTT5-3.1.2-18",
    "MQTT5-3.1.3-1 MQTT5-3.1.3-2 MQTT5-3.1.3-3 MQTT5-3.1.3-4 MQTT5-2.1.3-1 MQTT5-2.2.2-1",
    "MQTT311-3.1.0-1 MQTT311-3.1.2-4 MQTT311-3.1.2-11 MQTT311-3.1.2-13 MQTT311-3.1.2-14 MQTT311-3.1.2-15",
    "MQTT311-3.1.2-18 MQTT311-3.1.2-20 MQTT311-3.1.3-1 MQTT311-3.1.3-2 MQTT311-3.1.3-3 MQTT311-3.1.3-4 MQTT311-2.2.2-1",
)
def test_a_connect_without_a_user_is_this_and_nothing_else(level: int) -> None:
    """No will, no user name, no password, and no flag that says there were."""
    script = Script(level, keep_alive_s=30, session_expiry_s=7, receive_maximum=9, max_packet_bytes=1000)

    said = script.connect()

    own = ((mb.SESSION_EXPIRY, 7), (mb.RECEIVE_MAX, 9), (mb.MAX_PACKET, 1000))
    assert said.wire == mb.connect("me", level=level, clean=False, keep_alive=30, properties=own)


@clause(
    "MQTT5-3.1.2-17 MQTT5-3.1.2-19 MQTT5-3.1.3-1 MQTT5-3.1.3-12",
    "MQTT311-3.1.2-19 MQTT311-3.1.2-21 MQTT311-3.1.3-1 MQTT311-3.1.3-11",
)
def test_user_name_and_password_stand_at_the_end(level: int) -> None:
    """The name in UTF-8, the password as it is."""
    script = Script(level, username="Gerät", password=b"\0\xff")

    said = script.connect()

    assert said.body.endswith(mb.text("me") + mb.text("Gerät") + mb.text(b"\0\xff"))
    assert said.body[7] == 0b1100_0000


@clause("MQTT311-3.1.2-22")
def test_a_password_without_a_user_name_is_not_sent_in_3_1_1() -> None:
    """The configuration is refused before it comes to that."""
    script = Script(4, password=b"p")

    with pytest.raises(MalformedPacket, match="needs a user name"):
        script.session.connect(4, script.now_s)


@clause("MQTT5-4.12.0-7", "MQTT5-3.1.0-1", "MQTT311-3.1.0-1")
def test_nothing_is_sent_before_the_connack(level: int) -> None:
    """No AUTH either: it was not asked for."""
    script = Script(level)
    script.session.connect(level, script.now_s)
    assert len(script.said()) == 1

    assert script.session.room(10) == 0
    script.now_s += 1000
    script.session.poll(script.now_s)

    assert script.said() == []


@clause("MQTT311-3.1.3-7", "MQTT5-3.1.3-3")
def test_an_empty_client_id_cannot_be_configured() -> None:
    """So the rule about empty ids and clean sessions is kept by having none."""
    script = Script(4)

    said = script.connect()

    assert mb.text("me") in said.body


@clause("MQTT5-3.2.2-4")
def test_a_session_that_the_server_kept_is_taken_up(level: int) -> None:
    """On purpose: what it keeps for us survives a restart of ours, and our own side is known to be empty."""
    script = Script(level)
    script.session.connect(level, script.now_s)
    script.said()

    happenings = script.hear(connack(level, is_present=True))

    assert happenings == [Connected(True)]
    assert script.session.is_connected


@clause("MQTT5-3.2.2-5", "MQTT5-3.3.1-3", "MQTT311-3.3.1-3")
def test_a_session_that_the_server_lost_is_lost_on_our_side_too(level: int) -> None:
    """What was on the way becomes new messages: DUP would claim that the server may know them."""
    script = Script(level)
    script.connect()
    script.publish(3)
    script.session.closed()

    script.connect(connack(level, is_present=False))
    again = script.resend()

    assert [one.first for one in again] == [0x32] * 3


@clause(
    "MQTT5-4.4.0-1 MQTT5-4.6.0-1 MQTT5-3.3.1-1 MQTT5-3.3.1-3 MQTT5-3.1.2-23 MQTT5-4.1.0-1 MQTT5-4.3.2-3",
    "MQTT311-4.4.0-1 MQTT311-4.6.0-1 MQTT311-3.3.1-1 MQTT311-3.3.1-3 MQTT311-2.3.1-3 MQTT311-4.1.0-1 MQTT311-4.3.2-1",
    "MQTT311-3.1.2-4",
)
def test_unacknowledged_messages_go_out_again_with_dup_in_their_order(level: int) -> None:
    """Only those, with their ids, when the session is taken up again; before anything new, and at no other time."""
    script = Script(level)
    script.connect()
    first = script.publish(5)
    script.hear(mb.ack(mb.PUBACK, 2))
    script.session.closed()

    script.connect(connack(level, is_present=True))
    again = script.resend()

    assert [(one.first, one.body) for one in again] == [(0x3A, first[at].body) for at in (0, 2, 3, 4)]
    for _ in range(5):
        script.now_s += 1
        script.session.poll(script.now_s)
        assert all(one.kind != mb.PUBLISH for one in script.said())


@clause("MQTT5-3.2.2-11")
def test_a_server_that_takes_qos_0_only_is_not_used() -> None:
    """Nothing would ever be confirmed."""
    script = Script(5)
    script.session.connect(5, script.now_s)
    script.said()

    (refused,) = script.hear(connack(5, properties=((mb.MAX_QOS, 0),)))

    assert isinstance(refused, Refused)
    assert script.session.room(10) == 0


@clause("MQTT5-3.1.2-21", "MQTT5-3.2.2-21")
@pytest.mark.parametrize("server_s", [3, 0])
def test_the_servers_keep_alive_is_used_instead_of_ours(server_s: int) -> None:
    """A longer silence would end the connection; 0 asks for no signs of life at all."""
    script = Script(5, keep_alive_s=60)
    script.connect(connack(5, properties=((mb.SERVER_KEEP_ALIVE, server_s),)))

    pings = 0
    for _ in range(60):
        script.now_s += 0.25
        script.session.poll(script.now_s)
        if mb.PINGREQ in [one.wire for one in script.said()]:
            pings += 1
            script.hear(b"\xd0\0")

    assert pings >= 4 if server_s else pings == 0


@clause("MQTT5-3.1.2-20", "MQTT311-3.1.2-23")
def test_no_more_than_the_keep_alive_passes_between_two_packets(level: int) -> None:
    """With nothing to say, PINGREQ is said."""
    script = Script(level, keep_alive_s=4)
    script.connect()
    last_s = script.now_s

    for _ in range(200):
        script.now_s += 0.25
        script.session.poll(script.now_s)
        if script.said():
            last_s = script.now_s
            script.hear(b"\xd0\0")
        assert script.now_s - last_s <= 4


@clause("MQTT5-4.13.2-1", "MQTT311-4.8.0-1")
@pytest.mark.parametrize("code", [1, 5])
def test_a_refusal_ends_the_connection(level: int, code: int) -> None:
    """Nothing is said any more."""
    script = Script(level)
    script.session.connect(level, script.now_s)
    script.said()

    (refused,) = script.hear(connack(level, 0x82 + code if level == 5 else code))

    assert isinstance(refused, Refused)
    assert not script.session.is_connected
    assert script.session.room(10) == 0
    assert script.said() == []


@clause("MQTT311-4.8.0-1", "MQTT5-2.1.3-1", "MQTT311-2.2.2-2")
@pytest.mark.parametrize(
    "answer",
    [
        b"\x21\x02\0\0",
        b"\x20\x02\x02\0",
        b"\xd0\0",
        b"\x90\x03\0\1\0",
        b"\x20\x01\0",
        b"\0\0",
        mb.publish("t", level=4),
    ],
    ids=["flags", "acknowledge flags", "PINGRESP", "SUBACK", "cut short", "type 0", "PUBLISH"],
)
def test_what_is_no_connack_ends_the_connection(answer: bytes) -> None:
    """The first packet of a server is a CONNACK, and it has no reserved bit set."""
    script = Script(4)
    script.session.connect(4, script.now_s)
    script.said()

    happenings = script.hear(answer)

    assert isinstance(happenings[-1], Ended | Refused)
    assert not script.session.is_connected


def test_a_second_connack_ends_the_connection(level: int) -> None:
    """[MQTT-3.2.0-2]: there is one for a connection."""
    script = Script(level)
    script.connect()

    script.ends(connack(level), codes=(0x82,))


@clause("MQTT5-3.14.4-1", "MQTT5-3.14.2-1", "MQTT5-3.14.2-3", "MQTT5-3.14.2-4", "MQTT5-3.14.1-1", "MQTT311-3.14.4-2")
def test_after_disconnect_nothing_is_sent(level: int) -> None:
    """Two bytes, or three with a code; no reason string that could be too long."""
    script = Script(level)
    script.connect()

    script.session.disconnect(script.now_s)
    (said,) = script.said()
    script.hear(script.delivery())
    script.now_s += 1000
    script.session.poll(script.now_s)

    assert said.wire in (b"\xe0\x00", b"\xe0\x01\x00")
    assert script.session.room(10) == 0
    assert script.said() == []
