"""The client's session, joined in memory with a server by script: bytes in, bytes out, a clock that is a number."""

from __future__ import annotations

import pytest

from client_wire import Wire
from fieldgate.mqtt.client_happenings import Connected, Ended, Refused, Rejected, connack_text
from fieldgate.mqtt.client_session import ClientSession
from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.in_flight import InFlight
from fieldgate.mqtt.packets import (
    ConnAck,
    Connect,
    PingResp,
    Properties,
    PubAck,
    Reason,
)

# -- connecting ------------------------------------------------------------------------------------------


def test_the_connect_asks_for_the_persistent_session_of_mqtt_5():
    """In-flight messages are re-sent under their ids only if the server keeps the session."""
    wire = Wire(username="u", password=b"p", keep_alive_s=30, session_expiry_s=500)

    assert wire.connect() == [Connected(False)]

    (connect,) = wire.seen
    assert isinstance(connect, Connect)
    assert (connect.version, connect.clean_start, connect.keep_alive_s) == (5, False, 30)
    assert (connect.username, connect.password) == ("u", b"p")
    assert connect.properties is not None
    assert connect.properties.session_expiry_s == 500


def test_the_connect_of_3_1_1_has_no_properties():
    """A 3.1.1 server would close the connection on them."""
    wire = Wire(version=4)

    wire.connect()

    (connect,) = wire.seen
    assert isinstance(connect, Connect)
    assert (connect.version, connect.clean_start, connect.properties) == (4, False, None)


@pytest.mark.parametrize("answer", [b"\x20\x02\x00\x01", b"\x20\x02\x00\x05"])
def test_a_server_that_answers_mqtt_5_in_3_1_1_is_recognised_at_every_cut(answer):
    """Old servers say return code 1 in their own format; read as MQTT 5 it would be a malformed packet."""
    for cut in range(len(answer) + 1):
        wire = Wire()
        wire.session.connect(5, 0.0)

        happenings = [*wire.session.received(answer[:cut], 0.0), *wire.session.received(answer[cut:], 0.0)]

        (refused,) = happenings
        assert isinstance(refused, Refused)
        assert refused.is_version


@pytest.mark.parametrize(
    ("version", "reason", "words", "is_version"),
    [
        (5, Reason.UNSUPPORTED_PROTOCOL_VERSION, "unsupported protocol version", True),
        (5, Reason.BAD_USER_NAME_OR_PASSWORD, "refuses the user name or password", False),
        (5, Reason.CLIENT_ID_NOT_VALID, "does not accept the client id", False),
        (4, 1, "does not speak this protocol version", True),
        (4, 4, "refuses the user name or password", False),
        (4, 5, "does not authorise", False),
    ],
)
def test_a_refusal_says_what_a_person_can_act_on(version, reason, words, is_version):
    """The status shows this text and nothing else."""
    wire = Wire(version)

    (refused,) = wire.connect(ConnAck(reason))

    assert isinstance(refused, Refused)
    assert words in refused.text
    assert refused.is_version is is_version
    assert not wire.session.is_connected


@pytest.mark.parametrize(("version", "reason", "words"), [(5, 0xEE, "reason 0xee"), (4, 99, "return code 99")])
def test_a_code_that_no_specification_knows_is_shown_as_a_number(version, reason, words):
    """Servers invent codes."""
    assert connack_text(ConnAck(reason), version) == words


def test_a_server_that_offers_qos_0_only_is_refused():
    """Nothing that it takes would ever be confirmed, so P2 could not hold."""
    wire = Wire()

    (refused,) = wire.connect(ConnAck(properties=Properties(maximum_qos=0)))

    assert isinstance(refused, Refused)


@pytest.mark.parametrize(("theirs", "expected"), [(None, 50), (20, 20), (1, 1), (60_000, 50)])
def test_the_window_is_the_smaller_of_ours_and_receive_maximum(theirs, expected):
    """More than Receive Maximum is a protocol error for which the server disconnects [MQTT-3.3.4-9]."""
    wire = Wire(window=50)

    wire.connect(ConnAck(properties=Properties(receive_maximum=theirs)))

    assert wire.session.room(1000) == expected
    assert wire.session.room(7) == min(7, expected)


def test_anything_but_connack_first_is_a_violation():
    """A server that talks before it has accepted is none that we know."""
    wire = Wire()
    wire.session.connect(5, 0.0)

    (ended,) = wire.give(PingResp())

    assert isinstance(ended, Ended)
    assert "PINGRESP instead of CONNACK" in ended.text


# -- acknowledgements ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "reason"), [(4, 0), (5, 0), (5, 0x10)])
def test_every_message_is_told_once_whatever_the_chunks(version, reason):
    """PUBACKs come cut at any byte: 4 bytes each, or 5 with the reason that nobody subscribes."""
    stream = b"".join(encode(PubAck(packet_id, reason), version) for packet_id in range(1, 8))
    middle = 3 * len(stream) // 7
    stream = stream[:middle] + encode(PingResp(), version) + stream[middle:]
    for size in range(1, len(stream) + 1):
        wire = Wire(version)
        wire.connect()
        wire.send(7)

        for at in range(0, len(stream), size):
            assert not wire.session.received(stream[at : at + size], wire.now_s)

        assert wire.delivered == list(range(7))
        assert wire.session.acked == 7


