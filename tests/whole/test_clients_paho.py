"""paho-mqtt, the reference client for Python devices, against our listener."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from listener_kit import HeldIntake, SettlingIntake, serving

VERSIONS = [paho.MQTTv311, paho.MQTTv5]


class Device:
    """A paho client with its network thread; what it hears and how its connections ended."""

    def __init__(self, port: int, client_id: str, version: int, *, keep: bool = False, keep_alive_s: int = 60) -> None:
        v5 = version == paho.MQTTv5
        self.heard: list[tuple[str, bytes, bool]] = []
        self.ends: list[str] = []
        self.session_present = False
        self._connected = threading.Event()
        self._subscribed = threading.Event()
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id, protocol=version, clean_session=None if v5 else not keep
        )
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.on_message = lambda _c, _u, m: self.heard.append((m.topic, bytes(m.payload), m.dup))
        self.client.on_disconnect = lambda _c, _u, _f, reason, _p: self.ends.append(str(reason))
        extra: dict[str, Any] = {}
        if v5:
            extra["clean_start"] = not keep
            extra["properties"] = Properties(PacketTypes.CONNECT)
            extra["properties"].SessionExpiryInterval = 600 if keep else 0
        self.client.connect("127.0.0.1", port, keep_alive_s, **extra)
        self.client.loop_start()
        assert self._connected.wait(20), "no CONNACK"

    def _on_connect(self, _client: object, _user: object, flags: paho.ConnectFlags, reason: Any, _p: object) -> None:
        assert not reason.is_failure, reason
        self.session_present = flags.session_present
        self._connected.set()

    def subscribe(self, topic: str, qos: int = 1) -> None:
        self.client.subscribe(topic, qos)
        assert self._subscribed.wait(4), "no SUBACK"

    def publish(self, count: int, *, topic: str = "t", qos: int = 1) -> None:
        """Publish and wait until each is acknowledged."""
        for message in [self.client.publish(topic, b"%d" % one, qos) for one in range(count)]:
            message.wait_for_publish(4)
            assert message.is_published()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def _closing(*devices: Device) -> Iterator[None]:
    try:
        yield
    finally:
        for device in devices:
            device.close()


async def _until(condition: Any, within_s: float = 20) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_messages_arrive_once_in_order_and_are_heard_by_another_device(version: int, qos: int) -> None:
    intake = SettlingIntake()
    async with serving(intake) as listener:
        reader = await asyncio.to_thread(Device, listener.port, "reader", version)
        writer = await asyncio.to_thread(Device, listener.port, "writer", version)
        with _closing(reader, writer):
            await asyncio.to_thread(reader.subscribe, "t")
            await asyncio.to_thread(writer.publish, 300, qos=qos)
            await _until(lambda: len(reader.heard) == 300)

    wanted = [b"%d" % one for one in range(300)]
    assert intake.payloads == wanted
    assert [payload for _, payload, _ in reader.heard] == wanted


@pytest.mark.parametrize("version", VERSIONS)
async def test_paho_learns_of_a_publish_only_when_it_is_settled(version: int) -> None:
    intake = HeldIntake()
    async with serving(intake) as listener:
        device = await asyncio.to_thread(Device, listener.port, "d", version)
        with _closing(device):
            message = device.client.publish("t", b"m", 1)
            await _until(lambda: intake.batches)
            assert not message.is_published()

            intake.settle(0)

            await asyncio.to_thread(message.wait_for_publish, 4)
            assert message.is_published()


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_session_keeps_what_came_while_the_device_was_away(version: int) -> None:
    async with serving(SettlingIntake()) as listener:
        first = await asyncio.to_thread(Device, listener.port, "d", version, keep=True)
        await asyncio.to_thread(first.subscribe, "cmd/#")
        await asyncio.to_thread(first.close)
        writer = await asyncio.to_thread(Device, listener.port, "w", version)
        await asyncio.to_thread(writer.publish, 5, topic="cmd/1")

        second = await asyncio.to_thread(Device, listener.port, "d", version, keep=True)
        with _closing(second, writer):
            await _until(lambda: len(second.heard) == 5)

    assert second.session_present
    assert [payload for _, payload, _ in second.heard] == [b"%d" % one for one in range(5)]


async def test_a_device_that_lost_its_connection_before_the_acknowledgement_makes_no_second_event() -> None:
    """paho resends with DUP when its session is present; the event is already on its way."""
    intake = HeldIntake()
    async with serving(intake) as listener:
        device = await asyncio.to_thread(Device, listener.port, "d", paho.MQTTv311, keep=True)
        with _closing(device):
            message = device.client.publish("t", b"m", 1)
            await _until(lambda: intake.batches)
            for connection in list(listener.connections):
                connection.abort()
            await _until(lambda: listener.tally.joined == 1)

            intake.settle(0)

            await asyncio.to_thread(message.wait_for_publish, 4)
            assert message.is_published()
    assert intake.payloads == [b"m"]


async def test_takeover_is_told_to_the_older_device() -> None:
    async with serving(SettlingIntake()) as listener:
        older = await asyncio.to_thread(Device, listener.port, "same", paho.MQTTv5)
        older.client.reconnect_delay_set(60, 60)
        newer = await asyncio.to_thread(Device, listener.port, "same", paho.MQTTv5)
        with _closing(newer, older):
            await _until(lambda: older.ends)

    assert older.ends[0] == "Session taken over"


async def test_keep_alive_is_kept_and_0_is_legal() -> None:
    """FAULTS 69: paho pings by itself; without keep-alive it never does."""
    async with serving(SettlingIntake()) as listener:
        pinging = await asyncio.to_thread(Device, listener.port, "p", paho.MQTTv5, keep_alive_s=1)
        silent = await asyncio.to_thread(Device, listener.port, "s", paho.MQTTv311, keep_alive_s=0)
        with _closing(pinging, silent):
            deadline = asyncio.get_running_loop().time() + 2.2
            await _until(lambda: asyncio.get_running_loop().time() > deadline)

            assert (pinging.ends, silent.ends) == ([], [])
            await asyncio.to_thread(silent.publish, 1)
