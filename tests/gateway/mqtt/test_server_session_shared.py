"""Shared subscriptions [MQTT5 4.8.2]: one member of a group gets a message, and none is lost while one is there."""

from __future__ import annotations

import pytest

from fieldgate.mqtt.packets import (
    Disconnect,
    Properties,
    PubAck,
    Publish,
    PubRec,
    Reason,
    SubAck,
    Subscribe,
    Subscription,
    Unsubscribe,
)
from listener_kit import SettlingIntake
from session_kit import Client, Server

FILTER = "$share/g/t/+"


@pytest.fixture
def server() -> Server:
    return Server(SettlingIntake())


def member(server: Server, client_id: str, *, qos: int = 1, version: int = 5, **more: object) -> Client:
    properties = Properties(session_expiry_s=600, **more) if version == 5 else None  # type: ignore[arg-type]
    client = server.connect(client_id, version=version, clean=False, properties=properties)
    if not client.connack.session_present:
        assert client.subscribe(Subscription(FILTER, qos)) == [SubAck(1, (qos,))]
    return client


def say(server: Server, *payloads: bytes, qos: int = 1) -> None:
    for payload in payloads:
        server.broker.publish("t/1", payload, qos=qos, now_s=server.now_s)


def payloads(client: Client) -> list[bytes]:
    return [one.payload for one in client.received() if isinstance(one, Publish)]


@pytest.mark.parametrize("version", [4, 5])
def test_messages_go_round_the_members(server: Server, version: int) -> None:
    """One each, in turn; for 3.1.1 clients too, as mosquitto does."""
    members = [member(server, name, version=version) for name in "abc"]

    say(server, *(b"%d" % number for number in range(7)))

    assert [payloads(one) for one in members] == [[b"0", b"3", b"6"], [b"1", b"4"], [b"2", b"5"]]


def test_a_group_is_its_name_and_its_filter(server: Server) -> None:
    """Two names, or two filters of one name, are two groups; each gets every message."""
    one, other, wide = (server.connect(name, version=5) for name in "abc")
    one.subscribe(Subscription("$share/g/t/+", 1))
    other.subscribe(Subscription("$share/h/t/+", 1))
    wide.subscribe(Subscription("$share/g/#", 1))

    say(server, b"1", b"2")

    assert [payloads(each) for each in (one, other, wide)] == [[b"1", b"2"]] * 3


def test_a_members_own_subscription_gets_its_own_copy(server: Server) -> None:
    """[4.8.2]: what it gets by the share comes beside it."""
    both = member(server, "a")
    both.send(Subscribe(2, (Subscription("t/1", 0),), Properties(subscription_ids=(7,))))

    say(server, b"m")

    got = [one for one in both.received() if isinstance(one, Publish)]
    assert [(one.qos, one.properties) for one in got] == [(0, Properties(subscription_ids=(7,))), (1, None)]


def test_members_with_room_are_preferred(server: Server) -> None:
    """A member that is behind would only hold the message."""
    slow, quick = member(server, "slow", receive_maximum=1), member(server, "quick")

    say(server, b"1", b"2", b"3", b"4")

    assert (payloads(slow), payloads(quick)) == ([b"1"], [b"2", b"3", b"4"])


def test_a_member_that_is_away_gets_a_message_only_when_nobody_is_there(server: Server) -> None:
    """Work should not wait for a worker that sleeps while another is awake."""
    member(server, "a").vanish()
    awake = member(server, "b")
    say(server, b"1", b"2")
    assert payloads(awake) == [b"1", b"2"]
    awake.send(PubAck(1), PubAck(2))
    awake.vanish()

    say(server, b"3", b"4")

    waiting = [[one.payload for one in member(server, name).early if isinstance(one, Publish)] for name in "ab"]
    assert sorted(waiting) == [[b"3"], [b"4"]]


def test_a_qos_0_message_is_not_given_to_a_member_that_is_away(server: Server) -> None:
    """It would not be kept for it."""
    member(server, "a").vanish()

    say(server, b"0", qos=0)

    assert member(server, "a").early == []
    assert server.broker.drops == {"share_away": 1}


def test_what_a_member_did_not_get_goes_to_another_when_its_session_ends(server: Server) -> None:
    """[4.8.2]: QoS 1 in flight should, what was never sent goes too; QoS 2 in flight must not [MQTT-4.8.2-5]."""
    leaving = member(server, "a", qos=2, receive_maximum=2)
    say(server, b"in flight at 2", qos=2)
    say(server, b"in flight at 1", b"queued")
    leaving.received()
    staying = member(server, "b", qos=2)

    leaving.send(Disconnect(0, Properties(session_expiry_s=0)))

    got = [one for one in staying.received() if isinstance(one, Publish)]
    assert [(one.payload, one.dup) for one in got] == [(b"in flight at 1", False), (b"queued", False)]


