"""Birth, goodbye and last will: whoever subscribes to the status topic knows whether the gateway is there."""

from __future__ import annotations

import json
from typing import Any

import aiomqtt
import pytest
from structlog.testing import capture_logs

from fieldgate.forward.presence import Presence
from fieldgate.mqtt.packets import ConnAck, Disconnect, Properties, Publish, Reason
from fieldgate_simulators.link import Link
from uplink_kit import MemoryFeed, Peer, ScriptedBroker, make_events, mosquitto, running, until

TOPIC = "fieldgate/gw/status"
VERSIONS = ["3.1.1", "5"]


@pytest.fixture
async def broker():
    async with ScriptedBroker().serving() as broker:
        yield broker


@pytest.fixture
async def feed():
    return MemoryFeed()


def on(version: str = "5", **more: Any) -> dict[str, Any]:
    return {"version": version, "status_topic": "fieldgate/{gateway}/status", **more}


async def test_a_goodbye_for_which_there_is_no_room_is_left_to_the_will(broker, feed):
    """At a stop in mid-drain the window is full: one more would be an error of ours [MQTT-3.3.4-7]."""
    broker.on_connect = lambda peer: peer.send(ConnAck(properties=Properties(receive_maximum=3)))
    broker.on_publish = lambda peer, publish: peer.ack(publish) if publish.topic == TOPIC else None
    feed.add(make_events(10))

    async with running(feed, broker.port, mqtt=on()):
        await until(lambda: len(broker.arrived) == 4)
    peer = broker.peers[0]
    await until(lambda: isinstance(peer.packets[-1], Disconnect))

    assert [one.topic == TOPIC for one in broker.arrived] == [True, False, False, False]
    assert peer.packets[-1].reason == Reason.DISCONNECT_WITH_WILL
    assert json.loads(peer.connect.will.payload)["state"] == "offline"


@pytest.mark.parametrize("version", VERSIONS)
async def test_it_connects_with_a_will_is_born_and_says_goodbye(broker, feed, version):
    """In this order on the wire; each retained at QoS 1, and none of them an event."""
    feed.add(make_events(3))

    async with running(feed, broker.port, mqtt=on(version)) as uplink:
        await feed.settled(3)
        await until(lambda: len(broker.arrived) == 4)
        assert uplink.status.stray_acks == 0
        assert uplink.status.sent == uplink.status.acked == 3
    peer = broker.peers[0]
    await until(lambda: isinstance(peer.packets[-1], Disconnect))

    will = peer.connect.will
    birth, *events, goodbye = peer.got
    said = [json.loads(one.payload) for one in (will, birth, goodbye)]
    assert [one.topic for one in (will, birth, goodbye)] == [TOPIC] * 3
    assert [(one.qos, one.retain) for one in (will, birth, goodbye)] == [(1, True)] * 3
    assert [one["state"] for one in said] == ["offline", "online", "offline"]
    assert len({(one["gateway"], one["uplink"], one["version"], one["run"]) for one in said}) == 1
    assert "since" in said[1]
    assert said[0]["reason"] == "the connection was lost"
    assert len(events) == 3
    assert not any(event.retain for event in events)
    if version == "5":
        assert will.properties.content_type == birth.properties.content_type == "application/json"


async def test_off_means_neither_will_nor_birth(broker, feed):
    """AWS IoT ends the connection over a will that its policy does not name; Azure IoT Hub keeps nothing."""
    feed.add(make_events(1))

    async with running(feed, broker.port, mqtt={"status_topic": "off"}):
        await feed.settled(1)

    assert broker.peers[0].connect.will is None
    assert [publish.topic for publish in broker.arrived] == ["fieldgate/gw/site.a/message"]


async def test_nothing_is_retained_where_the_server_cannot(broker, feed):
    """[MQTT-3.2.2-14]: a client must not send RETAIN then."""
    broker.on_connect = lambda peer: peer.send(ConnAck(properties=Properties(retain_available=0)))

    async with running(feed, broker.port, mqtt=on()):
        await until(lambda: broker.arrived)

    assert [publish.retain for publish in broker.arrived] == [False] * len(broker.arrived)


