"""MQTT over WebSocket: the same promises as over TCP, and every way in which the handshake can fail in words."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http
import logging
import socket
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from fieldgate.config.urls import split_broker_url
from fieldgate.net.link import Link
from fieldgate.net.websocket_client import WebSocketClient, _FrameTransport
from uplink_kit import FAST, MemoryFeed, ScriptedBroker, free_port, make_event, make_events, running, until
from way_kit import WebSocketServer, pour, server_context

trustme = pytest.importorskip("trustme", reason="certificates are made with trustme")

SECRET = "Tr0ub4dor-and-3"


@pytest.fixture(autouse=True)
def _quiet_server() -> None:
    """The server side logs each handshake that fails on purpose."""
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)


@pytest.fixture
async def broker():
    async with ScriptedBroker().serving() as broker:
        yield broker


def ws(port: int, path: str = "", **more: Any) -> dict[str, Any]:
    return {"url": f"ws://127.0.0.1:{port}{path}", **more}


async def end_of(mqtt: dict[str, Any]) -> tuple[str, str]:
    """Connect; return state and reason of the uplink once it does not try for a moment."""
    feed = MemoryFeed()
    feed.add(make_events(1))
    async with running(feed, 1, mqtt=mqtt) as uplink:
        await until(lambda: uplink.status.state in ("backoff", "refused", "connected"))
        return uplink.status.state, uplink.status.reason


@pytest.mark.clause("MQTT5-6.0.0-1", "MQTT311-6.0.0-1", "MQTT5-6.0.0-3", "MQTT311-6.0.0-3")
async def test_everything_arrives_in_order_over_websocket(broker):
    """The usual case: port 443 of a broker in the cloud is a WebSocket."""
    feed = MemoryFeed()
    feed.add(make_events(2000))

    async with WebSocketServer(broker.port).serving() as server, running(feed, 1, mqtt=ws(server.port)):
        await feed.settled(2000)

    assert feed.delivered_seqs == list(range(1, 2001))
    assert [publish.topic for publish in broker.arrived] == ["fieldgate/gw/site.a/message"] * 2000
    assert server.requests[0].headers["Sec-WebSocket-Protocol"] == "mqtt"
    assert "Sec-WebSocket-Extensions" not in server.requests[0].headers


async def test_everything_arrives_over_websocket_and_tls(broker, tmp_path):
    """wss:// is WebSocket in TLS; the certificate is verified like any."""
    authority, feed = trustme.CA(), MemoryFeed()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    feed.add(make_events(500))

    async with WebSocketServer(broker.port).serving(server_context(authority, "localhost")) as server:
        mqtt = {"url": f"wss://localhost:{server.port}", "ca": str(tmp_path / "ca.pem")}
        async with running(feed, 1, mqtt=mqtt):
            await feed.settled(500)

    assert feed.delivered_seqs == list(range(1, 501))


@pytest.mark.parametrize("frame_bytes", [1, 3, 7])
@pytest.mark.clause("MQTT5-6.0.0-2", "MQTT311-6.0.0-2")
async def test_packets_may_be_cut_anywhere_into_frames(broker, frame_bytes):
    """[MQTT-6.0.0-2]: a frame may hold a part of a packet, or several."""
    feed = MemoryFeed()
    feed.add(make_events(50))

    server = WebSocketServer(broker.port, frame_bytes=frame_bytes)
    async with server.serving(), running(feed, 1, mqtt=ws(server.port)):
        await feed.settled(50)

    assert feed.delivered_seqs == list(range(1, 51))


async def test_what_is_larger_than_a_frame_is_sent_in_several(broker):
    """Servers limit the size of a frame, not of what is in them."""
    feed = MemoryFeed()
    feed.add([make_event(1, b"x" * 300_000, is_json=False)])

    async with WebSocketServer(broker.port).serving() as server, running(feed, 1, format="raw", mqtt=ws(server.port)):
        await feed.settled(1)

    assert bytes(broker.arrived[0].payload) == b"x" * 300_000
    assert max(server.frames_up) == 65536


async def test_pings_of_the_server_are_answered(broker):
    """A server or load balancer that pings and hears nothing hangs up."""
    feed = MemoryFeed()

    async with WebSocketServer(broker.port).serving(ping_interval=0.02, ping_timeout=0.3) as server:
        opened: list[ServerConnection] = []

        async def watch(connection: ServerConnection) -> None:
            opened.append(connection)

        server.on_open = watch
        async with running(feed, 1, mqtt=ws(server.port)) as uplink:
            await until(lambda: uplink.status.state == "connected")
            await until(lambda: opened[0].latency > 0)  # a pong has come
            assert uplink.status.state == "connected"


async def test_the_end_is_said_in_mqtt_and_in_websocket(broker):
    """A broker that gets no DISCONNECT sends the will."""
    async with WebSocketServer(broker.port).serving() as server:
        async with running(MemoryFeed(), 1, mqtt=ws(server.port)) as uplink:
            await until(lambda: uplink.status.state == "connected")
        await until(lambda: bool(server.closes))
        await until(lambda: type(broker.peers[0].packets[-1]).__name__ == "Disconnect")

    assert server.closes == [(1000, "")]


