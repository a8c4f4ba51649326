"""Clients that are cut off because they do not read: what that brings about, for them and for others."""

from __future__ import annotations

import pytest

from fieldgate.mqtt.handshake import SessionLimits
from fieldgate.mqtt.packets import Properties, Publish, Subscribe, Subscription, Will
from fieldgate.mqtt.server_session import Phase
from listener_kit import SettlingIntake
from session_kit import Server

ONE_AT_A_TIME = Properties(receive_maximum=1)
MANY = 300  # more than the interpreter's stack has room for, were each end inside the one before


def test_many_clients_behind_one_broken_link_end_one_after_the_other() -> None:
    """Each one's will is the message that is too much for the next: three hundred dashboards on one switch."""
    server = Server(SettlingIntake(), limits=SessionLimits(max_unsent_bytes=2000))
    dashboards = []
    for number in range(MANY):
        will = Will(f"status/{number}", b"gone" * 30, 1)
        one = server.connect(f"d{number}", version=5, will=will, properties=ONE_AT_A_TIME)
        one.subscribe(Subscription("status/#", 1))
        dashboards.append(one)
    healthy = server.connect("h")
    healthy.subscribe(Subscription("status/#", 0))
    writer = server.connect("w")

    for packet_id in range(1, 12):
        writer.publish(packet_id, topic="status/x", payload=b"x" * 100)

    assert not any(one.is_connected for one in dashboards)
    assert writer.is_connected
    wills = [one.topic for one in healthy.received() if isinstance(one, Publish) and one.payload == b"gone" * 30]
    assert sorted(wills) == sorted(f"status/{number}" for number in range(MANY))


def test_what_waits_for_a_cut_off_member_of_a_share_does_not_pile_up_calls() -> None:
    """What it leaves goes to the next member, for which it is too much, and so on to the last."""
    server = Server(SettlingIntake(), limits=SessionLimits(max_unsent_bytes=2000))
    members = []
    for number in range(MANY):
        one = server.connect(f"m{number}", version=5, properties=ONE_AT_A_TIME)
        one.subscribe(Subscription("$share/g/t", 1))
        members.append(one)
    writer = server.connect("w")

    for number in range(12 * MANY):
        writer.publish(1 + number, payload=b"x" * 100)

    assert not any(one.is_connected for one in members)
    assert len(server.broker.sessions) == 1
    assert server.broker.subscriptions.is_empty


def test_nothing_is_taken_behind_the_message_that_cut_its_own_publisher_off() -> None:
    """A subscription made for a session that is over would never end."""
    server = Server(SettlingIntake(), limits=SessionLimits(max_unsent_bytes=600))
    client = server.connect(version=5, properties=ONE_AT_A_TIME)
    client.subscribe(Subscription("t", 1))
    too_many = [Publish("t", b"x" * 200, 1, packet_id=number) for number in range(1, 9)]

    client.send(*too_many, Subscribe(9, (Subscription("left behind", 1),)))

    assert client.session.end_code == "quota_exceeded"
    assert len(server.broker.subscriptions) == 0


def test_no_retained_message_waits_for_a_client_that_its_suback_cut_off() -> None:
    """It was counted for nobody, and taken from the bytes of all clients that are away when that one came back."""
    server = Server(SettlingIntake())
    client = server.connect(version=5, properties=Properties(session_expiry_s=600))
    server.broker.publish("t", b"kept", qos=1, retain=True, now_s=server.now_s)
    client.session.set_congested(True, server.now_s)
    client.stuck_bytes = 2**21

    silent = Subscription("t", 1, retain_handling=2)
    client.send(*(Subscribe(number, (silent,) * 40_000 + (Subscription("t", 1),)) for number in (1, 2)))

    assert client.session.phase is Phase.CLOSED
    [state] = server.broker.sessions.away
    assert server.broker.sessions.away_bytes == state.outbound.kept_bytes


def test_a_connection_that_is_over_says_nothing_about_its_successor() -> None:
    """The old socket drains for a moment: that the network takes its bytes again is no news of the new one."""
    server = Server(SettlingIntake())
    kept = Properties(session_expiry_s=600)
    old = server.connect(version=5, clean=False, properties=kept)
    old.session.set_congested(True, server.now_s)
    new = server.connect(version=5, clean=False, properties=kept)
    [state] = server.broker.sessions
    new.session.set_congested(True, server.now_s)

    old.session.set_congested(False, server.now_s)

    assert state.outbound.is_congested


@pytest.mark.timeout(20)
def test_a_client_that_acknowledges_nothing_never_uses_up_the_packet_ids() -> None:
    """The search for a free one would not end, and with it nothing would."""
    server = Server(SettlingIntake(), limits=SessionLimits(delivery_window=65_535, max_unsent_bytes=2**24))
    client = server.connect("r", version=5)
    client.subscribe(Subscription("t", 1))

    for _ in range(32_769):
        server.broker.publish("t", b"", qos=1, now_s=server.now_s)

    [state] = server.broker.sessions
    assert (len(state.outbound.in_flight), len(state.outbound.queue)) == (32_767, 2)
