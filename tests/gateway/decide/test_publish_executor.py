"""A command that is a message: who gets it, when it is done, and what is taken back. Sessions joined in memory."""

from __future__ import annotations

import pytest

from fieldgate.decide.orders import Outcome, Status
from fieldgate.decide.publish_executor import MARK
from fieldgate.mqtt.memory import BrokerMemory
from fieldgate.mqtt.packets import Properties, PubAck, PubComp, Publish, PubRec, PubRel, Subscription
from fieldgate.mqtt.session_roles import Accepted
from fieldgate_devices.command_model import ReplySpec
from fieldgate_devices.command_reply import Reply
from publish_desk_kit import TOPIC, Desk, device, got, state_of
from session_kit import Server, may


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def desk(server: Server) -> Desk:
    return Desk(server)


def test_it_is_done_when_the_device_acknowledges(server: Server, desk: Desk) -> None:
    client = device(server)
    desk.execute(desk.job())
    before = list(desk.outcomes)
    message = got(client)
    client.send(PubAck(message.packet_id))

    assert (message.topic, message.payload, message.qos) == (TOPIC, b'{"target":55}', 1)
    assert before == []
    assert desk.statuses == [Status.DONE]


def test_at_qos_0_it_is_done_once_it_is_written(server: Server, desk: Desk) -> None:
    client = device(server, qos=0)
    desk.execute(desk.job())

    assert got(client).qos == 0
    assert desk.statuses == [Status.DONE]


def test_at_qos_2_it_is_done_when_the_device_has_received_it(server: Server, desk: Desk) -> None:
    client = device(server, qos=2)
    desk.execute(desk.job(qos=2))
    message = got(client)
    (release,) = client.send(PubRec(message.packet_id))
    client.send(PubComp(message.packet_id))

    assert isinstance(release, PubRel)
    assert desk.statuses == [Status.DONE]


def test_a_device_that_refuses_it_is_believed(server: Server, desk: Desk) -> None:
    """MQTT 5 lets it say so [MQTT5 3.4.2.1]."""
    client = device(server)
    desk.execute(desk.job())
    client.send(PubAck(got(client).packet_id, 0x83))

    assert desk.outcomes == [Outcome(Status.REFUSED, "'b7' refused it")]


def test_it_bears_its_id_and_expires_with_the_command(server: Server, desk: Desk) -> None:
    client = device(server)
    desk.execute(desk.job(max_age_s=30.9))
    properties = got(client).properties

    assert properties is not None
    assert properties.message_expiry_s == 30
    assert properties.correlation_data == b"id-1"
    assert properties.user == ((MARK, "m1"),)


def test_where_nobody_is_subscribed_it_is_refused(server: Server, desk: Desk) -> None:
    server.connect("b7")

    assert desk.executor.problem(desk.job()) == "no client of this gateway is subscribed to 'boiler/b7/set'"
    desk.execute(desk.job())
    assert desk.statuses == [Status.REFUSED]


def test_who_reads_everything_is_no_device(server: Server, desk: Desk) -> None:
    """A recorder that acknowledges must not make a command done."""
    device(server, "monitor", "#", "+/+/+")
    problem = desk.executor.problem(desk.job())
    recorder = device(server, "recorder-2", "boiler/#")
    client = device(server)
    desk.execute(desk.job())
    client_message, recorder_message = got(client), got(recorder)
    recorder.send(PubAck(recorder_message.packet_id))
    before = list(desk.outcomes)
    client.send(PubAck(client_message.packet_id))

    assert problem == "no client of this gateway is subscribed to 'boiler/b7/set'"
    assert before == []
    assert desk.statuses == [Status.DONE]


def test_who_may_not_read_the_topic_does_not_count(server: Server, desk: Desk) -> None:
    server.verdict = Accepted(rights=may("other/#"))
    server.connect("b7").subscribe(Subscription(TOPIC, 1))

    assert desk.executor.problem(desk.job()).startswith("no client")


def test_one_that_is_away_without_a_session_is_refused(server: Server, desk: Desk) -> None:
    client = device(server, qos=0, kept=True)
    client.vanish()

    assert desk.executor.problem(desk.job()) == (
        "'b7', which subscribes to 'boiler/b7/set', is away, and its session keeps nothing"
    )


def test_one_that_is_away_gets_it_when_it_returns(server: Server, desk: Desk) -> None:
    """Accepted once its session is on disk, done when it acknowledges."""
    device(server, kept=True).vanish()
    desk.execute(desk.job())
    before, marks = list(desk.outcomes), desk.executor.unsaved()
    desk.executor.saved(marks, "")
    accepted = desk.statuses
    client = server.connect("b7", version=5, clean=False, properties=Properties(session_expiry_s=3600))
    sent_early = client.early
    desk.save()
    client.send(PubAck(got(client).packet_id))

    assert (before, marks) == ([], ["m1"])
    assert accepted == [Status.ACCEPTED]
    assert sent_early == []
    assert desk.statuses == [Status.ACCEPTED, Status.DONE]


@pytest.mark.parametrize("version", [4, 5])
def test_one_that_returns_too_late_does_not_get_it(server: Server, desk: Desk, version: int) -> None:
    """[MQTT5 3.3.2.3.3]; and a client of MQTT 3.1.1 would open the door as late."""
    device(server, version=version, kept=True).vanish()
    desk.execute(desk.job())
    server.now_s += 61
    client = server.connect("b7", version=version, clean=False, properties=None if version == 4 else Properties())

    assert client.early == []


