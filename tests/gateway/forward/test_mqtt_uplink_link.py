"""The uplink against mosquitto over a bad network: nothing is lost, the order holds, it comes back by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiomqtt
import pytest

from fieldgate.net.broker_connection import Timing
from fieldgate_simulators.link import Link, PacketKind
from uplink_kit import MemoryFeed, free_port, make_events, mosquitto, running, until


class Sink:
    """What a subscriber behind the upstream broker got."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.payloads: dict[int, set[bytes]] = {}

    def got(self, payload: bytes) -> None:
        seq = int(json.loads(payload)["id"].split("-")[1])
        self.seqs.append(seq)
        self.payloads.setdefault(seq, set()).add(payload)

    @property
    def first_arrivals(self) -> list[int]:
        return list(dict.fromkeys(self.seqs))


@asynccontextmanager
async def sink_at(port: int) -> AsyncIterator[Sink]:
    sink = Sink()
    async with aiomqtt.Client("127.0.0.1", port, max_queued_incoming_messages=0) as client:
        await client.subscribe("fieldgate/#", qos=1)

        async def listen() -> None:
            async for message in client.messages:
                sink.got(bytes(message.payload))  # type: ignore[arg-type]

        task = asyncio.create_task(listen(), name="sink")
        try:
            yield sink
        finally:
            task.cancel()
            await asyncio.wait([task])


def check(sink: Sink, count: int) -> None:
    """All there, in order of first arrival, and each copy the same bytes."""
    assert sink.first_arrivals == list(range(1, count + 1))
    assert all(len(copies) == 1 for copies in sink.payloads.values())


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_cut_in_mid_packet_loses_nothing(tmp_path, version):
    """Fault 40: half a PUBLISH has left when the connection breaks."""
    feed = MemoryFeed()
    feed.add(make_events(3000))
    async with mosquitto(tmp_path) as port, Link("127.0.0.1", port) as link, sink_at(port) as sink:
        link.cut_mid_packet(100_003)
        async with running(feed, link.port, mqtt={"version": version}) as uplink:
            await feed.settled(3000)
            assert uplink.status.reconnects == 1
        await until(lambda: len(sink.payloads) == 3000)

    check(sink, 3000)


async def test_a_cut_in_mid_puback_loses_nothing(tmp_path):
    """And half a PUBACK on the way back."""
    feed = MemoryFeed()
    feed.add(make_events(3000))
    async with mosquitto(tmp_path) as port, Link("127.0.0.1", port) as link, sink_at(port) as sink:
        link.cut_mid_packet(2003, direction="down")
        async with running(feed, link.port):
            await feed.settled(3000)
        await until(lambda: len(sink.payloads) == 3000)

    check(sink, 3000)


async def test_a_link_that_dies_silently_during_a_resend_loses_nothing(tmp_path):
    """Fault 43 (nanomq#2432): a black hole while the backlog is on the way, twice."""
    feed = MemoryFeed()
    feed.add(make_events(2000))
    mqtt = {"keep_alive": "1s", "puback_timeout": "300ms", "connect_timeout": "300ms"}
    async with mosquitto(tmp_path) as port, Link("127.0.0.1", port) as link, sink_at(port) as sink:
        link.swallow_after(50_000)
        async with running(feed, link.port, mqtt=mqtt) as uplink:
            for _ in range(2):
                await feed.until(lambda: feed.down[-1:] == [True])
                link.restore()
                link.swallow_after(90_000)
                await feed.until(lambda: feed.down[-1:] == [False])
            await feed.until(lambda: feed.down[-1:] == [True])
            link.restore()
            await feed.settled(2000)
            assert uplink.status.retries > 0
        await until(lambda: len(sink.payloads) == 2000)

    check(sink, 2000)


async def test_an_idle_half_open_link_is_noticed_within_one_and_a_half_keep_alives(tmp_path):
    """Fault 33: no event is on the way, and still the next one must not wait for TCP's fifteen minutes."""
    feed = MemoryFeed()
    async with (
        mosquitto(tmp_path) as port,
        Link("127.0.0.1", port) as link,
        running(feed, link.port, mqtt={"keep_alive": "1s"}) as uplink,
    ):
        await feed.until(lambda: feed.down == [False])
        link.cut()
        async with asyncio.timeout(4):  # 1.5 keep-alives, and a slow machine
            await feed.until(lambda: feed.down == [False, True])

        await until(lambda: "link is dead" in uplink.status.reason)
        link.restore()
        await feed.until(lambda: feed.down[-1:] == [False])


async def test_the_backlog_drains_by_itself_after_a_reconnect(tmp_path):
    """Fault 44 (nanomq#2423): no new event comes that could set it going."""
    feed = MemoryFeed()
    async with mosquitto(tmp_path) as port, Link("127.0.0.1", port) as link:
        link.refuse()
        feed.add(make_events(2500))
        async with running(feed, link.port) as uplink:
            await until(lambda: uplink.status.state == "backoff")
            link.restore()
            await feed.settled(2500)

    assert feed.delivered_seqs == list(range(1, 2501))


