"""Sessions and wills to the letter: what outlives a connection, for how long, and what the next one finds."""

from __future__ import annotations

from typing import Any

import pytest

from fieldgate.mqtt.local_broker import BrokerLimits
from fieldgate.mqtt.packets import (
    Disconnect,
    Properties,
    PubAck,
    Publish,
    PubRec,
    PubRel,
    Reason,
    SubAck,
    Subscribe,
    Subscription,
    Will,
)
from listener_kit import SettlingIntake
from session_kit import Client, Server

FOR_EVER = 0xFFFFFFFF


@pytest.fixture
def server() -> Server:
    return Server(SettlingIntake())


def join(server: Server, client_id: str = "c", *, clean: bool = False, expiry_s: int = 0, **more: Any) -> Client:
    return server.connect(client_id, version=5, clean=clean, properties=Properties(session_expiry_s=expiry_s), **more)


def pass_time(server: Server, seconds: float) -> None:
    server.now_s += seconds
    server.broker.tick(server.now_s)


def heard(watcher: Client) -> list[bytes]:
    return [one.payload for one in watcher.received() if isinstance(one, Publish)]


def watch(server: Server, topic: str = "w") -> Client:
    watcher = server.connect("watcher")
    watcher.subscribe(Subscription(topic))
    return watcher


class TestExpiry:
    """[MQTT5 3.1.2.11.2]."""

    def test_without_an_expiry_a_session_ends_with_its_connection(self, server: Server) -> None:
        """Absent and 0 are the same; Clean Start 0 alone keeps nothing in MQTT 5."""
        server.connect("c", version=5, clean=False).vanish()

        assert not server.connect("c", version=5, clean=False).connack.session_present
        assert len(server.broker.sessions) == 1

    def test_disconnect_may_lengthen_and_shorten(self, server: Server) -> None:
        """[MQTT5 3.14.2.2.2]; told 0xFFFFFFFF, we keep it as long as we keep any."""
        for expiry_s, away_s, is_present in ((100, 99, True), (100, 101, False), (FOR_EVER, 6 * 86_400, True)):
            join(server, expiry_s=10).send(Disconnect(0, Properties(session_expiry_s=expiry_s)))
            pass_time(server, away_s)
            client = join(server, expiry_s=0)
            assert client.connack.session_present == is_present
            client.send(Disconnect())

    def test_the_expiry_of_the_last_connection_counts(self, server: Server) -> None:
        """Not that of the one that made the session."""
        join(server, expiry_s=1000).vanish()
        join(server, expiry_s=10).vanish()
        pass_time(server, 11)

        assert not join(server).connack.session_present

    def test_a_session_resumed_with_expiry_0_ends_with_that_connection(self, server: Server) -> None:
        """Its queue was delivered; then there is nothing left."""
        join(server, expiry_s=100).vanish()
        again = join(server, expiry_s=0)
        assert again.connack.session_present
        again.vanish()

        assert not join(server).connack.session_present

    def test_a_3_1_1_session_is_kept_and_clean_session_1_leaves_none(self, server: Server) -> None:
        """[3.1.1: MQTT-3.1.2-4 to 6]."""
        server.connect("c", clean=False).vanish()
        assert server.connect("c", clean=False).connack.session_present
        assert not server.connect("c", clean=True).connack.session_present
        assert not server.connect("c", clean=False).connack.session_present

    def test_ended_sessions_are_counted(self) -> None:
        """An author who wonders where his session went finds it in the status."""
        server = Server(SettlingIntake(), broker_limits=BrokerLimits(max_sessions=1, max_session_s=50))
        for name in "ab":
            join(server, name, expiry_s=100).vanish()
        pass_time(server, 51)

        assert server.broker.sessions.ended == {"max_sessions": 1, "expired": 1}

    def test_no_session_is_kept_where_none_may_be(self) -> None:
        """max_sessions: 0."""
        server = Server(SettlingIntake(), broker_limits=BrokerLimits(max_sessions=0))
        join(server, expiry_s=100).vanish()

        assert not join(server).connack.session_present


