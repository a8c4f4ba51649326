"""Local delivery costs bounded memory: slow readers, absent clients, retained messages."""

from __future__ import annotations

import pytest

from fieldgate.mqtt import session_subscriptions
from fieldgate.mqtt.handshake import SessionLimits
from fieldgate.mqtt.local_broker import BrokerLimits
from fieldgate.mqtt.message import Message
from fieldgate.mqtt.packets import (
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    Properties,
    PubAck,
    Publish,
    Reason,
    SubAck,
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


def test_subscriptions_are_bounded() -> None:
    """They are memory."""
    server = Server(limits=SessionLimits(max_subscriptions=2, max_filter_bytes=50))
    client = server.connect(version=5)

    (answer,) = client.subscribe(*map(Subscription, "abc"))
    assert isinstance(answer, SubAck)
    assert answer.reasons == (0, 0, Reason.QUOTA_EXCEEDED)
    assert answer.properties == Properties(reason_string="filter 3: too many subscriptions, or too long ones")
    client.send(Unsubscribe(2, ("a",)))

    (answer,) = client.subscribe(Subscription("c" * 60), Subscription("c"))
    assert isinstance(answer, SubAck)
    assert answer.reasons == (Reason.QUOTA_EXCEEDED, 0)
    assert server.broker.refused == {"client_subscriptions": 2}


def test_subscriptions_of_all_clients_are_bounded() -> None:
    """A thousand clients with a thousand each would be too many."""
    server = Server(broker_limits=BrokerLimits(max_subscriptions=2))
    first, second = server.connect("a", version=5), server.connect("b")
    first.subscribe(Subscription("a"), Subscription("b"))

    assert second.subscribe(Subscription("a")) == [SubAck(1, (0x80,))]
    (again,) = first.subscribe(Subscription("a", 1))
    assert isinstance(again, SubAck)
    assert again.reasons == (1,)
    first.vanish()
    assert second.subscribe(Subscription("a")) == [SubAck(1, (0,))]
    assert server.broker.refused == {"max_subscriptions": 1}


def test_the_levels_of_all_filters_are_bounded() -> None:
    """64 KiB of filters with a level in every two bytes are 12 MB in memory; a thousand clients would have them."""
    server = Server(limits=SessionLimits(max_filter_bytes=2**20), broker_limits=BrokerLimits(max_subscriptions=2000))
    deep = [Subscription(f"{number}{'/a' * 199}", 1) for number in range(90)]

    (answer,) = server.connect("a", version=5).subscribe(*deep)

    assert isinstance(answer, SubAck)
    assert answer.reasons == (1,) * 80 + (Reason.QUOTA_EXCEEDED,) * 10
    assert server.broker.refused == {"max_subscriptions": 10}
    (same,) = server.connect("b", version=5).subscribe(*deep[:80], Subscription("$share/g/0/a/#"))
    assert isinstance(same, SubAck)
    assert set(same.reasons) == {0, 1}  # what is there costs nothing more


def test_what_waits_for_clients_that_are_away_is_bounded() -> None:
    """FAULTS: sessions must not grow RAM for ever (amqtt 14, 237)."""
    server = Server(
        SettlingIntake(),
        limits=SessionLimits(max_unsent_bytes=20_000),
        broker_limits=BrokerLimits(max_away_bytes=30_000),
    )
    for name in "abc":
        reader = server.connect(name, clean=False)
        reader.subscribe(Subscription("t", 1))
        reader.vanish()
    writer = server.connect("w")

    for _ in range(50):
        say(writer, "t", b"x" * 1000, qos=1)

    kept = [len(payloads(server.connect(name, clean=False).early)) for name in "abc"]
    assert 24 <= sum(kept) <= 27
    assert server.broker.drops["client_away"] > 100


def test_what_waits_for_one_client_that_is_away_is_bounded() -> None:
    """What is in flight counts too; what came first is kept."""
    server = Server(SettlingIntake(), limits=SessionLimits(max_unsent_bytes=5000))
    reader = server.connect("r", clean=False)
    reader.subscribe(Subscription("t", 2))
    writer = server.connect("w")
    say(writer, "t", b"in flight" + b"x" * 1500, qos=1)
    reader.vanish()

    for number in range(5):
        say(writer, "t", b"%d" % number + b"x" * 1500, qos=1)

    kept = payloads(server.connect("r", clean=False).early)
    assert [one.rstrip(b"x") for one in kept] == [b"in flight", b"0"]
    assert server.broker.drops == {"client_away": 4}
    assert server.broker.sessions.away_bytes == 0


def test_retained_messages_that_wait_for_one_client_that_is_away_are_bounded() -> None:
    """A few dashboards that lose their link while they begin must not use up what may wait for everybody."""
    server = Server(SettlingIntake(), limits=SessionLimits(max_unsent_bytes=5000))
    for number in range(100):
        server.broker.publish(f"t/{number}", b"x", qos=1, retain=True, now_s=server.now_s)
    reader = server.connect("r", version=5, clean=False, properties=Properties(session_expiry_s=60, receive_maximum=1))
    reader.subscribe(Subscription("t/#", 1))

    reader.vanish()

    assert 4000 < server.broker.sessions.away_bytes <= 5000
    again = server.connect("r", version=5, clean=False, properties=KEPT)
    assert len(again.early) + server.broker.drops["client_away"] == 100


def test_sessions_of_clients_that_are_away_are_bounded() -> None:
    """The one that is away longest goes first."""
    server = Server(broker_limits=BrokerLimits(max_sessions=2))
    for name in "abc":
        server.connect(name, clean=False).vanish()

    present = [server.connect(name, clean=False).connack.session_present for name in "cba"]

    assert present == [True, True, False]


def test_expired_messages_are_not_delivered_and_others_say_what_is_left(server: Server) -> None:
    """[MQTT-3.3.2-5], [MQTT-3.3.2-6]."""
    reader = server.connect("r", version=5, clean=False, properties=KEPT)
    reader.subscribe(Subscription("t", 1))
    reader.vanish()
    writer = server.connect("w", version=5)
    for seconds in (5, 60):
        writer.send(Publish("t", b"%d" % seconds, 1, packet_id=1, properties=Properties(message_expiry_s=seconds)))

    server.now_s += 10
    again = server.connect("r", version=5, clean=False, properties=KEPT)

    (got,) = again.early
    assert (got.payload, got.properties) == (b"60", Properties(message_expiry_s=50))


def test_a_message_larger_than_the_client_takes_is_dropped_for_it_alone(server: Server) -> None:
    """[MQTT-3.1.2-24], [MQTT-3.1.2-25]; its place in the window is free again."""
    small = server.connect("s", version=5, properties=Properties(maximum_packet_size=60, receive_maximum=1))
    large = server.connect("l", version=5)
    small.subscribe(Subscription("t", 1))
    large.subscribe(Subscription("t", 1))
    writer = server.connect("w")

    say(writer, "t", b"x" * 100, qos=1)
    say(writer, "t", b"y", qos=1)

    assert payloads(small.received()) == [b"y"]
    assert payloads(large.received()) == [b"x" * 100, b"y"]


def test_a_subscriber_that_reads_slowly_loses_qos_0_and_nothing_else(server: Server) -> None:
    """Its socket holds what it holds; the others get everything."""
    slow, other, writer = server.connect("s"), server.connect("o"), server.connect("w")
    for one in (slow, other):
        one.subscribe(Subscription("t", 1))
    slow.stuck_bytes = 600_000
    slow.session.set_congested(True, server.now_s)

    say(writer, "t", b"0")
    say(writer, "t", b"1", qos=1)
    assert payloads(slow.received()) == []
    assert payloads(other.received()) == [b"0", b"1"]
    slow.stuck_bytes = 0
    slow.session.set_congested(False, server.now_s)

    assert payloads(slow.received()) == [b"1"]


def test_a_subscriber_that_does_not_read_is_cut_off_and_others_live(server: Server) -> None:
    """FAULTS 67; 0x97 would not reach it, but the log has it."""
    stuck, writer = server.connect("s", version=5), server.connect("w")
    stuck.subscribe(Subscription("#", 1))
    stuck.stuck_bytes = 600_000
    stuck.session.set_congested(True, server.now_s)

    for _ in range(600):
        say(writer, "t", b"x" * 1000, qos=1)
        if stuck.closed:
            break

    assert stuck.session.end_code == "quota_exceeded"
    assert writer.send(PingReq()) == [PingResp()]
    assert not server.broker.is_listening


def test_a_client_that_reads_nothing_at_all_for_long_is_cut_off(server: Server) -> None:
    """A `#` subscriber at QoS 0 that hangs would else hold its half megabyte for ever."""
    stuck = server.connect("s")
    stuck.session.set_congested(True, server.now_s)

    server.now_s += 29
    stuck.session.tick(server.now_s)
    assert stuck.closed is None
    server.now_s += 2
    stuck.session.tick(server.now_s)

    assert stuck.closed == "at once"


def test_a_client_that_asks_and_never_reads_the_answers_is_cut_off(server: Server) -> None:
    """Not only deliveries fill a socket."""
    stuck = server.connect("s")
    stuck.session.set_congested(True, server.now_s)
    stuck.stuck_bytes = 2**20 + 1

    stuck.send(PingReq())

    assert stuck.closed == "at once"


def test_a_session_that_was_cut_off_keeps_its_qos_1_messages_once(server: Server) -> None:
    """Cut off in the middle of sending a backlog, it gets every one of them after reconnecting, in order."""
    reader = server.connect("r", clean=False)
    reader.subscribe(Subscription("t", 1))
    reader.vanish()
    writer = server.connect("w")
    for one in range(30):
        say(writer, "t", b"%02d" % one + b"x" * 20_000, qos=1)
    again = server.open()
    again.stuck_bytes = 2**20 + 1
    again.session.set_congested(True, server.now_s)

    again.send(Connect("r", 4, clean_start=False))
    assert again.closed == "at once"
    last = server.connect("r", clean=False)

    assert [one[:2] for one in payloads(last.early)] == [b"%02d" % one for one in range(30)]


def test_searching_the_retained_messages_again_and_again_is_bounded() -> None:
    """A SUBSCRIBE of 12 bytes must not buy a walk over everything without end."""
    server = Server(SettlingIntake())
    for one in range(2000):
        server.broker.publish(f"t/{one}", b"x", retain=True, now_s=0)
    client = server.connect(version=5)

    answers = client.subscribe(*(Subscription(f"t/+/{one}") for one in range(200)))

    assert isinstance(answers[-1], Disconnect)
    assert answers[-1].reason == Reason.MESSAGE_RATE_TOO_HIGH


def test_all_retained_messages_can_be_had_however_many_may_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who raises max_retained must not find that nobody can subscribe to '#' any more."""
    monkeypatch.setattr(session_subscriptions, "_SEARCH_BUDGET", 1000)
    server = Server(SettlingIntake(), broker_limits=BrokerLimits(max_retained=25_000, max_retained_bytes=2**30))
    for one in range(25_000):
        server.broker.retained.put(Message(f"t/{one}", b"x", 0, True, 0.0))
    client = server.connect()

    assert len(payloads(client.subscribe(Subscription("#")))) == 25_000


def test_retained_messages_that_nobody_reads_do_not_pile_up() -> None:
    """Each subscription adds to what waits; the sum is bounded."""
    server = Server(SettlingIntake())
    for one in range(9000):
        server.broker.publish(f"t/{one}", b"x", retain=True, now_s=0)
    client = server.connect(version=5)
    client.session.set_congested(True, server.now_s)

    for one in range(5):
        client.subscribe(Subscription("t/#"), packet_id=one + 1)
        server.now_s += 1
        client.session.tick(server.now_s)

    assert client.session.end_code == "quota_exceeded"


def test_a_client_that_cuts_itself_off_while_the_intake_is_closed_is_told_the_truth_later() -> None:
    """It subscribes to itself and never reads; what it published last never reached the flow, so it is new again."""
    server = Server()
    client = server.connect("self", clean=False)
    client.subscribe(Subscription("t", 1))
    client.stuck_bytes = 2**20 + 1
    client.session.set_congested(True, server.now_s)
    server.intake.open = False
    client.publish(1)
    assert client.session.end_code == "quota_exceeded"
    server.intake.open = True

    again = server.connect("self", clean=False)
    again.publish(1, dup=True)
    server.intake.settle(0)

    assert PubAck(1) in again.received()
    assert server.tally.unsaved == 1


def test_a_message_for_a_session_that_has_just_ended_goes_nowhere(server: Server) -> None:
    """Two subscribers of one message; the first one's end takes the second one's session with it."""
    first, second = server.connect("a"), server.connect("b")
    for one in (first, second):
        one.subscribe(Subscription("t", 1))
    server.connect("w", will=None)
    first.stuck_bytes = 2**20 + 1
    first.session.set_congested(True, server.now_s)
    first.session.fail = lambda *_: (second.vanish(), first.vanish())

    server.broker.publish("t", b"x", qos=1, now_s=server.now_s)

    assert (first.received()[1:], second.received()[1:]) == ([], [])
    assert not server.broker.is_listening
