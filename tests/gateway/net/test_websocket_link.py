"""What a link over a WebSocket does with back-pressure and goodbyes, with the far side in our hands."""

from __future__ import annotations

import asyncio
import socket

import pytest

from fieldgate.config.urls import split_broker_url
from fieldgate.net.link import Link
from fieldgate.net.websocket_client import WebSocketClient, _FrameTransport
from uplink_kit import until
from websocket_kit import switching


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
