"""Sessions and retained messages come back as they were: complete after a clean stop, never mixed up after a crash."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fieldgate.mqtt.local_broker import BrokerLimits
from fieldgate.mqtt.packets import (
    ConnAck,
    Connect,
    Properties,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Reason,
    Subscription,
)
from fieldgate.mqtt.session_roles import Accepted
from fieldgate.mqtt.stored import StoredSession, StoredState
from memory_kit import BASE_S, KEPT, Disk, Gateway


def numbers(packets: list[Any]) -> list[int]:
    return [int(packet.payload) for packet in packets if isinstance(packet, Publish)]


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_what_waits_for_a_client_that_is_away_waits_over_a_restart(how: str) -> None:
    """The point of a persistent session; the properties and the rest of the expiry come along."""
    gateway = Gateway()
    client = gateway.connect()
    client.subscribe(Subscription("t", 2, retain_as_published=True))
    client.vanish()
    gateway.publish(1, 2, qos=2, content_type="x", message_expiry_s=100, user=(("a", "b"),))
    gateway.publish(3, retain=True)
    gateway.publish(4, qos=0)
    gateway.stop() if how == "stop" else gateway.look()

    gateway.start(base_s=BASE_S + 30)
    client = gateway.connect()

    assert client.connack.session_present
    assert numbers(client.early) == [1, 2, 3]
    first, _, last = [packet for packet in client.early if isinstance(packet, Publish)]
    assert (first.qos, last.qos, last.retain) == (2, 1, True)
    assert first.properties == Properties(content_type="x", message_expiry_s=70, user=(("a", "b"),))


def test_a_restart_ends_no_session_early_and_none_late() -> None:
    """The time is the journal's own, which goes on over restarts."""
    gateway = Gateway()
    gateway.connect("short", properties=Properties(session_expiry_s=60)).vanish()
    gateway.connect("long", properties=Properties(session_expiry_s=600)).vanish()
    gateway.look()

    gateway.start(base_s=BASE_S + 100, now_s=1001.0)
    gateway.server.broker.tick(1001.5)

    assert not gateway.connect("short").connack.session_present
    assert gateway.connect("long").connack.session_present


def test_a_client_that_was_connected_at_the_crash_is_away_since_then() -> None:
    """Nobody saw it go."""
    gateway = Gateway()
    gateway.connect("c", properties=Properties(session_expiry_s=60))
    gateway.look()

    gateway.start(base_s=BASE_S + 1000)
    gateway.server.broker.tick(gateway.server.now_s + 59)
    assert gateway.server.broker.sessions.find("c") is not None

    gateway.server.broker.tick(gateway.server.now_s + 61)
    assert gateway.server.broker.sessions.find("c") is None


def test_of_more_sessions_than_may_wait_those_come_back_that_are_away_for_the_shortest_time() -> None:
    """``max_sessions`` holds at a start too; the number of a session says nothing about when its client went."""
    gateway = Gateway()
    clients = {name: gateway.connect(name) for name in ("there", "last", "first", "middle")}
    for name in ("first", "middle", "last"):
        gateway.server.now_s += 10
        clients[name].vanish()
    gateway.look()

    gateway.start(broker_limits=BrokerLimits(max_sessions=2))
    sessions = gateway.server.broker.sessions

    assert [one.client_id for one in sessions.away] == ["last", "there"]
    assert sessions.ended == {"max_sessions": 2}
    gateway.look()
    assert {one.client_id for one in gateway.disk.state.sessions.values()} == {"last", "there"}


def test_what_was_in_flight_comes_again_with_its_id_and_dup() -> None:
    """[MQTT-4.4.0-1]; and what had its PUBREC as PUBREL."""
    gateway = Gateway()
    client = gateway.connect()
    client.subscribe(Subscription("t", 2))
    gateway.publish(1, 2)
    gateway.publish(3, 4, qos=2)
    sent = {int(one.payload): one.packet_id for one in client.received() if isinstance(one, Publish)}
    gateway.look()
    client.send(PubAck(sent[1]), PubRec(sent[3]))
    gateway.look()

    gateway.start()
    again = gateway.connect().early

    assert [(type(one).__name__, getattr(one, "packet_id", 0)) for one in again] == [
        ("PubRel", sent[3]), ("Publish", sent[2]), ("Publish", sent[4]),
    ]  # fmt: skip
    assert all(one.dup for one in again if isinstance(one, Publish))


