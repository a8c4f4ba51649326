"""Topic aliases towards a client: within what it offers, for one connection, for the topics in use."""

from __future__ import annotations

import random

import pytest

from fieldgate.mqtt.packets import Properties, PubAck, Publish, Subscription
from fieldgate.mqtt.topic_aliases import TopicAliases
from listener_kit import SettlingIntake
from session_kit import Client, Server


@pytest.fixture
def server() -> Server:
    return Server(SettlingIntake())


def reader(server: Server, maximum: int, **more: object) -> Client:
    properties = Properties(session_expiry_s=60, topic_alias_maximum=maximum, **more)  # type: ignore[arg-type]
    client = server.connect("r", version=5, clean=False, properties=properties)
    if not client.connack.session_present:
        client.subscribe(Subscription("#", 1))
    return client


def say(server: Server, topic: str, payload: bytes = b"", *, qos: int = 0, **properties: object) -> None:
    own = Properties(**properties) if properties else None  # type: ignore[arg-type]
    server.broker.publish(topic, payload, qos=qos, properties=own, now_s=server.now_s)


def test_a_topic_is_sent_once_and_its_alias_from_then_on(server: Server) -> None:
    """[MQTT5 3.3.2.3.4]; properties of the publisher stay beside it."""
    client = reader(server, 5)

    say(server, "site/a")
    say(server, "site/a", b"x", content_type="text")

    assert client.received() == [
        Publish("site/a", b"", properties=Properties(topic_alias=1)),
        Publish("", b"x", properties=Properties(topic_alias=1, content_type="text")),
    ]


def test_no_more_aliases_than_the_client_takes(server: Server) -> None:
    """[MQTT-3.3.2-9]; the others go by their names. Who takes none gets none."""
    client = reader(server, 1)
    say(server, "site/a")
    say(server, "site/b")
    assert [one.properties for one in client.received() if isinstance(one, Publish)] == [
        Properties(topic_alias=1),
        None,
    ]

    none = server.connect("n", version=5)
    none.subscribe(Subscription("#"))
    say(server, "site/a")

    assert none.received() == [Publish("site/a", b"")]


def test_a_new_connection_begins_without_aliases(server: Server) -> None:
    """[MQTT-3.3.2-7]: what is sent again bears its name."""
    client = reader(server, 5)
    say(server, "site/a", qos=1)
    say(server, "site/a", qos=1)
    client.received()
    client.vanish()

    again = reader(server, 5)

    assert again.early == [
        Publish("site/a", b"", 1, dup=True, packet_id=1, properties=Properties(topic_alias=1)),
        Publish("", b"", 1, dup=True, packet_id=2, properties=Properties(topic_alias=1)),
    ]


def test_an_alias_whose_first_packet_was_too_large_is_not_used(server: Server) -> None:
    """The client never heard of it."""
    client = reader(server, 5, maximum_packet_size=40)
    say(server, "site/a", b"x" * 100)
    say(server, "site/a", b"y")

    assert client.received() == [Publish("site/a", b"y", properties=Properties(topic_alias=1))]


def test_a_short_topic_has_no_alias(server: Server) -> None:
    """The alias takes three bytes itself."""
    client = reader(server, 5)
    say(server, "abc")

    assert client.received() == [Publish("abc", b"")]


def test_topics_in_use_take_over_the_aliases_of_those_that_are_not() -> None:
    """A gateway's first topics are not for ever its busy ones."""
    aliases = TopicAliases(4)
    for number in range(4):
        aliases.alias(b"old/%d" % number)

    for _ in range(10):
        for number in range(4):
            aliases.alias(b"new/%d" % number)

    assert all(aliases.alias(b"new/%d" % number)[1] for number in range(4))


def test_a_busy_topic_keeps_its_alias_among_many_that_come_once() -> None:
    """Else a scan over many topics would make every packet longer."""
    aliases = TopicAliases(4)
    for number in range(1000):
        aliases.alias(b"busy")
        aliases.alias(b"once/%d" % number)

    assert aliases.alias(b"busy")[1]


def test_client_and_server_agree_on_every_alias_and_memory_is_bounded() -> None:
    """A model of the client: an alias always means the topic that it was last sent with."""
    rng = random.Random(7)
    aliases, known = TopicAliases(8), dict[int, bytes]()
    for _ in range(20_000):
        topic = b"topic/%d" % min(rng.randrange(200), rng.randrange(200))
        alias, is_known = aliases.alias(topic)
        assert 0 <= alias <= 8
        if is_known:
            assert known[alias] == topic
        elif alias and rng.random() < 0.1:
            aliases.take_back(topic)
        elif alias:
            known[alias] = topic

    assert len(aliases._aliases) <= 8
    assert len(aliases._candidates) <= 32
    assert aliases._used <= aliases._aliases.keys()


def test_a_client_that_offers_65535_aliases_costs_64(server: Server) -> None:
    """What it offers is not what we spend."""
    client = reader(server, 65_535)
    for number in range(200):
        say(server, f"site/{number}", qos=1)
        client.send(*(PubAck(one.packet_id) for one in client.received() if isinstance(one, Publish)))

    aliases = server.broker.sessions.find("r").outbound._aliases
    assert aliases is not None
    assert len(aliases._aliases) == 64