async def test_a_server_that_refuses_the_birth_still_gets_the_events(broker, feed):
    """It is told once, and parks nothing."""
    broker.on_publish = lambda peer, publish: peer.ack(publish, 0x87 if publish.topic == TOPIC else 0)
    feed.add(make_events(5))

    with capture_logs() as logs:
        async with running(feed, broker.port, mqtt=on()) as uplink:
            await feed.settled(5)
            await until(lambda: any(entry["event"] == "uplink.status_refused" for entry in logs))
            assert uplink.status.parked == 0

    assert len(feed.delivered_seqs) == 5
    (line,) = [entry for entry in logs if entry["event"] == "uplink.status_refused"]
    assert (line["topic"], line["reason"]) == (TOPIC, "not authorized (0x87)")


async def test_the_birth_counts_against_receive_maximum(broker, feed):
    """[MQTT5 4.9]: the server may end the connection of a client that sends one more."""
    broker.on_connect = lambda peer: peer.send(ConnAck(properties=Properties(receive_maximum=1)))
    held: list[tuple[Peer, Publish]] = []
    broker.on_publish = lambda peer, publish: held.append((peer, publish))
    feed.add(make_events(3))

    async with running(feed, broker.port, mqtt=on()):
        for number in range(1, 5):
            await until(lambda number=number: len(held) == number)
            peer, publish = held[-1]
            assert len(peer.got) == number
            peer.ack(publish)
        await feed.settled(3)


async def test_a_birth_that_is_never_acknowledged_is_no_reason_to_wait_for_ever(broker, feed):
    """As any other message: the connection is given up in time, and the next one is born anew."""
    broker.on_publish = lambda peer, publish: peer.ack(publish) if peer.number > 1 else None

    async with running(feed, broker.port, mqtt=on(puback_timeout="150ms")):
        await until(lambda: len(broker.peers) > 1 and broker.peers[1].got)

    assert json.loads(broker.peers[1].got[0].payload)["state"] == "online"


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_cut_link_makes_a_real_broker_say_offline(tmp_path, feed, version):
    """What an operator's dashboard shows: online, offline by the will, online again, offline at the end."""
    states: list[str] = []
    async with mosquitto(tmp_path) as port, Link("127.0.0.1", port) as link:
        async with aiomqtt.Client("127.0.0.1", port) as watcher:
            await watcher.subscribe(TOPIC, qos=1)
            messages = watcher.messages

            async def next_state() -> str:
                message = await anext(messages)
                states.append(json.loads(message.payload)["state"])
                return states[-1]

            async with running(feed, link.port, mqtt=on(version, keep_alive="1s")):
                assert await next_state() == "online"
                link.refuse()
                link.reset()
                assert await next_state() == "offline"
                link.restore()
                assert await next_state() == "online"
            assert await next_state() == "offline"
        async with aiomqtt.Client("127.0.0.1", port) as late:
            await late.subscribe(TOPIC, qos=1)
            retained = await anext(late.messages)

    assert states == ["online", "offline", "online", "offline"]
    assert retained.retain
    assert "since" in json.loads(retained.payload)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_connection_given_up_by_us_leaves_the_will_standing(broker, feed, version):
    """A DISCONNECT without a reason would delete it [MQTT-3.14.4-3]."""
    broker.on_publish = lambda peer, publish: peer.ack(publish) if publish.topic == TOPIC else None
    feed.add(make_events(1))

    async with running(feed, broker.port, mqtt=on(version, puback_timeout="150ms")):
        await until(lambda: len(broker.peers) > 1)

    goodbyes = [packet for packet in broker.peers[0].packets if isinstance(packet, Disconnect)]
    assert [packet.reason for packet in goodbyes] == ([0x04] if version == "5" else [])


def test_a_time_that_is_not_known_says_so():
    """P6."""
    presence = Presence("s/{gateway}", gateway="a/b", uplink="up", run=255)

    said = json.loads(presence.message("online", wall_ns=0, is_synced=False, is_retained=True).payload)

    assert presence.topic == "s/a.b"
    assert said["run"] == "00000000000000ff"
    assert (said["since"], said["timequality"]) == ("1970-01-01T00:00:00.000000Z", "unsynced")