async def test_a_broker_that_restarts_without_its_memory_gets_everything(tmp_path):
    """Fault 38: mosquitto without persistence ends while messages are on the way."""
    feed, port = MemoryFeed(), free_port()
    async with Link("127.0.0.1", port) as link, running(feed, link.port) as uplink:
        async with mosquitto(tmp_path, port=port):
            await feed.until(lambda: feed.down[-1:] == [False])
            feed.add(make_events(5000))
            uplink.kick()
            await feed.settled(1)
            link.refuse()
        before = len(feed.done)
        async with mosquitto(tmp_path, port=port), sink_at(port) as sink:
            link.restore()
            await feed.settled(5000)
            await until(lambda: 5000 in sink.payloads)

    assert 0 < before < 5000
    assert set(range(before + 1, 5001)) <= set(sink.payloads)


async def test_a_flapping_link_makes_progress(tmp_path):
    """Fault 42: each short connection delivers something; no event is parked for it, and few are sent twice."""
    feed = MemoryFeed()
    feed.add(make_events(1500))
    async with mosquitto(tmp_path) as port, Link("127.0.0.1", port) as link, sink_at(port) as sink:
        link.delay(0.005)
        link.limit_rate(2_000_000)
        link.flap(0.15)
        async with running(feed, link.port) as uplink:
            await feed.settled(1500)
            assert uplink.status.parked == 0
            assert uplink.status.reconnects >= 1
        await until(lambda: len(sink.payloads) == 1500)

    check(sink, 1500)
    assert len(sink.seqs) < 2 * 1500


async def test_lost_pubacks_alone_lose_nothing_and_send_copies_of_the_same_bytes(tmp_path):
    """The way back loses every third acknowledgement; TCP would not, a broken broker does."""
    feed = MemoryFeed()
    feed.add(make_events(300))
    async with mosquitto(tmp_path) as port, Link("127.0.0.1", port) as link, sink_at(port) as sink:
        link.swallow_packets(PacketKind.PUBACK, direction="down", every=3, count=60)
        async with running(feed, link.port, mqtt={"puback_timeout": "200ms"}):
            await feed.settled(300)
        await until(lambda: len(sink.payloads) == 300)

    check(sink, 300)


async def test_a_burst_larger_than_the_window_does_not_wait_for_tcp(tmp_path):
    """mosquitto gathers its PUBACKs until TCP acknowledges the first; unhurried, TCP takes 40 ms for that."""
    feed, took_s = MemoryFeed(), []
    loop = asyncio.get_running_loop()
    async with mosquitto(tmp_path, "max_inflight_messages 20") as port, running(feed, port) as uplink:
        await feed.until(lambda: feed.down == [False])
        for number in range(8):
            began_s = loop.time()
            feed.add(make_events(50, 1 + 50 * number))
            uplink.kick()
            await feed.settled(50 * (number + 1))
            took_s.append(loop.time() - began_s)

    assert min(took_s[1:]) < 0.03


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_both_event_loops_carry_all_formats(tmp_path, loop):
    """uvloop where it has a wheel, else asyncio."""
    uvloop = pytest.importorskip("uvloop") if loop == "uvloop" else None

    async def main() -> list[int]:
        counts = []
        async with mosquitto(tmp_path) as port:
            for form in ("cloudevents", "raw", "cloudevents-batch"):
                feed = MemoryFeed()
                feed.add(make_events(1000))
                async with running(feed, port, format=form, name=form, batch={"max_delay": "5ms"}):
                    await feed.settled(1000)
                counts.append(len(feed.delivered_seqs))
        return counts

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop else None) as runner:
        assert runner.run(main()) == [1000, 1000, 1000]


async def test_a_slow_link_with_a_long_way_drains_and_keeps_its_connection(tmp_path):
    """Fault 41: 64 kbit/s, 0.6 s there and back; a keep-alive of 2 s and a PUBACK timeout of 4 s must bear it."""
    feed = MemoryFeed()
    feed.add(make_events(60))
    async with mosquitto(tmp_path) as port, Link("127.0.0.1", port) as link, sink_at(port) as sink:
        link.delay(0.3, jitter_s=0.05)
        link.limit_rate(8_000)
        async with running(feed, link.port, mqtt={"keep_alive": "2s", "puback_timeout": "4s"}) as uplink:
            await feed.settled(60)
            assert uplink.status.reconnects == 0
        await until(lambda: len(sink.payloads) == 60)

    check(sink, 60)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_two_gateways_with_one_client_id_do_not_fight_in_a_hot_loop(tmp_path, version):
    """Fault 39, against a real broker: both back off, both say why, and each gets its events through in its turns."""
    feeds = [MemoryFeed(), MemoryFeed()]
    slow = Timing(base_s=0.05, cap_s=0.5, stable_s=0.0)
    mqtt = {"version": version, "client_id": "the-same"}
    for feed in feeds:
        feed.add(make_events(20))
    async with (
        mosquitto(tmp_path) as port,
        running(feeds[0], port, mqtt=mqtt, timing=slow, name="a") as one,
        running(feeds[1], port, mqtt=mqtt, timing=slow, name="b") as other,
    ):
        told: dict[str, str] = {}
        for feed in feeds:
            await feed.settled(20)

        def have_said() -> bool:
            for uplink in (one, other):
                if "another client uses the same client id 'the-same'" in uplink.status.reason:
                    told[uplink.name] = uplink.status.reason
            return len(told) == 2

        await until(have_said)
        before = one.status.reconnects + other.status.reconnects
        await asyncio.sleep(0.6)  # what is measured is how often they try in it
        during = one.status.reconnects + other.status.reconnects - before

    assert [sorted(feed.delivered_seqs) for feed in feeds] == [list(range(1, 21))] * 2
    assert during < 25  # at a cap of half a second, and not thousands