def test_a_new_message_never_gets_an_id_that_the_client_may_remember() -> None:
    """A QoS 2 id that was given out just before the crash would make the client drop the new message."""
    gateway = Gateway()
    client = gateway.connect()
    client.subscribe(Subscription("t", 2))
    gateway.look()
    gateway.publish(1, qos=2)
    (lost,) = client.received()
    assert isinstance(lost, Publish)
    used = {lost.packet_id}

    for round_ in range(3):
        gateway.start()
        client = gateway.connect()
        gateway.publish(10 + round_, qos=2)
        fresh = [one for one in client.received() + client.early if isinstance(one, Publish) and not one.dup]
        assert len(fresh) == 1
        assert fresh[0].packet_id not in used, round_
        used = {fresh[0].packet_id}
        client.send(PubRec(fresh[0].packet_id))
        client.send(PubComp(fresh[0].packet_id))
        gateway.look()


def test_a_new_file_says_which_ids_are_in_use() -> None:
    """After a full disk everything is written anew; a crash then must not bring back the ids of this process."""
    gateway = Gateway()
    gateway.connect().subscribe(Subscription("t", 2))
    gateway.look()
    gateway.start()
    client = gateway.connect()
    gateway.disk = Disk()
    gateway.disk.apply(gateway.memory.everything(gateway.server.now_s))
    gateway.publish(1, qos=2)
    (lost,) = client.received()
    assert isinstance(lost, Publish)

    gateway.start()
    client = gateway.connect()
    gateway.publish(2, qos=2)

    (fresh,) = client.early + client.received()
    assert isinstance(fresh, Publish)
    assert fresh.packet_id != lost.packet_id


def test_a_new_file_holds_no_id_that_the_client_may_use_again() -> None:
    """It is released a moment later; what it is then used for must not pass for the message before."""
    gateway = Gateway()
    client = gateway.connect()
    client.publish(9, qos=2)
    gateway.server.intake.settle(0)
    client.received()
    gateway.disk = Disk()
    gateway.disk.apply(gateway.memory.everything(gateway.server.now_s))
    client.send(PubRel(9))

    gateway.start()
    client = gateway.connect()
    client.publish(9, qos=2)

    assert gateway.server.tally.events == 1


def test_what_a_lower_limit_did_not_take_back_is_not_on_disk_any_more() -> None:
    """Else it would come back with a higher limit, though it was cleared meanwhile."""
    gateway = Gateway()
    for number in range(10):
        gateway.publish(number, topic=f"state/{number}", retain=True)
    gateway.look()

    gateway.start(broker_limits=BrokerLimits(max_retained=4))
    gateway.look()

    assert len(gateway.disk.state.retained) == 4
    assert gateway.disk.state.retained.keys() == {one.topic for one in gateway.server.broker.retained.messages()}


def test_a_client_that_keeps_up_costs_no_write() -> None:
    """Flash: what is acknowledged within a second was never worth storing."""
    gateway = Gateway()
    client = gateway.connect()
    client.subscribe(Subscription("t", 1))
    gateway.look()

    for number in range(20):
        gateway.publish(number)
        changes = gateway.look()
        assert not changes, changes
        (publish,) = client.received()
        assert isinstance(publish, Publish)
        client.send(PubAck(publish.packet_id))


def test_a_client_that_does_not_keep_up_is_stored_at_the_second_look() -> None:
    """It may be cut off, or we may; what it is owed must be there."""
    gateway = Gateway()
    gateway.connect().subscribe(Subscription("t", 1))
    gateway.look()
    gateway.publish(*range(300))

    assert not gateway.look()
    assert len(gateway.look().deliveries) == 300
    assert not gateway.look()

    gateway.start()
    client = gateway.connect()
    got = [one for one in client.early if isinstance(one, Publish)]
    while got and len(got) < 300:
        got += [one for one in client.send(PubAck(got.pop(0).packet_id)) if isinstance(one, Publish)]
        if got[-1].payload == b"299":
            break
    assert numbers(got)[-1] == 299