def test_acks_in_any_order_are_told_for_what_they_name():
    """Order of PUBACKs is the server's duty, not ours to rely on."""
    wire = Wire()
    wire.connect()
    wire.send(5)

    wire.give(*(PubAck(packet_id) for packet_id in (5, 1, 3, 2, 4)))

    assert sorted(wire.delivered) == [0, 1, 2, 3, 4]
    assert wire.delivered[0] == 4


def test_unknown_and_repeated_pubacks_are_counted_and_change_nothing():
    """Fault 36: ignored, not marked sent."""
    wire = Wire()
    wire.connect()
    wire.send(2)

    wire.give(PubAck(1), PubAck(1), PubAck(9), PubAck(65_535), PubAck(9, Reason.NOT_AUTHORIZED))

    assert wire.delivered == [0]
    assert wire.session.stray_acks == 4
    assert wire.session.is_connected


def test_a_refused_message_is_not_told_as_delivered():
    """Fault 37."""
    wire = Wire()
    wire.connect()
    wire.send(3)

    happenings = wire.give(PubAck(2, Reason.NOT_AUTHORIZED, Properties(reason_string="no")), PubAck(1), PubAck(3))

    (rejected,) = happenings
    assert isinstance(rejected, Rejected)
    assert (rejected.run.start, rejected.reason, rejected.text) == (1, Reason.NOT_AUTHORIZED, "no")
    assert sorted(wire.delivered) == [0, 2]


def test_an_id_in_use_is_answered_by_the_same_message_under_a_new_id():
    """0x91: the server and we disagree about the session; the message is good."""
    wire = Wire()
    wire.connect()
    wire.send(3)

    assert wire.give(PubAck(2, Reason.PACKET_ID_IN_USE)) == []
    (again,) = wire.resend()

    assert (again.packet_id, again.payload, again.dup) == (4, b"1", False)
    wire.give(PubAck(1), PubAck(4), PubAck(3))
    assert sorted(wire.delivered) == [0, 1, 2]


def test_a_run_that_crosses_the_last_packet_id_goes_on_with_1():
    """65,535 is followed by 1, in the middle of a write."""
    wire = Wire()
    wire.session.in_flight = InFlight(first_id=65_533)
    wire.connect()

    sent = wire.send(6)
    wire.give(*(PubAck(publish.packet_id) for publish in sent))

    assert [publish.packet_id for publish in sent] == [65_533, 65_534, 65_535, 1, 2, 3]
    assert wire.delivered == [0, 1, 2, 3, 4, 5]


# -- reconnecting ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [4, 5])
def test_a_kept_session_gets_its_messages_again_with_their_ids_and_dup(version):
    """[MQTT-4.4.0-1], in the order in which they were first sent [MQTT-4.6.0-1]."""
    wire = Wire(version)
    wire.connect()
    first = wire.send(5)
    wire.give(PubAck(1), PubAck(3))
    wire.session.closed()

    wire.connect(ConnAck(session_present=True))
    again = wire.resend()

    assert [(p.packet_id, p.payload, p.dup) for p in again] == [
        (p.packet_id, p.payload, True) for p in first if p.packet_id in (2, 4, 5)
    ]


def test_new_messages_take_ids_that_the_held_ones_do_not_have():
    """Otherwise a PUBACK would be booked for the wrong event."""
    wire = Wire()
    wire.connect()
    wire.send(3)
    wire.session.closed()
    wire.connect(ConnAck(session_present=True))
    wire.resend()

    new = wire.send(2)

    assert [p.packet_id for p in new] == [4, 5]


def test_a_packet_cut_off_by_the_old_connection_does_not_reach_the_new_one():
    """Half a PUBACK of yesterday must not be completed by a byte of today."""
    wire = Wire()
    wire.connect()
    wire.send(1)
    wire.session.received(b"\x40\x02\x00", wire.now_s)
    wire.session.closed()

    assert wire.connect(ConnAck(session_present=True)) == [Connected(True)]
    wire.resend()
    wire.give(PubAck(1))

    assert wire.delivered == [0]


# -- the tests notice ------------------------------------------------------------------------------------


class _AcksByCount(ClientSession):
    """The mistake: any PUBACK is taken for the oldest message."""

    def received(self, chunk, now_s):
        run = self.in_flight.sent[0]
        return super().received(chunk[:2] + run.first_id.to_bytes(2, "big"), now_s)


def test_a_client_that_counts_acks_instead_of_reading_them_is_caught():
    """Mutant of `test_unknown_and_repeated_pubacks_are_counted_and_change_nothing`."""
    wire = Wire()
    wire.connect()
    wire.send(2)
    wire.session.__class__ = _AcksByCount

    wire.give(PubAck(9))

    assert wire.delivered == [0]  # wrong, and visible