async def test_a_server_that_says_no_goodbye_delays_the_stop_by_a_second_at_most(broker):
    """SIGTERM while the far side hangs."""
    gate = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        writer.write(switching(request))
        await reader.read(100)
        writer.write(b"\x82\x05\x20\x03\x00\x00\x00")  # CONNACK of MQTT 5
        await gate.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with asyncio.timeout(5):
        async with running(MemoryFeed(), 1, mqtt=ws(server.sockets[0].getsockname()[1])) as uplink:
            await until(lambda: uplink.status.state == "connected")
            began_s = asyncio.get_running_loop().time()
        took_s = asyncio.get_running_loop().time() - began_s
    gate.set()
    server.close()

    assert 0.9 < took_s < 3


def switching(request: bytes, *, protocol: str = "mqtt", key: bytes | None = None) -> bytes:
    """A right answer to the handshake, by hand."""
    lines = dict(line.split(b": ", 1) for line in request.split(b"\r\n")[1:] if b": " in line)
    guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1((key or lines[b"Sec-WebSocket-Key"]) + guid).digest()).decode()
    chosen = f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n{chosen}\r\n"
    ).encode()


# -- the handshake ----------------------------------------------------------------------------------------------


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
    async with asyncio.timeout(5):
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


# -- after the handshake ----------------------------------------------------------------------------------------


@pytest.mark.clause("MQTT5-6.0.0-1", "MQTT311-6.0.0-1")
async def test_a_text_frame_ends_the_connection(broker):
    """[MQTT-6.0.0-1]"""

    async def say(connection: ServerConnection) -> None:
        await connection.send("hello")

    async with WebSocketServer(broker.port, on_open=say).serving() as server:
        state, reason = await end_of(ws(server.port))

    assert state == "backoff"
    assert "broke the WebSocket protocol: it sent a text frame" in reason


async def test_why_the_server_closes_is_said(broker):
    """Load balancers close with a code and words when a backend goes away."""

    async def close(connection: ServerConnection) -> None:
        await connection.close(1013, "come back later \x1b[2J")

    async with WebSocketServer(broker.port, on_open=close).serving() as server:
        state, reason = await end_of(ws(server.port))

    assert state == "backoff"
    assert "closed the WebSocket: 1013 (try again later) come back later ?[2J" in reason


