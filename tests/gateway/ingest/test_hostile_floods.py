"""P8: floods and storms cost bounded memory, and nobody else's service (FAULTS 59 to 69), through real sockets."""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from collections.abc import AsyncIterator

import psutil
import pytest

import mqtt_bytes as mb
from fieldgate.ingest.mqtt_connection import MqttConnection
from fieldgate.ingest.mqtt_listener import MqttListener
from fieldgate.mqtt.codec import Decoder, encode
from fieldgate.mqtt.local_broker import BrokerLimits, LocalBroker
from fieldgate.mqtt.packets import (
    ConnAck,
    Connect,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    PubRec,
    SubAck,
    Subscribe,
    Subscription,
)
from gateway_kit import eventually
from listener_kit import HeldIntake, RawClient, SettlingIntake, serving


def rss() -> int:
    return int(psutil.Process().memory_info().rss)


async def answers(client: RawClient) -> bool:
    """Whether the listener still serves this client."""
    client.write(PingReq())
    return await client.receive(within_s=30) == PingResp()


async def pushed(client: RawClient, chunk: bytes, times: int, *, listener: MqttListener) -> int:
    """Send ``chunk`` again and again; return how often, until it was ``times`` or the listener read no more of it."""

    def is_paused() -> bool:
        return any(one.inbox is not None and one.inbox.is_paused for one in listener.connections)

    for sent in range(times):
        if is_paused():
            return sent
        client.writer.write(chunk)
        await eventually("it is taken, or not read", lambda: is_paused() or _is_taken(client))
    return times


def _is_taken(client: RawClient) -> bool:
    return client.writer.transport.get_write_buffer_size() == 0


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_flood_that_cannot_be_made_safe_is_not_read(qos: int) -> None:
    """FAULTS 59: fifty times what fits waits in the sender; the rest of the world goes on, and nothing read is lost."""
    intake = HeldIntake()
    async with serving(intake, max_unsettled="256KiB") as listener:
        bystander = await RawClient.connect(listener.port, "bystander")
        flooder = await RawClient.connect(listener.port, "flooder")
        flood = b"".join(mb.publish("f", bytes(1000), level=4, qos=qos, packet_id=n + 1) for n in range(200))
        before = rss()

        taken = await pushed(flooder, flood, times=64, listener=listener)

        assert taken < 64, "all of the flood was read"
        assert rss() - before < 24 * 2**20
        assert await answers(bystander)
        read = len(intake.heard)
        assert 0 < read * 1000 < 2**20
        for batch in range(len(intake.batches)):
            intake.settle(batch)
        await eventually("it is read again", lambda: len(intake.heard) > read)


async def test_a_listener_that_reads_on_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: without the pause the whole flood is taken."""
    monkeypatch.setattr(MqttConnection, "pause_reading", lambda _self: None)
    intake = HeldIntake()
    async with serving(intake, max_unsettled="256KiB") as listener:
        flooder = await RawClient.connect(listener.port, "flooder")
        flood = b"".join(mb.publish("f", bytes(1000), level=4, qos=1, packet_id=n + 1) for n in range(200))

        flooder.writer.write(flood * 64)

        await eventually("all of it is read", lambda: len(intake.heard) == 64 * 200)


async def test_a_flood_of_qos_0_past_a_slow_reader_is_dropped_and_counted() -> None:
    """FAULTS 59: the reader loses what nobody promised, and is told by the count; the publisher waits for nothing."""
    broker = LocalBroker()
    async with serving(SettlingIntake(keep=False), broker, max_unsent="128KiB") as listener:
        reader = await RawClient.connect(listener.port, "reader")
        reader.write(Subscribe(1, (Subscription("#", 0),)))
        assert await reader.receive() == SubAck(1, (0,))
        writer = await RawClient.connect(listener.port, "writer")

        for number in range(400):
            writer.publish(number + 1, bytes(50_000))
            assert await writer.receive() == PubAck(number + 1)

        assert broker.drops["client_slow"] > 0
        assert broker.drops["client_slow"] + broker.delivered == 400
        await reader.close()


async def test_a_thousand_sockets_that_say_nothing_keep_nobody_out() -> None:
    """FAULTS 61: the crowd of one address makes room for others, and the deadline takes back what is left of it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4096:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    idle: list[socket.socket] = []
    try:
        async with serving(SettlingIntake(), connect_timeout=1.0, max_connecting=200) as listener:
            for number in range(1000):
                one = socket.socket()
                one.setblocking(False)
                one.connect_ex(("127.0.0.1", listener.port))
                idle.append(one)
                if number % 50 == 49:
                    await asyncio.sleep(0)
            await eventually("all have come", lambda: listener.accepted == 1000)
            await eventually("most had to go", lambda: len(listener.connections) <= 200)
            assert listener.refused["max_connecting"] > 0

            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, local_addr=("127.0.0.2", 0))
            honest = RawClient(reader, writer, 4)
            honest.write(Connect("honest", 4))
            await honest.receive()
            assert await answers(honest)

            await eventually("the deadline has passed", lambda: len(listener.connections) == 1)
            assert await answers(honest)
            await eventually("each is counted", lambda: listener.ended.total() == 1000)
            assert listener.ended["connect_timeout"] + listener.ended["connection_rate_exceeded"] == 1000
    finally:
        for one in idle:
            one.close()


