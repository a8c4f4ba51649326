"""A message that a rule sends to an uplink arrives as it is, whatever form the uplink's events have."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiomqtt
import pytest

from fieldgate.forward.as_is import AsIs, pieces, wish_problem
from fieldgate.forward.local_uplink import LocalUplink
from fieldgate.forward.uplink import Shipment
from fieldgate.ingest.echo import EchoGuard
from fieldgate.mqtt.in_flight import Run
from fieldgate.mqtt.packets import Publish
from fieldgate.mqtt.topics import valid_topic
from fieldgate_devices.event import Address, Event, Extra
from fieldgate_devices.event import Publish as Wish
from pump_rig import Rig
from uplink_kit import RUN, MemoryFeed, make_event, mosquitto, running, uplink_config

FORMATS = ["cloudevents", "cloudevents-batch", "cloudevents-binary", "raw"]
BATCH = {"format": "cloudevents-batch", "batch": {"max_events": 3, "max_delay": "0s"}}


def message(seq: int, topic: str = "house/siren", *, payload: bytes = b"on", cause: str = "", **wish) -> Event:
    extra = Extra(cause=cause, uplinks=("cloud",), publish=Wish(topic, **wish))
    return make_event(seq, payload, address=Address("site.a", "publish", topic), is_json=False, extra=extra)


def own(sent: list[Publish]) -> list[Publish]:
    return [one for one in sent if one.topic.startswith("house/")]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("version", [4, 5])
def test_topic_payload_qos_and_retain_are_the_rules_in_every_format(name, version):
    """What listens to ``house/siren`` knows nothing of envelopes."""
    rig = Rig(version, format=name, batch={"max_delay": "0s"})
    rig.connect()
    rig.feed.add([make_event(1), message(2, retain=True), make_event(3), message(4, "house/bell", payload=b"\x00\xff")])

    siren, bell = own(rig.fill())

    assert (siren.topic, siren.payload, siren.qos, siren.retain) == ("house/siren", b"on", 1, True)
    assert (bell.topic, bell.payload, bell.qos, bell.retain) == ("house/bell", b"\x00\xff", 1, False)


def test_events_around_it_keep_their_form_and_order():
    """The control: only that one event of the run is another."""
    rig = Rig()
    rig.connect()
    rig.feed.add([make_event(1), make_event(2), message(3), make_event(4)])

    topics = [one.topic for one in rig.fill()]

    assert topics == ["fieldgate/gw/site.a/message"] * 2 + ["house/siren"] + ["fieldgate/gw/site.a/message"]
    rig.ack(1, 2, 3, 4)
    assert rig.feed.delivered_seqs == [1, 2, 3, 4]


def test_a_copy_can_be_told_and_is_known_for_ours_when_a_bridge_brings_it_back():
    """Else a source that reads the same topic would make an event of it, and the rule perhaps fire again."""
    rig = Rig()
    rig.connect()
    rig.feed.add([message(2, cause=f"{RUN:016x}-1")])

    (siren,) = rig.fill()

    assert siren.properties is not None
    assert dict(siren.properties.user) == {"fieldgate-id": f"{RUN:016x}-2", "fieldgate-cause": f"{RUN:016x}-1"}
    assert siren.properties.content_type is None
    assert EchoGuard("gw", {RUN}).is_ours(siren)
    assert not EchoGuard("gw", {RUN + 1}).is_ours(siren)


def test_at_qos_1_it_is_delivered_with_its_puback_and_sent_again_with_retain_until_then():
    """DUP must not cost the flag for which the rule asked."""
    rig = Rig()
    rig.connect()
    rig.feed.add([message(1, retain=True)])
    (first,) = rig.fill()
    assert rig.feed.done == {}

    rig.lose()
    rig.connect(session_present=True)
    (again,) = rig.fill()

    assert (again.dup, again.retain, again.qos, again.packet_id) == (True, True, 1, first.packet_id)
    rig.ack(again.packet_id)
    assert rig.feed.done == {1: "delivered"}


def test_losing_retain_with_the_dup_flag_is_found_out(monkeypatch):
    """Mutant: the first byte of what is sent again is that of every event."""
    monkeypatch.setattr(Run, "again", lambda self: b"".join(b"\x3a" + packet[1:] for packet in self.packets()))

    with pytest.raises(AssertionError):
        test_at_qos_1_it_is_delivered_with_its_puback_and_sent_again_with_retain_until_then()


def test_at_qos_0_it_is_delivered_once_it_is_written():
    """There is nobody who could confirm more."""
    rig = Rig()
    rig.connect()
    rig.feed.add([message(1, qos=0), make_event(2)])

    siren, event = rig.fill()

    assert (siren.qos, siren.packet_id, siren.topic) == (0, 0, "house/siren")
    assert rig.feed.done == {1: "delivered"}
    assert rig.session.in_flight.sent_count == 1
    rig.ack(event.packet_id)
    assert rig.feed.done == {1: "delivered", 2: "delivered"}


def test_nothing_is_sent_while_there_is_no_connection():
    """At QoS 0 as well: it waits in the outbox as long as an event does."""
    rig = Rig()
    rig.feed.add([message(1, qos=0)])

    assert rig.fill() == []
    assert rig.feed.done == {}


BAD = [
    ("house/+/siren", {}, "topic"),
    ("house/#", {}, "topic"),
    ("", {}, "topic"),
    ("x" * 65_536, {}, "topic"),
    ("a\x00b", {}, "topic"),
    ("a\nb", {}, "topic"),
    ("$SYS/broker", {}, "'$'"),
    ("house/siren", {"qos": 2}, "QoS 0 or 1"),
    ("house/siren", {"qos": 3}, "QoS 0 or 1"),
    ("house/siren", {"qos": -1}, "QoS 0 or 1"),
]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("topic", "wish", "word"), BAD)
def test_what_no_broker_can_be_sent_is_parked_and_holds_up_nothing(name, topic, wish, word):
    """A topic is made by a template; sent as it is it would end the connection, again and again."""
    rig = Rig(5, format=name, batch={"max_delay": "0s"})
    rig.connect()
    rig.feed.add([message(1, topic, **wish), make_event(2)])

    (event,) = rig.fill()
    rig.ack(event.packet_id)

    assert word in rig.feed.done[1]
    assert rig.feed.done[2] == "delivered"
    assert rig.pump.parked == 1


def test_the_longest_topic_is_sent():
    """The control for the bound."""
    rig = Rig()
    rig.connect()
    rig.feed.add([message(1, "h" * 65_535)])

    (siren,) = rig.fill()

    assert valid_topic(siren.topic)


def test_retain_at_a_server_that_keeps_nothing_is_parked():
    """Sent all the same it would end the connection [MQTT5 3.2.2.3.5]; sent without, nobody would know."""
    rig = Rig()
    rig.connect(retain_available=0)
    rig.feed.add([message(1, retain=True), message(2)])

    (siren,) = rig.fill()

    assert not siren.retain
    assert rig.feed.done == {1: "the server keeps no retained messages"}


def test_a_message_over_the_servers_limit_is_parked():
    """As an event is."""
    rig = Rig()
    rig.connect(maximum_packet_size=200)
    rig.feed.add([message(1, payload=b"x" * 300), message(2)])

    assert [one.payload for one in rig.fill()] == [b"on"]
    assert "200 bytes at most" in rig.feed.done[1]


def test_in_a_batch_they_go_apart_and_never_more_than_the_server_takes():
    """One message of a batch carries many events; each of these is a message of its own [MQTT-3.3.4-7]."""
    rig = Rig(5, **BATCH)
    rig.connect(receive_maximum=2)
    rig.feed.add([message(seq, f"house/{seq}") if seq % 4 else make_event(seq) for seq in range(1, 20)])

    seen: list[str] = []
    while sent := rig.fill():
        assert len(sent) <= 2
        assert rig.session.in_flight.sent_count <= 2
        seen += [one.topic for one in own(sent)]
        rig.ack(*(one.packet_id for one in sent))

    assert seen == [f"house/{seq}" for seq in range(1, 20) if seq % 4]
    assert sorted(rig.feed.delivered_seqs) == list(range(1, 20))


def test_forgetting_the_servers_limit_is_found_out(monkeypatch):
    """Mutant: all messages of rules go at once."""
    send = AsIs.send
    monkeypatch.setattr(AsIs, "send", lambda self, room, now_s: send(self, 1_000, now_s))

    with pytest.raises(AssertionError):
        test_in_a_batch_they_go_apart_and_never_more_than_the_server_takes()


def test_what_waited_apart_is_handed_out_again_after_a_fault():
    """The feed has it; the pump forgets it with the rest."""
    rig = Rig(5, **BATCH)
    rig.connect(receive_maximum=1)
    rig.feed.add([message(1, "house/1"), message(2, "house/2")])
    assert [one.topic for one in rig.fill()] == ["house/1"]

    rig.pump.start_over()
    rig.connect()

    assert [one.topic for one in rig.fill()] == ["house/1", "house/2"]


def test_a_refusal_parks_a_message_as_it_does_an_event():
    """The broker's ACL may forbid the topic."""
    rig = Rig(5, **BATCH)
    rig.connect()
    rig.feed.add([message(1)])
    (siren,) = rig.fill()

    rig.ack(siren.packet_id, reason=0x87)

    assert "not authorized" in rig.feed.done[1].lower()


