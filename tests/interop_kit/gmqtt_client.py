"""gmqtt: a Python client with a codec of its own, so not one more face of paho."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import gmqtt
from gmqtt.mqtt.constants import MQTTv50, MQTTv311
from gmqtt.storage import PersistentStorage

from interop_kit.contract import ANSWER_S, PLAIN, Inbox, Maker, Message, Settings, SubscribeOptions

__all__ = ["gmqtt_clients"]


@asynccontextmanager
async def gmqtt_clients(version: int) -> AsyncIterator[Maker]:
    """Make clients that speak ``version``."""
    yield lambda settings, port: GmqttClient(settings, version, port)


class GmqttClient:
    """One gmqtt client that does not reconnect."""

    def __init__(self, settings: Settings, version: int, port: int) -> None:
        self._settings, self._v5, self._port = settings, version == 5, port
        self._inbox = Inbox()
        self._outgoing = PersistentStorage()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._flags = 0
        self._is_open = False
        will = settings.will
        extra: dict[str, Any] = {"session_expiry_interval": 600} if self._v5 and settings.keep else {}
        self._client = gmqtt.Client(
            settings.client_id,
            clean_session=not settings.keep,
            will_message=None
            if will is None
            else gmqtt.Message(will.topic, will.payload, qos=will.qos, retain=will.retain),
            persistent_storage=self._outgoing,
            **extra,
        )
        self._client.set_config({"reconnect_retries": 0})
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda _c, mid, qos, _p: self._answer(mid).set_result(qos)
        self._client.on_unsubscribe = lambda _c, mid, _q: self._answer(mid).set_result(None)

    def _answer(self, mid: int) -> asyncio.Future[Any]:
        return self._answers.setdefault(mid, asyncio.get_running_loop().create_future())

    def _on_connect(self, _client: object, flags: int, _reason: int, _properties: object) -> None:
        self._flags = flags

    def _on_message(self, _client: object, topic: str, payload: bytes, qos: int, properties: dict[str, Any]) -> int:
        def first(name: str) -> Any:
            return properties.get(name, [None])[0]

        self._inbox.put(
            Message(
                topic,
                bytes(payload),
                qos,
                bool(properties["retain"]),
                tuple((name, value) for name, value in properties.get("user_property", ())),
                first("content_type"),
                first("response_topic"),
                first("correlation_data"),
                tuple(properties.get("subscription_identifier", ())),
            )
        )
        return 0  # the reason code of the acknowledgement

    async def connect(self) -> bool:
        async with asyncio.timeout(ANSWER_S):
            await self._client.connect(
                "127.0.0.1",
                self._port,
                keepalive=self._settings.keep_alive_s,
                version=MQTTv50 if self._v5 else MQTTv311,
            )
        self._is_open = True
        return bool(self._flags & 1)

    async def subscribe(self, topic: str, qos: int = 0, options: SubscribeOptions = PLAIN) -> int:
        mid = self._client.subscribe(
            gmqtt.Subscription(
                topic,
                qos,
                options.no_local,
                options.retain_as_published,
                options.retain_handling,
                options.identifier,
            )
        )
        async with asyncio.timeout(ANSWER_S):
            return int((await self._answer(mid))[0])

    async def unsubscribe(self, topic: str) -> None:
        async with asyncio.timeout(ANSWER_S):
            await self._answer(self._client.unsubscribe(topic))

    async def publish(self, message: Message) -> None:
        extra: dict[str, Any] = {}
        if message.user:
            extra["user_property"] = list(message.user)
        if message.content_type is not None:
            extra["content_type"] = message.content_type
        if message.response_topic is not None:
            extra["response_topic"] = message.response_topic
        if message.correlation is not None:
            extra["correlation_data"] = message.correlation
        self._client.publish(message.topic, message.payload, qos=message.qos, retain=message.retain, **extra)
        async with asyncio.timeout(ANSWER_S):
            await self._outgoing.wait_empty()

    async def receive(self) -> Message:
        return await self._inbox.get()

    async def disconnect(self) -> None:
        self._is_open = False
        await self._client.disconnect()

    async def close(self) -> None:
        if self._is_open:
            await self.disconnect()