class TestWill:
    """[MQTT5 3.1.2.5], [MQTT5 3.1.3.2]."""

    @pytest.mark.parametrize("reason", [Reason.DISCONNECT_WITH_WILL, Reason.UNSPECIFIED_ERROR, Reason.QUOTA_EXCEEDED])
    def test_every_disconnect_but_a_normal_one_speaks_it(self, server: Server, reason: Reason) -> None:
        """[MQTT-3.14.4-3]: it is discarded for 0x00 only."""
        watcher = watch(server)
        join(server, will=Will("w", b"gone")).send(Disconnect(reason))

        assert heard(watcher) == [b"gone"]

    def test_it_keeps_its_properties_and_its_expiry_begins_when_it_is_spoken(self, server: Server) -> None:
        """[MQTT5 3.1.3.2]: all but the delay; what waits for the delay does not age."""
        watcher = server.connect("watcher", version=5)
        watcher.subscribe(Subscription("w", 2))
        own = Properties(
            payload_format=1, message_expiry_s=100, content_type="t", response_topic="r", correlation_data=b"c",
            user=(("a", "b"),), will_delay_s=30,
        )  # fmt: skip
        join(server, expiry_s=60, will=Will("w", b"gone", 2, properties=own)).vanish()
        pass_time(server, 31)

        (got,) = watcher.received()
        own.will_delay_s = None
        assert got == Publish("w", b"gone", 2, packet_id=1, properties=own)

    def test_a_delay_longer_than_the_session_ends_with_the_session(self, server: Server) -> None:
        """[MQTT-3.1.3-9]: whichever comes first."""
        watcher = watch(server)
        own = Properties(will_delay_s=100)
        join(server, expiry_s=10, will=Will("w", b"gone", properties=own)).vanish()
        pass_time(server, 9)
        assert heard(watcher) == []
        pass_time(server, 2)

        assert heard(watcher) == [b"gone"]

    def test_a_delay_without_a_session_is_none(self, server: Server) -> None:
        """The session ends with the connection, and the will is due with it."""
        watcher = watch(server)
        join(server, will=Will("w", b"gone", properties=Properties(will_delay_s=100))).vanish()

        assert heard(watcher) == [b"gone"]

    @pytest.mark.parametrize(
        ("clean", "delay_s", "expiry_s", "spoken"),
        [(False, 0, 60, True), (False, 30, 60, False), (True, 30, 60, True), (False, 30, 0, True), (True, 0, 0, True)],
    )
    def test_a_takeover_speaks_it_unless_the_session_goes_on_within_its_delay(
        self, server: Server, clean: bool, delay_s: int, expiry_s: int, spoken: bool
    ) -> None:
        """[MQTT5 3.1.4], the note on a taken-over connection; mosquitto's 07-will-takeover."""
        watcher = watch(server)
        own = Properties(will_delay_s=delay_s)
        join(server, expiry_s=expiry_s, will=Will("w", b"gone", properties=own))

        join(server, clean=clean, expiry_s=expiry_s)
        pass_time(server, 100)

        assert heard(watcher) == ([b"gone"] if spoken else [])

    def test_a_client_that_is_back_takes_its_old_will_away_and_brings_its_new_one(self, server: Server) -> None:
        """[MQTT-3.1.3-9]."""
        watcher = watch(server)
        own = Properties(will_delay_s=30)
        join(server, expiry_s=60, will=Will("w", b"old", properties=own)).vanish()
        pass_time(server, 20)
        join(server, expiry_s=60, will=Will("w", b"new", properties=own)).vanish()
        pass_time(server, 20)
        assert heard(watcher) == []
        pass_time(server, 20)

        assert heard(watcher) == [b"new"]

    def test_its_own_will_waits_for_a_client_that_subscribes_to_it(self, server: Server) -> None:
        """It goes into the session, not into a socket that is being closed."""
        client = join(server, expiry_s=60, will=Will("w", b"gone", 1))
        client.subscribe(Subscription("w", 1))
        client.send_bytes(b"\xd0\x00")

        assert join(server, expiry_s=60).early == [Publish("w", b"gone", 1, packet_id=1)]