def test_a_run_falls_into_its_pieces_in_order():
    """Each event is in one of them, once."""
    events = [make_event(1), message(2), message(3), make_event(4), make_event(5), message(6)]
    found = list(pieces(Shipment("batch", events, 1, 6, True, True)))

    assert [(part.start, part.stop, wish is not None) for part, wish in found] == [
        (1, 2, True), (2, 3, True), (3, 5, False), (5, 6, True),
    ]  # fmt: skip
    assert all(part.is_stored and not part.has_publishes and part.batch == "batch" for part, _ in found)


def test_a_good_wish_has_no_problem():
    """The control for the table above."""
    assert wish_problem(Wish("house/siren", 0)) == ""
    assert wish_problem(Wish("/house//sirène $x", 1, True)) == ""


async def test_local_subscribers_get_no_message_for_a_broker():
    """``check`` refuses such a rule; what comes all the same is seen among the parked events."""
    feed = MemoryFeed()
    feed.add([make_event(1), message(2), make_event(3)])

    class Nobody:
        is_listening = True

        def __init__(self) -> None:
            self.topics: list[str] = []

        def publish(self, topic, payload, **_how) -> None:
            self.topics.append(topic)

    nobody = Nobody()
    config = uplink_config(1883).model_copy(update={"topic": "local/{device}"})
    uplink = LocalUplink("local", config, feed, gateway="gw", subscribers=nobody)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(uplink.run(), name="uplink")
        await feed.settled(3)
        await uplink.stop()
        task.cancel()

    assert nobody.topics == ["local/site.a", "local/site.a"]
    assert "MQTT brokers only" in feed.done[2]
    assert uplink.status.parked == 1


@pytest.mark.parametrize("name", FORMATS)
async def test_mosquitto_gets_it_and_keeps_what_is_to_be_retained(name: str, tmp_path: Path):
    """The real thing: a subscriber that comes later finds the last state of the siren."""
    feed = MemoryFeed()
    feed.add(
        [make_event(1), message(2, retain=True, payload=b"\x00on"), message(3, "house/bell", qos=0), make_event(4)]
    )
    async with mosquitto(tmp_path) as port, aiomqtt.Client("127.0.0.1", port) as heard:
        await heard.subscribe("house/bell", qos=1)
        async with running(feed, port, format=name, batch={"max_delay": "0s"}):
            await feed.settled(4)
            bell = await anext(heard.messages)
        async with aiomqtt.Client("127.0.0.1", port) as late:
            await late.subscribe("#", qos=1)
            siren = await anext(late.messages)

    assert (str(bell.topic), bell.payload, bell.qos) == ("house/bell", b"on", 0)
    assert (str(siren.topic), siren.payload, siren.retain) == ("house/siren", b"\x00on", True)
    assert set(feed.done.values()) == {"delivered"}
