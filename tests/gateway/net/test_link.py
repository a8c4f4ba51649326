"""The socket under an uplink: many small acknowledgements are read together, a few are read at once."""

from __future__ import annotations

import asyncio
import socket

from fieldgate.net.link import Link
from gateway_kit import eventually

PUBACK = b"\x40\x02\x00\x01"


class Owner:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []

    def link_made(self, link: Link) -> None:
        pass

    def link_received(self, link: Link, chunk: bytes) -> None:
        self.chunks.append(chunk)

    def link_writable(self, link: Link) -> None:
        pass

    def link_lost(self, link: Link, error: Exception | None) -> None:
        pass


async def connected() -> tuple[Owner, Link, socket.socket, asyncio.Transport]:
    ours, theirs = socket.socketpair()
    owner = Owner()
    link = Link(owner)
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: link, sock=ours)
    return owner, link, theirs, transport


async def test_many_small_acknowledgements_are_read_together() -> None:
    """A server that acknowledges each message by itself must not wake the gateway for each."""
    owner, link, theirs, _ = await connected()
    loop = asyncio.get_running_loop()
    began_s = loop.time()

    for _ in range(2_000):
        theirs.send(PUBACK)
        await asyncio.sleep(0)  # the loop looks at its sockets
    await eventually("all is read", lambda: b"".join(owner.chunks) == PUBACK * 2_000)

    most_in_a_millisecond = 17
    assert len(owner.chunks) <= most_in_a_millisecond * ((loop.time() - began_s) * 1000 + 2)
    assert len(owner.chunks) < 1_000
    link.close()
    theirs.close()


async def test_a_few_acknowledgements_are_read_at_once() -> None:
    """One device that waits for each PUBACK before its next message must not wait for a pace."""
    owner, link, theirs, transport = await connected()

    for number in range(1, 50):
        theirs.send(PUBACK)
        await eventually("it is read", lambda number=number: len(owner.chunks) == number)
        assert transport.is_reading()
        await asyncio.sleep(0.0005)  # the round trip of a quick server

    link.close()
    theirs.close()
