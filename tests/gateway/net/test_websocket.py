"""MQTT over WebSocket: the same promises as over TCP, in both event loops, until one side says goodbye."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from uplink_kit import (
    FAST,
    MemoryFeed,
    ScriptedBroker,
    end_of,
    free_port,
    make_event,
    make_events,
    running,
    until,
)
from way_kit import WebSocketServer, pour, server_context
from websocket_kit import switching, ws

trustme = pytest.importorskip("trustme", reason="certificates are made with trustme")


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
    async with asyncio.timeout(20):
        async with running(MemoryFeed(), 1, mqtt=ws(server.sockets[0].getsockname()[1])) as uplink:
            await until(lambda: uplink.status.state == "connected")
            began_s = asyncio.get_running_loop().time()
        took_s = asyncio.get_running_loop().time() - began_s
    gate.set()
    server.close()

    assert 0.9 < took_s < 5


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