def test_what_was_sent_into_a_dead_connection_is_not_sent_again_when_it_is_too_old(server: Server, desk: Desk) -> None:
    """A device that lost its power acknowledges nothing, and is back an hour later."""
    client = device(server, kept=True)
    desk.execute(desk.job())
    got(client)
    client.vanish()
    server.now_s += 61
    again = server.connect("b7", version=5, clean=False, properties=Properties(session_expiry_s=3600))

    assert again.early == []
    assert server.broker.drops["expired"] == 1


def test_sessions_that_cannot_be_stored_promise_nothing(server: Server, desk: Desk) -> None:
    device(server, kept=True).vanish()
    desk.execute(desk.job())
    desk.executor.saved(desk.executor.unsaved(), "disk full")
    client = server.connect("b7", version=5, clean=False)

    assert desk.outcomes == [
        Outcome(Status.REFUSED, "the device is away, and it cannot be kept safe for it: disk full")
    ]
    assert client.early == []


def test_what_has_not_left_is_taken_back(server: Server, desk: Desk) -> None:
    """Given up is given up: it must not reach the device later."""
    device(server, kept=True).vanish()
    job = desk.job()
    desk.execute(job)

    assert desk.executor.cancel(job) is True
    assert server.connect("b7", version=5, clean=False).early == []
    assert server.broker.sessions.away_bytes == 0


def test_what_has_left_cannot_be_taken_back_and_is_not_sent_again(server: Server, desk: Desk) -> None:
    client = device(server, kept=True)
    job = desk.job()
    desk.execute(job)
    got(client)
    client.vanish()

    assert desk.executor.cancel(job) is False
    assert server.connect("b7", version=5, clean=False).early == []


def test_a_packet_id_on_the_way_stays_in_use_when_the_command_is_given_up(server: Server, desk: Desk) -> None:
    """[MQTT-2.2.1-4]: the PUBACK of the old one must not be taken for that of a new one."""
    client = device(server)
    first, second = desk.job(), desk.job(mark="m2")
    desk.execute(first)
    old = got(client)
    desk.executor.cancel(first)
    desk.execute(second)
    new = got(client)
    client.send(PubAck(old.packet_id))
    before = list(desk.outcomes)
    client.send(PubAck(new.packet_id))

    assert old.packet_id != new.packet_id
    assert before == []
    assert desk.statuses == [Status.DONE]


def test_too_large_for_the_device_is_refused(server: Server, desk: Desk) -> None:
    """[MQTT-3.1.2-24]."""
    client = server.connect("b7", version=5, properties=Properties(maximum_packet_size=40))
    client.subscribe(Subscription(TOPIC, 1))
    desk.execute(desk.job())

    assert desk.statuses == [Status.REFUSED]


def test_where_the_profile_names_a_reply_that_counts_and_the_acknowledgement_does_not(
    server: Server, desk: Desk
) -> None:
    reply = Reply(ReplySpec.model_validate({"mqtt": "boiler/b7/ack", "json": {"target": "{target}"}}), {"target": 55})
    client = device(server)
    desk.execute(desk.job(reply=reply))
    client.send(PubAck(got(client).packet_id))
    desk.replies.hear("boiler/b7/ack", b'{"target":54}')
    desk.replies.hear("boiler/b8/ack", b'{"target":55}')
    before = list(desk.outcomes)
    desk.replies.hear("boiler/b7/ack", b'{"target":55}')
    desk.replies.hear("boiler/b7/ack", b'{"target":55}')

    assert before == []
    assert desk.statuses == [Status.DONE]
    assert not desk.replies.is_waiting


def test_of_a_shared_subscription_whichever_member_gets_it_counts(server: Server, desk: Desk) -> None:
    members = [device(server, name, f"$share/g/{TOPIC}") for name in ("b1", "b2")]
    desk.execute(desk.job())
    for member in members:
        for packet in member.received():
            assert isinstance(packet, Publish)
            member.send(PubAck(packet.packet_id))

    assert desk.statuses == [Status.DONE]


def test_after_a_restart_what_was_accepted_goes_on_and_the_rest_is_taken_back(server: Server, desk: Desk) -> None:
    """Of what was merely started nobody knows whether it was carried out: it must not be, once more."""
    device(server, kept=True).vanish()
    memory = BrokerMemory(server.broker, base_s=0.0)
    for mark in ("m1", "m2"):
        desk.execute(desk.job(mark=mark))
    stored = memory.everything(server.now_s)
    later = Server()
    BrokerMemory(later.broker, base_s=0.0).restore(state_of(stored), max_bytes=2**20, now_s=later.now_s)
    desk = Desk(later)
    assert desk.executor.resume(desk.job(mark="m1"), desk.outcomes.append)
    assert not desk.executor.resume(desk.job(mark="m3"), desk.outcomes.append)
    desk.executor.resumed()
    client = later.connect("b7", version=5, clean=False)
    desk.save()
    message = got(client)
    client.send(PubAck(message.packet_id))

    assert message.properties is not None
    assert message.properties.user == ((MARK, "m1"),)
    assert desk.statuses == [Status.DONE]
