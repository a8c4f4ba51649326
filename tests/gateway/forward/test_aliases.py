"""Topic aliases towards a server: fewer bytes, the same messages, and never a number that the server does not know."""

from __future__ import annotations

import json
from typing import Any

import aiomqtt
import pytest

from fieldgate.forward.aliases import TopicAliases
from fieldgate.mqtt.packets import Publish, Reason
from fieldgate_devices.event import Address
from pump_rig import Rig, number
from uplink_kit import MemoryFeed, make_event, make_events, mosquitto, running

FORMATS = ["cloudevents", "cloudevents-binary", "raw"]
PLACES = [Address(f"site.dev-{n}", "message", f"site/dev-{n}") for n in range(6)]


def fleet(count: int, first: int = 1, places: int = 6) -> list[Any]:
    return [make_event(seq, address=PLACES[seq % places]) for seq in range(first, first + count)]


class Server:
    """Resolves aliases as a server does, and minds those that were never set on this connection."""

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.topics: dict[int, str] = {}
        self.short = 0

    def topic(self, publish: Publish) -> str:
        alias = publish.properties.topic_alias if publish.properties is not None else None
        if alias is None:
            assert publish.topic
            return publish.topic
        assert 1 <= alias <= self.maximum
        if publish.topic:
            self.topics[alias] = publish.topic
        else:
            self.short += 1
        return self.topics[alias]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("maximum", [1, 3, 100])
def test_the_server_gets_the_same_messages_with_fewer_bytes(form, maximum):
    """As many topics as the server allows become numbers; the rest stays as it is."""
    plain, short = Rig(format=form), Rig(format=form)
    server = Server(maximum)
    plain.connect()
    short.connect(topic_alias_maximum=maximum)
    seen: list[tuple[str, bytes, Any]] = []
    for turn in range(10):
        for rig in (plain, short):
            rig.feed.add(fleet(12, 1 + 12 * turn))
        expected = plain.fill()
        got = short.fill()
        for one, other in zip(expected, got, strict=True):
            topic = server.topic(other)
            properties = other.properties
            properties.topic_alias = None
            seen.append((topic, other.payload, properties))
            assert seen[-1] == (one.topic, one.payload, one.properties)
        plain.ack(*(publish.packet_id for publish in expected))
        short.ack(*(publish.packet_id for publish in got))

    assert len(server.topics) == min(maximum, 6)
    assert server.short >= 10 * 12 * min(maximum, 6) / 6 - 24
    assert short.pump.size_bytes < plain.pump.size_bytes


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_sent_again_bears_its_topic_in_full(form):
    """On another connection the numbers mean nothing [MQTT-3.3.2-7]; the payload is the same byte for byte."""
    rig = Rig(format=form)
    rig.connect(topic_alias_maximum=10)
    rig.feed.add(fleet(60))
    first = rig.fill()
    server = Server(10)
    topics = [server.topic(publish) for publish in first]
    assert server.short > 40
    rig.lose(is_by_server=False)

    rig.connect(session_present=True, topic_alias_maximum=10)
    again = rig.fill()

    assert [publish.topic for publish in again] == topics
    assert [publish.payload for publish in again] == [publish.payload for publish in first]
    assert all(publish.properties.topic_alias is None for publish in again)
    assert [publish.packet_id for publish in again] == [publish.packet_id for publish in first]
    assert all(publish.dup for publish in again)


def test_what_is_tried_again_on_the_same_connection_bears_it_too():
    """0x97, and 0x91 with another packet id."""
    rig = Rig()
    rig.connect(topic_alias_maximum=10)
    rig.feed.add(fleet(12, places=1))
    sent = rig.fill()
    assert sent[5].topic == sent[6].topic == ""

    rig.ack(sent[5].packet_id, reason=Reason.QUOTA_EXCEEDED)
    rig.ack(sent[6].packet_id, reason=Reason.PACKET_ID_IN_USE)
    rig.ack(sent[7].packet_id)
    again = rig.fill()
    again += rig.fill_after_the_pause()

    assert {publish.topic for publish in again} == {sent[0].topic}
    assert {number(publish) for publish in again} == {number(sent[5]), number(sent[6])}


def test_an_event_next_to_the_servers_limit_is_measured_with_its_topic_in_full():
    """It must fit when it is sent again; and what is not sent sets no number."""
    rig = Rig()
    topic_bytes = len("fieldgate/gw/site.dev-0/message")
    rig.connect()
    rig.feed.add(fleet(1, places=1))
    (whole,) = rig.fill()
    limit = len(whole.payload) + topic_bytes + 45
    rig = Rig()
    rig.connect(topic_alias_maximum=10, maximum_packet_size=limit)
    server = Server(10)

    for turn in range(1, 30):
        rig.feed.add([make_event(turn, b'"%b"' % (b"x" * turn), address=PLACES[0])])
        for publish in rig.fill():
            assert server.topic(publish) == "fieldgate/gw/site.dev-0/message"
            rig.ack(publish.packet_id)

    parked = [seq for seq, how in rig.feed.done.items() if how != "delivered"]
    full = Rig()
    full.connect(maximum_packet_size=limit)
    for turn in range(1, 30):
        full.feed.add([make_event(turn, b'"%b"' % (b"x" * turn), address=PLACES[0])])
        for publish in full.fill():
            full.ack(publish.packet_id)
    assert 0 < len(parked) < 29
    assert parked == [seq for seq, how in full.feed.done.items() if how != "delivered"]


