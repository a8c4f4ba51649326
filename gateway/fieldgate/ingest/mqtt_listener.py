"""The gateway's own MQTT listener: devices connect here, and nothing is acknowledged before it is safe.

It accepts sockets within limits that hold before anybody has authenticated, and drives the deadlines of all
connections with one timer. Protocol: ``mqtt/server_session.py``; who may come in: ``gate.py``; events and
acknowledgements: ``mqtt_inbox.py``.

The order of a clean stop is the caller's: `stop` (nothing more is read), everything handed over is settled, then
`close_clients`. Cancelling `run` drops every connection at once.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import structlog

from fieldgate.clock import boot_s
from fieldgate.config.listen import ListenConfig
from fieldgate.ingest.access_thread import AccessThread
from fieldgate.ingest.crowd import Crowd
from fieldgate.ingest.echo import EchoGuard
from fieldgate.ingest.event_filter import EventFilter
from fieldgate.ingest.gate import Door, Gate
from fieldgate.ingest.inbox_terms import InboxLimits, InboxTally
from fieldgate.ingest.layers import Layer, LayerStack
from fieldgate.ingest.listen_sockets import BACKLOG, ListenError, open_sockets
from fieldgate.ingest.mqtt_connection import LINGER_S, MqttConnection
from fieldgate.ingest.mqtt_inbox import MqttInbox
from fieldgate.ingest.server_certificate import ServerCertificate
from fieldgate.ingest.source import Intake
from fieldgate.ingest.tls_layer import TlsLayer, user_of
from fieldgate.mqtt.handshake import SessionLimits
from fieldgate.mqtt.local_broker import LocalBroker
from fieldgate.mqtt.packets import Connect, Reason
from fieldgate.mqtt.server_session import Phase, ServerSession
from fieldgate.mqtt.session_state import SessionState
from fieldgate.net.server_tls import TlsFileError

if TYPE_CHECKING:
    from fieldgate.ingest.websocket_server import WebSocketLayer

__all__ = ["ListenError", "MqttListener"]

_TICK_S: Final = 0.25
_REFUSED_LOG_S: Final = 10.0  # a crowd at the door makes one line in this time
_LANES: Final = {"high": 0, "normal": 1, "low": 2}

log = structlog.get_logger("fieldgate")


class MqttListener:
    """One ``listen`` entry. The counters are plain attributes, read by status and metrics."""

    def __init__(
        self, settings: ListenConfig, intake: Intake, broker: LocalBroker, *, guard: EchoGuard | None = None
    ) -> None:
        self._guard = guard
        self.name = f"{settings.host}:{settings.port}"
        self.tally = InboxTally()
        self.connections: set[MqttConnection] = set()
        self.accepted = 0
        self.refused: Counter[str] = Counter()  # sockets turned away, by limit
        self.ended: Counter[str] = Counter()  # connections ended, by how
        self.started = asyncio.Event()
        self.transport = settings.transport if settings.tls is None else f"{settings.transport} with TLS"
        self.port = settings.port  # the real one, once started
        self._settings = settings
        self._websocket: type[WebSocketLayer] | None = None
        if settings.transport == "websocket":
            from fieldgate.ingest.websocket_server import WebSocketLayer  # its driver is a megabyte that few need

            self._websocket = WebSocketLayer
        self._intake = intake
        self._broker = broker
        self._filter = EventFilter(settings.events, max_levels=settings.max_topic_levels)
        self.crowd: Crowd[MqttConnection] = Crowd(
            max_strangers=settings.max_connecting,
            max_clients=settings.max_clients,
            max_per_address=settings.max_clients_per_address,
            may_go=_is_only_waiting,
        )
        self.gate = Gate(settings, name=self.name, is_full=self._exceeded)
        self.certificate = ServerCertificate(settings.tls, name=self.name) if settings.tls is not None else None
        self._thread: AccessThread | None = None
        self._lane = _LANES[settings.lane]
        self._refused_logged = 0
        self._is_loop_told = False
        self._refused_log_at_s = 0.0
        self._servers: list[asyncio.Server] = []
        self._all_gone = asyncio.Event()
        self._limits = SessionLimits(
            max_packet_bytes=settings.max_packet,
            connect_timeout_s=settings.connect_timeout,
            receive_maximum=settings.receive_maximum,
            max_unsent_bytes=settings.max_unsent,
            delivery_window=settings.max_in_flight,
            max_keep_alive_s=int(settings.max_keep_alive),
            max_subscriptions=settings.max_subscriptions,
            max_filter_bytes=settings.max_filters_size,
            max_topic_levels=settings.max_topic_levels,
            max_user_properties=settings.max_user_properties,
        )
        self._inbox_limits = InboxLimits(
            receive_maximum=settings.receive_maximum,
            max_unsettled_bytes=settings.max_unsettled,
            max_unreleased=settings.max_unreleased,
            topic_alias_maximum=self._limits.topic_alias_maximum,
        )

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            ListenError: the address cannot be bound, or must not be, or the TLS files cannot be used.
        """
        thread = self._thread = AccessThread(self.name, asyncio.get_running_loop())
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

    async def stop(self) -> None:
        """Accept nobody and read nothing more; acknowledgements still go out as events are settled."""
        has_listened = bool(self._servers)
        self._close_server()
        for connection in self.connections:
            connection.stop_reading()
        if has_listened:
            log.info("listener.stopped", listener=self.name, clients=len(self.connections))

    async def close_clients(self) -> None:
        """Tell every client that the gateway stops, and end its connection; takes a second at most."""
        for connection in list(self.connections):
            if connection.session is not None:
                connection.session.shut_down()
        lingered = asyncio.get_running_loop().call_later(LINGER_S, self._abort_all)
        try:
            while self.connections:
                self._all_gone.clear()
                await self._all_gone.wait()
        finally:
            lingered.cancel()

    @property
    def unacknowledged(self) -> int:
        """How many PUBLISHes of connected clients wait for their acknowledgement."""
        return sum(one.inbox.in_flight for one in self.connections if one.inbox is not None)

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

    def _new_connection(self) -> MqttConnection:
        return MqttConnection(self, max_unsent_bytes=self._limits.max_unsent_bytes)

    def _tick(self, thread: AccessThread) -> None:
        now_s = boot_s()
        for connection in list(self.connections):
            connection.tick(now_s)
        self._broker.tick(now_s)
        self.gate.tick(now_s, self._access_exchanged)
        if self.certificate is not None:
            self.certificate.tick(now_s, thread)
        refused = self.refused.total()
        if refused != self._refused_logged and now_s >= self._refused_log_at_s:
            log.warning("client.refused", listener=self.name, count=refused - self._refused_logged)
            self._refused_logged = refused
            self._refused_log_at_s = now_s + _REFUSED_LOG_S
        if self.tally.echoes and not self._is_loop_told:
            self._is_loop_told = True
            log.warning(
                "listener.echo_found", listener=self.name, meaning="a bridge brings back what was sent upstream"
            )

    def _access_exchanged(self) -> None:
        """Other users or rules are in force: judge every topic anew, and put out who is not welcome any more."""
        for connection in list(self.connections):
            if connection.inbox is not None:
                connection.inbox.rights_changed()
            if connection.session is None or connection.door is None:
                continue
            if not self.gate.is_still_welcome(connection.door):
                problem = "the user was removed or got another password"
                connection.session.fail(Reason.NOT_AUTHORIZED, problem)

    def _exceeded(self, address: str, client_id: str) -> str:
        """Which limit one more client would exceed; one that comes back takes its own old place."""
        limit = "" if self._broker.sessions.is_connected(client_id) else self.crowd.exceeded(address)
        if limit:
            self.refused[limit] += 1
        return limit

    # Owner

    def open_session(self, connection: MqttConnection, now_s: float) -> ServerSession | None:
        """See `Owner`."""
        if not self._servers:
            return None
        self.accepted += 1
        self.connections.add(connection)
        connection.door = Door(self.gate, connection.address)
        displaced = self.crowd.arrived(connection, connection.address)
        session = ServerSession(
            connection,
            broker=self._broker,
            authority=connection.door,
            limits=self._limits,
            open_inbox=connection.open_inbox,
            new_client_id=_new_client_id,
            now_s=now_s,
        )
        if displaced is not None:
            self.refused["max_connecting"] += 1
            one = session if displaced is connection else displaced.session
            if one is not None:
                one.fail(Reason.CONNECTION_RATE_EXCEEDED, "made room for another connection", at_once=True)
        return session

    def open_layers(self, connection: MqttConnection) -> LayerStack | None:
        """See `Owner`."""
        settings = self._settings
        layers: list[Layer] = []
        if self.certificate is not None and settings.tls is not None:
            user_from = settings.tls.user_from

            def opened(certificate: dict[str, Any] | None) -> None:
                if connection.door is not None:
                    connection.door.certificate_user = user_of(certificate, user_from)

            layers.append(TlsLayer(self.certificate.current.context, opened))
        if self._websocket is not None:
            layers.append(
                self._websocket(
                    path=settings.path, origins=settings.origins_asked, max_packet_bytes=settings.max_packet
                )
            )
        return LayerStack(layers) if layers else None

    def open_inbox(self, connection: MqttConnection, state: SessionState, connect: Connect) -> MqttInbox:
        """See `Owner`."""
        self.crowd.admitted(connection, connection.address)
        log.info(
            "client.connected",
            listener=self.name,
            client=_shown(connect.client_id),
            user=_shown(state.user),
            address=connection.address,
            mqtt="5" if connect.version == 5 else "3.1.1",
        )
        return MqttInbox(
            connection,
            state,
            version=connect.version,
            intake=self._intake,
            event_filter=self._filter,
            broker=self._broker,
            lane=self._lane,
            limits=self._inbox_limits,
            tally=self.tally,
            guard=self._guard,
        )

    def closed(self, connection: MqttConnection) -> None:
        """See `Owner`."""
        self.connections.discard(connection)
        self.crowd.left(connection, connection.address)
        session = connection.session
        if session is not None:
            self.ended[session.end_code] += 1
            door = connection.door
            was_in = connection.inbox is not None
            who = (session.user if was_in else door.asked) if door is not None else ""
            log.info(
                "client.disconnected" if was_in else "client.not_admitted",
                listener=self.name,
                client=_shown(session.client_id),
                user=_shown(who),
                address=connection.address,
                reason=session.end_reason,
            )
        if not self.connections:
            self._all_gone.set()


def _is_only_waiting(connection: MqttConnection) -> bool:
    return connection.session is None or connection.session.phase is Phase.WAITS_FOR_CONNECT


def _new_client_id() -> str:
    return f"fieldgate-{uuid.uuid4().hex}"


def _shown(client_id: str) -> str:
    """The id as a log may print it: a client must not write our log lines for us."""
    return (client_id if client_id.isprintable() else ascii(client_id))[:100]
