"""MQTT over WebSocket: the upgrade, frames that have nothing to do with packets, and clients that break the rules."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.frames import CloseCode, Frame, Opcode

from access_kit import users_text, write_private
from fieldgate.ingest.mqtt_listener import MqttListener
from fieldgate.mqtt.codec import Decoder, encode
from fieldgate.mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    Subscription,
)
from gateway_kit import eventually
from listener_kit import RawClient, SettlingIntake, on_both_loops, serving
from tls_kit import Authority

CONNECT = encode(Connect("ws", 5), 5)


def upgrade(path: str = "/mqtt", *, protocol: str | None = "mqtt", origin: str | None = None, **headers: str) -> bytes:
    """The request of an honest client; ``headers`` replace its lines."""
    lines = {
        "Host": "gateway.local:9001",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": protocol,
        "Origin": origin,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"GET {path} HTTP/1.1\r\n{text}\r\n".encode()


class WebClient(RawClient):
    """A raw WebSocket client: it sends what a test tells it to, and reads frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer, 5)
        self.decoder = Decoder(version=5, max_packet_bytes=2**28, from_client=False)

    async def answer(self) -> bytes:
        """The whole head of the HTTP answer."""
        async with asyncio.timeout(20):
            head = await self.reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            self.writer.close()  # the server waits for it
        return head

    def frame(self, payload: bytes, opcode: Opcode = Opcode.BINARY, *, fin: bool = True, mask: bool = True) -> None:
        self.writer.write(Frame(opcode, payload, fin).serialize(mask=mask))

    async def frame_received(self) -> Frame:
        async with asyncio.timeout(20):
            head, length = await self.reader.readexactly(2)
            if length == 126:
                length = int.from_bytes(await self.reader.readexactly(2), "big")
            elif length == 127:
                length = int.from_bytes(await self.reader.readexactly(8), "big")
            return Frame(Opcode(head & 15), await self.reader.readexactly(length), bool(head & 128))

    async def packet(self) -> Packet:
        while not self.packets:
            frame = await self.frame_received()
            assert frame.opcode is Opcode.BINARY
            self.packets += self.decoder.feed(bytes(frame.data))
        return self.packets.pop(0)

    async def close_code(self) -> int:
        """The code of the close frame, which must be the last thing; everything before it is left out."""
        while (frame := await self.frame_received()).opcode is not Opcode.CLOSE:
            pass
        async with asyncio.timeout(20):
            assert await self.reader.read() == b""
        self.writer.close()  # the server waits for it
        return int.from_bytes(frame.data[:2], "big")


@pytest.fixture
async def listener() -> AsyncIterator[MqttListener]:
    async with serving(SettlingIntake(), transport="websocket", connect_timeout=2) as running:
        yield running


async def open_raw(port: int, request: bytes) -> WebClient:
    client = WebClient(*await asyncio.open_connection("127.0.0.1", port))
    client.writer.write(request)
    return client


async def open_web(port: int, **request: str) -> WebClient:
    client = await open_raw(port, upgrade(**request))
    head = await client.answer()
    assert head.startswith(b"HTTP/1.1 101 "), head
    assert b"Sec-WebSocket-Protocol: mqtt\r\n" in head
    return client


async def connected(port: int) -> WebClient:
    client = await open_web(port)
    client.frame(CONNECT)
    assert isinstance(await client.packet(), ConnAck)
    return client


@pytest.mark.clause("MQTT5-6.0.0-1", "MQTT311-6.0.0-1", "MQTT5-6.0.0-4", "MQTT311-6.0.0-4")
@on_both_loops
async def test_mqtt_goes_both_ways_in_binary_frames() -> None:
    """[MQTT-6.0.0-1], [MQTT-6.0.0-4]."""
    async with serving(SettlingIntake(), transport="websocket") as listener:
        client = await connected(listener.port)
        client.frame(encode(Subscribe(1, (Subscription("t", 1),)), 5))
        assert await client.packet() == SubAck(1, (1,))

        client.frame(encode(Publish("t", b"x" * 70_000, 1, packet_id=2), 5))

        packets = [await client.packet(), await client.packet()]
        assert PubAck(2) in packets
        assert any(isinstance(one, Publish) and one.payload == b"x" * 70_000 for one in packets)


