"""The socket of one connection of a listener, and what lies between it and its session: TLS, WebSocket, or nothing.

A plain connection has no layers and pays nothing for them.

A connection that ends is half-closed and drained for a moment first: closing a socket with unread input resets it, and
the reset would overtake the last words that tell the client why.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from fieldgate.clock import boot_s
from fieldgate.ingest.crowd import plain_address
from fieldgate.ingest.gate import Door
from fieldgate.ingest.layers import LayerStack

__all__ = ["LINGER_S", "LayeredSocket"]

LINGER_S: Final = 1.0


class LayeredSocket(asyncio.Protocol):
    """What connections of every protocol share; who reads and what it means is for each of them."""

    def __init__(self) -> None:
        self.address = ""
        self.abort_at_s: float | None = None
        self.door: Door | None = None
        self._transport: asyncio.Transport | None = None
        self._stack: LayerStack | None = None

    def _attach(self, transport: asyncio.BaseTransport) -> asyncio.Transport:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclass of it
        peer = transport.get_extra_info("peername")
        self.address = plain_address(str(peer[0])) if peer else ""
        return self._transport

    def write(self, chunk: bytes) -> None:
        """Send; never blocks."""
        self._write_raw(chunk if self._stack is None else self._stack.send(chunk))

    def _write_raw(self, chunk: bytes) -> None:
        if chunk and self._transport is not None and not self._transport.is_closing():
            self._transport.write(chunk)

    def unsent_bytes(self) -> int:
        """How much `write` took that the network has not."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def close(self, *, at_once: bool) -> None:
        """End the connection, after what was written unless ``at_once``; nothing more is delivered."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        stack = self._stack
        if at_once and (stack is None or stack.ended is None):
            transport.abort()
            return
        if stack is not None:
            self._write_raw(stack.end())
        self.abort_at_s = boot_s() + LINGER_S
        try:
            transport.write_eof()
        except OSError:  # the other side has reset it, and the loop has not noticed yet
            transport.abort()
        else:
            transport.resume_reading()

    def abort(self) -> None:
        """Drop the socket."""
        if self._transport is not None:
            self._transport.abort()
