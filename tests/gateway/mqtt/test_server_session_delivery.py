"""Local delivery: devices receive commands and each other's messages, within their windows and within our memory."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fieldgate.mqtt.packets import (
    Packet,
    Properties,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    Subscription,
    Unsubscribe,
)
from listener_kit import SettlingIntake
from session_kit import Client, Server

KEPT = Properties(session_expiry_s=600)


def payloads(packets: list[Packet]) -> list[bytes]:
    return [one.payload for one in packets if isinstance(one, Publish)]


def say(client: Client, topic: str, payload: bytes = b"x", *, qos: int = 0, retain: bool = False) -> None:
    client.send(Publish(topic, payload, qos, retain, packet_id=9 if qos else 0))


@pytest.fixture
def server() -> Server:
    return Server(SettlingIntake())


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize(
    ("wanted", "sent", "got"), [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 1), (1, 2, 1), (2, 2, 2), (2, 1, 1)]
)
def test_a_message_is_delivered_at_the_lower_qos(
    server: Server, version: int, wanted: int, sent: int, got: int
) -> None:
    """[MQTT-3.8.4-8]."""
    reader, writer = server.connect("r", version=version), server.connect("w")

    assert reader.subscribe(Subscription("a/#", wanted)) == [SubAck(1, (wanted,))]
    say(writer, "a/b", b"m", qos=sent)

    assert reader.received() == [Publish("a/b", b"m", got, packet_id=1 if got else 0)]


def test_local_subscribers_get_a_message_before_the_flow_settles_it_and_unaltered() -> None:
    """DESIGN 3: at once, before decide; and what is no event all the same."""
    server = Server(events=("e/#",))
    reader, writer = server.connect("r"), server.connect("w")
    reader.subscribe(Subscription("#"))

    say(writer, "e/1", b"\x00raw", qos=1)
    say(writer, "other", b"raw")

    assert payloads(reader.received()) == [b"\x00raw", b"raw"]
    assert server.intake.payloads == [b"\x00raw"]


def test_what_the_gateway_publishes_reaches_clients_and_is_no_event(server: Server) -> None:
    """Commands and alerts must not come back as events."""
    reader = server.connect("r")
    reader.subscribe(Subscription("cmd/#", 1))

    server.broker.publish("cmd/1", b"on", qos=1, now_s=server.now_s)

    assert payloads(reader.received()) == [b"on"]
    assert server.intake.batches == []


def test_overlapping_subscriptions_deliver_once_at_the_highest_qos_with_all_ids(server: Server) -> None:
    """[MQTT-3.3.4-2], [MQTT-3.3.4-3]."""
    reader, writer = server.connect("r", version=5), server.connect("w")
    reader.send(Subscribe(1, (Subscription("a/+", 0),), Properties(subscription_ids=(7,))))
    reader.send(Subscribe(2, (Subscription("a/#", 1),), Properties(subscription_ids=(9,))))

    say(writer, "a/b", qos=1)
    (got,) = reader.received()

    assert isinstance(got, Publish)
    assert got.qos == 1
    assert got.properties is not None
    assert sorted(got.properties.subscription_ids) == [7, 9]


def test_no_local_keeps_a_clients_own_messages_from_it(server: Server) -> None:
    """[MQTT-3.8.3-3]."""
    both = server.connect("b", version=5)
    both.subscribe(Subscription("a", 0, no_local=True))

    assert payloads(both.send(Publish("a", b"mine"))) == []
    say(server.connect("w"), "a", b"theirs")

    assert payloads(both.received()) == [b"theirs"]


def test_the_retain_flag_is_kept_only_for_who_asks(server: Server) -> None:
    """[MQTT-3.3.1-12], [MQTT-3.3.1-13]."""
    plain, asking = server.connect("p"), server.connect("a", version=5)
    plain.subscribe(Subscription("t"))
    asking.subscribe(Subscription("t", retain_as_published=True))

    say(server.connect("w"), "t", retain=True)

    assert [one.retain for one in plain.received() + asking.received() if isinstance(one, Publish)] == [False, True]


TERMS = [
    *((4, qos, False, 0) for qos in (0, 1, 2)),
    *((5, qos, as_published, own_id) for qos in (0, 1, 2) for as_published in (False, True) for own_id in (0, 7)),
]


def heard(terms: Sequence[tuple[int, int, bool, int]]) -> list[list[Packet]]:
    """What subscribers on these terms get, all of the same messages."""
    server = Server()
    readers = []
    for number, (version, qos, as_published, own_id) in enumerate(terms):
        reader = server.connect(f"r{number}", version=version)
        properties = Properties(subscription_ids=(own_id,)) if own_id else None
        reader.send(Subscribe(1, (Subscription("t", qos, retain_as_published=as_published),), properties))
        readers.append(reader)
    for own in (None, Properties(message_expiry_s=60, user=(("a", "b"),))):
        for retain in (True, False):
            server.broker.publish("t", b"p", qos=2, retain=retain, properties=own, now_s=server.now_s)
    return [reader.received() for reader in readers]


def test_each_of_many_subscribers_gets_what_it_would_get_alone() -> None:
    """A message is encoded once for all that are alike; who is not must not get the other's flags, ids or version."""
    together = heard(TERMS)

    assert together == [heard([one])[0] for one in TERMS]
    assert len({repr(packets) for packets in together}) == len(TERMS), "terms that make no difference show nothing"