async def test_a_connect_that_trickles_in_gets_its_deadline_once() -> None:
    """FAULTS 61: a byte now and then does not move the deadline."""
    async with serving(SettlingIntake(), connect_timeout=0.5) as listener:
        client = await RawClient.open(listener.port)
        whole = encode(Connect("slow" * 5, 4), 4)

        for at in range(len(whole)):
            client.writer.write(whole[at : at + 1])
            if await client.is_closed(within_s=0.05):
                break

        assert at < len(whole) - 1, "it was let in"
        await eventually("it was the deadline", lambda: listener.ended["connect_timeout"] == 1)


def cost_of(count: int) -> float:
    """The least CPU time of three readings of a PUBLISH with that many user properties."""
    packet = mb.publish("t", properties=tuple((mb.USER, (f"key{n}", "value")) for n in range(count)))
    best = float("inf")
    for _ in range(3):
        decoder = Decoder(version=5, max_packet_bytes=2**24, from_client=True, max_user_properties=10**6)
        began = time.process_time()
        assert len(decoder.feed(packet)) == 1
        best = min(best, time.process_time() - began)
    return best


def test_user_properties_cost_what_their_number_costs() -> None:
    """FAULTS 62, CVE-2021-41039: twenty times as many took 400 times as long there; here at most thrice the twenty."""
    assert cost_of(20_000) < 60 * max(cost_of(1_000), 1e-4)


def test_a_reading_that_is_quadratic_would_be_noticed() -> None:
    """The control: compare each property with all before it, and the bound above is broken."""

    def cost(count: int) -> float:
        names = [f"key{n}" for n in range(count)]
        best = float("inf")
        for _ in range(2):
            began = time.process_time()
            seen: list[str] = []
            for name in names:
                assert name not in seen
                seen.append(name)
            best = min(best, time.process_time() - began)
        return best

    assert cost(4_000) > 60 * cost(200)


@pytest.fixture
async def listener() -> AsyncIterator[MqttListener]:
    async with serving(SettlingIntake(keep=False), max_unsent="128KiB") as running:
        yield running


async def swallowed(client: RawClient, flood: bytes, answer_bytes: int) -> bytes:
    """Send all of ``flood`` while reading ``answer_bytes`` of answers."""

    async def send() -> None:
        for at in range(0, len(flood), 65_536):
            client.writer.write(flood[at : at + 65_536])
            await client.writer.drain()

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(send(), name="flood")
        return await client.reader.readexactly(answer_bytes)


async def test_a_flood_of_pubrels_is_answered_and_kept_nowhere(listener: MqttListener) -> None:
    """FAULTS 65, CVE-2023-28366: 65,535 ids that were never used."""
    client = await RawClient.connect(listener.port, "flood")
    ids = range(1, 65_536)
    before = rss()

    said = await swallowed(client, b"".join(mb.ack(mb.PUBREL, one) for one in ids), 4 * len(ids))

    assert said == b"".join(mb.ack(mb.PUBCOMP, one) for one in ids)
    assert rss() - before < 16 * 2**20
    assert await answers(client)