@pytest.mark.clause("MQTT5-6.0.0-2", "MQTT311-6.0.0-2")
async def test_packets_and_frames_have_nothing_to_do_with_each_other(listener: MqttListener) -> None:
    """[MQTT-6.0.0-2]: a packet over many frames, many packets in one, a frame in pieces, pings in between."""
    client = await open_web(listener.port)
    for byte in CONNECT[:-1]:
        client.frame(bytes([byte]))
    client.frame(CONNECT[-1:] + b"".join(encode(Publish("t", b"a", 1, packet_id=one), 5) for one in range(1, 4)))
    assert isinstance(await client.packet(), ConnAck)
    assert [await client.packet() for _ in range(3)] == [PubAck(1), PubAck(2), PubAck(3)]

    whole = encode(Publish("t", b"b" * 300, 1, packet_id=4), 5) + encode(Publish("t", b"c", 1, packet_id=5), 5)
    client.frame(whole[:100], fin=False)
    client.frame(b"", Opcode.CONT, fin=False)
    client.frame(b"are you there", Opcode.PING)
    client.frame(whole[100:], Opcode.CONT)

    pong = await client.frame_received()
    assert (pong.opcode, pong.data) == (Opcode.PONG, b"are you there")
    assert [await client.packet(), await client.packet()] == [PubAck(4), PubAck(5)]


async def test_the_upgrade_itself_may_come_in_any_pieces(listener: MqttListener) -> None:
    """And the first frame in the same segment as its end."""
    client = WebClient(*await asyncio.open_connection("127.0.0.1", listener.port))
    request = upgrade()
    for start in range(0, len(request) - 10, 10):
        client.writer.write(request[start : start + 10])
        await client.writer.drain()
        await asyncio.sleep(0)
    client.writer.write(request[len(request) - len(request) % 10 - (10 if len(request) % 10 == 0 else 0) :])
    client.frame(CONNECT)

    assert (await client.answer()).startswith(b"HTTP/1.1 101 ")
    assert isinstance(await client.packet(), ConnAck)


REFUSED = {
    "plain HTTP": (b"GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n", b"426 "),
    "no subprotocol": (upgrade(protocol=None), b"400 "),
    "another subprotocol": (upgrade(protocol="chat, wamp"), b"400 "),
    "another path": (upgrade("/"), b"404 "),
    "no key": (upgrade(Sec_WebSocket_Key=None), b"400 "),  # type: ignore[arg-type]
    "another version": (upgrade(Sec_WebSocket_Version="8"), b"400 "),
    "a POST": (b"POST /mqtt HTTP/1.1\r\nHost: x\r\n\r\n", b"400 "),
    "no HTTP": (b"hello\r\n\r\n", b"400 "),
    "a line without end": (b"GET /" + b"x" * 10_000, b"400 "),
    "too many headers": (b"GET /mqtt HTTP/1.1\r\n" + b"A: b\r\n" * 300 + b"\r\n", b"400 "),
    "a page from elsewhere": (upgrade(origin="https://evil.example"), b"403 "),
}