def test_a_new_subscription_gets_the_retained_messages(server: Server) -> None:
    """[MQTT-3.3.1-9]: a display that was just switched on wants the state."""
    writer = server.connect("w")
    say(writer, "a/1", b"1", qos=1, retain=True)
    say(writer, "a/2", b"2", retain=True)
    say(writer, "a/1", b"new", qos=1, retain=True)
    say(writer, "a/2", b"", retain=True)
    say(writer, "$x/a", b"system", retain=True)
    reader = server.connect("r")

    answers = reader.subscribe(Subscription("#", 1))

    assert answers == [SubAck(1, (1,)), Publish("a/1", b"new", 1, True, packet_id=1)]
    assert server.broker.retained.count == 2


@pytest.mark.parametrize(("handling", "counts"), [(0, [1, 1]), (1, [1, 0]), (2, [0, 0])])
def test_retain_handling_is_honoured(server: Server, handling: int, counts: list[int]) -> None:
    """[MQTT-3.3.1-9 to 11]."""
    say(server.connect("w"), "t", retain=True)
    reader = server.connect("r", version=5)

    got = [len(payloads(reader.subscribe(Subscription("t", retain_handling=handling)))) for _ in range(2)]

    assert got == counts


def test_filters_that_cannot_be_served_are_refused_one_by_one(server: Server) -> None:
    """[MQTT-3.9.3]: the others of the same SUBSCRIBE hold; 3.1.1 knows only 0x80."""
    wanted = (Subscription("$share/g"), Subscription("ok", 1), Subscription("/".join("a" * 202)))
    old, new = server.connect("old"), server.connect("new", version=5)

    assert old.subscribe(*wanted) == [SubAck(1, (0x80, 1, 0x80))]
    (answer,) = new.subscribe(*wanted)
    assert isinstance(answer, SubAck)
    assert answer.reasons == (0x8F, 1, 0x8F)
    assert answer.properties is not None
    assert answer.properties.reason_string is not None
    assert answer.properties.reason_string.startswith("filter 1: ")


def test_unsubscribe_stops_delivery(server: Server) -> None:
    """[MQTT-3.10.4-1]."""
    reader = server.connect("r")
    reader.subscribe(Subscription("a"), Subscription("b"))
    reader.send(Unsubscribe(2, ("a",)))

    writer = server.connect("w")
    say(writer, "a")
    say(writer, "b", b"b")

    assert payloads(reader.received()) == [b"b"]


def test_the_clients_receive_maximum_is_the_window(server: Server) -> None:
    """[MQTT-3.3.4-9]: the rest waits, in order."""
    reader = server.connect("r", version=5, properties=Properties(receive_maximum=2))
    reader.subscribe(Subscription("t", 1))
    writer = server.connect("w")
    for one in range(5):
        say(writer, "t", b"%d" % one, qos=1)

    assert payloads(reader.received()) == [b"0", b"1"]
    assert payloads(reader.send(PubAck(1))) == [b"2"]
    assert payloads(reader.send(PubAck(2), PubAck(3))) == [b"3", b"4"]
    assert payloads(reader.send(PubAck(77))) == []


def test_a_qos_0_message_does_not_pass_older_ones_that_wait(server: Server) -> None:
    """One FIFO per client: a newer state never arrives before an older one."""
    reader = server.connect("r", version=5, properties=Properties(receive_maximum=1))
    reader.subscribe(Subscription("t", 1))
    writer = server.connect("w")
    say(writer, "t", b"1", qos=1)
    say(writer, "t", b"2", qos=1)
    say(writer, "t", b"3")

    assert payloads(reader.received()) == [b"1"]
    assert payloads(reader.send(PubAck(1))) == [b"2", b"3"]


