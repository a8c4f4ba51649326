"""aiomqtt: paho's protocol under asyncio, what new Python services are written with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions as PahoOptions

from interop_kit.contract import ANSWER_S, PLAIN, Maker, Message, Settings, SubscribeOptions
from interop_kit.paho_client import message_from_paho, publish_properties

__all__ = ["aiomqtt_clients"]


@asynccontextmanager
async def aiomqtt_clients(version: int) -> AsyncIterator[Maker]:
    """Make clients that speak ``version``."""
    yield lambda settings, port: AiomqttClient(settings, version, port)


class AiomqttClient:
    """One aiomqtt client, whose context is open from `connect` to `disconnect`."""

    def __init__(self, settings: Settings, version: int, port: int) -> None:
        self._v5 = version == 5
        will = settings.will
        extra: dict[str, Any] = {"clean_session": not settings.keep}
        if self._v5:
            extra = {"clean_start": not settings.keep, "properties": Properties(PacketTypes.CONNECT)}
            extra["properties"].SessionExpiryInterval = 600 if settings.keep else 0
        self._client = aiomqtt.Client(
            "127.0.0.1",
            port,
            identifier=settings.client_id,
            protocol=aiomqtt.ProtocolVersion.V5 if self._v5 else aiomqtt.ProtocolVersion.V311,
            keepalive=settings.keep_alive_s,
            will=None if will is None else aiomqtt.Will(will.topic, will.payload, will.qos, will.retain),
            timeout=ANSWER_S,
            **extra,
        )
        self._open = AsyncExitStack()

    async def connect(self) -> None:
        """Connect; aiomqtt does not tell whether the session was there."""
        await self._open.enter_async_context(self._client)

    async def subscribe(self, topic: str, qos: int = 0, options: SubscribeOptions = PLAIN) -> int:
        if not self._v5:
            return int((await self._client.subscribe(topic, qos))[0].value)  # type: ignore[union-attr]
        wanted = PahoOptions(qos, options.no_local, options.retain_as_published, options.retain_handling)
        properties = Properties(PacketTypes.SUBSCRIBE)
        if options.identifier is not None:
            properties.SubscriptionIdentifier = options.identifier
        return int((await self._client.subscribe(topic, options=wanted, properties=properties))[0].value)

    async def unsubscribe(self, topic: str) -> None:
        await self._client.unsubscribe(topic)

    async def publish(self, message: Message) -> None:
        properties = publish_properties(message) if self._v5 else None
        await self._client.publish(message.topic, message.payload, message.qos, message.retain, properties)

    async def receive(self) -> Message:
        async with asyncio.timeout(ANSWER_S):
            return message_from_paho(await anext(aiter(self._client.messages)))

    async def disconnect(self) -> None:
        await self._open.aclose()

    async def close(self) -> None:
        try:
            await self._open.aclose()
        except aiomqtt.MqttError:
            return
