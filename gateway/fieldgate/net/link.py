"""The socket under an MQTT client: one TCP or TLS connection as an asyncio protocol."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Sequence
from typing import Final, Protocol, cast

__all__ = ["Link", "LinkOwner"]

_WRITE_BUFFER_BYTES: Final = 256 * 1024
_PACE_S: Final = 0.001
_PACED_BYTES: Final = 64  # 16 PUBACKs
_QUICK_ACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)  # Linux only


class LinkOwner(Protocol):
    """Who is told; each call is on the event loop."""

    def link_made(self, link: Link) -> None:
        """Connected (and TLS agreed on); the owner may write."""

    def link_received(self, link: Link, chunk: bytes) -> None:
        """Bytes came."""

    def link_writable(self, link: Link) -> None:
        """The network has taken what was too much for it."""

    def link_lost(self, link: Link, error: Exception | None) -> None:
        """It is over; None: the far side closed it in good order, or we did."""


class Link(asyncio.Protocol):
    """One connection. ``is_full``: the network takes less than we write; ``closed`` is done when it is over.

    A server that acknowledges each message by itself would wake us for each. So where more than 16 PUBACKs come
    within a millisecond, the socket is left alone until the next one: they are read, settled and followed by new
    messages together. That halves the CPU per event, at a millisecond of delay.
    """

    def __init__(self, owner: LinkOwner) -> None:
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._loop = asyncio.get_running_loop()
        self._looked_s = 0.0
        self._read_bytes = 0
        self._is_paused = False
        self.is_full = False
        self.closed: asyncio.Future[None] = self._loop.create_future()

    def write(self, packets: Sequence[bytes]) -> None:
        """Send in one write; never blocks. What is written to a connection that is over is gone."""
        transport = self._transport
        if packets and transport is not None and not transport.is_closing():  # uvloop's raise then
            transport.write(packets[0] if len(packets) == 1 else b"".join(packets))

    def hurry(self) -> None:
        """Let TCP acknowledge at once what was read.

        A server that gathers its small PUBACKs (Nagle's algorithm) holds them back until then, and TCP would wait
        40 ms for something to send along.
        """
        if self._socket is not None and _QUICK_ACK is not None:
            with contextlib.suppress(OSError):  # closed meanwhile
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)

    def pause(self) -> None:
        """Read nothing more until `resume`; what the loop has read already may still be told."""
        self._is_paused = True
        transport = self._transport
        if transport is not None and not transport.is_closing() and transport.is_reading():
            transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        self._is_paused = False
        self._read_on()

    def finish(self) -> None:
        """Write nothing more and wait for the far side to close; what it still says is read.

        Closing a socket with unread input resets it, and the reset would overtake our last words.
        """
        transport = self._transport
        if transport is not None and not transport.is_closing():
            if transport.can_write_eof():
                transport.write_eof()
            self.resume()

    def close(self) -> None:
        """Close in good order if everything written has left, else at once: a dead link never takes the rest."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size():
            transport.abort()
        else:
            transport.close()

    @property
    def tls(self) -> ssl.SSLObject | None:
        """What TLS has agreed on, once connected; None where there is none."""
        return None if self._transport is None else self._transport.get_extra_info("ssl_object")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclass of it
        transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        self._socket = transport.get_extra_info("socket")
        self._owner.link_made(self)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._owner.link_received(self, data)
        now_s = self._loop.time()
        if now_s - self._looked_s >= _PACE_S:
            self._looked_s, self._read_bytes = now_s, 0
        self._read_bytes += len(data)
        transport = self._transport
        if self._read_bytes > _PACED_BYTES and transport is not None and transport.is_reading():
            transport.pause_reading()
            self._loop.call_later(_PACE_S, self._read_on)

    def _read_on(self) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing() and not self._is_paused:
            transport.resume_reading()

    def pause_writing(self) -> None:
        """Called by the loop."""
        self.is_full = True

    def resume_writing(self) -> None:
        """Called by the loop."""
        self.is_full = False
        self._owner.link_writable(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._socket = None
        if not self.closed.done():
            self.closed.set_result(None)
        self._owner.link_lost(self, exc)
