"""P8: one hostile client ends, and never another (FAULTS 60 to 70), through real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import psutil
import pytest

from fieldgate.ingest.mqtt_listener import MqttListener
from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    Properties,
    PubAck,
    Publish,
    Reason,
    SubAck,
    Subscribe,
    Subscription,
    UnsubAck,
)
from gateway_kit import eventually
from listener_kit import RawClient, SettlingIntake, serving

CONNECT = encode(Connect("bad", 4), 4)
CONNECT_5 = encode(Connect("bad", 5), 5)


@pytest.fixture
async def listener() -> AsyncIterator[MqttListener]:
    async with serving(SettlingIntake(), connect_timeout=0.5) as running:
        yield running


@pytest.fixture
async def bystander(listener: MqttListener) -> AsyncIterator[RawClient]:
    """An honest client: whatever happens, it is served, before and after."""
    client = await RawClient.connect(listener.port, "bystander")
    yield client
    client.publish(1, b"still here")
    assert await client.receive() == PubAck(1)
    await client.close()


def rss() -> int:
    return int(psutil.Process().memory_info().rss)


@pytest.mark.parametrize("first", [b"\x10\xff\xff\xff\x7f", b"\x30\xff\xff\xff\x7f", b"\xf0\xff\xff\xff\x7f"])
async def test_a_first_packet_of_256_megabytes_is_closed_at_its_header(
    listener: MqttListener, bystander: RawClient, first: bytes
) -> None:
    """FAULTS 60, CVE-2023-0809: nothing is allocated for what was only announced."""
    before = rss()
    client = await RawClient.open(listener.port)
    client.writer.write(first)

    assert await client.is_closed()
    while not listener.ended:
        await asyncio.sleep(0)
    assert "connect_timeout" not in listener.ended
    assert rss() - before < 8 * 2**20
    await client.close()


async def test_idle_and_trickling_sockets_are_closed_at_the_deadline(
    listener: MqttListener, bystander: RawClient
) -> None:
    """FAULTS 61, slowloris: a connection without CONNECT lives for the deadline, not for ever."""
    idle = [await RawClient.open(listener.port) for _ in range(200)]
    trickle = await RawClient.open(listener.port)
    trickle.writer.write(CONNECT[:-1])

    assert all([await client.is_closed() for client in (*idle, trickle)])
    await eventually("each is counted", lambda: listener.ended["connect_timeout"] == 201)
    for client in (*idle, trickle):
        await client.close()


async def test_thousands_of_user_properties_cost_a_refusal(listener: MqttListener, bystander: RawClient) -> None:
    """FAULTS 62, CVE-2021-41039: linear cost and a limit."""
    connect = Connect("bad", 5, properties=Properties(user=tuple((f"k{one}", "v") for one in range(5000))))
    client = await RawClient.open(listener.port, version=5)
    started_s = time.process_time()

    client.writer.write(encode(connect, 5))

    assert await client.is_closed()
    assert time.process_time() - started_s < 1
    assert not any(isinstance(one, ConnAck) and one.reason == 0 for one in client.packets)
    await client.close()


async def test_a_string_of_64_kilobytes_is_only_a_string(listener: MqttListener, bystander: RawClient) -> None:
    """FAULTS 62: legal, within the packet limit."""
    client = await RawClient.connect(listener.port, "long", version=5)

    client.write(Publish("t", b"", 1, packet_id=1, properties=Properties(user=(("k" * 65_535, "v" * 65_535),))))

    assert await client.receive() == PubAck(1)
    await client.close()


def _raw_publish(topic: bytes, *, properties: bytes = b"") -> bytes:
    body = len(topic).to_bytes(2, "big") + topic + b"\x00\x01" + properties + b"x"
    length = bytearray()
    left = len(body)
    while left > 127:
        length.append(left & 127 | 128)
        left >>= 7
    return b"\x32" + bytes(length) + bytes([left]) + body


BAD_TOPICS = [b"", b"a/#", b"+/a", b"a\x00b", b"\xed\xa0\x80", b"\xff\xfe"]


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("topic", BAD_TOPICS, ids=repr)
async def test_a_topic_that_no_topic_may_be_ends_that_client(
    listener: MqttListener, bystander: RawClient, topic: bytes, version: int
) -> None:
    """FAULTS 63; MQTT 5 clients are told."""
    client = await RawClient.connect(listener.port, "bad", version=version)

    client.writer.write(_raw_publish(topic, properties=b"\x00" if version == 5 else b""))

    assert await client.is_closed()
    reasons = [one.reason for one in client.packets if isinstance(one, Disconnect)]
    assert reasons == [] if version == 4 else reasons[0] in (0x81, 0x82, 0x90)
    assert listener.tally.events == 0
    await client.close()


@pytest.mark.parametrize("topic", [b"t" * 65_535, b"/".join([b"l"] * 200), b"l/" * 200])
async def test_an_unusual_topic_that_is_legal_is_an_event(
    listener: MqttListener, bystander: RawClient, topic: bytes
) -> None:
    """FAULTS 63: long and deep topics are taken and cost what their bytes cost."""
    client = await RawClient.connect(listener.port, "odd")

    client.writer.write(_raw_publish(topic))

    assert await client.receive() == PubAck(1)
    assert listener.tally.events == 1
    await client.close()


@pytest.mark.parametrize("version", [4, 5])
async def test_a_topic_with_too_many_levels_ends_that_client(
    listener: MqttListener, bystander: RawClient, version: int
) -> None:
    """FAULTS 63; mosquitto's 03-publish-long-topic."""
    client = await RawClient.connect(listener.port, "deep", version=version)

    client.writer.write(_raw_publish(b"/" * 60_000, properties=b"\x00" if version == 5 else b""))

    assert await client.is_closed()
    reasons = [one.reason for one in client.packets if isinstance(one, Disconnect)]
    assert reasons == ([] if version == 4 else [Reason.TOPIC_NAME_INVALID])
    assert listener.tally.events == 0
    await client.close()


