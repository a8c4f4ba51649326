"""One accepted socket of an MQTT listener: it feeds a `ServerSession` and does what the session asks of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from fieldgate.clock import boot_s
from fieldgate.ingest.layered_socket import LayeredSocket
from fieldgate.ingest.layers import LayerStack
from fieldgate.ingest.mqtt_inbox import MqttInbox
from fieldgate.mqtt.packets import Connect, Packet, Reason
from fieldgate.mqtt.server_session import Phase, ServerSession
from fieldgate.mqtt.session_roles import Inbox
from fieldgate.mqtt.session_state import SessionState

__all__ = ["MqttConnection", "Owner"]

_SOFT_LIMIT: Final = 2  # a client is congested when its socket holds 1/2 of what it may at most


class Owner(Protocol):
    """The listener, as its connections see it."""

    def open_session(self, connection: MqttConnection, now_s: float) -> ServerSession | None:
        """A socket was accepted; None turns it away."""

    def open_layers(self, connection: MqttConnection) -> LayerStack | None:
        """Make what lies between this socket and its session; None: nothing does."""

    def open_inbox(self, connection: MqttConnection, state: SessionState, connect: Connect) -> MqttInbox:
        """A client has connected."""

    def closed(self, connection: MqttConnection) -> None:
        """The socket is gone."""


class MqttConnection(LayeredSocket):
    """Socket callbacks on one side, `Link` (most of it inherited) and `Throttle` on the other."""

    def __init__(self, owner: Owner, *, max_unsent_bytes: int) -> None:
        super().__init__()
        self.session: ServerSession | None = None
        self.inbox: MqttInbox | None = None
        self._owner = owner
        self._max_unsent_bytes = max_unsent_bytes
        self._may_read = True
        self._receive: Callable[[bytes, float], None] | None = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        transport = self._attach(transport)
        session = self._owner.open_session(self, boot_s())
        if session is None:
            transport.abort()
            return
        transport.set_write_buffer_limits(high=self._max_unsent_bytes // _SOFT_LIMIT)
        self.session = session
        self._stack = self._owner.open_layers(self)
        self._receive = session.receive if self._stack is None else self._receive_layered

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._receive is not None:
            self._receive(data, boot_s())

    def _receive_layered(self, chunk: bytes, now_s: float) -> None:
        stack, session = self._stack, self.session
        assert stack is not None
        assert session is not None
        if session.phase is Phase.CLOSED:
            return
        said = stack.receive(chunk)
        self._write_raw(stack.take_output())
        if said:
            session.receive(said, now_s)
        if (end := stack.ended) is not None:
            session.lost(end.problem, now_s, code=end.code)
        elif self.unsent_bytes() > self._max_unsent_bytes:  # answers to pings, which the session knows nothing of
            session.fail(Reason.QUOTA_EXCEEDED, "client does not read", at_once=True)

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        if self.session is not None:
            self.session.set_congested(True, boot_s())

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        if self.session is not None:
            self.session.set_congested(False, boot_s())

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        if self.door is not None:
            self.door.is_gone = True
        if self.session is not None:
            self.session.lost("connection closed" if exc is None else f"connection broke: {exc}", boot_s())
            self._owner.closed(self)

    # Throttle

    def pause_reading(self) -> None:
        """See `Throttle`."""
        if self._transport is not None and self.session is not None:
            self.session.is_reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """See `Throttle`."""
        if self._may_read and self._transport is not None and self.session is not None:
            self.session.resumed_reading(boot_s())
            self._transport.resume_reading()

    def flush(self) -> None:
        """See `Throttle`."""
        if self.session is not None:
            self.session.flush()

    def fitting(self, packet: Packet) -> bytes:
        """See `Throttle`."""
        assert self.session is not None
        return self.session.fitting(packet)

    # for the listener

    def stop_reading(self) -> None:
        """Read nothing more, for good; what is written still goes out."""
        self._may_read = False
        self.pause_reading()

    def shut_down(self) -> None:
        """The gateway stops: tell the client, and end."""
        if self.session is not None:
            self.session.shut_down()

    def tick(self, now_s: float) -> None:
        """Deadlines; to be called a few times per second."""
        if self.abort_at_s is not None and now_s >= self.abort_at_s:
            self.abort()
        elif self.session is not None:
            self.session.tick(now_s)
            if self.inbox is not None and self.session.phase is Phase.CONNECTED:
                self.inbox.retry()

    def open_inbox(self, session: ServerSession, state: SessionState, connect: Connect) -> Inbox:
        """The session has a client: make the inbox for what it publishes."""
        if self._stack is not None:
            self._stack.admitted()
        self.inbox = self._owner.open_inbox(self, state, connect)
        return self.inbox
