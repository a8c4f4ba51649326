"""The client's session while it is connected: time, the server's words, what it receives."""

from __future__ import annotations

from itertools import pairwise

import pytest

from client_wire import Wire
from fieldgate.mqtt.client_happenings import Ended, Happening, Subscribed
from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.packets import (
    ConnAck,
    Disconnect,
    PingReq,
    PingResp,
    Properties,
    PubAck,
    PubComp,
    Publish,
    PubRel,
    Reason,
    SubAck,
    Subscribe,
    Subscription,
    UnsubAck,
)

# -- time ------------------------------------------------------------------------------------------------


def test_a_dead_link_is_given_up_within_one_and_a_half_keep_alives():
    """Fault 33: nothing comes back, not even a PINGRESP."""
    wire = Wire(keep_alive_s=10, puback_timeout_s=1000.0)
    wire.connect()
    began_s = wire.now_s

    (ended,) = wire.pass_s(100)

    assert isinstance(ended, Ended)
    assert wire.now_s - began_s <= 15
    assert "link is dead" in ended.text
    assert any(isinstance(packet, PingReq) for packet in wire.take())


def test_an_idle_connection_is_pinged_within_each_keep_alive_and_lives():
    """[MQTT-3.1.2-22]: a server closes after one and a half keep-alives of silence."""
    wire = Wire(keep_alive_s=10)
    wire.connect()

    pinged_s = [wire.now_s]
    for _ in range(100):
        assert wire.pass_s(1) == []
        for packet in wire.take():
            assert isinstance(packet, PingReq)
            pinged_s.append(wire.now_s)
            wire.give(PingResp())

    assert len(pinged_s) > 10
    assert max(b - a for a, b in pairwise(pinged_s)) <= 10


def test_a_busy_sender_is_pinged_for_when_only_we_are_talking():
    """Sending without hearing anything proves nothing about the link."""
    wire = Wire(keep_alive_s=10, puback_timeout_s=1000.0)
    wire.connect()
    for _ in range(20):
        wire.send(1)
        if wire.pass_s(1):
            break

    assert not wire.session.is_connected


def test_the_servers_keep_alive_replaces_ours():
    """[MQTT-3.2.2-21]"""
    wire = Wire(keep_alive_s=1000)
    wire.connect(ConnAck(properties=Properties(server_keep_alive_s=4)))

    wire.pass_s(3.5)

    assert [type(p) for p in wire.take()] == [PingReq]


def test_keep_alive_0_means_no_pings():
    """It turns the mechanism off [MQTT5 3.1.2.10]."""
    wire = Wire(keep_alive_s=0)
    wire.connect()

    assert wire.pass_s(100_000, step_s=100) == []
    assert wire.take() == []


def test_a_server_that_answers_pings_but_never_pubacks_is_given_up():
    """Fault 35."""
    wire = Wire(keep_alive_s=10, puback_timeout_s=25.0)
    wire.connect()
    wire.send(3)
    ended: list[Happening] = []
    for _ in range(100):
        wire.give(PingResp())
        if ended := wire.pass_s(1):
            break

    assert wire.now_s == pytest.approx(125.0)
    assert isinstance(ended[0], Ended)
    assert "no PUBACK for 25 s with 3 messages" in ended[0].text
    assert isinstance(wire.take()[-1], Disconnect)


def test_the_puback_watchdog_begins_with_the_first_message_after_silence():
    """An hour without events is no hour without acknowledgements."""
    wire = Wire(keep_alive_s=0, puback_timeout_s=25.0)
    wire.connect()
    wire.pass_s(3600, step_s=10)

    wire.send(1)

    assert wire.pass_s(24) == []
    assert wire.pass_s(2) != []


def test_one_message_left_behind_for_ever_is_noticed_while_others_go_on():
    """Otherwise the cursor would stand for ever although everything seems to flow."""
    wire = Wire(keep_alive_s=0, puback_timeout_s=25.0)
    wire.connect()
    wire.send(2)
    ended: list[Happening] = []
    for packet_id in range(2, 100):
        wire.give(PubAck(packet_id))
        wire.send(1)
        if ended := wire.pass_s(1):
            break

    assert wire.now_s == pytest.approx(125.0)
    assert isinstance(ended[0], Ended)
    assert "passed over a message" in ended[0].text


# -- the server's words ----------------------------------------------------------------------------------


def test_a_takeover_is_said_in_words():
    """Two gateways with one client id throw each other out for ever; somebody must be told."""
    wire = Wire()
    wire.connect()

    (ended,) = wire.give(Disconnect(Reason.SESSION_TAKEN_OVER))

    assert isinstance(ended, Ended)
    assert ended.is_by_server
    assert "same client id" in ended.text


def test_what_the_server_says_and_where_it_sends_us_is_told():
    """Reason String and Server Reference are for the person who reads the status."""
    wire = Wire()
    wire.connect()

    (ended,) = wire.give(
        Disconnect(Reason.USE_ANOTHER_SERVER, Properties(server_reference="b.example", reason_string="moved"))
    )

    assert isinstance(ended, Ended)
    assert "'b.example'" in ended.text
    assert "'moved'" in ended.text


