"""One accepted socket of the metrics' port: it feeds a `ScrapeSession` and does what the session asks of it."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from fieldgate.clock import boot_s
from fieldgate.ingest.http_request import HttpRefusal
from fieldgate.ingest.http_socket import HttpSocket
from fieldgate.ingest.layers import LayerStack
from fieldgate.observe.metric import Dialect
from fieldgate.scrape.login import ScrapeLogin
from fieldgate.scrape.session import ScrapeSession

__all__ = ["ScrapeConnection", "ScrapeOwner"]

_MAX_UNSENT_BYTES: Final = 256 * 1024


class ScrapeOwner(Protocol):
    """The listener, as its connections see it."""

    def open_session(self, connection: ScrapeConnection, now_s: float) -> tuple[ScrapeSession, ScrapeLogin] | None:
        """A socket was accepted; None turns it away."""

    def open_layers(self, connection: ScrapeConnection) -> LayerStack | None:
        """Make what lies between this socket and its session; None: nothing does."""

    def room_for(self, connection: ScrapeConnection) -> HttpRefusal | None:
        """Why it cannot come in, if so."""

    def admitted(self, connection: ScrapeConnection) -> None:
        """Its first request was let in."""

    def wants(self, connection: ScrapeConnection, dialect: Dialect) -> None:
        """Gather the metrics for it."""

    def closed(self, connection: ScrapeConnection) -> None:
        """The socket is gone."""


class ScrapeConnection(HttpSocket):
    """Socket callbacks on one side, `ScrapeLink` (part of it inherited) on the other."""

    def __init__(self, owner: ScrapeOwner) -> None:
        super().__init__()
        self.session: ScrapeSession | None = None
        self._login: ScrapeLogin | None = None
        self._owner = owner

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        transport = self._attach(transport)
        opened = self._owner.open_session(self, boot_s())
        if opened is None:
            transport.abort()
            return
        transport.set_write_buffer_limits(high=_MAX_UNSENT_BYTES)
        self.session, self._login = opened
        self._stack = self._owner.open_layers(self)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        session = self.session
        if session is None or self.abort_at_s is not None:
            return
        if (end := self._pass_on(data, session)) is not None:
            session.lost(end.code)
            self.close(at_once=False)

    def eof_received(self) -> bool:
        """See `asyncio.Protocol`. Who has nothing more to say may still wait for its answer."""
        if self.session is None or self._stack is not None or self.abort_at_s is not None:
            return False
        self.session.receive(b"", boot_s())
        return True

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._congested_since_s = boot_s()

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._congested_since_s = None

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        if self.door is not None:
            self.door.is_gone = True
        if self.session is not None:
            self.session.lost()
            self._owner.closed(self)

    # ScrapeLink

    def judge(self, authorization: bytes | None) -> HttpRefusal | bool:
        """See `ScrapeLink`."""
        if (refusal := self._owner.room_for(self)) is not None:
            return refusal
        return self._login is not None and self._login.judge(authorization)

    def wants(self, dialect: Dialect) -> None:
        """See `ScrapeLink`."""
        self._owner.wants(self, dialect)

    def admitted(self) -> None:
        """See `ScrapeLink`."""
        if self._stack is not None:
            self._stack.admitted()
        self._owner.admitted(self)

    # for the listener

    def stop_reading(self) -> None:
        """The gateway stops: nobody is answered any more."""
        self.shut_down()

    def shut_down(self) -> None:
        """The same."""
        if self.session is not None:
            self.session.fail("stopping")

    def tick(self, now_s: float) -> None:
        """Deadlines; to be called a few times per second."""
        if self.abort_at_s is not None and now_s >= self.abort_at_s:
            self.abort()
        elif self._is_unread(now_s):
            if self.session is not None:
                self.session.fail("client_slow", at_once=True)
        elif self.session is not None:
            self.session.tick(now_s)
