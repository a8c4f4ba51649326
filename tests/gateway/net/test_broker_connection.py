"""`BrokerConnection` by itself: what it calls its owner for, and where faults of ours end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random

import pytest

from fieldgate.config.uplink import MqttUplinkConfig
from fieldgate.mqtt.client_session import ClientSession
from fieldgate.mqtt.client_settings import ClientSettings
from fieldgate.mqtt.codec import CodecError
from fieldgate.mqtt.endings import End
from fieldgate.mqtt.packets import ConnAck
from fieldgate.net.broker_connection import BrokerConnection
from uplink_kit import FAST, ScriptedBroker, until


class Owner:
    """Writes down what it is called for."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def version_changed(self) -> None:
        self.calls.append("version changed")

    def connected(self, *, is_session_present: bool) -> None:
        self.calls.append("connected")

    def happened(self, happening: object) -> None:
        self.calls.append("happened")

    def fill(self, now_s: float) -> None:
        self.calls.append("fill")

    def lost(self, end: End) -> bool:
        self.calls.append("lost")
        return False

    def gave_way(self, end: End, *, was_connected: bool, is_news: bool, wait_s: float) -> None:
        self.calls.append("gave way")


@asynccontextmanager
async def connecting(owner: Owner, port: int, settings: ClientSettings) -> AsyncIterator[asyncio.Task[None]]:
    config = MqttUplinkConfig.model_validate({"url": f"mqtt://127.0.0.1:{port}", "connect_timeout": "10s"})
    session = ClientSession(settings, delivered=lambda *_: None)
    connection = BrokerConnection(config, session, owner, rng=Random(7), timing=FAST)
    task = asyncio.create_task(connection.run(), name="connection")
    try:
        yield task
    finally:
        await connection.stop()
        task.cancel()
        with suppress(asyncio.CancelledError, CodecError):
            await task


async def test_nothing_is_asked_for_once_the_server_has_hung_up() -> None:
    """What was sent into a closed socket would count as sent, and a suspect might be blamed for the end."""
    owner = Owner()
    async with ScriptedBroker().serving() as broker:
        broker.on_connect = lambda peer: peer.send(ConnAck())
        async with connecting(owner, broker.port, ClientSettings("c")):
            await until(lambda: "fill" in owner.calls)
            broker.peers[0].close()
            await until(lambda: "lost" in owner.calls)

    assert owner.calls[:3] == ["connected", "fill", "lost"]


async def test_a_connect_that_cannot_be_made_ends_the_run() -> None:
    """Else it looks like a server that never answers, and the fault stands in no status."""
    owner = Owner()
    settings = ClientSettings("c", username="u" * 65_536)
    async with ScriptedBroker().serving() as broker, connecting(owner, broker.port, settings) as task:
        with pytest.raises(CodecError):
            await asyncio.wait_for(asyncio.shield(task), 20)