@pytest.mark.parametrize("bad", [PubComp(1), ConnAck(), Publish("t", b"", qos=2, packet_id=1)])
def test_packets_that_we_never_asked_for_end_the_connection_with_a_word(bad):
    """The server is told why (MQTT 5)."""
    wire = Wire()
    wire.connect()

    (ended,) = wire.give(bad)

    assert isinstance(ended, Ended)
    assert not ended.is_by_server
    (goodbye,) = wire.take()
    assert isinstance(goodbye, Disconnect)
    assert goodbye.reason >= 0x80


def test_pubacks_before_malformed_bytes_count():
    """They were received; the events are delivered."""
    wire = Wire()
    wire.connect()
    wire.send(2)

    happenings = wire.session.received(encode(PubAck(2), 5) + b"\x00\x00", wire.now_s)

    assert wire.delivered == [1]
    assert len(happenings) == 1
    assert isinstance(happenings[0], Ended)


# -- receiving -------------------------------------------------------------------------------------------


def test_what_came_together_is_handed_over_together_and_acknowledged_when_due():
    """One read is one run and one write: nothing is done per message that a read could share."""
    wire = Wire(has_inbox=True)
    wire.connect()
    (inbox,) = wire.inboxes
    assert wire.give(*(Publish("cmd", b"%d" % n, qos=1, packet_id=n) for n in range(10, 15))) == []

    inbox.line.settled(1, 4)
    wire.session.acknowledge(wire.now_s)
    assert wire.take() == []
    inbox.line.settled(0, 1)
    wire.session.acknowledge(wire.now_s)

    assert [[one.packet_id for one in run] for run in inbox.runs] == [[10, 11, 12, 13, 14]]
    assert wire.session.output() == [b"".join(encode(PubAck(n), 5) for n in range(10, 15))]


def test_publishes_right_behind_the_connack_belong_to_the_new_connection():
    """A broker with a session sends what is owed in the same segment."""
    wire = Wire(has_inbox=True)
    wire.session.connect(5, wire.now_s)
    wire.take()

    wire.give(ConnAck(session_present=True), Publish("cmd", b"1", qos=1, packet_id=10))

    assert wire.opened == [(5, True)]
    assert [one.payload for one in wire.inboxes[0].runs[0]] == [b"1"]


def test_each_connection_has_its_inbox_and_ends_it_once():
    """What an old one still owes is not acknowledged on the new: the id may be another message's there."""
    wire = Wire(has_inbox=True)
    wire.connect()
    wire.give(Publish("cmd", b"1", qos=1, packet_id=10))
    wire.session.closed()
    wire.session.closed()
    wire.connect(ConnAck(session_present=True))

    wire.inboxes[0].line.settled(0, 1)
    wire.session.acknowledge(wire.now_s)

    assert [one.is_over for one in wire.inboxes] == [True, False]
    assert wire.take() == []


@pytest.mark.parametrize(("version", "reason"), [(5, Reason.PACKET_ID_NOT_FOUND), (4, 0)])
def test_a_pubrel_is_always_answered(version, reason):
    """Else the server repeats it on every connection for ever."""
    wire = Wire(version, has_inbox=True)
    wire.connect()

    wire.give(PubRel(7), PubRel(700))

    assert wire.take() == [PubComp(7), PubComp(700, reason)]
    assert wire.inboxes[0].released == [7, 700]


def test_a_connection_that_is_not_read_is_kept_alive_and_not_given_up():
    """Back-pressure may last for hours: the server must hear of us, and its answers wait in the socket."""
    wire = Wire(keep_alive_s=10)
    wire.connect()
    wire.session.set_reading(False, wire.now_s)

    assert wire.pass_s(100) == []

    pings = [packet for packet in wire.take() if isinstance(packet, PingReq)]
    assert len(pings) >= 10
    wire.session.set_reading(True, wire.now_s)
    assert wire.pass_s(5) == []
    (ended,) = wire.pass_s(100)
    assert isinstance(ended, Ended)  # and once it is read again, silence counts again


def test_more_than_our_receive_maximum_ends_the_connection():
    """[MQTT5 4.9]: what a server may have on the way is bounded, and so is our memory."""
    wire = Wire(receive_maximum=2)
    wire.connect()

    *_, last = wire.give(*(Publish("cmd", b"", qos=1, packet_id=n) for n in (1, 2, 3)))

    assert isinstance(last, Ended)
    (goodbye,) = wire.take()
    assert isinstance(goodbye, Disconnect)
    assert goodbye.reason == Reason.RECEIVE_MAXIMUM_EXCEEDED


def test_subscribing_answers_by_packet_id_and_frees_it():
    """The owner matches the answer with its question."""
    wire = Wire()
    wire.connect()

    packet_id = wire.session.subscribe([Subscription("cmd/#", qos=1)], wire.now_s)

    assert wire.take() == [Subscribe(packet_id, (Subscription("cmd/#", qos=1),))]
    assert wire.give(SubAck(packet_id, (1,))) == [Subscribed(packet_id, (1,))]
    assert wire.give(SubAck(packet_id, (1,))) == []
    assert wire.session.stray_acks == 1
    other = wire.session.unsubscribe(["cmd/#"], wire.now_s)
    assert wire.give(UnsubAck(other, (0,))) == [Subscribed(other, (0,))]
