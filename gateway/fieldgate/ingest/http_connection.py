"""One accepted socket of an HTTP listener: it feeds an `HttpSession` and does what the session asks of it."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from fieldgate.clock import boot_s
from fieldgate.ingest.http_login import HttpLogin
from fieldgate.ingest.http_session import HttpSession, Phase
from fieldgate.ingest.http_socket import HttpSocket
from fieldgate.ingest.layers import LayerStack

__all__ = ["HttpConnection", "HttpOwner"]

_MAX_UNSENT_BYTES: Final = 64 * 1024  # of answers; with more of them nothing is read


class HttpOwner(Protocol):
    """The listener, as its connections see it."""

    def open_session(self, connection: HttpConnection, now_s: float) -> tuple[HttpSession, HttpLogin] | None:
        """A socket was accepted; None turns it away."""

    def open_layers(self, connection: HttpConnection) -> LayerStack | None:
        """Make what lies between this socket and its session; None: nothing does."""

    def admitted(self, connection: HttpConnection) -> None:
        """Its first request was let in."""

    def closed(self, connection: HttpConnection) -> None:
        """The socket is gone."""


class HttpConnection(HttpSocket):
    """Socket callbacks on one side, `HttpLink` (part of it inherited) on the other."""

    def __init__(self, owner: HttpOwner) -> None:
        super().__init__()
        self.session: HttpSession | None = None
        self.login: HttpLogin | None = None
        self._owner = owner
        self._goes_on: asyncio.Handle | None = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        transport = self._attach(transport)
        opened = self._owner.open_session(self, boot_s())
        if opened is None:
            transport.abort()
            return
        transport.set_write_buffer_limits(high=_MAX_UNSENT_BYTES)
        self.session, self.login = opened
        self._stack = self._owner.open_layers(self)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        session = self.session
        if session is None or session.phase is Phase.CLOSED:
            return
        if (end := self._pass_on(data, session)) is not None:
            session.lost(end.problem, code=end.code)
            self.close(at_once=False)

    def eof_received(self) -> bool:
        """See `asyncio.Protocol`. Who has nothing more to say may still wait for answers."""
        if self.session is None or self._stack is not None or self.abort_at_s is not None:
            return False
        self.session.receive_end(boot_s())
        return True

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        if self.session is not None:
            self._congested_since_s = boot_s()
            self.session.set_congested(True)

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        if self.session is not None:
            self._congested_since_s = None
            self.session.set_congested(False)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        if self._goes_on is not None:
            self._goes_on.cancel()
        if self.door is not None:
            self.door.is_gone = True
        if self.session is not None:
            self.session.lost("connection closed" if exc is None else f"connection broke: {exc}")
            self._owner.closed(self)

    # HttpLink

    def go_on_soon(self) -> None:
        """See `HttpLink`."""
        if self._goes_on is None:
            self._goes_on = asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._goes_on = None
        if self.session is not None:
            self.session.go_on(boot_s())

    def admitted(self) -> None:
        """See `HttpLink`."""
        if self._stack is not None:
            self._stack.admitted()
        self._owner.admitted(self)

    # for the listener

    def stop_reading(self) -> None:
        """Read nothing more, for good; what is written still goes out."""
        if self.session is not None:
            self.session.stop()

    def shut_down(self) -> None:
        """The gateway stops: say so, and end."""
        if self.session is not None:
            self.session.shut_down()

    def tick(self, now_s: float) -> None:
        """Deadlines; to be called a few times per second."""
        if self.abort_at_s is not None and now_s >= self.abort_at_s:
            self.abort()
        elif self._is_unread(now_s):
            if self.session is not None:
                self.session.fail("client_slow", "the client does not read its answers", at_once=True)
        elif self.session is not None:
            self.session.tick(now_s)
