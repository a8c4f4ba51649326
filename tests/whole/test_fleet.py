"""The fleet's own count of what was acknowledged is true: every verdict of the demo and the fault tests rests on it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from random import Random

import aiomqtt
import pytest

from fieldgate_simulators.broker import Broker
from fieldgate_simulators.counting import Arrivals, judge
from fieldgate_simulators.errors import SimulatorError
from fieldgate_simulators.fleet import Fleet
from fieldgate_simulators.link import Link, PacketKind
from fieldgate_simulators.signals import room_signals, samples
from fieldgate_simulators.target import Target


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with Broker() as running:
        yield running


@pytest.fixture
async def link(broker: Broker) -> AsyncIterator[Link]:
    async with Link(broker.host, broker.port, seed=7) as relay:
        yield relay


class Listener:
    """Counts what the broker hands on, in its order."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.arrivals = Arrivals()
        self.payloads: list[bytes] = []

    async def hear(self, readings: int) -> None:
        async with asyncio.timeout(20):
            async for message in self.client.messages:
                assert isinstance(message.payload, bytes)
                reading = json.loads(message.payload)
                assert str(message.topic) == f"sensors/{reading['device']}/telemetry"
                self.payloads.append(message.payload)
                self.arrivals.add(reading["device"], reading["n"], f"x-{len(self.payloads)}")
                if self.arrivals.readings >= readings:
                    return


@contextlib.asynccontextmanager
async def listening(broker: Broker) -> AsyncIterator[Listener]:
    async with aiomqtt.Client(broker.host, broker.port, max_inflight_messages=1000) as client:
        await client.subscribe("sensors/#", qos=1)
        yield Listener(client)


async def test_every_reading_is_acknowledged_and_arrives_in_order(broker):
    """On a good network the fleet itself must neither lose, repeat nor reorder."""
    fleet = Fleet(Target(broker.host, broker.port), devices=10, rate=200, seed=7)

    async with listening(broker) as listener:
        summary = await fleet.run(0.5)
        await listener.hear(100)

    verdict = judge(fleet.acknowledged, listener.arrivals)
    assert (summary.made, summary.sent, summary.acknowledged, summary.disconnects) == (100, 100, 100, 0)
    assert verdict.is_good
    assert (verdict.arrived, verdict.same_reading) == (100, 0)


async def test_the_same_seed_makes_the_same_readings(broker):
    """An outage must be repeatable from its seed."""
    heard = []
    async with listening(broker) as listener:
        for seed in (7, 7, 8):
            listener.payloads.clear()
            listener.arrivals = Arrivals()
            await Fleet(Target(broker.host, broker.port), devices=3, rate=300, seed=seed).run(0.1)
            await listener.hear(30)
            heard.append(sorted(listener.payloads))

    assert heard[0] == heard[1] != heard[2]


async def test_what_was_not_acknowledged_is_sent_again_after_a_reconnect(broker, link):
    """A device keeps a reading until it is safe, over any number of lost connections."""
    fleet = Fleet(Target(link.host, link.port), devices=5, rate=200, seed=7)

    async with listening(broker) as listener, fleet:
        assert await fleet.all_connected(3)
        link.swallow_packets(PacketKind.PUBACK, count=20)
        await fleet.measure(0.3)
        link.reset()
        assert await fleet.settled(4)
        await listener.hear(60)

    summary = fleet.summary()
    verdict = judge(fleet.acknowledged, listener.arrivals)
    assert verdict.is_good
    assert (summary.acknowledged, summary.disconnects) == (60, 5)
    assert summary.sent > summary.made


async def test_a_reading_counts_as_acknowledged_only_with_its_puback(broker, link):
    """The mutant that counts what was merely sent would hide every loss."""
    fleet = Fleet(Target(link.host, link.port), devices=2, rate=100, seed=7)

    async with listening(broker) as listener, fleet:
        assert await fleet.all_connected(3)
        link.swallow_packets(PacketKind.PUBACK)
        await fleet.measure(0.1)
        await listener.hear(10)
        assert not await fleet.settled(0.1)

    assert fleet.summary().acknowledged == 0
    assert fleet.summary().unacknowledged == 10


