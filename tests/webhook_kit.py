"""A webhook by script: a real HTTP server that does what the test says, request by request."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any, NamedTuple

from fieldgate.config.uplink import UplinkConfig
from fieldgate.config.webhook import WebhookConfig
from fieldgate.forward.webhook_uplink import WebhookUplink
from fieldgate_devices.event import Address, Event, Extra, Lane
from uplink_kit import FAST, MemoryFeed, make_event


class Request(NamedTuple):
    """One request, whole; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


Reply = bytes | None
"""What goes back: an answer, b"" to hang up, None to say nothing at all."""


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """A complete answer."""
    lines = [f"HTTP/1.1 {status} Words", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class ScriptedHook:
    """Answers with what ``replies`` says, in turn, then with 200; ``requests`` are those that came, whole."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.requests: list[Request] = []
        self.connections = 0
        self.on_request: Callable[[Request], Reply] = lambda _request: self._next()
        self.came = asyncio.Event()
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    def _next(self) -> Reply:
        return self.replies.pop(0) if self.replies else answer(200)

    @property
    def ids(self) -> list[str]:
        """Of the events, in the order of the requests."""
        return [request.headers["idempotency-key"].split("-")[1] for request in self.requests]

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedHook]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.sleep(0)

    async def requested(self, count: int) -> None:
        while len(self.requests) < count:
            self.came.clear()
            await self.came.wait()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self._writers.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._serve_one(reader, writer, number):
                pass
        writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {line.partition(": ")[0].lower(): line.partition(": ")[2] for line in head[1:] if line}
        body = await reader.readexactly(int(headers["content-length"]))
        self.requests.append(Request(method, target, headers, body, number))
        reply = self.on_request(self.requests[-1])
        self.came.set()
        if reply is None:
            await reader.read()  # until the other side gives up
            return False
        writer.write(reply)
        await writer.drain()
        return bool(reply)


def webhook_config(port: int, *, is_tls: bool = False, **changes: Any) -> WebhookConfig:
    url = f"http{'s' if is_tls else ''}://127.0.0.1:{port}/hooks/plant-7?to=on-call"
    config = UplinkConfig.model_validate({"webhook": {"url": url, **changes}}).webhook
    assert config is not None
    return config


def alert(seq: int, text: str = "too hot", *, state: str = "raised", **more: Any) -> Event:
    """What a rule makes of an alert that names the webhook."""
    data = b'{"state":"%b","rule":"overheat","key":"k","severity":"critical","text":"%b"}'
    fields: dict[str, Any] = {
        "address": Address("boiler-1", "alert", "fieldgate/alert"),
        "lane": Lane.HIGH,
        "content_id": 0,
        "extra": Extra(notify=("pager",)),
        **more,
    }
    return make_event(seq, data % (state.encode(), text.encode()), **fields)


@asynccontextmanager
async def calling(feed: MemoryFeed, config: WebhookConfig, **how: Any) -> AsyncIterator[WebhookUplink]:
    """A webhook uplink that runs until the block ends."""
    how = {"timing": FAST, **how}
    uplink = WebhookUplink("pager", config, feed, gateway="gw", rng=Random(7), **how)
    task = asyncio.create_task(uplink.run(), name="webhook")
    try:
        yield uplink
    finally:
        await uplink.stop()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def feed_of(*events: Event) -> MemoryFeed:
    """A feed that holds these."""
    feed = MemoryFeed()
    feed.add(list(events))
    return feed
