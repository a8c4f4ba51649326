"""How connections and sessions end: takeover, expiry, DISCONNECT, wills, the gateway's stop."""

from __future__ import annotations

import pytest

from fieldgate.mqtt.packets import (
    Disconnect,
    Packet,
    Properties,
    PubAck,
    Publish,
    Reason,
    Subscription,
    Will,
)
from listener_kit import SettlingIntake
from session_kit import Client, Server, ack_ids


def pass_time(server: Server, client: Client, seconds: float) -> None:
    server.now_s += seconds
    client.session.tick(server.now_s)


def goodbye(client: Client, answers: list[Packet]) -> int:
    """The reason of the DISCONNECT that ends the answers."""
    assert client.closed == "politely"
    assert isinstance(answers[-1], Disconnect), answers
    return answers[-1].reason


@pytest.mark.parametrize("version", [4, 5])
def test_a_second_connection_of_the_same_id_takes_over(version: int) -> None:
    """[MQTT-3.1.4-3]; 0x8E in MQTT 5."""
    server = Server(SettlingIntake())
    first = server.connect("c", version=version)

    second = server.connect("c", version=version)

    assert first.closed == "politely"
    if version == 5:
        assert goodbye(first, first.received()) == Reason.SESSION_TAKEN_OVER
    assert ack_ids(second.publish(1)) == [1]


def test_a_session_is_kept_for_a_client_that_asks_for_it() -> None:
    """[MQTT5 3.1.2.11.2]: session present, until it expires."""
    server = Server()
    kept = Properties(session_expiry_s=100)
    server.connect("c", version=5, clean=False, properties=kept).vanish()

    server.now_s += 99
    server.broker.tick(server.now_s)
    second = server.connect("c", version=5, clean=False, properties=kept)
    assert second.connack.session_present
    second.vanish()
    server.now_s += 101
    server.broker.tick(server.now_s)

    third = server.connect("c", version=5, clean=False, properties=kept)
    assert not third.connack.session_present


def test_a_longer_session_than_we_keep_is_granted_for_less() -> None:
    """[MQTT5 3.2.2.3.2]: the client is told."""
    client = Server().connect(version=5, clean=False, properties=Properties(session_expiry_s=0xFFFFFFFF))

    assert client.connack.properties.session_expiry_s == 7 * 86_400


def test_clean_start_forgets_the_session() -> None:
    """[MQTT-3.1.2-4]."""
    server = Server()
    first = server.connect("c", clean=False)
    first.subscribe(Subscription("a"))
    first.vanish()

    second = server.connect("c", clean=True)

    assert not second.connack.session_present
    assert not server.broker.is_listening


def test_disconnect_can_end_or_lengthen_a_session_but_not_begin_one() -> None:
    """[MQTT-3.14.2-2]."""
    server = Server()
    ends = server.connect("a", version=5, clean=False, properties=Properties(session_expiry_s=100))
    ends.send(Disconnect(0, Properties(session_expiry_s=0)))
    begins = server.connect("b", version=5)
    answers = begins.send(Disconnect(0, Properties(session_expiry_s=100)))

    assert not server.connect("a", version=5, clean=False).connack.session_present
    assert goodbye(begins, answers) == Reason.PROTOCOL_ERROR


WILL = Will("status/c", b"gone", 1)


@pytest.mark.parametrize("version", [4, 5])
def test_the_will_of_a_client_that_vanishes_is_an_event_and_reaches_subscribers(version: int) -> None:
    """[MQTT-3.1.2-8]; 'the device is gone' is what a platform most wants to know."""
    server = Server()
    watcher = server.connect("watcher")
    watcher.subscribe(Subscription("status/+", 1))
    client = server.connect("c", version=version, will=WILL)

    client.vanish()

    assert server.intake.payloads == [b"gone"]
    assert watcher.received() == [Publish("status/c", b"gone", 1, packet_id=1)]
    server.intake.settle(0)  # told to a connection that is closed: nothing happens


def test_a_protocol_error_and_a_takeover_speak_the_will() -> None:
    """Both end the connection without the client's DISCONNECT."""
    server = Server()
    server.connect("c", will=WILL).send_bytes(b"\xd0\x00")
    server.connect("d", will=WILL)
    server.connect("d")

    assert server.intake.payloads == [b"gone", b"gone"]


