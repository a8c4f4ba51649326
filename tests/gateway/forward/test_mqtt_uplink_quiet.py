"""What an uplink says of itself while nothing moves: every quiet state has its words."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from random import Random

import pytest
from structlog.testing import capture_logs

from fieldgate.forward.mqtt_uplink import MqttUplink
from fieldgate.mqtt.endings import Cause, End
from fieldgate.mqtt.packets import ConnAck, Disconnect, Properties, Reason
from fieldgate.net.broker_connection import Timing
from fieldgate.net.takeover import TakeoverWatch
from uplink_kit import MemoryFeed, ScriptedBroker, make_events, running, until, uplink_config


@pytest.fixture
async def broker():
    async with ScriptedBroker().serving() as broker:
        yield broker


@pytest.fixture
async def feed():
    return MemoryFeed()


async def test_a_refusal_for_now_names_the_reason_and_the_next_try(broker, feed):
    """Else a gateway over its quota looks idle."""
    broker.on_publish = lambda peer, publish: peer.ack(publish, 0x97)
    feed.add(make_events(1))

    async with running(feed, broker.port, timing=Timing(base_s=30, cap_s=60, stable_s=0)) as uplink:
        await until(lambda: "quota exceeded (0x97); tried again in" in uplink.status.quiet)
        assert uplink.status.state == "connected"


async def test_a_puback_that_does_not_come_is_waited_for_with_a_time(broker, feed):
    """Fault 35, before the connection is given up."""
    broker.on_publish = lambda peer, publish: None
    feed.add(make_events(7))

    async with running(feed, broker.port) as uplink:
        await until(lambda: uplink.status.quiet.startswith("waiting for PUBACK since"))
        assert uplink.status.quiet.endswith("7 on the way")


async def test_a_rate_that_is_used_up_is_named(broker, feed):
    """An installer who set it should see that it is why."""
    feed.add(make_events(50))

    async with running(feed, broker.port, rate="1/s") as uplink:
        await until(lambda: uplink.status.quiet == "paused by rate: 1 events per second at most")


@pytest.mark.parametrize(
    ("code", "state", "words"),
    [
        (Reason.BAD_USER_NAME_OR_PASSWORD, "refused", "refuses the user name or password"),
        (Reason.NOT_AUTHORIZED, "refused", "does not authorise this client"),
        (Reason.SERVER_BUSY, "backoff", "the server is busy"),
        (Reason.QUOTA_EXCEEDED, "backoff", "a quota of the server is used up"),
        (Reason.CONNECTION_RATE_EXCEEDED, "backoff", "fewer attempts to connect"),
    ],
)
async def test_a_connack_that_says_no_is_said_in_words(broker, feed, code, state, words):
    """What mends itself is told from what a person must mend."""
    broker.on_connect = lambda peer: peer.send(ConnAck(code, properties=Properties(reason_string="ask Anna")))

    async with running(feed, broker.port) as uplink:
        await until(lambda: uplink.status.state == state)
        assert words in uplink.status.reason
        assert "ask Anna" in uplink.status.reason


async def test_a_takeover_in_mqtt_5_names_the_client_id(broker, feed):
    """Fault 39."""
    broker.on_connect = lambda peer: (peer.send(ConnAck()), peer.send(Disconnect(Reason.SESSION_TAKEN_OVER)))

    async with running(feed, broker.port) as uplink:
        await until(lambda: "another client uses the same client id 'fieldgate-gw-cloud'" in uplink.status.reason)


async def test_a_takeover_in_3_1_1_is_suspected_and_backs_off_further_each_time(broker, feed):
    """Fault 39: that server only hangs up, and each connect worked, so success must not make the next try sooner."""
    broker.on_connect = lambda peer: peer.send(ConnAck())
    broker.on_publish = lambda peer, publish: (peer.ack(publish), peer.close())
    bounds: list[float] = []
    uplink = MqttUplink(
        "cloud",
        uplink_config(broker.port, mqtt={"version": "3.1.1"}),
        feed,
        gateway="gw",
        rng=_Recording(bounds),
        timing=Timing(0.001, 10.0, stable_s=0.0),
    )
    feed.add(make_events(1))
    task = asyncio.create_task(uplink.run(), name="uplink")
    try:
        for number in range(2, 12):
            await until(lambda number=number: len(bounds) >= number - 1)
            feed.add(make_events(1, number))  # progress on each connection
            uplink.kick()
        await until(lambda: "perhaps another client uses the same client id" in uplink.status.reason)
    finally:
        await uplink.stop()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    assert bounds[2:] == sorted(bounds[2:])
    assert bounds[-1] > 50 * bounds[1]


async def test_an_event_over_which_the_server_hangs_up_is_not_taken_for_a_second_gateway(broker, feed):
    """mosquitto does that to a packet above its limit in 3.1.1; who looks for a twin never finds the event."""
    broker.on_connect = lambda peer: peer.send(ConnAck())
    broker.on_publish = lambda peer, publish: peer.close() if b'"n":4}' in publish.payload else peer.ack(publish)
    feed.add(make_events(8))

    with capture_logs() as logs:
        async with running(feed, broker.port, mqtt={"version": "3.1.1"}):
            await feed.settled(8)

    assert "whenever it gets this event" in feed.done[4]
    assert len(broker.peers) >= 5
    reasons = [log["reason"] for log in logs if log["event"] == "uplink.lost"]
    assert reasons
    assert not any("same client id" in reason for reason in reasons)


async def test_once_the_event_at_fault_is_found_the_next_try_does_not_wait_for_the_last_ones(broker, feed):
    """Six ends in a row make a wait of half a minute; what made them is parked, and the rest need not wait."""
    broker.on_connect = lambda peer: peer.send(ConnAck())
    broker.on_publish = lambda peer, publish: peer.close() if b'"n":4}' in publish.payload else peer.ack(publish)
    bounds: list[float] = []
    settings = uplink_config(broker.port, mqtt={"version": "3.1.1"})
    uplink = MqttUplink(
        "cloud", settings, feed, gateway="gw", rng=_Recording(bounds), timing=Timing(0.001, 10.0, stable_s=60.0)
    )
    feed.add(make_events(8))
    task = asyncio.create_task(uplink.run(), name="uplink")
    try:
        await feed.settled(8)
    finally:
        await uplink.stop()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    assert "whenever it gets this event" in feed.done[4]
    assert max(bounds) > 0.01
    assert bounds[-1] == 0.001


def test_a_server_that_refuses_a_message_and_hangs_up_is_no_second_gateway():
    """mosquitto does so with a topic that its ACL denies: it has said why."""
    watch = TakeoverWatch("me")
    closed = End("closed", Cause.SERVER)
    ends = []

    for _ in range(5):
        watch.denied(acked=7)
        ends.append(watch.ended(closed, lasted_s=1, acked=7))

    assert {end.text for end in ends} == {
        "closed, after it had refused a message as not authorized (0x87); does its access control allow this client "
        "our topics?"
    }
    assert not any(end.is_takeover for end in ends)


def test_a_refusal_that_the_server_went_on_after_explains_no_hang_up():
    """The control: it took messages since, so the refusal was not its last word."""
    watch = TakeoverWatch("me")
    closed = End("closed", Cause.SERVER)

    for _ in range(3):
        watch.denied(acked=7)
        end = watch.ended(closed, lasted_s=1, acked=8)

    assert end.is_takeover


async def test_a_topic_that_is_denied_by_hanging_up_is_parked_and_said(broker, feed):
    """Each event is refused and the connection closed: all are parked, and the status says what to ask."""

    def refuse(peer, publish):
        peer.ack(publish, Reason.NOT_AUTHORIZED)
        peer.close()

    broker.on_publish = refuse
    reasons: set[str] = set()

    def has_parked(count: int) -> bool:
        reasons.add(uplink.status.reason)
        return len(feed.done) == count

    slow = Timing(base_s=0.1, cap_s=0.1, stable_s=0.0)
    mqtt = {"url": f"mqtt://127.0.0.1:{broker.port}", "version": "5"}
    async with running(feed, broker.port, timing=slow, mqtt=mqtt) as uplink:
        for seq in range(1, 6):
            feed.add(make_events(1, first=seq))
            await until(partial(has_parked, seq))

    assert any("refused a message as not authorized" in reason for reason in reasons)
    assert set(feed.done.values()) == {"the server refuses it: not authorized (0x87)"}
    assert not any("another client" in reason for reason in reasons)


@pytest.mark.parametrize(
    ("login", "hint"),
    [
        (
            {"username": "plant-7", "password": "x"},
            "are 'username' and 'password' the right ones, and is this client id",
        ),
        ({}, "it may want 'username' and 'password', or 'certificate' and 'key'"),
    ],
)
async def test_a_log_in_that_is_refused_is_told_by_its_keys(broker, feed, login, hint):
    """mosquitto answers a wrong password with "not authorized"; the installer looks for the word password."""
    broker.on_connect = lambda peer: peer.send(ConnAck(Reason.NOT_AUTHORIZED))
    mqtt = {"url": f"mqtt://127.0.0.1:{broker.port}", "version": "5", **login}

    async with running(feed, broker.port, mqtt=mqtt) as uplink:
        await until(lambda: uplink.status.state == "refused")

        assert uplink.status.reason.startswith(f"the server does not authorise this client (0x87); {hint}")


def test_one_lasting_connection_clears_the_suspicion():
    """A broker that restarts three times in a week is no second gateway."""
    watch = TakeoverWatch("me")
    closed = End("closed", Cause.SERVER)

    ends = [watch.ended(closed, lasted_s=lasted_s, acked=0) for lasted_s in (1, 1, 3600, 1, 1)]

    assert not any(end.is_takeover for end in ends)
    assert watch.ended(closed, lasted_s=1, acked=0).is_takeover


class _Recording(Random):
    """The longest wait each time, shortened."""

    def __init__(self, bounds: list[float]) -> None:
        super().__init__(1)
        self._bounds = bounds

    def uniform(self, a: float, b: float) -> float:
        self._bounds.append(b)
        return min(b, 0.005)
