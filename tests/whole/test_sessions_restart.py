"""Local clients' sessions over a restart of the gateway: subscriptions, what waits for them, retained messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fieldgate.mqtt.codec import Decoder, encode
from fieldgate.mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    Properties,
    PubAck,
    Publish,
    PubRec,
    SubAck,
    Subscribe,
    Subscription,
)
from gateway_kit import Gateway, Publisher, eventually

SESSIONS = 100


class Subscriber:
    """A client with a persistent session that notes what it gets; `leave` breaks the connection without a word."""

    def __init__(self, port: int, client_id: str) -> None:
        self.port = port
        self.client_id = client_id
        self.got: list[tuple[str, int]] = []
        self.is_present = False
        self._task: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._ready = asyncio.Event()

    async def join(self, topic_filter: str = "") -> None:
        """Connect, and subscribe where a filter is given; return once that is done."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writer = writer
        self._ready.clear()
        kept = Properties(session_expiry_s=3600)
        writer.write(encode(Connect(self.client_id, clean_start=False, keep_alive_s=0, properties=kept), 5))
        if topic_filter:
            writer.write(encode(Subscribe(1, (Subscription(topic_filter, 1),)), 5))
        self._task = asyncio.create_task(self._read(reader, writer, not topic_filter), name=self.client_id)
        await asyncio.wait_for(self._ready.wait(), 20)

    async def _read(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_ready_by_connack: bool
    ) -> None:
        decoder = Decoder(version=5, max_packet_bytes=2**20, from_client=False)
        while chunk := await reader.read(65_536):
            acks = [self._take(packet, is_ready_by_connack) for packet in decoder.feed(chunk)]
            writer.write(b"".join(acks))

    def _take(self, packet: Packet, is_ready_by_connack: bool) -> bytes:
        match packet:
            case ConnAck():
                self.is_present = packet.session_present
                if is_ready_by_connack:
                    self._ready.set()
            case SubAck():
                self._ready.set()
            case Publish():
                told = json.loads(packet.payload)
                self.got.append((told["device"], told["n"]))
                if packet.qos:
                    return encode(PubAck(packet.packet_id), 5)
        return b""

    async def leave(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        if self._task is not None:
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.exception()  # a connection that breaks is no surprise here


def missing(subscribers: Sequence[Subscriber], devices: Sequence[Publisher]) -> dict[str, int]:
    wanted = {(device.name, number) for device in devices for number in device.acked}
    lost = {one.client_id: len(wanted - set(one.got)) for one in subscribers}
    return {name: count for name, count in lost.items() if count}


async def _restart(folder: Path, *, total: int, is_kill: bool = False, forgets: bool = False) -> dict[str, Any]:
    """Publish over a restart to 100 sessions, half of them connected; return who missed what in the end."""
    gateway = Gateway(folder, uplinks={})
    await gateway.start()
    subscribers = [Subscriber(gateway.port, f"s{number}") for number in range(SESSIONS)]
    devices = [
        Publisher(gateway.port, name=f"d{number}", total=total // 2, window=10, retry_s=0.2) for number in (0, 1)
    ]
    try:
        for one in subscribers:
            await one.join("t/#")
        for one in subscribers[::2]:
            await one.leave()
        for device in devices:
            device.start()
        if is_kill:
            for device in devices:
                await device.finished()
            await eventually("it is stored", lambda: _is_stored(gateway))
            await gateway.kill()
        else:
            await eventually("half is sent", lambda: sum(len(device.acked) for device in devices) >= total // 2)
            assert await gateway.stop() == 0
        for one in subscribers[1::2]:
            await one.leave()
        if forgets:
            (gateway.state / "sessions.db").unlink()
        await gateway.start()
        for device in devices:
            await device.finished()
        for one in subscribers:
            await one.join()
        present = sum(one.is_present for one in subscribers)
        if not forgets:
            await eventually("all is there", lambda: not missing(subscribers, devices))
        return {"present": present, "missing": missing(subscribers, devices)}
    finally:
        for device in devices:
            device.close()
        for one in subscribers:
            await one.leave()
        await gateway.kill()


async def _is_stored(gateway: Gateway) -> bool:
    return not (await gateway.status())["local_delivery"]["stored"]["is_behind"]


async def test_a_restart_under_load_loses_nothing_for_a_hundred_sessions(tmp_path: Path) -> None:
    """An update of the gateway must not cost the house automation its messages."""
    result = await _restart(tmp_path, total=400)

    assert result == {"present": SESSIONS, "missing": {}}


async def test_a_kill_costs_the_sessions_nothing_that_was_stored(tmp_path: Path) -> None:
    """What waited for more than two seconds is on the disk."""
    result = await _restart(tmp_path, total=200, is_kill=True)

    assert result == {"present": SESSIONS, "missing": {}}


async def test_without_the_file_sessions_are_gone(tmp_path: Path) -> None:
    """The control: what the tests above show is the file's doing."""
    result = await _restart(tmp_path, total=100, forgets=True)

    assert result["present"] == 0
    assert len(result["missing"]) == SESSIONS


async def test_decoded_events_that_wait_for_a_subscriber_wait_over_a_restart(tmp_path: Path) -> None:
    """``mqtt: self`` counts as delivered what the local broker has; so the last that it is given must be stored too."""
    own = {"local": {"mqtt": "self", "topic": "local/{device}", "format": "raw"}}
    gateway = Gateway(tmp_path, uplinks=own)
    await gateway.start()
    subscriber = Subscriber(gateway.port, "s")
    device = Publisher(gateway.port, total=600, retry_s=0.2)
    try:
        await subscriber.join("local/#")
        await subscriber.leave()
        device.start()
        await eventually("half is sent", lambda: len(device.acked) >= 300)
        assert await gateway.stop() == 0
        await gateway.start()
        await device.finished()

        await subscriber.join()

        await eventually("all is there", lambda: not missing([subscriber], [device]))
    finally:
        device.close()
        await subscriber.leave()
        await gateway.kill()


async def test_a_qos_2_message_that_the_stop_itself_made_safe_is_one_event_after_it(tmp_path: Path) -> None:
    """Its PUBREC goes out during the stop and may be lost with the connection; the client sends the message again."""
    gateway = Gateway(tmp_path, uplinks={}, journal={"commit_delay": "10s"})
    await gateway.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        kept = Properties(session_expiry_s=3600)
        writer.write(encode(Connect("c", keep_alive_s=0, properties=kept), 5))
        writer.write(encode(Publish("t", b"1", 2, packet_id=9), 5))
        await eventually("it is in memory", lambda: _has_events(gateway, 1))
        assert await gateway.stop() == 0
        assert [type(one) for one in _packets(await reader.read())] == [ConnAck, PubRec, Disconnect]
        writer.close()
        await gateway.start()

        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(encode(Connect("c", clean_start=False, keep_alive_s=0, properties=kept), 5))
        writer.write(encode(Publish("t", b"1", 2, dup=True, packet_id=9), 5))
        answers: list[Packet] = []
        while len(answers) < 2:
            answers += _packets(await reader.read(100))

        assert [type(one) for one in answers] == [ConnAck, PubRec]
        assert await _has_events(gateway, 0)
        writer.close()
    finally:
        await gateway.kill()


async def _has_events(gateway: Gateway, count: int) -> bool:
    return bool((await gateway.status())["events_in"] == count)


def _packets(chunk: bytes) -> list[Packet]:
    return list(Decoder(version=5, max_packet_bytes=2**20, from_client=False).feed(chunk))


@pytest.mark.parametrize("ending", ["stop", "kill"])
async def test_retained_messages_come_back(tmp_path: Path, ending: str) -> None:
    """Home Assistant's discovery lives on them."""
    gateway = Gateway(tmp_path, uplinks={})
    await gateway.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        for packet in (
            Connect("c", version=4),
            Publish("homeassistant/x/config", b'{"device":"ha","n":1}', 1, True, packet_id=1),
        ):
            writer.write(encode(packet, 4))
        await reader.readexactly(8)
        if ending == "stop":
            await gateway.stop()
        else:
            await eventually("it is stored", lambda: _is_stored(gateway))
            await gateway.kill()
        writer.close()
        await gateway.start()
        subscriber = Subscriber(gateway.port, "s")
        await subscriber.join("homeassistant/#")
        await eventually("it is there", lambda: subscriber.got == [("ha", 1)])
        await subscriber.leave()
    finally:
        await gateway.kill()