def test_lanes_in_the_topic_are_told_apart():
    """{lane} makes two topics of one address."""
    rig = Rig(mqtt={"topic": "out/{lane}/{device}"})
    rig.connect(topic_alias_maximum=10)
    server = Server(10)
    rig.feed.add([make_event(seq, lane=seq % 3, address=PLACES[0]) for seq in range(1, 31)])

    topics = [server.topic(publish) for publish in rig.fill()]

    assert topics == [f"out/{('high', 'normal', 'low')[seq % 3]}/site.dev-0" for seq in range(1, 31)]
    assert server.short > 20


def decided(aliases: TopicAliases, *topics: str) -> list[bytes]:
    """Use each topic once; return the alias property that each message bears, empty for none."""
    events = [make_event(1, address=Address(topic, "m", topic)) for topic in topics]
    fields = [len(topic).to_bytes(2, "big") + topic.encode() for topic in topics]
    _, properties, _ = aliases.decide(events, fields, is_by_address=True)
    return list(properties)


def test_a_topic_that_is_used_once_costs_no_alias():
    """Three bytes for nothing, and a number that another topic could have had."""
    aliases = TopicAliases(1, shared_block=b"\x00")

    assert decided(aliases, "once/only", "twice/or-more", "twice/or-more") == [b"", b"", b"\x23\x00\x01"]


def test_a_number_that_was_not_sent_is_given_again():
    """What was too large with an alias goes in full; its number must not be lost for good."""
    aliases = TopicAliases(2, shared_block=b"\x00")
    decided(aliases, "first/topic", "first/topic")
    kept = len(aliases.topics) - 1
    assert decided(aliases, "second/topic", "second/topic")[1] == b"\x23\x00\x02"

    aliases.take_back(kept)

    assert decided(aliases, "third/topic", "third/topic")[1] == b"\x23\x00\x02"
    assert decided(aliases, "first/topic") == [b"\x23\x00\x01"]


def test_a_million_topics_are_no_million_entries():
    """A fleet of sensors that name themselves must not fill the memory."""
    aliases = TopicAliases(5, shared_block=b"\x00")
    for seq in range(25_000):
        event = make_event(seq, address=Address(f"d{seq}", "m", f"t{seq}"))
        aliases.decide([event], [b"\x00\x09%09d" % seq], is_by_address=True)

    assert len(aliases._known) <= 10_000
    assert len(aliases._uses) <= 10_000


@pytest.mark.parametrize("form", FORMATS)
async def test_mosquitto_delivers_aliased_messages_under_their_topics(tmp_path, form):
    """A broker that we did not write understands them."""
    feed = MemoryFeed()
    feed.add(fleet(60))
    async with mosquitto(tmp_path, "max_topic_alias 4") as port, aiomqtt.Client("127.0.0.1", port) as reader:
        await reader.subscribe("fieldgate/#", qos=1)
        async with running(feed, port, format=form) as uplink:
            await feed.settled(60)
            sent_bytes = uplink.status.size_bytes
        topics = [str((await anext(reader.messages)).topic) for _ in range(60)]

    assert topics == [f"fieldgate/gw/site.dev-{seq % 6}/message" for seq in range(1, 61)]
    assert sent_bytes > 0


def test_a_pump_that_keeps_its_numbers_over_connections_is_caught():
    """Mutant of `test_what_is_sent_again_bears_its_topic_in_full`: the server would end the connection (0x94)."""
    rig = Rig()
    rig.connect(topic_alias_maximum=10)
    rig.feed.add(fleet(12, places=1))
    rig.ack(*(publish.packet_id for publish in rig.fill()))
    kept = rig.pump._shape.aliases
    rig.lose(is_by_server=False)
    rig.connect(session_present=True, topic_alias_maximum=10)
    rig.pump._shape.aliases = kept
    rig.feed.add(fleet(1, 100, places=1))

    (publish,) = rig.fill()

    with pytest.raises(KeyError):
        Server(10).topic(publish)


# -- CloudEvents in binary mode --------------------------------------------------------------------------


def test_binary_mode_is_the_binding_of_cloudevents():
    """CloudEvents MQTT binding 1.0.2, section 3.1: the same event as structured JSON, in another place."""
    structured, binary = Rig(), Rig(format="cloudevents-binary")
    events = [
        make_event(1),
        make_event(2, b"\x00\xff", is_json=False, content_id=0),
        make_event(3, lane=0, address=Address("käse/1", "öl", "t")),
    ]
    for rig in (structured, binary):
        rig.feed.add(events)
        rig.connect()

    for one, other in zip(structured.fill(), binary.fill(), strict=True):
        envelope = json.loads(one.payload)
        data = envelope.pop("data", None)
        envelope.pop("data_base64", None)
        attributes = dict(other.properties.user)
        assert other.properties.content_type == envelope.pop("datacontenttype")
        assert attributes == {name: str(value) for name, value in envelope.items()}
        assert len(attributes) == len(other.properties.user)
        assert other.payload == (b"\x00\xff" if data is None else json.dumps(data, separators=(",", ":")).encode())
        assert other.topic == one.topic


def test_binary_mode_marks_what_was_overtaken():
    """Extensions as in the other formats; a boolean is written true."""
    rig = Rig(format="cloudevents-binary")
    rig.feed.is_stored = True
    rig.feed.add(make_events(1))
    rig.connect()

    (publish,) = rig.fill()

    assert ("drained", "true") in publish.properties.user
