"""What is refused without ending more than it must: topics of the broker, depth, wills, user properties."""

from __future__ import annotations

import pytest

from fieldgate.mqtt.handshake import SessionLimits
from fieldgate.mqtt.packets import (
    ConnAck,
    Connect,
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


def goodbye(client: Client, answers: list[Packet]) -> int:
    """The reason of the DISCONNECT that ends the answers."""
    assert client.closed == "politely"
    assert isinstance(answers[-1], Disconnect), answers
    return answers[-1].reason


@pytest.mark.parametrize("topic", ["$SYS/broker/uptime", "$SYS", "$share/g/t"])
def test_nothing_can_be_published_to_the_brokers_own_topics(topic: str) -> None:
    """[4.7.2]; MQTT 5 has a code for it at QoS 1 and 2, as in mosquitto's 03-publish-dollar-v5."""
    server = Server(SettlingIntake())
    server.connect("listener").subscribe(Subscription("#", 1), Subscription("$SYS/#", 1))
    client = server.connect("new", version=5)
    why = Properties(reason_string="the topic is the broker's own")

    assert client.publish(1, topic=topic) == [PubAck(1, Reason.NOT_AUTHORIZED, why)]
    assert client.publish(2, topic=topic, qos=2) == [PubRec(2, Reason.NOT_AUTHORIZED, why)]
    assert client.send(PubRel(2)) == [PubComp(2, Reason.PACKET_ID_NOT_FOUND)]
    assert server.tally.refused == {"not_authorized": 2}
    assert server.intake.batches == []


@pytest.mark.parametrize(("version", "qos"), [(5, 0), (4, 0), (4, 1), (4, 2)])
def test_who_cannot_be_told_so_is_disconnected(version: int, qos: int) -> None:
    """FAULTS 63, [3.1.1: MQTT-3.3.5-2]: there the only other answer says that all is well."""
    server = Server(SettlingIntake())
    client = server.connect(version=version)

    answers = client.publish(1, topic="$SYS/x", qos=qos)

    assert client.session.end_code == "not_authorized"
    assert answers == [] if version == 4 else goodbye(client, answers) == Reason.NOT_AUTHORIZED


def test_a_refusal_keeps_its_turn() -> None:
    """[MQTT-4.6.0-2]: acknowledgements leave in the order of the PUBLISHes."""
    server = Server()
    client = server.connect(version=5)

    assert client.send(Publish("t", b"", 1, packet_id=1), Publish("$SYS", b"", 1, packet_id=2)) == []
    server.intake.settle(0)

    assert [(one.packet_id, one.reason) for one in client.received() if isinstance(one, PubAck)] == [
        (1, 0),
        (2, Reason.NOT_AUTHORIZED),
    ]


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("topic", ["$SYS/x", "a/b/c/d"])
def test_a_will_that_nobody_may_publish_is_refused_with_its_connection(version: int, topic: str) -> None:
    """When it is due there is nobody left to be told."""
    client = Server(limits=SessionLimits(max_topic_levels=3)).open(version)

    (answer,) = client.send(Connect("c", version, will=Will(topic, b"")))

    assert isinstance(answer, ConnAck)
    assert answer.reason == (Reason.TOPIC_NAME_INVALID if version == 5 else 5)
    assert client.closed == "politely"


@pytest.mark.parametrize("version", [4, 5])
def test_topics_and_filters_have_so_many_levels_at_most(version: int) -> None:
    """Each level costs a node where it is kept."""
    server = Server(SettlingIntake(), limits=SessionLimits(max_topic_levels=3))
    client = server.connect(version=version)

    (answer,) = client.subscribe(Subscription("a/+/#"), Subscription("a/b/c/#"))
    assert isinstance(answer, SubAck)
    assert answer.reasons == (0, Reason.TOPIC_FILTER_INVALID if version == 5 else 0x80)
    assert server.broker.refused == {"topic_levels": 1}
    answers = client.send(Publish("x/y/z", b"", 1, packet_id=1), Publish("x/y/z/z", b"", 1, packet_id=2))

    assert answers[0] == PubAck(1)
    assert client.session.end_code == "topic_name_invalid"
    if version == 5:
        assert goodbye(client, answers) == Reason.TOPIC_NAME_INVALID


def test_user_properties_are_bounded() -> None:
    """FAULTS 62, CVE-2021-41039: 0x97, before and after the CONNECT."""
    server = Server(limits=SessionLimits(max_user_properties=3))
    many = Properties(user=(("a", "b"),) * 4)
    early, late = server.open(5), server.connect("late", version=5)

    (refusal,) = early.send(Connect("c", 5, properties=many))
    answers = late.send(Publish("t", b"", properties=many))

    assert isinstance(refusal, ConnAck)
    assert refusal.reason == Reason.QUOTA_EXCEEDED
    assert goodbye(late, answers) == Reason.QUOTA_EXCEEDED