@pytest.mark.parametrize(("request_", "status"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_no_upgrade_to_mqtt_is_answered_and_closed(
    listener: MqttListener, request_: bytes, status: bytes
) -> None:
    """A browser and a person see why."""
    client = await open_raw(listener.port, request_)

    head = await client.answer()

    assert head.startswith(b"HTTP/1.1 " + status)
    assert (b"Upgrade: websocket" in head) is (status == b"426 ")
    async with asyncio.timeout(20):
        await client.reader.read()  # the end
    await eventually("it is counted", lambda: listener.ended == {"websocket_refused": 1})


@pytest.mark.parametrize(
    "request_", [upgrade("/elsewhere"), upgrade(origin="https://evil.example")], ids=["404", "403"]
)
async def test_nothing_behind_a_refused_upgrade_is_heard(listener: MqttListener, request_: bytes) -> None:
    """Who does not wait for the answer is refused all the same: no session, no event."""
    frames = Frame(Opcode.BINARY, CONNECT + encode(Publish("t", b"p", 1, packet_id=1), 5)).serialize(mask=True)

    client = await open_raw(listener.port, request_ + frames)

    assert (await client.answer()).startswith(b"HTTP/1.1 40")
    await eventually("it is counted", lambda: listener.ended.total() == 1)
    assert (listener.ended, listener.tally.publishes) == ({"websocket_refused": 1}, 0)


@pytest.mark.parametrize(
    ("origins", "origin", "is_allowed"),
    [
        (None, "http://gateway.local:9001", True),  # a page of this very host
        (None, "http://gateway.local:9002", False),
        (["https://dashboard.example"], "https://dashboard.example", True),
        (["https://dashboard.example"], "https://evil.example", False),
        (["*"], "https://evil.example", True),
        ([], "https://evil.example", False),
    ],
)
async def test_only_pages_that_may_connect_do(origins: list[str] | None, origin: str, is_allowed: bool) -> None:
    """A page that somebody opens on the gateway must not talk to devices through the loopback."""
    async with serving(SettlingIntake(), transport="websocket", origins=origins) as listener:
        client = await open_raw(listener.port, upgrade(origin=origin))

        assert (await client.answer()).startswith(b"HTTP/1.1 101 " if is_allowed else b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("gateway", True),
        ("localhost:9001", True),
        ("192.168.1.7:9001", True),
        ("[fd00::7]:9001", True),
        ("gateway.lan", True),
        ("evil.example:9001", False),
        ("evil.example", False),
        ("local.evil.example", False),
        ("[::1", False),
    ],
)
async def test_a_page_that_gave_its_own_name_our_address_is_a_stranger(host: str, is_allowed: bool) -> None:
    """DNS rebinding: the owner of evil.example lets it lead to 127.0.0.1, and the browser calls us by that name."""
    async with serving(SettlingIntake(), transport="websocket") as listener:
        client = await open_raw(listener.port, upgrade(origin=f"http://{host}", Host=host))

        assert (await client.answer()).startswith(b"HTTP/1.1 101 " if is_allowed else b"HTTP/1.1 403 ")


async def test_two_origins_are_none() -> None:
    """No browser sends two; whoever does hopes that another one is looked at."""
    async with serving(SettlingIntake(), transport="websocket", origins=["https://dashboard.example"]) as listener:
        lines = upgrade(origin="https://dashboard.example")
        client = await open_raw(listener.port, lines[:-2] + b"Origin: https://evil.example\r\n\r\n")

        assert (await client.answer()).startswith(b"HTTP/1.1 403 ")


async def test_where_everybody_logs_in_any_page_may_try(tmp_path: Path) -> None:
    """There is nothing that a browser would lend it."""
    users = write_private(tmp_path / "users", users_text(amy="apple"))
    async with serving(SettlingIntake(), transport="websocket", auth={"users": users}) as listener:
        client = await open_raw(listener.port, upgrade(origin="https://dashboard.example"))

        assert (await client.answer()).startswith(b"HTTP/1.1 101 ")


BROKEN = {
    "text": (Frame(Opcode.TEXT, b"hello").serialize(mask=True), CloseCode.UNSUPPORTED_DATA),
    "not masked": (Frame(Opcode.BINARY, CONNECT).serialize(mask=False), CloseCode.PROTOCOL_ERROR),
    "a reserved opcode": (b"\x83\x80\x00\x00\x00\x00", CloseCode.PROTOCOL_ERROR),
    "a reserved bit": (b"\xc2\x80\x00\x00\x00\x00", CloseCode.PROTOCOL_ERROR),
    "a continuation of nothing": (Frame(Opcode.CONT, b"x").serialize(mask=True), CloseCode.PROTOCOL_ERROR),
    "a ping that is too long": (b"\x89\xfe\x00\x80\x00\x00\x00\x00" + bytes(128), CloseCode.PROTOCOL_ERROR),
    "a frame of a terabyte": (b"\x82\xff\x00\x00\x01\x00\x00\x00\x00\x00", CloseCode.MESSAGE_TOO_BIG),
    "a frame that is too large for a stranger": (
        b"\x82\xff\x00\x00\x00\x00\x00\x03\x00\x00",
        CloseCode.MESSAGE_TOO_BIG,
    ),
}


async def test_who_is_in_may_send_a_frame_that_is_too_large_for_a_stranger(listener: MqttListener) -> None:
    """A packet within ``max_packet``, and many packets in one message."""
    client = await connected(listener.port)
    publishes = [Publish("t", bytes(200_000), 1, packet_id=number) for number in (1, 2, 3)]

    client.frame(b"".join(encode(one, 5) for one in publishes))

    assert [await client.packet() for _ in publishes] == [PubAck(1), PubAck(2), PubAck(3)]


@pytest.mark.parametrize(("bad", "code"), BROKEN.values(), ids=BROKEN.keys())
async def test_a_frame_that_breaks_the_rules_closes_with_the_right_code(
    listener: MqttListener, bad: bytes, code: CloseCode
) -> None:
    """RFC 6455 7.4.1; nothing is allocated for what was only announced."""
    client = await open_web(listener.port)

    client.writer.write(bad)

    assert await client.close_code() == code
    await eventually("it is counted", lambda: listener.ended == {"websocket_error": 1})


@pytest.mark.clause("MQTT5-6.0.0-1", "MQTT311-6.0.0-1")
async def test_a_text_frame_of_a_connected_client_closes_too(listener: MqttListener) -> None:
    """[MQTT-6.0.0-1]; packets that came before it count."""
    client = await connected(listener.port)
    client.frame(encode(Publish("t", b"x", 1, packet_id=1), 5))
    client.frame(b"hello", Opcode.TEXT)

    assert await client.close_code() == CloseCode.UNSUPPORTED_DATA
    assert listener.tally.events == 1


async def test_a_disconnect_and_a_close_frame_in_one_read_are_a_clean_end(listener: MqttListener) -> None:
    """Else the will of every client that says goodbye properly would be spoken."""
    client = await connected(listener.port)
    goodbye = Frame(Opcode.BINARY, encode(Disconnect(), 5)).serialize(mask=True)
    client.writer.write(goodbye + Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True))

    assert await client.close_code() == CloseCode.NORMAL_CLOSURE
    await eventually("it is counted", lambda: listener.ended == {"client_disconnect": 1})


