"""An HTTP listener on a free port, a client that sends the bytes it is given, and a device that posts numbers."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import secrets
import ssl
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fieldgate.config.listen import ListenConfig
from fieldgate.ingest.http_listener import HttpListener
from fieldgate.mqtt.local_broker import LocalBroker
from gateway_kit import eventually
from listener_kit import HeldIntake
from raw_peer import RawPeer

__all__ = ["HttpAnswer", "HttpClient", "Poster", "basic", "post", "serving_http"]


@dataclass
class HttpAnswer:
    status: int
    headers: dict[str, str]  # by lower-case name
    body: bytes

    @property
    def error(self) -> str:
        return str(json.loads(self.body)["error"])


def post(
    path: str = "/a/b",
    body: bytes = b"x",
    *headers: str,
    method: str = "POST",
    version: str = "1.1",
    length: int | None = None,
) -> bytes:
    """One request; ``headers`` are whole lines."""
    size = len(body) if length is None else length
    lines = [f"{method} {path} HTTP/{version}", "Host: gw", f"Content-Length: {size}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def basic(user: str, password: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class HttpClient(RawPeer):
    """A socket, and just enough HTTP to read answers. `serving_http` closes it at the end."""

    @classmethod
    async def open(
        cls, port: int, *, local_address: str = "127.0.0.1", context: ssl.SSLContext | None = None
    ) -> HttpClient:
        name = "localhost" if context is not None else None
        return cls(
            *await asyncio.open_connection(
                "127.0.0.1", port, local_addr=(local_address, 0), ssl=context, server_hostname=name
            )
        )

    @classmethod
    async def open_soon(cls, port: int) -> HttpClient:
        """Connect to a gateway that has just been started."""

        async def opened() -> HttpClient | None:
            try:
                return await cls.open(port)
            except ConnectionRefusedError:
                return None

        client = await eventually("somebody listens", opened)
        assert isinstance(client, HttpClient)
        return client

    def send(self, *requests: bytes) -> None:
        """All in one write."""
        self.writer.write(b"".join(requests))

    async def answer(self, within_s: float = 20.0) -> HttpAnswer:
        """The next answer, 100 Continue included; EOFError when the other side has closed."""
        async with asyncio.timeout(within_s):
            try:
                head = await self.reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                raise EOFError from None
            first, *lines = head[:-4].decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return HttpAnswer(int(first.split(" ")[1]), headers, body)

    async def ask(self, request: bytes) -> HttpAnswer:
        self.send(request)
        return await self.answer()

    async def is_quiet(self, for_s: float = 0.15) -> bool:
        """Whether nothing comes for a moment, and the connection stands."""
        try:
            async with asyncio.timeout(for_s):
                return bool(await self.reader.read(1)) and False
        except TimeoutError:
            return True


@asynccontextmanager
async def serving_http(
    intake: HeldIntake, broker: LocalBroker | None = None, *, guard: Any = None, **settings: object
) -> AsyncIterator[HttpListener]:
    """A running listener; ``settings`` are those of ``ListenConfig``."""
    config = ListenConfig.model_validate({"http": "127.0.0.1:0"} | settings)
    listener = HttpListener(config, intake, broker or LocalBroker(), guard=guard)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(listener.run(), name="listener")
        async with asyncio.timeout(20):
            await listener.started.wait()
        try:
            yield listener
        finally:
            task.cancel()
            await HttpClient.close_all()


class Poster:
    """A device that posts numbered messages by `http.client`, one after the other, each until it is answered 2xx.

    It has what the oracle asks of a `Publisher`: ``name`` and ``acked``.
    """

    def __init__(self, port: int, name: str, *, noise_bytes: int = 0, timeout_s: float = 5.0) -> None:
        self.name = name
        self.acked: set[int] = set()
        self.answers: Counter[int] = Counter()
        self.tries = 0
        self._port = port
        self._noise_bytes = noise_bytes
        self._timeout_s = timeout_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"poster:{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Post nothing more; what is being posted may still be answered."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._timeout_s)
            try:
                while not self._stop.is_set():
                    if self._post(connection, number):
                        number += 1
            except (OSError, http.client.HTTPException):
                self._stop.wait(0.05)
            finally:
                connection.close()

    def _post(self, connection: http.client.HTTPConnection, number: int) -> bool:
        self.tries += 1
        message = {"device": self.name, "n": number, "pad": secrets.token_hex(self._noise_bytes)}
        connection.request("POST", f"/t/{self.name}", json.dumps(message), {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        self.answers[response.status] += 1
        if response.status not in (200, 204):
            self._stop.wait(0.02)
            return False
        self.acked.add(number)
        return True