@pytest.mark.parametrize("version", [4, 5])
async def test_what_is_published_to_the_brokers_own_topics_goes_nowhere(
    listener: MqttListener, bystander: RawClient, version: int
) -> None:
    """FAULTS 63, [4.7.2]; MQTT 5 has a code for it, 3.1.1 only the end of the connection."""
    client = await RawClient.connect(listener.port, "sys", version=version)
    bystander.write(Subscribe(1, (Subscription("$SYS/#", 1),)))
    await bystander.receive()

    client.writer.write(_raw_publish(b"$SYS/broker/uptime", properties=b"\x00" if version == 5 else b""))

    if version == 5:
        answer = await client.receive()
        assert isinstance(answer, PubAck)
        assert answer.reason == Reason.NOT_AUTHORIZED
    else:
        assert await client.is_closed()
    bystander.write(PingReq())
    assert await bystander.receive() == PingResp()
    await client.close()


@pytest.mark.parametrize("packet", [ConnAck(), SubAck(1, (0,)), UnsubAck(1, (0,)), PingResp()], ids=repr)
async def test_packets_that_only_servers_send_end_that_client(
    listener: MqttListener, bystander: RawClient, packet: ConnAck | SubAck | UnsubAck | PingResp
) -> None:
    """FAULTS 64, CVE-2021-28166 (a CONNACK crashed mosquitto)."""
    client = await RawClient.connect(listener.port, "bad", version=5)

    client.write(packet)

    assert await client.is_closed()
    assert [one.reason for one in client.packets if isinstance(one, Disconnect)] == [Reason.PROTOCOL_ERROR]
    await client.close()


async def test_a_subscriber_that_never_reads_costs_a_bounded_queue_and_others_live() -> None:
    """FAULTS 67: `#` at QoS 1 and a full socket; it is dropped, the publisher and another reader go on."""
    async with serving(SettlingIntake(keep=False), max_unsent=64 * 1024) as listener:
        stuck = await RawClient.connect(listener.port, "stuck")
        stuck.write(Subscribe(1, (Subscription("#", 1),)))
        assert await stuck.receive() == SubAck(1, (1,))
        reader = await RawClient.connect(listener.port, "reader")
        reader.write(Subscribe(1, (Subscription("#", 0),)))
        await reader.receive()
        writer = await RawClient.connect(listener.port, "writer")
        before = rss()

        packet_id = 0
        while not listener.ended:
            packet_id += 1
            writer.publish(packet_id, b"x" * 20_000)
            assert await writer.receive() == PubAck(packet_id)
            assert isinstance(await reader.receive(), Publish)

        assert listener.ended == {"quota_exceeded": 1}
        assert rss() - before < 16 * 2**20
        for client in (stuck, reader, writer):
            await client.close()


@pytest.mark.parametrize("version", [4, 5])
async def test_a_packet_over_the_limit_ends_its_client_and_is_never_acknowledged(
    listener: MqttListener, bystander: RawClient, version: int
) -> None:
    """FAULTS 70: 1 MB where 256 KiB is the most."""
    client = await RawClient.connect(listener.port, "bad", version=version)

    client.publish(1, b"x" * 2**20)

    assert await client.is_closed()
    reasons = [one.reason for one in client.packets]
    assert reasons == ([] if version == 4 else [Reason.PACKET_TOO_LARGE])
    assert listener.tally.events == 0
    await client.close()


async def test_a_payload_just_within_the_limit_is_taken(listener: MqttListener, bystander: RawClient) -> None:
    """FAULTS 70: the limit is the packet's, to the byte."""
    client = await RawClient.connect(listener.port, "large")
    publish = encode(Publish("t", b"x" * (256 * 1024 - 9), 1, packet_id=1), 4)
    assert len(publish) == 256 * 1024

    client.writer.write(publish)

    assert await client.receive() == PubAck(1)
    await client.close()


@pytest.mark.parametrize(
    "junk", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x00" * 64, b"\n"]
)
async def test_what_is_not_mqtt_is_closed_without_a_word(
    listener: MqttListener, bystander: RawClient, junk: bytes
) -> None:
    """A browser, a TLS client, a scanner."""
    client = await RawClient.open(listener.port)
    client.writer.write(junk)

    assert await client.is_closed()
    assert client.packets == []
    await client.close()


async def test_takeover_in_a_loop_keeps_one_connection(listener: MqttListener, bystander: RawClient) -> None:
    """Two devices with one client id fight; nobody else notices."""
    fighters = [await RawClient.connect(listener.port, "same", version=5) for _ in range(20)]

    assert all([await client.is_closed() for client in fighters[:-1]])
    fighters[-1].write(PingReq())
    assert await fighters[-1].receive() == PingResp()
    for client in fighters:
        await client.close()