class TestMessages:
    """What a message keeps on its way through a session."""

    def test_remaining_expiry_is_told_for_queued_and_retained_messages(self, server: Server) -> None:
        """[MQTT-3.3.2-6]; and what has expired is not delivered [MQTT-3.3.2-5]."""
        reader = join(server, "r", expiry_s=600)
        reader.subscribe(Subscription("q", 1))
        reader.vanish()
        writer = server.connect("w", version=5)
        for topic, retain in (("q", False), ("k", True)):
            writer.send(
                Publish(topic, b"lives", 1, retain, packet_id=1, properties=Properties(message_expiry_s=60)),
                Publish(topic + "/", b"dies", 1, retain, packet_id=2, properties=Properties(message_expiry_s=5)),
            )
        pass_time(server, 20)

        again = join(server, "r", expiry_s=600)
        answers = again.subscribe(Subscription("k/#", 0))

        assert again.early == [Publish("q", b"lives", 1, packet_id=1, properties=Properties(message_expiry_s=40))]
        assert answers[1:] == [Publish("k", b"lives", 0, True, properties=Properties(message_expiry_s=40))]

    def test_a_message_that_expires_at_once_is_for_those_who_are_there(self, server: Server) -> None:
        """An interval of 0: it is not kept, neither for who is away nor as retained."""
        away = join(server, "a", expiry_s=60)
        away.subscribe(Subscription("t", 1))
        away.vanish()
        here = join(server, "h")
        here.subscribe(Subscription("t", 1))
        server.connect("w", version=5).send(
            Publish("t", b"now", 1, True, packet_id=1, properties=Properties(message_expiry_s=0))
        )
        pass_time(server, 0.1)

        assert heard(here) == [b"now"]
        assert join(server, "a", expiry_s=60).early == []
        assert server.broker.retained.count == 0

    def test_options_of_a_subscription_survive_the_connection(self, server: Server) -> None:
        """[MQTT5 4.1]: identifier, No Local, Retain As Published."""
        client = join(server, expiry_s=60)
        wanted = Subscription("t", 2, no_local=True, retain_as_published=True)
        client.send(Subscribe(1, (wanted,), Properties(subscription_ids=(268_435_455,))))
        client.vanish()
        again = join(server, expiry_s=60)

        again.send(Publish("t", b"own", 0))
        server.connect("w").send(Publish("t", b"other", 2, True, packet_id=1))

        own = Properties(subscription_ids=(268_435_455,))
        assert again.received() == [Publish("t", b"other", 2, True, packet_id=1, properties=own)]

    def test_no_local_of_one_subscription_does_not_hide_from_another(self, server: Server) -> None:
        """[MQTT-3.8.3-3] is about one subscription; what remains decides QoS and identifiers."""
        client = join(server)
        client.send(Subscribe(1, (Subscription("t", 2, no_local=True),), Properties(subscription_ids=(1,))))
        client.send(Subscribe(2, (Subscription("#", 1),), Properties(subscription_ids=(2,))))

        answers = client.send(Publish("t", b"own", 2, packet_id=1))
        server.connect("w").send(Publish("t", b"other", 2, packet_id=1))

        own = [one for one in answers if isinstance(one, Publish)]
        assert own == [Publish("t", b"own", 1, packet_id=1, properties=Properties(subscription_ids=(2,)))]
        assert client.received() == [
            Publish("t", b"other", 2, packet_id=2, properties=Properties(subscription_ids=(1, 2)))
        ]

    def test_a_replaced_subscription_takes_its_new_options(self, server: Server) -> None:
        """[MQTT-3.8.4-3]; without an identifier it has none any more."""
        client = join(server)
        client.send(Subscribe(1, (Subscription("t", 2),), Properties(subscription_ids=(1,))))
        assert client.subscribe(Subscription("t", 1)) == [SubAck(1, (1,))]

        server.connect("w").send(Publish("t", b"m", 2, packet_id=1))

        assert client.received() == [Publish("t", b"m", 1, packet_id=1)]

    def test_one_subscribe_may_name_a_filter_twice(self, server: Server) -> None:
        """As if there were two SUBSCRIBEs: the last counts [3.8.4]."""
        client = join(server)
        client.subscribe(Subscription("t", 0), Subscription("t", 2))
        server.connect("w").send(Publish("t", b"m", 2, packet_id=1))

        assert [one.qos for one in client.received() if isinstance(one, Publish)] == [2]

    def test_wildcards_do_not_reach_dollar_topics_and_names_do(self, server: Server) -> None:
        """[MQTT-4.7.2-1], live and retained."""
        client = join(server)
        client.subscribe(Subscription("#"), Subscription("+/x"))
        server.connect("w").send(Publish("$app/x", b"m", 0, True))
        assert client.received() == []

        answers = client.subscribe(Subscription("$app/#"))

        assert answers == [SubAck(1, (0,)), Publish("$app/x", b"m", 0, True)]

    def test_the_version_of_the_next_connection_decides_the_words(self, server: Server) -> None:
        """A device may be updated while messages wait for it."""
        client = server.connect("c", clean=False)
        client.subscribe(Subscription("t", 2))
        server.broker.publish("t", b"1", qos=2, properties=Properties(content_type="x"), now_s=server.now_s)
        client.vanish()

        again = join(server, expiry_s=60)

        assert again.connack.session_present
        assert again.early == [Publish("t", b"1", 2, dup=True, packet_id=1, properties=Properties(content_type="x"))]
        assert again.send(PubRec(1)) == [PubRel(1)]

    def test_packet_ids_of_both_directions_are_independent(self, server: Server) -> None:
        """[MQTT-2.2.1-4], the note below it."""
        client = join(server)
        client.subscribe(Subscription("t", 2))

        answers = client.send(Publish("t", b"m", 2, packet_id=1))

        assert sorted(map(repr, answers)) == sorted(map(repr, [Publish("t", b"m", 2, packet_id=1), PubRec(1)]))
        assert client.send(PubRec(1), PubRel(1))[0] == PubRel(1)
        assert client.send(PubAck(9)) == []