async def test_a_broken_frame_ends_the_connection_and_is_tried_again(broker):
    """Reserved bits: whatever that is, it is not what we agreed on."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        writer.write(switching(request) + b"\xf2\x00")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    state, reason = await end_of(ws(server.sockets[0].getsockname()[1]))
    server.close()

    assert state == "backoff"
    assert "broke the WebSocket protocol: reserved bits must be 0" in reason


async def test_an_outage_loses_nothing_over_websocket(broker):
    """The WebSocket server is taken away in the middle; what it did not acknowledge comes again."""
    feed = MemoryFeed()
    feed.add(make_events(200))
    broker.on_publish = lambda peer, publish: None if peer.number == 1 else peer.ack(publish)
    port = free_port()

    async with running(feed, 1, timing=FAST, mqtt=ws(port)) as uplink:
        await until(lambda: uplink.status.state == "backoff")
        async with WebSocketServer(broker.port).serving() as server:
            relay = await asyncio.start_server(_to(server.port), "127.0.0.1", port)
            await until(lambda: bool(broker.arrived))
            relay.close()
            broker.peers[0].close()
            await until(lambda: uplink.status.state != "connected")
            again = await asyncio.start_server(_to(server.port), "127.0.0.1", port, reuse_port=True)
            await feed.settled(200)
            again.close()

    assert feed.delivered_seqs == list(range(1, 201))


def _to(port: int) -> Any:
    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, here = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pour(reader, here), pour(there, writer))

    return relay


class Owner:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.writable = 0
        self.ends: list[Exception | None] = []

    def link_made(self, link: Link) -> None:
        pass

    def link_received(self, link: Link, chunk: bytes) -> None:
        self.chunks.append(chunk)

    def link_writable(self, link: Link) -> None:
        self.writable += 1

    def link_lost(self, link: Link, error: Exception | None) -> None:
        self.ends.append(error)


async def opened(
    owner: Owner, *, max_packet_bytes: int = 1 << 20
) -> tuple[Link, socket.socket, asyncio.StreamReader, asyncio.StreamWriter]:
    """A link over a WebSocket over a socket pair, with the far side in our hands."""
    ours, theirs = socket.socketpair()
    link = Link(owner)
    place = split_broker_url("ws://b.example")
    client = WebSocketClient(link, place, server_name="b.example", headers={}, max_packet_bytes=max_packet_bytes)
    await asyncio.get_running_loop().create_connection(lambda: client, sock=ours)
    reader, writer = await asyncio.open_connection(sock=theirs)
    writer.write(switching(await reader.readuntil(b"\r\n\r\n")))
    await client.opened
    return link, theirs, reader, writer


async def test_a_message_may_hold_the_largest_packet_that_the_session_takes():
    """``max_packet`` of a source goes up to 256 MB; who raised it must not be cut off by another limit."""
    owner, size = Owner(), 17 << 20
    link, _, _, writer = await opened(owner, max_packet_bytes=20 << 20)

    writer.write(b"\x82\x7f" + size.to_bytes(8, "big") + bytes(size))
    await until(lambda: bool(owner.chunks or owner.ends))

    assert [len(chunk) for chunk in owner.chunks] == [size]
    assert owner.ends == []
    link.close()
    writer.close()


async def test_a_network_that_takes_nothing_makes_the_link_full_and_writable_again():
    """Back-pressure goes through the WebSocket: memory is bounded by it."""
    owner = Owner()
    link, _, reader, writer = await opened(owner)
    writer.transport.pause_reading()

    written = 0
    while not link.is_full and written < 1000:
        link.write([b"x" * 65_000])
        written += 1
        await asyncio.sleep(0)
    assert link.is_full
    writer.transport.resume_reading()
    received = 0
    while not owner.writable:
        received += len(await reader.read(1 << 20))

    assert not link.is_full
    assert received > 0
    link.close()
    writer.close()


async def test_small_acknowledgements_are_read_together_over_websocket(monkeypatch):
    """The link paces what it reads; that reaches the socket below the frames, and ends again."""
    pauses = []
    pause = _FrameTransport.pause_reading

    def counted(transport: _FrameTransport) -> None:
        pause(transport)
        pauses.append(transport._socket.below.is_reading())

    monkeypatch.setattr(_FrameTransport, "pause_reading", counted)
    owner = Owner()
    link, _, _, writer = await opened(owner)

    for _ in range(3):
        writer.write(b"\x82\x04\x40\x02\x00\x01" * 100)
        await until(lambda: b"".join(owner.chunks) == b"\x40\x02\x00\x01" * 100)
        owner.chunks.clear()

    assert pauses
    assert not any(pauses)
    link.close()
    writer.close()


async def test_nothing_is_written_or_read_after_the_goodbye():
    """What comes late belongs to a session that is over."""
    owner = Owner()
    link, _, reader, writer = await opened(owner)

    link.close()
    link.write([b"too late"])
    writer.write(b"\x82\x02\x20\x00")
    frame = await reader.read(100)
    writer.write(b"\x88\x02\x03\xe8")
    await link.closed
    rest = await reader.read()

    assert frame[0] == 0x88
    assert len(frame) == 8  # CLOSE with its mask and code, nothing else
    assert rest == b""
    assert owner.chunks == []
    assert owner.ends == [None]
    writer.close()


async def test_after_our_goodbye_the_servers_last_words_are_read():
    """The end of what we write is no end of what we read; with the server's goodbye it is over, in good order."""
    owner = Owner()
    link, _, reader, writer = await opened(owner)
    transport = link._transport
    assert transport is not None
    assert transport.can_write_eof()

    transport.write_eof()
    link.write([b"too late"])
    frame = await reader.readexactly(8)
    writer.write(b"\x82\x04\x40\x02\x00\x01")
    await until(lambda: bool(owner.chunks))
    writer.write(b"\x88\x02\x03\xe8")
    await link.closed
    rest = await reader.read()

    assert frame[0] == 0x88
    assert rest == b""
    assert owner.chunks == [b"\x40\x02\x00\x01"]
    assert owner.ends == [None]
    writer.close()


@pytest.mark.parametrize("when", ["while it is read", "while it is paced"])
async def test_a_goodbye_is_heard_also_when_reading_was_paced(when):
    """Else each stop under load would take the second that is for servers that hang."""
    owner = Owner()
    link, _, reader, writer = await opened(owner)
    if when == "while it is read":
        owner.link_received = lambda link, _chunk: link.close()  # type: ignore[method-assign]

    writer.write(b"\x82\x04\x40\x02\x00\x01" * 100)
    if when == "while it is paced":
        while not owner.chunks:
            await asyncio.sleep(0)
        link.close()
    began_s = asyncio.get_running_loop().time()
    await reader.readexactly(8)
    writer.write(b"\x88\x02\x03\xe8")
    await link.closed

    assert asyncio.get_running_loop().time() - began_s < 0.9
    writer.close()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_both_event_loops_carry_websocket_and_tls(tmp_path, loop):
    """uvloop where it has a wheel, else asyncio."""
    uvloop = pytest.importorskip("uvloop") if loop == "uvloop" else None
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    async def main() -> list[int]:
        feed = MemoryFeed()
        feed.add(make_events(1000))
        async with (
            ScriptedBroker().serving() as broker,
            WebSocketServer(broker.port).serving(server_context(authority, "127.0.0.1")) as server,
            running(
                feed, 1, mqtt={"url": f"wss://127.0.0.1:{server.port}/mqtt", "ca": str(tmp_path / "ca.pem")}
            ) as uplink,
        ):
            await feed.settled(1000)
            assert uplink.status.state == "connected"
        return feed.delivered_seqs

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop else None) as runner:
        assert runner.run(main()) == list(range(1, 1001))