async def test_a_close_frame_alone_is_a_lost_connection(listener: MqttListener) -> None:
    """MQTT's own goodbye is missing, so the will is due."""
    client = await connected(listener.port)
    client.frame(b"\x03\xe8", Opcode.CLOSE)

    assert await client.close_code() == CloseCode.NORMAL_CLOSURE
    await eventually("it is counted", lambda: listener.ended == {"connection_lost": 1})


async def test_the_gateway_says_goodbye_in_both_languages(listener: MqttListener) -> None:
    """DISCONNECT, then the close frame."""
    client = await connected(listener.port)

    await listener.close_clients()

    assert isinstance(await client.packet(), Disconnect)
    assert await client.close_code() == CloseCode.NORMAL_CLOSURE


async def test_a_client_that_only_pings_and_never_reads_is_cut_off() -> None:
    """Answers to pings wait in the socket like anything else, and are bounded like it."""
    async with serving(SettlingIntake(), transport="websocket", max_unsent=16 * 1024) as listener:
        client = await connected(listener.port)
        ping = Frame(Opcode.PING, b"x" * 125).serialize(mask=True) * 500

        async def flood() -> None:
            while not listener.ended:
                client.writer.write(ping)
                await client.writer.drain()

        try:
            async with asyncio.timeout(20):
                await flood()
        except ConnectionError:
            pass  # that is what it gets
        await eventually("it is cut off", lambda: listener.ended == {"quota_exceeded": 1})
        client.writer.transport.abort()


@on_both_loops
async def test_the_connect_deadline_covers_the_upgrade() -> None:
    """A WebSocket without a CONNECT is a stranger like any other."""
    async with serving(SettlingIntake(), transport="websocket", connect_timeout=0.4) as listener:
        halfway = await open_raw(listener.port, upgrade()[:-2])
        idle = await open_web(listener.port)

        async with asyncio.timeout(20):
            await halfway.reader.read()
            await idle.reader.read()
        await eventually("each is counted", lambda: listener.ended == {"connect_timeout": 2})


async def test_a_websocket_inside_of_tls(tmp_path: Path) -> None:
    """`wss://`: what browsers use."""
    authority = Authority()
    tls = authority.write_server(tmp_path)
    async with serving(SettlingIntake(), transport="websocket", tls=tls) as listener:
        client = WebClient(*await asyncio.open_connection("127.0.0.1", listener.port, ssl=authority.client_context()))
        client.writer.write(upgrade())
        assert (await client.answer()).startswith(b"HTTP/1.1 101 ")
        client.frame(CONNECT)

        assert isinstance(await client.packet(), ConnAck)
