"""paho-mqtt: the client of most Python devices. Its network thread hands everything to the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions as PahoOptions

from interop_kit.contract import ANSWER_S, PLAIN, Inbox, Maker, Message, Settings, SubscribeOptions

__all__ = ["message_from_paho", "paho_clients", "publish_properties"]


@asynccontextmanager
async def paho_clients(version: int) -> AsyncIterator[Maker]:
    """Make clients that speak ``version``."""
    yield lambda settings, port: PahoClient(settings, version, port)


class PahoClient:
    """One paho client and its thread; each answer of the server ends one future."""

    def __init__(self, settings: Settings, version: int, port: int) -> None:
        self._settings, self._v5, self._port = settings, version == 5, port
        self._loop = asyncio.get_running_loop()
        self._inbox = Inbox()
        self._answers: dict[object, asyncio.Future[Any]] = {}
        self._paho = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            settings.client_id,
            protocol=paho.MQTTv5 if self._v5 else paho.MQTTv311,
            clean_session=None if self._v5 else not settings.keep,
        )
        self._paho.on_connect = lambda _c, _u, flags, reason, _p: self._answer("connack", (flags, reason))
        self._paho.on_subscribe = lambda _c, _u, mid, reasons, _p: self._answer(("mid", mid), reasons[0])
        self._paho.on_unsubscribe = lambda _c, _u, mid, _r, _p: self._answer(("mid", mid), None)
        self._paho.on_publish = lambda _c, _u, mid, _r, _p: self._answer(("mid", mid), None)
        self._paho.on_message = lambda _c, _u, message: self._inbox.put_threadsafe(message_from_paho(message))
        if (will := settings.will) is not None:
            self._paho.will_set(will.topic, will.payload, will.qos, will.retain)

    def _answer(self, key: object, value: Any) -> None:
        self._loop.call_soon_threadsafe(self._resolve, key, value)

    def _resolve(self, key: object, value: Any) -> None:
        future = self._future(key)
        if not future.done():
            future.set_result(value)

    def _future(self, key: object) -> asyncio.Future[Any]:
        return self._answers.setdefault(key, self._loop.create_future())

    async def _wait(self, key: object) -> Any:
        async with asyncio.timeout(ANSWER_S):
            value = await self._future(key)
        del self._answers[key]
        return value

    async def connect(self) -> bool:
        extra: dict[str, Any] = {}
        if self._v5:
            extra = {"clean_start": not self._settings.keep, "properties": Properties(PacketTypes.CONNECT)}
            extra["properties"].SessionExpiryInterval = 600 if self._settings.keep else 0
        await asyncio.to_thread(self._paho.connect, "127.0.0.1", self._port, self._settings.keep_alive_s, **extra)
        self._paho.loop_start()
        flags, reason = await self._wait("connack")
        assert not reason.is_failure, reason
        return bool(flags.session_present)

    async def subscribe(self, topic: str, qos: int = 0, options: SubscribeOptions = PLAIN) -> int:
        if self._v5:
            wanted = PahoOptions(qos, options.no_local, options.retain_as_published, options.retain_handling)
            properties = Properties(PacketTypes.SUBSCRIBE)
            if options.identifier is not None:
                properties.SubscriptionIdentifier = options.identifier
            _, mid = self._paho.subscribe(topic, options=wanted, properties=properties)
        else:
            _, mid = self._paho.subscribe(topic, qos)
        return int((await self._wait(("mid", mid))).value)

    async def unsubscribe(self, topic: str) -> None:
        await self._wait(("mid", self._paho.unsubscribe(topic)[1]))

    async def publish(self, message: Message) -> None:
        properties = publish_properties(message) if self._v5 else None
        sent = self._paho.publish(message.topic, message.payload, message.qos, message.retain, properties)
        await self._wait(("mid", sent.mid))

    async def receive(self) -> Message:
        return await self._inbox.get()

    async def disconnect(self) -> None:
        self._paho.disconnect()
        await asyncio.to_thread(self._paho.loop_stop)

    async def close(self) -> None:
        await self.disconnect()
        self.__dict__.pop("_paho")  # its callbacks hold us: without the circle it closes its sockets by itself


def publish_properties(message: Message) -> Properties:
    """The MQTT 5 properties of a message, for paho and what is built on it."""
    properties = Properties(PacketTypes.PUBLISH)
    if message.user:
        properties.UserProperty = list(message.user)
    if message.content_type is not None:
        properties.ContentType = message.content_type
    if message.response_topic is not None:
        properties.ResponseTopic = message.response_topic
    if message.correlation is not None:
        properties.CorrelationData = message.correlation
    return properties


def message_from_paho(message: Any) -> Message:
    """What paho or aiomqtt received."""
    properties = message.properties
    return Message(
        str(message.topic),
        bytes(message.payload),
        message.qos,
        bool(message.retain),
        tuple((name, value) for name, value in getattr(properties, "UserProperty", ())),
        getattr(properties, "ContentType", None),
        getattr(properties, "ResponseTopic", None),
        getattr(properties, "CorrelationData", None),
        tuple(getattr(properties, "SubscriptionIdentifier", ())),
    )
