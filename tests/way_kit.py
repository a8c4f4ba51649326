"""What lies between a gateway and a broker: an HTTP proxy, a WebSocket server, certificates of one's own authority."""

from __future__ import annotations

import asyncio
import base64
import http
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until one side is gone."""
    with suppress(ConnectionError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


@dataclass
class ConnectProxy:
    """An HTTP proxy that does CONNECT; ``names`` is its own name server, ``answer`` a fixed answer in place of help."""

    login: str = ""
    answer: bytes | None = None
    is_silent: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    port: int = 0
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[ConnectProxy]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
        self.heads.append(head)
        method, target, _ = head.split("\r\n")[0].split(" ")
        self.asked.append(target)
        if self.is_silent:
            await reader.read()
            return
        if self.answer is not None:
            writer.write(self.answer)
            await writer.drain()
            return
        expected = f"Proxy-Authorization: Basic {base64.b64encode(self.login.encode()).decode()}"
        if method != "CONNECT" or (self.login and expected not in head.split("\r\n")):
            writer.write(
                b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                b'Proxy-Authenticate: Basic realm="plant, hall 7"\r\nContent-Length: 5\r\n\r\nsorry'
            )
            await writer.drain()
            return
        host, _, port = target.rpartition(":")
        host = host.strip("[]")
        try:
            upstream = await asyncio.open_connection(self.names.get(host, host), int(port))
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 plant\r\n\r\n")
        async with asyncio.TaskGroup() as both:
            both.create_task(pour(reader, upstream[1]), name="proxy-up")
            both.create_task(pour(upstream[0], writer), name="proxy-down")


@dataclass
class WebSocketServer:
    """A WebSocket server before a broker's TCP port, made with a library's server side.

    ``frame_bytes`` cuts what goes down into frames of that size; ``refuse`` answers the handshake in another way.
    """

    upstream_port: int
    path: str = "/mqtt"
    frame_bytes: int = 1 << 16
    refuse: Callable[[ServerConnection, Request], Response | None] | None = None
    subprotocols: tuple[str, ...] = ("mqtt",)
    on_open: Callable[[ServerConnection], Any] | None = None
    requests: list[Request] = field(default_factory=list)
    closes: list[tuple[int | None, str]] = field(default_factory=list)
    frames_up: list[int] = field(default_factory=list)
    port: int = 0

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[WebSocketServer]:
        async with serve(
            self._serve,
            "127.0.0.1",
            0,
            ssl=tls,
            subprotocols=[Subprotocol(name) for name in self.subprotocols] or None,
            process_request=self._look,
            max_size=None,
            close_timeout=0.2,
            **options,
        ) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            yield self

    def _look(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        if self.refuse is not None:
            return self.refuse(connection, request)
        if request.path.partition("?")[0] != self.path:
            return connection.respond(http.HTTPStatus.NOT_FOUND, "no\n")
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        if self.on_open is not None:
            await self.on_open(connection)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        down = asyncio.create_task(self._down(reader, connection), name="ws-down")
        try:
            async for message in connection:
                assert isinstance(message, bytes)
                self.frames_up.append(len(message))
                writer.write(message)
                await writer.drain()
        except (ConnectionClosed, ConnectionError):
            pass
        finally:
            writer.close()
            down.cancel()
            await asyncio.wait([down])
            self.closes.append((connection.close_code, connection.close_reason or ""))

    async def _down(self, reader: asyncio.StreamReader, connection: ServerConnection) -> None:
        with suppress(ConnectionClosed, ConnectionError):
            while chunk := await reader.read(65536):
                for start in range(0, len(chunk), self.frame_bytes):
                    await connection.send(chunk[start : start + self.frame_bytes])
            await connection.close()


@dataclass
class TlsRelay:
    """TLS before a TCP port, as a cloud's front door: who has not offered ``alpn`` is not let in."""

    upstream_port: int
    alpn: str = ""
    subjects: list[str] = field(default_factory=list)
    port: int = 0

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext) -> AsyncIterator[TlsRelay]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.alpn and writer.get_extra_info("ssl_object").selected_alpn_protocol() != self.alpn:
            writer.close()
            return
        certificate = writer.get_extra_info("peercert") or {}
        self.subjects += [
            value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"
        ]
        there, here = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        async with asyncio.TaskGroup() as both:
            both.create_task(pour(reader, here), name="tls-up")
            both.create_task(pour(there, writer), name="tls-down")


def server_context(authority: Any, *names: str, alpn: tuple[str, ...] = (), **validity: datetime) -> ssl.SSLContext:
    """TLS for a server with a certificate of ``authority`` (trustme)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **validity).configure_cert(context)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


VALIDITY = {
    "expired": {"not_before": NOW - 9 * DAY, "not_after": NOW - DAY},
    "not yet valid": {"not_before": NOW + DAY, "not_after": NOW + 9 * DAY},
}
"""From when to when certificates are valid that are not valid now."""


def bad_server_context(fault: str, authority: Any) -> ssl.SSLContext:
    """TLS for localhost that nobody may accept: expired, not yet valid, wrong host, unknown authority; else good."""
    validity = VALIDITY.get(fault, {})
    signer = type(authority)() if fault == "unknown authority" else authority
    return server_context(signer, "other.example" if fault == "wrong host" else "localhost", **validity)


@dataclass(frozen=True)
class OwnCertificate:
    """A client's certificate and key as files."""

    certificate: Path
    key: Path

    @property
    def settings(self) -> dict[str, str]:
        return {"certificate": str(self.certificate), "key": str(self.key)}


def own_certificate(authority: Any, folder: Path, name: str = "plant-7", **validity: datetime) -> OwnCertificate:
    """Write a client's certificate, valid or not, as an installer would."""
    leaf = authority.issue_cert(f"{name}.example", common_name=name, **validity)
    files = OwnCertificate(folder / f"{name}.crt", folder / f"{name}.key")
    replace(files.certificate, b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    replace(files.key, leaf.private_key_pem.bytes())
    return files


def replace(path: Path, content: bytes) -> None:
    """Put a private file in place of another, as a tool that rotates certificates does."""
    new = path.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_bytes(content)
    new.replace(path)


@contextmanager
def blunt_server(tls: ssl.SSLContext) -> Iterator[int]:
    """A TLS server of OpenSSL alone, in a thread: it says why it refuses, where asyncio's only hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed: the end
                return
            with suppress(OSError), connection, tls.wrap_socket(connection, server_side=True) as inner:
                while inner.recv(4096):
                    pass

    thread = threading.Thread(target=serve, name="blunt-server", daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def quiet_loop() -> None:
    """The server's half of a TLS handshake that fails on purpose is nobody's problem."""
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