async def test_a_device_whose_memory_is_full_makes_no_more_readings(link):
    """Memory is bounded while the gateway is away, and what was not made is counted."""
    link.cut()
    fleet = Fleet(Target(link.host, link.port), devices=2, rate=1000, seed=7, memory=10)

    measuring = asyncio.create_task(fleet.measure(0.1))
    await measuring

    assert (fleet.summary().made, fleet.summary().skipped) == (20, 80)


async def test_a_target_that_refuses_is_said_clearly():
    """The first thing that goes wrong for a new user is the address."""
    with pytest.raises(SimulatorError, match=r"mqtt://127\.0\.0\.1:1 cannot be reached: .*; is a broker listening"):
        await Target("127.0.0.1", 1).probe()


async def test_a_target_that_wants_a_password_is_said_clearly(tmp_path):
    """Refused by the broker is another fault than refused by the network."""
    (tmp_path / "passwords").write_text("", encoding="utf-8")
    settings = [f"password_file {tmp_path / 'passwords'}", "allow_anonymous false"]
    try:
        broker = Broker(kind="mosquitto", settings=settings)
    except SimulatorError as missing:
        pytest.skip(str(missing))

    async with broker:
        with pytest.raises(SimulatorError, match=r"refuses the client: .*; check user and password"):
            await Target(broker.host, broker.port).probe()


@pytest.mark.parametrize("url", ["http://a", "mqtt://", "mqtt://a:b", "mqtt://a:99999", "mqtt://a/topic", "a:1883", ""])
def test_what_is_no_target_is_refused_with_what_is_allowed(url):
    """A wrong URL must not become a wrong connection."""
    with pytest.raises(SimulatorError, match=r"is not a target.*expected mqtt://\[user\[:password\]@\]host\[:port\]"):
        Target.parse(url)


def test_a_target_names_host_port_and_user():
    """Passwords may hold any character, and are never shown."""
    target = Target.parse("mqtt://us%40er:p%3Ass@[::1]:1884")

    assert (target.host, target.port, target.username, target.password) == ("::1", 1884, "us@er", "p:ss")
    assert "p:ss" not in repr(target) + str(target)
    assert str(target) == "mqtt://[::1]:1884"


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [({"devices": 0}, "at least 1 device"), ({"rate": 0}, "above 0"), ({"topic": "a"}, r"must name \{device\}")],
)
def test_a_fleet_that_makes_no_sense_is_refused(wrong, problem):
    """Before anything connects."""
    with pytest.raises(SimulatorError, match=problem):
        Fleet(Target("127.0.0.1"), **wrong)


def test_signals_move_like_real_ones():
    """Rules are tried on them later: a temperature walks, a meter never runs back."""
    rng = Random(7)
    source = samples(room_signals(rng), rng)

    readings = [next(source) for _ in range(500)]

    for before, after in itertools.pairwise(readings):
        assert abs(after["temperature"] - before["temperature"]) <= 0.21
        assert after["pulses"] >= before["pulses"]
        assert 0 <= after["humidity"] <= 100
    assert {reading["door"] for reading in readings} == {True, False}


async def test_a_rate_that_cannot_be_reached_ends_in_time_and_is_told(broker):
    """Who asks for ten seconds waits ten, and does not take what was reached for what was asked."""
    fleet = Fleet(Target(broker.host, broker.port), devices=2, rate=5_000_000, memory=100)
    loop = asyncio.get_running_loop()

    async with asyncio.timeout(30), fleet:
        began_s = loop.time()
        await fleet.measure(0.5)
        took_s = loop.time() - began_s

    summary = fleet.summary()
    assert took_s < 10  # 2,500,000 readings take longer on any machine
    assert summary.planned == 2_500_000
    assert summary.is_short


async def test_a_rate_that_is_reached_is_not_called_short(broker):
    """The control."""
    async with asyncio.timeout(30), Fleet(Target(broker.host, broker.port), devices=2, rate=100) as fleet:
        await fleet.measure(0.2)
        assert await fleet.settled(10)

    summary = fleet.summary()
    assert (summary.planned, summary.made, summary.is_short) == (20, 20, False)
