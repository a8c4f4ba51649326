"""mosquitto_pub and mosquitto_sub, the clients that every installer has, as one client.

A subscription is a mosquitto_sub that runs until `disconnect`; a publish is a mosquitto_pub that runs once. The
subscriber's connection is the one that has the session and the will.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from interop_kit.contract import ANSWER_S, PLAIN, Maker, Message, Settings, SubscribeOptions

__all__ = ["mosquitto_clients", "why_no_mosquitto_clients"]

_MARK = "message "


def why_no_mosquitto_clients() -> str | None:
    """The reason why they cannot run here, if so."""
    if shutil.which("mosquitto_sub") is None:
        return "mosquitto_sub is not installed (package mosquitto-clients)"
    return None


@asynccontextmanager
async def mosquitto_clients(version: int) -> AsyncIterator[Maker]:
    """Make clients that speak ``version``."""
    yield lambda settings, port: MosquittoClient(settings, version, port)


class MosquittoClient:
    """The two commands under one client id."""

    def __init__(self, settings: Settings, version: int, port: int) -> None:
        self._settings, self._v5 = settings, version == 5
        self._server = ["-p", str(port), "-V", "mqttv5" if self._v5 else "mqttv311"]
        self._subscriber: asyncio.subprocess.Process | None = None
        self._early: deque[str] = deque()  # messages of the session, which come before the SUBACK

    async def connect(self) -> None:
        """Nothing yet: mosquitto_sub needs to know a topic to connect. It never tells whether the session was there."""

    async def subscribe(self, topic: str, qos: int = 0, options: SubscribeOptions = PLAIN) -> int:
        """Start the subscriber; a session's second connection subscribes again, as mosquitto_sub cannot do without."""
        assert self._subscriber is None, "mosquitto_sub subscribes once"
        self._subscriber = await asyncio.create_subprocess_exec(
            "stdbuf", "-oL", "mosquitto_sub", *self._server, *self._session(), *_options(options),
            "-d", "-F", f"{_MARK}%j|%x|%S", "-t", topic, "-q", str(qos),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, limit=2**22,
        )  # fmt: skip
        return int((await self._line("Subscribed (mid: 1):")).split()[0].strip(","))

    def _session(self) -> list[str]:
        settings = self._settings
        words = ["-i", settings.client_id, "-k", str(settings.keep_alive_s)]
        if settings.keep:
            words += ["-c", *(("-x", "600") if self._v5 else ())]
        if (will := settings.will) is not None:
            words += ["--will-topic", will.topic, "--will-payload", will.payload.decode(), "--will-qos", str(will.qos)]
            words += ["--will-retain"] if will.retain else []
        return words

    async def unsubscribe(self, topic: str) -> None:
        raise NotImplementedError("mosquitto_sub unsubscribes only as it starts")

    async def publish(self, message: Message) -> None:
        properties: list[str] = []
        for name, value in message.user:
            properties += ["-D", "publish", "user-property", name, value]
        for name, text in (
            ("content-type", message.content_type),
            ("response-topic", message.response_topic),
            ("correlation-data", message.correlation and message.correlation.decode()),
        ):
            properties += ["-D", "publish", name, text] if text is not None else []
        process = await asyncio.create_subprocess_exec(
            "mosquitto_pub", *self._server, "-t", message.topic, "-q", str(message.qos),
            "-s" if message.payload else "-n", *(["-r"] if message.retain else []), *properties,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(ANSWER_S):
            said, _ = await process.communicate(message.payload)
        assert process.returncode == 0, said.decode()

    async def receive(self) -> Message:
        line = self._early.popleft() if self._early else await self._line(_MARK)
        told, payload, identifiers = line.rsplit("|", 2)
        fields: dict[str, Any] = json.loads(told)
        properties = fields.get("properties", {})
        correlation = properties.get("correlation-data")
        return Message(
            fields["topic"],
            bytes.fromhex(payload),
            fields["qos"],
            bool(fields["retain"]),
            tuple(properties.get("user-properties", {}).items()),
            properties.get("content-type"),
            properties.get("response-topic"),
            None if correlation is None else correlation.encode(),
            tuple(int(number) for number in identifiers.split(":") if number),
        )

    async def _line(self, start: str) -> str:
        """What follows ``start`` in the next line that begins with it."""
        assert self._subscriber is not None
        assert self._subscriber.stdout is not None
        said = []
        async with asyncio.timeout(ANSWER_S):
            while line := (await self._subscriber.stdout.readline()).decode():
                if line.startswith(start):
                    return line[len(start) :].rstrip("\n")
                elif line.startswith(_MARK):
                    self._early.append(line[len(_MARK) :].rstrip("\n"))
                said.append(line)
        raise AssertionError(f"mosquitto_sub ended: {''.join(said)}")

    async def disconnect(self) -> None:
        """On SIGTERM mosquitto_sub says DISCONNECT."""
        await self._end("terminate")

    async def close(self) -> None:
        await self._end("kill")

    async def _end(self, how: str) -> None:
        if self._subscriber is None:
            return
        if self._subscriber.returncode is None:
            getattr(self._subscriber, how)()
        await self._subscriber.communicate()


def _options(options: SubscribeOptions) -> list[str]:
    words = ["--retain-as-published"] if options.retain_as_published else []
    if options.identifier is not None:
        words += ["-D", "subscribe", "subscription-identifier", str(options.identifier)]
    return words
