"""Devices and workers that speak to each other through our listener: real clients, real sockets, cut connections."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from fieldgate.mqtt.local_broker import LocalBroker
from fieldgate.mqtt.packets import Connect, Disconnect, PubAck, Publish, Reason, Subscribe, Subscription
from fieldgate.mqtt.packets import Properties as Ours
from listener_kit import RawClient, SettlingIntake, serving


async def _until(condition: Any, within_s: float = 20) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0)


@asynccontextmanager
async def _paho(
    port: int, client_id: str, *, version: int, topic: str = "", keep_alive_s: int = 60
) -> AsyncIterator[Any]:
    """A paho client whose session is kept; it connects again by itself. ``heard`` is what it got."""
    v5 = version == paho.MQTTv5
    client = paho.Client(
        paho.CallbackAPIVersion.VERSION2, client_id, protocol=version, clean_session=None if v5 else False
    )
    client.heard, client.connacks, ready = [], [], threading.Event()  # type: ignore[attr-defined]
    client.reconnect_delay_set(0.01, 0.02)
    client.on_message = lambda _c, _u, message: client.heard.append(bytes(message.payload))  # type: ignore[attr-defined]
    client.on_subscribe = lambda *_: ready.set()

    def connected(_c: object, _u: object, flags: paho.ConnectFlags, reason: Any, properties: Any) -> None:
        client.connacks.append(properties)  # type: ignore[attr-defined]
        if topic and not flags.session_present:
            client.subscribe(topic, 2)
        elif not topic:
            ready.set()

    client.on_connect = connected
    extra: dict[str, Any] = {}
    if v5:
        extra["properties"] = Properties(PacketTypes.CONNECT)
        extra["properties"].SessionExpiryInterval = 600
        extra["properties"].ReceiveMaximum = 5
        extra["clean_start"] = False
    await asyncio.to_thread(client.connect, "127.0.0.1", port, keep_alive_s, **extra)
    client.loop_start()
    assert await asyncio.to_thread(ready.wait, 4)
    try:
        yield client
    finally:
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)


@pytest.mark.parametrize("version", [paho.MQTTv311, paho.MQTTv5], ids=["3.1.1", "5"])
async def test_every_qos_2_message_arrives_once_and_in_order_while_connections_are_cut(version: int) -> None:
    """A command that switches something must not be carried out twice, nor be lost, because a radio link flaps."""
    broker = LocalBroker()
    async with (
        serving(SettlingIntake(), broker) as listener,
        _paho(listener.port, "reader", version=version, topic="cmd") as reader,
    ):
        for number in range(150):
            broker.publish("cmd", b"%d" % number, qos=2, now_s=0)
            if number % 20 == 10:
                for connection in list(listener.connections):
                    connection.abort()
            await asyncio.sleep(0)
        await _until(lambda: len(reader.heard) >= 150)
        await _until(lambda: not broker.sessions.find("reader").outbound.released)

    assert reader.heard == [b"%d" % number for number in range(150)]


async def test_workers_of_a_group_share_the_messages_and_lose_none_when_one_leaves() -> None:
    """What a plant's work queue is made of: any number of workers, each message to one of them."""
    async with serving(SettlingIntake()) as listener:
        done: Counter[bytes] = Counter()
        by_worker: Counter[str] = Counter()

        async def work(name: str, stop_after: int) -> None:
            client = await RawClient.connect(listener.port, name, version=5)
            client.write(Subscribe(1, (Subscription("$share/plant/work/#", 1),)))
            await client.receive()
            while by_worker[name] < stop_after:
                message = await client.receive()
                assert isinstance(message, Publish)
                client.write(PubAck(message.packet_id))
                done[message.payload] += 1
                by_worker[name] += 1
            client.write(Disconnect())

        async with asyncio.TaskGroup() as tasks:
            workers = [tasks.create_task(work(f"w{one}", 20 if one == 0 else 10_000)) for one in range(3)]
            await _until(lambda: len(listener._broker.subscriptions) == 3)
            async with aiomqtt.Client("127.0.0.1", listener.port, identifier="boss") as boss:
                for number in range(200):
                    await boss.publish("work/1", b"%d" % number, qos=1)
            await _until(lambda: len(done) == 200)
            for worker in workers:
                worker.cancel()

    assert set(done) == {b"%d" % number for number in range(200)}
    assert by_worker["w0"] == 20
    assert min(by_worker["w1"], by_worker["w2"]) > 50


async def test_a_mqtt_5_client_without_keep_alive_is_told_one_and_keeps_it() -> None:
    """paho takes the server's keep-alive and pings; a 3.1.1 client that is silent for too long is ended."""
    async with serving(SettlingIntake(), max_keep_alive=1.0) as listener:
        silent = await RawClient.connect(listener.port, "silent", keep_alive_s=0)
        async with _paho(listener.port, "told", version=paho.MQTTv5, keep_alive_s=0) as told:
            assert await silent.is_closed()

            assert told.connacks[0].ServerKeepAlive == 1
            assert len(told.connacks) == 1
    assert listener.ended["keep_alive_timeout"] == 1


async def test_requests_find_their_answers() -> None:
    """Response topic and correlation data go through; mosquitto_rr is the asking side."""
    if shutil.which("mosquitto_rr") is None:
        pytest.skip("mosquitto_rr is not installed (package mosquitto-clients)")
    async with (
        serving(SettlingIntake()) as listener,
        aiomqtt.Client("127.0.0.1", listener.port, protocol=aiomqtt.ProtocolVersion.V5) as device,
    ):
        await device.subscribe("ask", qos=2)
        asking = await asyncio.create_subprocess_exec(
            "mosquitto_rr", "-V", "mqttv5", "-p", str(listener.port), "-q", "2", "-t", "ask", "-e", "answers/1",
            "-m", "how warm?", stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(20):
            question = await anext(aiter(device.messages))
            asked: Any = question.properties
            properties = Properties(PacketTypes.PUBLISH)
            if hasattr(asked, "CorrelationData"):
                properties.CorrelationData = asked.CorrelationData
            await device.publish(asked.ResponseTopic, b"21.5", qos=2, properties=properties)
            answer, _ = await asking.communicate()

    assert (question.payload, answer) == (b"how warm?", b"21.5\n")


async def test_aliases_and_window_hold_on_a_real_socket() -> None:
    """What the memory tests say, said by bytes on TCP."""
    broker = LocalBroker()
    async with serving(SettlingIntake(), broker) as listener:
        properties = Ours(topic_alias_maximum=2, receive_maximum=2)
        reader = await RawClient.connect(listener.port, "reader", version=5, properties=properties)
        reader.write(Subscribe(1, (Subscription("plant/#", 2),)))
        await reader.receive()
        for number in range(3):
            broker.publish("plant/boiler/state", b"%d" % number, qos=2, now_s=0)

        first, second = await reader.receive(), await reader.receive()
        reader.write(Connect("reader", 5))
        assert await reader.is_closed()

    assert first == Publish("plant/boiler/state", b"0", 2, packet_id=1, properties=Ours(topic_alias=1))
    assert second == Publish("", b"1", 2, packet_id=2, properties=Ours(topic_alias=1))
    (end,) = reader.packets
    assert isinstance(end, Disconnect)
    assert end.reason == Reason.PROTOCOL_ERROR