def test_a_retained_message_that_changes_all_the_time_is_stored_twice_a_minute() -> None:
    """50 devices that retain their state each second would wear a card out."""
    gateway = Gateway()
    writes = []
    for second in range(100):
        gateway.publish(second, topic="state", retain=True)
        if gateway.look().retained:
            writes.append(second)

    assert writes == [0, 30, 60, 90]
    gateway.stop()
    assert gateway.disk.state.retained["state"].payload == b"99", "a clean stop leaves the last one"


def test_a_retained_message_that_was_cleared_stays_cleared() -> None:
    """However soon after it was stored."""
    gateway = Gateway()
    gateway.publish(1, topic="state", retain=True)
    gateway.look()
    gateway.server.broker.publish("state", b"", retain=True, now_s=gateway.server.now_s)
    assert gateway.look().retained == {"state": None}
    gateway.server.broker.publish("never", b"1", retain=True, now_s=gateway.server.now_s)
    gateway.server.broker.publish("never", b"", retain=True, now_s=gateway.server.now_s)
    assert not gateway.look()

    gateway.start()

    assert gateway.server.broker.retained.count == 0


def test_a_session_that_ends_is_forgotten_on_disk() -> None:
    """By expiry, by a clean start, or because its client does not want it kept any more."""
    gateway = Gateway()
    gateway.connect("a").subscribe(Subscription("t", 1))
    gateway.connect("b").subscribe(Subscription("t", 1))
    gateway.publish(1)
    gateway.look()
    gateway.look()
    assert len(gateway.disk.state.sessions) == 2

    gateway.server.connect("a", version=5, clean=True)
    gateway.server.broker.sessions.find("b").keep_for(0)  # type: ignore[union-attr]
    gateway.look()

    assert gateway.disk.state == StoredState()


def test_a_restored_session_is_not_written_again_and_again() -> None:
    """A gateway that restarts with a thousand sessions must not write all of them each time they are looked at."""
    gateway = Gateway()
    gateway.connect().vanish()
    gateway.publish(7, topic="r", retain=True)
    gateway.look()

    gateway.start()
    gateway.look()  # the half of the ids that is in use now

    assert not gateway.look()
    gateway.server.now_s += 100
    assert not gateway.look()


def test_ids_that_a_client_has_not_released_come_back_after_a_clean_stop() -> None:
    """A QoS 2 PUBLISH that is sent again after a restart for an update must not become a second event."""
    gateway = Gateway()
    client = gateway.connect()
    client.publish(9, qos=2)
    gateway.server.intake.settle(0)
    assert [type(one) for one in client.received()] == [PubRec]
    gateway.stop()

    gateway.start()
    client = gateway.connect()
    answers = client.publish(9, qos=2, dup=True)

    assert [type(one) for one in answers] == [PubRec]
    assert gateway.server.tally.events == 0
    assert [type(one) for one in client.send(PubRel(9))] == [PubComp]


@pytest.mark.parametrize("intruder", ["bob", ""])
def test_after_a_restart_a_session_is_resumed_by_its_own_user_only(intruder: str) -> None:
    """Else a restart would hand what waits for one user to whoever names its client id first."""
    gateway = Gateway()
    gateway.server.verdict = Accepted("amy")
    gateway.connect().subscribe(Subscription("t", 1))
    gateway.look()
    gateway.start()
    gateway.publish(1)

    gateway.server.verdict = Accepted(intruder)
    (answer,) = gateway.server.open(5).send(Connect("c", 5, False, properties=KEPT))
    gateway.server.verdict = Accepted("amy")
    client = gateway.connect()

    assert isinstance(answer, ConnAck)
    assert answer.reason == Reason.CLIENT_ID_NOT_VALID
    assert client.connack.session_present
    assert numbers(client.early) == [1]


def test_a_session_from_before_there_were_users_is_nobodys() -> None:
    """Files of an earlier version are read; to a user such a session is not handed."""
    row = msgspec.convert(["c", 60.0, None, [], [], 1], StoredSession)

    assert (row.user, row.half) == ("", 1)
