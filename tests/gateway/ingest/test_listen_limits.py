"""The limits of ``listen`` as they are written: each one holds for a client on a socket, with the answer it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from fieldgate.ingest.mqtt_listener import MqttListener
from fieldgate.mqtt.packets import (
    Disconnect,
    Packet,
    Properties,
    PubAck,
    Publish,
    PubRec,
    Reason,
    SubAck,
    Subscribe,
    Subscription,
)
from gateway_kit import eventually
from listener_kit import HeldIntake, RawClient, SettlingIntake, serving

LIMITS = {
    "max_packet": "1KiB",
    "receive_maximum": 3,
    "max_in_flight": 2,
    "max_unreleased": 4,
    "max_subscriptions": 2,
    "max_filters_size": "20B",
    "max_topic_levels": 3,
    "max_user_properties": 2,
}


@pytest.fixture
async def listener() -> AsyncIterator[MqttListener]:
    async with serving(SettlingIntake(), **LIMITS) as running:
        yield running


def publishes(count: int) -> list[Packet]:
    return [Publish("t", b"%d" % number, 1, packet_id=number) for number in range(1, count + 1)]


async def test_a_client_is_told_what_it_may_do(listener: MqttListener) -> None:
    """A client that keeps to CONNACK never meets a limit."""
    client = await RawClient.connect(listener.port, version=5)

    properties = client.connack.properties
    assert properties is not None
    assert (properties.maximum_packet_size, properties.receive_maximum) == (1024, 3)


Sent = Callable[[], list[Packet]]


@pytest.mark.parametrize(
    ("within", "over", "reason"),
    [
        (
            lambda: [Publish("t", b"x" * 1000, 1, packet_id=1)],
            lambda: [Publish("t", b"x" * 1024, 1, packet_id=2)],
            Reason.PACKET_TOO_LARGE,
        ),
        (
            lambda: [Publish("a/b/c", b"x", 1, packet_id=1)],
            lambda: [Publish("a/b/c/d", b"x", 0)],
            Reason.TOPIC_NAME_INVALID,
        ),
        (
            lambda: [Publish("t", b"x", 1, packet_id=1, properties=Properties(user=(("a", "b"),) * 2))],
            lambda: [Publish("t", b"x", 1, packet_id=2, properties=Properties(user=(("a", "b"),) * 3))],
            Reason.QUOTA_EXCEEDED,
        ),
    ],
    ids=["max_packet", "max_topic_levels", "max_user_properties"],
)
async def test_a_packet_over_a_limit_ends_its_client_and_one_within_it_does_not(
    listener: MqttListener, within: Sent, over: Sent, reason: Reason
) -> None:
    """The limit is what the configuration says, no less and no more."""
    client = await RawClient.connect(listener.port, version=5)

    client.write(*within())
    assert await client.receive() == PubAck(1)
    client.write(*over())

    end = await client.receive()
    assert isinstance(end, Disconnect)
    assert end.reason == reason
    assert await client.is_closed()


@pytest.mark.parametrize(
    ("subscriptions", "codes"),
    [
        (("a", "b", "c"), (0, 0, Reason.QUOTA_EXCEEDED)),
        (("x" * 12, "y" * 9, "z" * 8), (0, Reason.QUOTA_EXCEEDED, 0)),
        (("a/b/c", "a/b/c/d"), (0, Reason.TOPIC_FILTER_INVALID)),
    ],
    ids=["max_subscriptions", "max_filters_size", "max_topic_levels"],
)
async def test_a_subscription_over_a_limit_is_refused_by_itself(
    listener: MqttListener, subscriptions: tuple[str, ...], codes: tuple[int, ...]
) -> None:
    """The others of the same packet are made."""
    client = await RawClient.connect(listener.port, version=5)

    client.write(Subscribe(1, tuple(Subscription(one, 0) for one in subscriptions)))

    answer = await client.receive()
    assert isinstance(answer, SubAck)
    assert answer.reasons == codes


async def test_more_on_the_way_than_receive_maximum_ends_an_mqtt_5_client() -> None:
    """[MQTT5 3.3.4-9]: three may wait, the fourth is one too many."""
    async with serving(HeldIntake(), **LIMITS) as listener:
        client = await RawClient.connect(listener.port, version=5)

        client.write(*publishes(4))

        end = await client.receive()
        assert isinstance(end, Disconnect)
        assert end.reason == Reason.RECEIVE_MAXIMUM_EXCEEDED


async def test_no_more_than_max_in_flight_are_on_the_way_to_a_subscriber(listener: MqttListener) -> None:
    """Though the client would take more."""
    reader = await RawClient.connect(listener.port, "reader", version=5)
    reader.write(Subscribe(1, (Subscription("t", 1),)))
    await reader.receive()
    writer = await RawClient.connect(listener.port, "writer")
    writer.write(*publishes(3))
    assert [await writer.receive() for _ in range(3)] == [PubAck(1), PubAck(2), PubAck(3)]

    first, second = await reader.receive(), await reader.receive()
    reader.write(Subscribe(2, (Subscription("u", 0),)))
    assert isinstance(await reader.receive(), SubAck)  # and not the third
    assert isinstance(first, Publish)
    assert isinstance(second, Publish)
    reader.write(PubAck(first.packet_id))

    third = await reader.receive()
    assert isinstance(third, Publish)
    assert third.payload == b"3"


async def test_a_3_1_1_client_with_more_than_max_unreleased_is_cut_off(listener: MqttListener) -> None:
    """It knows no Receive Maximum; once it holds more than four PUBRECs, its next PUBLISH is its last."""
    client = await RawClient.connect(listener.port)

    for packet_id in range(1, 6):
        client.publish(packet_id, qos=2)
        assert await client.receive() == PubRec(packet_id)
    client.publish(6, qos=2)

    assert await client.is_closed()
    await eventually("it is counted", lambda: listener.ended == {"quota_exceeded": 1})