def test_what_a_lost_connection_had_in_flight_waits_for_the_member(server: Server) -> None:
    """[MQTT-4.8.2-4]: its session lives; only its end gives the message away."""
    gone = member(server, "a", qos=2)
    say(server, b"1", qos=2)
    gone.received()
    gone.vanish()
    other = member(server, "b", qos=2)

    assert payloads(other) == []
    again = member(server, "a", qos=2)

    assert again.early == [Publish("t/1", b"1", 2, dup=True, packet_id=1)]
    assert again.send(PubRec(1))


def test_a_session_that_expires_gives_its_share_away(server: Server) -> None:
    """Else a worker that never comes back takes its work with it."""
    member(server, "a").vanish()
    say(server, b"1")
    heir = member(server, "b")

    server.now_s += 601
    server.broker.tick(server.now_s)

    assert payloads(heir) == [b"1"]


def test_nobody_is_left_to_take_over(server: Server) -> None:
    """It is counted, and nothing else happens."""
    server.connect("a", version=5).subscribe(Subscription(FILTER, 1))
    say(server, b"1")

    server.connect("a", version=5).vanish()

    assert server.broker.drops == {"share_away": 1}
    assert not server.broker.is_listening


def test_no_retained_messages_come_with_a_shared_subscription(server: Server) -> None:
    """[4.8.2]: they are for one, and nobody could say for whom."""
    server.broker.publish("t/1", b"kept", qos=1, retain=True, now_s=server.now_s)

    assert server.connect("a").subscribe(Subscription(FILTER, 1)) == [SubAck(1, (1,))]


def test_no_local_on_a_shared_subscription_is_a_protocol_error(server: Server) -> None:
    """[MQTT-3.8.3-4]."""
    client = server.connect("a", version=5)

    answers = client.send_bytes(b"\x82\x11\x00\x01\x00\x00\x0b$share/g/tt\x04")

    assert isinstance(answers[-1], Disconnect)
    assert answers[-1].reason == Reason.PROTOCOL_ERROR


@pytest.mark.parametrize(
    "wanted", ["$share", "$share/", "$share/g", "$share/g/", "$share//t", "$share/+/t", "$share/#", "$share/g#/t"]
)
def test_a_shared_filter_that_is_none_is_refused_by_itself(server: Server, wanted: str) -> None:
    """[MQTT-4.8.2-1, MQTT-4.8.2-2]: 0x8F for this one filter, 0x80 in 3.1.1; some are no filters at all."""
    for version, code in ((5, Reason.TOPIC_FILTER_INVALID), (4, 0x80)):
        client = server.connect("a", version=version)
        raw = wanted.encode()
        body = b"\x00\x01" + (b"\x00" if version == 5 else b"") + len(raw).to_bytes(2, "big") + raw + b"\x00"

        answers = client.send_bytes(bytes([0x82, len(body)]) + body)

        if wanted in ("$share/g#/t",):
            assert client.session.end_code == "malformed_packet"
        else:
            assert isinstance(answers[0], SubAck)
            assert answers[0].reasons == (code,)


def test_leaving_a_group_keeps_the_turn_of_the_others(server: Server) -> None:
    """[MQTT-3.10.4-1], and nobody is passed over."""
    members = {name: member(server, name) for name in "abc"}
    say(server, b"1", b"2")
    members["a"].send(Unsubscribe(3, (FILTER,)))

    say(server, b"3", b"4")

    assert [payloads(members[name]) for name in "bc"] == [[b"2", b"4"], [b"3"]]


def test_subscribing_again_changes_the_options_of_the_member(server: Server) -> None:
    """[MQTT-3.8.4-3]: and it is still one member."""
    one = member(server, "a")
    one.send(Subscribe(2, (Subscription(FILTER, 0),), Properties(subscription_ids=(5,))))
    member(server, "b")

    say(server, b"1", b"2", b"3")

    got = [each for each in one.received() if isinstance(each, Publish)]
    assert [(each.payload, each.qos, each.properties) for each in got] == [
        (b"1", 0, Properties(subscription_ids=(5,))),
        (b"3", 0, Properties(subscription_ids=(5,))),
    ]


def test_a_message_that_cuts_a_member_off_is_not_lost_with_it(server: Server) -> None:
    """It does not read: its connection ends, and the message waits for the group."""
    stuck = member(server, "a")
    stuck.stuck_bytes = 2**20 + 1
    stuck.session.set_congested(True, server.now_s)

    say(server, b"1")

    assert stuck.closed
    assert [one.payload for one in member(server, "a").early if isinstance(one, Publish)] == [b"1"]
