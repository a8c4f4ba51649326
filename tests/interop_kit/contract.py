"""What the scenarios ask of a client library: the least that every library can do in its own way.

A library is started for one test and makes clients. A client connects once; for a second connection the test makes
another one with the same id. `Client.publish` returns when the library counts the message as delivered (at QoS 0:
as sent). What a library cannot do is in `Library.lacks`, with the reason that is shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

__all__ = [
    "ANSWER_S",
    "PLAIN",
    "Client",
    "Inbox",
    "Library",
    "Maker",
    "Message",
    "Settings",
    "SubscribeOptions",
    "Will",
]

ANSWER_S = 8.0  # for anything a server says on loopback, on a machine that is busy with other tests


@dataclass(frozen=True)
class Message:
    """A message as an application sees it; what follows ``retain`` is MQTT 5."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    user: tuple[tuple[str, str], ...] = ()
    content_type: str | None = None
    response_topic: str | None = None
    correlation: bytes | None = None
    identifiers: tuple[int, ...] = ()


@dataclass(frozen=True)
class Will:
    """What the server says when the client is gone."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


@dataclass(frozen=True)
class Settings:
    """How a client connects. ``keep`` is a session that outlives the connection."""

    client_id: str
    keep: bool = False
    keep_alive_s: int = 60
    will: Will | None = None
    port: int | None = None  # instead of the server's: a relay


@dataclass(frozen=True)
class SubscribeOptions:
    """The options that MQTT 5 added."""

    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0
    identifier: int | None = None


PLAIN = SubscribeOptions()


class Client(Protocol):
    """One client of one library."""

    async def connect(self) -> bool | None:
        """Connect and return whether the session was there; None where the library does not say."""
        ...

    async def subscribe(self, topic: str, qos: int = 0, options: SubscribeOptions = PLAIN) -> int:
        """Subscribe and return the reason code of the SUBACK."""
        ...

    async def unsubscribe(self, topic: str) -> None:
        """Unsubscribe and wait for the UNSUBACK."""
        ...

    async def publish(self, message: Message) -> None:
        """Publish and wait until the library counts it as delivered."""
        ...

    async def receive(self) -> Message:
        """Return the next message that came."""
        ...

    async def disconnect(self) -> None:
        """Say DISCONNECT and close."""
        ...

    async def close(self) -> None:
        """Leave nothing running, whatever the state of the connection."""
        ...


Maker = Callable[[Settings, int], Client]  # the int is the port of the server


@dataclass(frozen=True)
class Library:
    """A client library at one protocol version (4 is 3.1.1)."""

    name: str
    version: int
    started: Callable[[int], AbstractAsyncContextManager[Maker]]  # given the version
    missing: str | None = None  # why it cannot run on this machine
    lacks: Mapping[str, str] = field(default_factory=dict)  # scenario -> why it cannot take part
    subscribes_to_connect: bool = False  # it is not connected before its first subscription

    @property
    def label(self) -> str:
        """Its name and version, as the table shows them."""
        return f"{self.name} {'5' if self.version == 5 else '3.1.1'}"

    @asynccontextmanager
    async def clients_of(self, port: int) -> AsyncIterator[Callable[[Settings], Client]]:
        """Give a maker of clients of the server at ``port``; all are closed at the end."""
        made: list[Client] = []
        async with self.started(self.version) as make:

            def client(settings: Settings) -> Client:
                made.append(make(settings, settings.port or port))
                return made[-1]

            try:
                yield client
            finally:
                for one in made:
                    await one.close()


class Inbox:
    """Messages that came, filled from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Message] = asyncio.Queue()

    def put(self, message: Message) -> None:
        """Add a message, from the loop's own thread."""
        self._queue.put_nowait(message)

    def put_threadsafe(self, message: Message) -> None:
        """Add a message, from the library's own thread."""
        self._loop.call_soon_threadsafe(self._queue.put_nowait, message)

    async def get(self) -> Message:
        """Return the oldest message; TimeoutError when none comes."""
        async with asyncio.timeout(ANSWER_S):
            return await self._queue.get()