def test_outbound_packet_ids_skip_those_in_use_and_wrap(server: Server) -> None:
    """[MQTT-2.2.1-4]. They come from one half of all ids; the other is for the next process."""
    reader = server.connect("r")
    reader.subscribe(Subscription("t", 1))
    writer = server.connect("w")
    say(writer, "t", qos=1)
    reader.received()  # id 1 stays in use
    ids: list[int] = []
    for _ in range(450):
        writer.send(*(Publish("t", b"", 1, packet_id=one) for one in range(1, 74)))
        got = [one.packet_id for one in reader.received() if isinstance(one, Publish)]
        reader.send(*map(PubAck, got))
        ids += got

    assert ids[:32_766] == list(range(2, 32_768))
    assert ids[32_766:32_769] == [2, 3, 4]


def test_an_unacknowledged_delivery_is_sent_again_on_resumption_with_dup_and_its_old_id(server: Server) -> None:
    """[MQTT-4.4.0-1]; and what came meanwhile follows."""
    reader = server.connect("r", clean=False)
    reader.subscribe(Subscription("t", 1))
    writer = server.connect("w")
    say(writer, "t", b"1", qos=1)
    say(writer, "t", b"2", qos=1)
    reader.send(PubAck(1))
    reader.vanish()
    say(writer, "t", b"3", qos=1)
    say(writer, "t", b"qos 0 is not kept")

    again = server.connect("r", clean=False)

    assert again.early == [
        Publish("t", b"2", 1, dup=True, packet_id=2),
        Publish("t", b"3", 1, packet_id=3),
    ]


def test_a_clean_session_takes_its_deliveries_with_it(server: Server) -> None:
    """[MQTT-3.1.2-6 of 3.1.1]."""
    reader = server.connect("r")
    reader.subscribe(Subscription("t", 1))
    say(server.connect("w"), "t", qos=1)
    reader.vanish()

    assert server.connect("r").early == []


def test_properties_of_the_publisher_reach_mqtt_5_subscribers(server: Server) -> None:
    """[MQTT-3.3.2-4, 15, 16, 17, 20]; not its topic alias."""
    old, new = server.connect("o"), server.connect("n", version=5)
    old.subscribe(Subscription("t"))
    new.subscribe(Subscription("t"))
    own = Properties(
        payload_format=1, content_type="x", response_topic="r", correlation_data=b"c", user=(("a", "b"), ("a", "b"))
    )

    server.connect("w", version=5).send(Publish("t", b"", properties=Properties(**{**_fields(own), "topic_alias": 2})))

    assert new.received() == [Publish("t", b"", properties=own)]
    assert old.received() == [Publish("t", b"")]


def _fields(properties: Properties) -> dict[str, object]:
    return {name: getattr(properties, name) for name in properties.__struct_fields__}


def test_nobody_listening_is_known_without_looking(server: Server) -> None:
    """The hot path asks once per read."""
    reader = server.connect("r")
    assert not server.broker.is_listening
    reader.subscribe(Subscription("a"), Subscription("b"))
    assert server.broker.is_listening
    reader.send(Unsubscribe(1, ("a",)))
    assert server.broker.is_listening

    reader.vanish()

    assert not server.broker.is_listening


def test_no_local_holds_for_retained_messages_too(server: Server) -> None:
    """[MQTT-3.8.3-3]; and expired ones are not sent either."""
    client = server.connect("c", version=5)
    client.send(
        Publish("t/own", b"own", retain=True),
        Publish("t/old", b"old", retain=True, properties=Properties(message_expiry_s=1)),
    )
    server.now_s += 2

    assert payloads(client.subscribe(Subscription("t/#", no_local=True))) == []
    assert payloads(server.connect("d").subscribe(Subscription("t/#"))) == [b"own"]


def test_long_topics_are_delivered_and_not_remembered(server: Server) -> None:
    """The cache of matches is for the topics in use, and bounded."""
    reader, writer = server.connect("r"), server.connect("w")
    reader.subscribe(Subscription("t/#"))

    for one in range(5000):
        say(writer, f"t/{one}")
    say(writer, "t/" + "x" * 300, b"long")

    assert len(payloads(reader.received())) == 5001
    assert len(server.broker.subscriptions._known) <= 4096