async def test_the_same_qos_2_id_again_and_again_is_one_message(listener: MqttListener) -> None:
    """FAULTS 65: ten thousand times; it is answered, and kept once."""
    client = await RawClient.connect(listener.port, "again")
    one = mb.publish("t", b"p", level=4, qos=2, packet_id=9, dup=True)
    before = rss()

    for _ in range(10):
        client.writer.write(one * 1000 + mb.PINGREQ)
        while (answer := await client.receive(within_s=30)) != PingResp():
            assert answer == PubRec(9)

    assert listener.tally.events == 1
    assert rss() - before < 16 * 2**20


@pytest.mark.parametrize("topics", [20_000, pytest.param(100_000, marks=pytest.mark.long)])
async def test_a_storm_of_retained_messages_ends_at_its_limits(topics: int) -> None:
    """FAULTS 66: of all these topics 1,000 are kept, and of their bytes 1 MiB."""
    broker = LocalBroker(BrokerLimits(max_retained=1000, max_retained_bytes=2**20))
    async with serving(SettlingIntake(keep=False), broker) as listener:
        client = await RawClient.connect(listener.port, "storm")
        before = rss()
        for start in range(0, topics, 2000):
            client.writer.write(
                b"".join(mb.publish(f"storm/{n}", b"x", level=4, retain=True) for n in range(start, start + 2000))
            )
            assert await answers(client)
        assert broker.retained.count == 1000
        assert broker.retained.refused.total() == topics - 1000

        client.writer.write(b"".join(mb.publish(f"storm/{n}", bytes(60_000), level=4, retain=True) for n in range(200)))
        assert await answers(client)

        assert broker.retained.size_bytes <= 2**20
        assert rss() - before < 32 * 2**20
        client.writer.write(mb.publish("storm/0", b"", level=4, retain=True))
        client.writer.write(mb.publish("new", b"x", level=4, retain=True))
        assert await answers(client)
        assert broker.retained.count == 1000, "a place that was given up is free"


async def test_a_storm_of_wills_costs_no_more_than_its_messages() -> None:
    """FAULTS 66: five hundred clients vanish, each with a retained will of 10 KB, of which only so much is kept."""
    broker = LocalBroker(BrokerLimits(max_retained=1000, max_retained_bytes=2**20))
    async with serving(SettlingIntake(keep=False), broker) as listener:
        watcher = await RawClient.connect(listener.port, "watcher")
        watcher.write(Subscribe(1, (Subscription("will/#", 0),)))
        await watcher.receive()
        before = rss()

        for start in range(0, 500, 100):
            clients = []
            for number in range(start, start + 100):
                client = await RawClient.open(listener.port)
                client.writer.write(
                    mb.connect(f"w{number}", level=4, will=(f"will/{number}", bytes(10_000)), will_retain=True)
                )
                await client.receive()
                clients.append(client)
            for client in clients:
                client.writer.transport.abort()
            heard = {(await watcher.receive()).topic for _ in range(100)}  # type: ignore[union-attr]
            assert heard == {f"will/{number}" for number in range(start, start + 100)}

        assert broker.retained.size_bytes <= 2**20
        assert broker.retained.count + broker.retained.refused["max_retained_size"] == 500
        assert broker.retained.refused["max_retained_size"] > 0
        assert rss() - before < 32 * 2**20
        assert await answers(watcher)


@pytest.mark.parametrize("client_id", ["#", "+", "$SYS", "a/#", "../../etc", "%u", "ä" * 100])
async def test_an_odd_client_id_is_only_a_name(listener: MqttListener, client_id: str) -> None:
    """FAULTS 68, CVE-2017-7650: it opens no topic."""
    odd = await RawClient.connect(listener.port, client_id)
    other = await RawClient.connect(listener.port, "other")
    other.write(Subscribe(1, (Subscription("t", 0),)))
    await other.receive()

    odd.publish(0, b"p", qos=0, topic="t")

    got = await other.receive()
    assert isinstance(got, Publish)
    assert got.payload == b"p"
    assert await answers(odd)


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("client_id", ["x\ny", "\x1b[2J", "\x7f"])
async def test_a_client_id_with_control_characters_is_refused(
    listener: MqttListener, client_id: str, version: int
) -> None:
    """FAULTS 68: nobody writes our log lines for us; the standard lets a server refuse them [MQTT5 1.5.4]."""
    odd = await RawClient.open(listener.port, version=version)

    odd.write(Connect(client_id, version))

    if version == 5:
        answer = await odd.receive()
        assert isinstance(answer, ConnAck)
        assert answer.reason == 0x85
    assert await odd.is_closed()
    assert not listener.crowd.clients
