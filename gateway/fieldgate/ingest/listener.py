"""What a listener of any protocol is: sockets, who is at the door, deadlines, and the order of a clean stop.

It accepts sockets within limits that hold before anybody has authenticated, and drives the deadlines of all
connections with one timer. What is spoken on them is for the classes made of it: `MqttListener`, `HttpListener`.

The order of a clean stop is the caller's: `stop` (nothing more is read), everything handed over is settled, then
`close_clients`. Cancelling `run` drops every connection at once.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, Protocol, TypeVar

import structlog

from fieldgate.clock import boot_s
from fieldgate.config.listen import ListenConfig
from fieldgate.ingest.access_files import Access
from fieldgate.ingest.access_thread import AccessThread
from fieldgate.ingest.crowd import Crowd
from fieldgate.ingest.event_filter import EventFilter
from fieldgate.ingest.gate import Door, Gate
from fieldgate.ingest.layered_socket import LINGER_S
from fieldgate.ingest.layers import Layer
from fieldgate.ingest.listen_sockets import BACKLOG, ListenError, open_sockets
from fieldgate.ingest.server_certificate import ServerCertificate
from fieldgate.ingest.tls_layer import TlsLayer, user_of
from fieldgate.net.server_tls import ServerTls, TlsFileError
from fieldgate_devices.catalogue import Catalogue

__all__ = ["LANES", "Listener", "Served", "shown"]

LANES: Final = {"high": 0, "normal": 1, "low": 2}

_TICK_S: Final = 0.25
_REFUSED_LOG_S: Final = 10.0  # a crowd at the door makes one line in this time

log = structlog.get_logger("fieldgate")


class Served(Hashable, Protocol):
    """A connection, as its listener sees it."""

    address: str
    door: Door | None

    def stop_reading(self) -> None:
        """Read nothing more, for good; what is written still goes out."""

    def shut_down(self) -> None:
        """The gateway stops: say so, if there is a way to, and end."""

    def abort(self) -> None:
        """Drop the socket."""

    def tick(self, now_s: float) -> None:
        """Deadlines; called a few times per second."""


C = TypeVar("C", bound=Served)


class Listener(ABC, Generic[C]):
    """One ``listen`` entry. The counters are plain attributes, read by status and metrics."""

    def __init__(self, settings: ListenConfig, *, transport: str, may_go: Callable[[C], bool]) -> None:
        """``may_go`` says whether a stranger may be asked to make room for another one."""
        self.name = f"{settings.host}:{settings.port}"
        self.connections: set[C] = set()
        self.accepted = 0
        self.refused: Counter[str] = Counter()  # sockets turned away, by limit
        self.ended: Counter[str] = Counter()  # connections ended, by how
        self.started = asyncio.Event()
        self.transport = transport if settings.tls is None else f"{transport} with TLS"
        self.port = settings.port  # the real one, once started
        self.crowd: Crowd[C] = Crowd(
            max_strangers=settings.max_connecting,
            max_clients=settings.max_clients,
            max_per_address=settings.max_clients_per_address,
            may_go=may_go,
        )
        self.gate = Gate(settings, name=self.name, is_full=self._exceeded)
        self.certificate = ServerCertificate(settings.tls, name=self.name) if settings.tls is not None else None
        self.events = EventFilter(settings.events, max_levels=settings.max_topic_levels)
        self._settings = settings
        self._refused_logged = 0
        self._refused_log_at_s = 0.0
        self._servers: list[asyncio.Server] = []
        self._all_gone = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            ListenError: the address cannot be bound, or must not be, or the TLS files cannot be used.
        """
        thread = AccessThread(self.name, asyncio.get_running_loop())
        try:
            self.gate.open(thread)
            if self.certificate is not None:
                self.certificate.open()
            self._servers = await self._bind()
            log.info("listener.started", listener=self.name, port=self.port)
            self.started.set()
            while True:
                await asyncio.sleep(_TICK_S)
                self._tick(thread)
        except TlsFileError as error:
            raise ListenError(f"{self.name}: {error}") from error
        finally:
            self._close_server()
            self._abort_all()
            thread.close()
            self.started.clear()

    def use(self, catalogue: Catalogue) -> None:
        """From now on by these profiles: they say which topics are those of commands."""
        self.events.use(lambda topic: bool(catalogue.command_of(topic)))

    def reconfigure(self, settings: ListenConfig, access: Access, tls: ServerTls | None) -> None:
        """From now on by these settings, of which only those differ that may (`fieldgate.config.changes`).

        ``access`` and ``tls`` are what was read of their files, all of it valid. Connections that are there live on,
        under the limits that they came in with; who is not welcome any more is put out.
        """
        self._settings = settings
        self.crowd.limit(
            max_strangers=settings.max_connecting,
            max_clients=settings.max_clients,
            max_per_address=settings.max_clients_per_address,
        )
        self._limit(settings)
        self.gate.use(settings, access, self._access_exchanged)
        if self.certificate is not None and settings.tls is not None and tls is not None:
            self.certificate.use(settings.tls, tls)

    async def stop(self) -> None:
        """Accept nobody and read nothing more; acknowledgements still go out as events are settled."""
        has_listened = self.started.is_set()
        self._close_server()
        for connection in list(self.connections):
            connection.stop_reading()
        if has_listened:
            log.info("listener.stopped", listener=self.name, clients=len(self.connections))

    async def close_clients(self) -> None:
        """Tell every client that the gateway stops, and end its connection; takes a second at most."""
        for connection in list(self.connections):
            connection.shut_down()
        lingered = asyncio.get_running_loop().call_later(LINGER_S, self._abort_all)
        try:
            while self.connections:
                self._all_gone.clear()
                await self._all_gone.wait()
        finally:
            lingered.cancel()

    async def _bind(self) -> list[asyncio.Server]:
        settings = self._settings
        sockets = await open_sockets(settings.host, settings.port, is_open_door=settings.is_open_door)
        self.port = sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        return [await loop.create_server(self._new_connection, sock=one, backlog=BACKLOG) for one in sockets]

    def _close_server(self) -> None:
        for server in self._servers:
            server.close()
        self._servers = []

    def _abort_all(self) -> None:
        for connection in list(self.connections):
            connection.abort()

    def _tick(self, thread: AccessThread) -> None:
        now_s = boot_s()
        for connection in list(self.connections):
            connection.tick(now_s)
        self._tick_own(now_s)
        self.gate.tick(now_s, self._access_exchanged)
        if self.certificate is not None:
            self.certificate.tick(now_s, thread)
        refused = self.refused.total()
        if refused != self._refused_logged and now_s >= self._refused_log_at_s:
            log.warning("client.refused", listener=self.name, count=refused - self._refused_logged)
            self._refused_logged = refused
            self._refused_log_at_s = now_s + _REFUSED_LOG_S

    # for what is made of it

    @abstractmethod
    def _new_connection(self) -> asyncio.Protocol:
        """A socket was accepted: make what serves it, a `C`."""

    @abstractmethod
    def _limit(self, settings: ListenConfig) -> None:
        """From now on these limits hold for new connections."""

    @abstractmethod
    def _tick_own(self, now_s: float) -> None:
        """What else is to be looked at a few times per second."""

    @abstractmethod
    def _access_exchanged(self) -> None:
        """Other users or rules are in force: put out who is not welcome any more."""

    @abstractmethod
    def _exceeded(self, address: str, client_id: str) -> str:
        """Which limit one more client would exceed, or an empty text; counted in ``refused`` if one is."""

    def _arrive(self, connection: C) -> tuple[Door, C | None]:
        """Count a connection in; returns its door, and the stranger that has to make room for it: itself at worst."""
        self.accepted += 1
        self.connections.add(connection)
        door = connection.door = Door(self.gate, connection.address)
        displaced = self.crowd.arrived(connection, connection.address)
        if displaced is not None:
            self.refused["max_connecting"] += 1
        return door, displaced

    def _leave(self, connection: C) -> None:
        """Its socket is gone."""
        self.connections.discard(connection)
        self.crowd.left(connection, connection.address)

    def _say_if_empty(self) -> None:
        """To be called last, when a connection has left."""
        if not self.connections:
            self._all_gone.set()

    def _tls_layers(self, connection: C) -> list[Layer]:
        """What lies lowest on a socket: TLS, whose certificate may name the client's user, or nothing."""
        if self.certificate is None or self._settings.tls is None:
            return []
        user_from = self._settings.tls.user_from

        def opened(certificate: dict[str, Any] | None) -> None:
            if connection.door is not None:
                connection.door.certificate_user = user_of(certificate, user_from)

        return [TlsLayer(self.certificate.current.context, opened)]


def shown(name: str) -> str:
    """A name as a log may print it: a client must not write our log lines for us."""
    return (name if name.isprintable() else ascii(name))[:100]