def test_disconnect_drops_the_will_unless_it_says_otherwise() -> None:
    """[MQTT-3.1.2-10], [MQTT5 3.14.2.1]."""
    server = Server()
    server.connect("c", version=5, will=WILL).send(Disconnect())
    assert server.intake.payloads == []

    server.connect("c", version=5, will=WILL).send(Disconnect(Reason.DISCONNECT_WITH_WILL))
    assert server.intake.payloads == [b"gone"]


def test_a_delayed_will_is_spoken_when_due_and_not_at_all_if_the_client_is_back() -> None:
    """[MQTT5 3.1.3.2.2]: so that a short break makes no noise."""
    server = Server()
    delayed = Will("status/c", b"gone", properties=Properties(will_delay_s=30))
    kept = Properties(session_expiry_s=100)
    server.connect("c", version=5, clean=False, will=delayed, properties=kept).vanish()
    server.now_s += 29
    server.broker.tick(server.now_s)
    again = server.connect("c", version=5, clean=False, will=delayed, properties=kept)
    server.now_s += 100
    server.broker.tick(server.now_s)
    assert server.intake.payloads == []

    again.vanish()
    server.now_s += 31
    server.broker.tick(server.now_s)

    assert server.intake.payloads == [b"gone"]


def test_a_delayed_will_is_spoken_early_when_its_session_ends() -> None:
    """[MQTT5 3.1.3.2.2]: whichever comes first."""
    server = Server()
    delayed = Will("status/c", b"gone", properties=Properties(will_delay_s=1000))
    server.connect("a", version=5, will=delayed).vanish()
    assert server.intake.payloads == [b"gone"]

    server.connect("b", version=5, will=delayed, clean=False, properties=Properties(session_expiry_s=9)).vanish()
    server.connect("b", version=5, clean=True)

    assert server.intake.payloads == [b"gone", b"gone"]


def test_the_will_is_lost_and_counted_while_the_intake_is_closed() -> None:
    """Like QoS 0: nobody can send it again."""
    server = Server()
    client = server.connect(will=WILL)
    server.intake.open = False

    client.vanish()

    assert server.intake.batches == []
    assert server.tally.unsaved == 1


def test_when_the_gateway_stops_clients_are_told_and_no_will_is_spoken() -> None:
    """Devices are not gone because we are."""
    server = Server()
    old, new = server.connect("old", will=WILL), server.connect("new", version=5, will=WILL)

    old.session.shut_down()
    new.session.shut_down()

    assert (old.closed, old.received()) == ("politely", [])
    assert goodbye(new, new.received()) == Reason.SERVER_SHUTTING_DOWN
    assert server.intake.batches == []


def test_acknowledgements_that_are_due_leave_before_the_goodbye() -> None:
    """What is safe should not be sent again."""
    server = Server()
    client = server.connect(version=5)
    client.publish(1)
    settler, first, _ = server.intake.batches[0]
    settler.settled(first, 1)

    client.session.shut_down()

    assert [type(one) for one in client.received()] == [PubAck, Disconnect]


def test_a_retained_will_is_kept_for_those_who_come_later() -> None:
    """[MQTT-3.1.2-15]: 'online' / 'offline' by retained will is how most devices tell their state."""
    server = Server(SettlingIntake(), events=("e/#",))
    server.connect("c", will=Will("status/c", b"offline", 1, retain=True)).vanish()

    answers = server.connect("late").subscribe(Subscription("status/#", 1))

    assert answers[1:] == [Publish("status/c", b"offline", 1, True, packet_id=1)]
    assert server.intake.batches == []


def test_the_end_is_the_end() -> None:
    """Timers and sockets may still call; nothing happens twice."""
    server = Server()
    client = server.connect(will=WILL, keep_alive_s=1)
    client.vanish()

    pass_time(server, client, 100)
    client.session.fail(Reason.PROTOCOL_ERROR, "late")
    client.session.shut_down()
    client.session.lost("again", server.now_s)
    client.session.set_congested(False, server.now_s)

    assert server.intake.payloads == [b"gone"]
    assert client.session.end_code == "connection_lost"
