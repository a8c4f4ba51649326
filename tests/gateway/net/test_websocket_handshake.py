"""The handshake of WebSocket: every way in which it can fail, in words, and no secret in them."""

from __future__ import annotations

import asyncio
import http

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from uplink_kit import end_of
from way_kit import WebSocketServer
from websocket_kit import switching, ws

SECRET = "Tr0ub4dor-and-3"


@pytest.mark.parametrize(
    ("status", "state", "words"),
    [
        (401, "refused", "401 Unauthorized; some services want a log-in in 'headers'"),
        (403, "refused", "403 Forbidden; some services want a log-in in 'headers'"),
        (404, "refused", "404 Not Found; there is no WebSocket at /mqtt, write the right path into 'url'"),
        (302, "refused", "302 Found; it sends us to 'https://other.example/mqtt', which 'url' must name then"),
        (200, "refused", "200 OK; that is a web server, is the path right?"),
        (400, "refused", "400 Bad Request"),
        (429, "backoff", "for now: 429 Too Many Requests"),
        (500, "backoff", "for now: 500 Internal Server Error"),
        (503, "backoff", "for now: 503 Service Unavailable"),
    ],
)
async def test_a_handshake_that_is_refused_is_said_with_its_status(broker, status, state, words):
    """Whether a person must act, and what to look at."""
    location = f"https://user:{SECRET}@other.example/mqtt?token={SECRET}"

    def refuse(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(http.HTTPStatus(status), "no\n")
        response.headers["Location"] = location
        return response

    async with WebSocketServer(broker.port, refuse=refuse).serving() as server:
        end = await end_of(ws(server.port))

    assert end[0] == state
    assert end[1].startswith(f"127.0.0.1:{server.port} refuses the WebSocket handshake")
    assert words in end[1]
    assert SECRET not in end[1]
    assert not broker.peers


@pytest.mark.clause("MQTT5-6.0.0-4", "MQTT311-6.0.0-4")
async def test_a_server_without_the_subprotocol_is_refused(broker):
    """[MQTT-6.0.0-4]: it speaks something else there, whatever that is."""
    async with WebSocketServer(broker.port, subprotocols=()).serving() as server:
        state, reason = await end_of(ws(server.port))

    assert state == "refused"
    assert reason.endswith("does not speak MQTT over WebSocket at /mqtt: it agrees to no subprotocol 'mqtt'")


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "refused", "does not speak WebSocket: it answers with no HTTP but b'SSH-2.0"),
        (b"HTTP/1.1 abc\r\n\r\n", "refused", "does not speak WebSocket: it answers with no HTTP status"),
        (b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n", "refused", "404 Not Found"),
        (b"HTTP/1.1 503 \x1b[31mNo\r\n\r\n", "backoff", "503 ?[31mNo"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "refused", "does not speak MQTT over WebSocket at /mqtt"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40_000, "refused", "an HTTP head of more than 32 KiB"),
        (b"", "backoff", "hung up instead of answering the WebSocket handshake"),
        (b"HTTP/1.1 10", "backoff", "hung up instead of answering the WebSocket handshake"),
    ],
)
async def test_answers_that_are_no_websocket_are_told_apart(answer, state, words):
    """A wrong port, a proxy that thinks it is a web server, a server that dies."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    end = await end_of(ws(server.sockets[0].getsockname()[1]))
    server.close()

    assert end[0] == state
    assert words in end[1]


async def test_an_accept_key_that_does_not_fit_is_refused():
    """The mutant of the handshake: a server, or a cache, that answers without having understood."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        writer.write(switching(request, key=b"dGhlIHNhbXBsZSBub25jZQ=="))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    state, reason = await end_of(ws(server.sockets[0].getsockname()[1]))
    server.close()

    assert state == "refused"
    assert "Sec-WebSocket-Accept" in reason


async def test_a_handshake_that_is_never_answered_ends_with_the_connect_timeout():
    """The server accepts and sleeps: tried again, and said which answer is missing."""
    asked = asyncio.Event()

    async def sleep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(sleep, "127.0.0.1", 0)
    mqtt = ws(server.sockets[0].getsockname()[1], connect_timeout="500ms")
    async with asyncio.timeout(20):
        state, reason = await end_of(mqtt)
    server.close()

    assert asked.is_set()
    assert state == "backoff"
    assert reason.endswith("connected and did not answer in time: the WebSocket handshake hangs")


@pytest.mark.parametrize("status", [404, 302, 101])
async def test_a_path_that_is_a_secret_is_not_shown(broker, tmp_path, status):
    """Some services authorise by the path; the URL then names it by a reference."""
    (tmp_path / "path").write_text(SECRET)
    (tmp_path / "path").chmod(0o600)

    def refuse(connection: ServerConnection, request: Request) -> Response | None:
        assert request.path == f"/{SECRET}"
        if status == 101:
            return None
        response = connection.respond(http.HTTPStatus(status), "no\n")
        response.headers["Location"] = f"https://other.example{request.path}"
        return response

    async with WebSocketServer(broker.port, refuse=refuse, subprotocols=()).serving() as server:
        state, reason = await end_of(ws(server.port, f"/${{file:{tmp_path / 'path'}}}"))

    assert state == "refused"
    assert SECRET not in reason
    assert "the path in 'url'" in reason or "'https://other.example'" in reason


async def test_headers_are_sent_and_never_shown(broker, tmp_path):
    """Some clouds authorise by a header before they look at MQTT."""
    (tmp_path / "token").write_text(f"Bearer {SECRET}")
    (tmp_path / "token").chmod(0o600)
    headers = {"Authorization": f"${{file:{tmp_path / 'token'}}}", "user-agent": "gate"}

    def only_with_token(connection: ServerConnection, request: Request) -> Response | None:
        if request.headers.get("Authorization") == f"Bearer {SECRET}":
            return None
        return Response(401, "Unauthorized", Headers(), b"")

    async with WebSocketServer(broker.port, refuse=only_with_token).serving() as server:
        allowed = await end_of(ws(server.port, headers=headers))
        refused = await end_of(ws(server.port, headers={"Authorization": f"Basic {SECRET}"}))

    assert allowed == ("connected", "")
    assert server.requests[0].headers.get_all("User-Agent") == ["gate"]
    assert refused[0] == "refused"
    assert SECRET not in refused[1]
