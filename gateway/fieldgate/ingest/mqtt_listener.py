"""The gateway's own MQTT listener: devices connect here, and nothing is acknowledged before it is safe.

It accepts sockets within limits that hold before anybody has authenticated, and drives the deadlines of all
connections with one timer. Protocol: ``mqtt/server_session.py``; who may come in: ``gate.py``; events and
acknowledgements: ``mqtt_inbox.py``.

The order of a clean stop is the caller's: `stop` (nothing more is read), everything handed over is settled, then
`close_clients`. Cancelling `run` drops every connection at once.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Final

import structlog

from fieldgate.clock import boot_s
from fieldgate.config.listen import ListenConfig
from fieldgate.errors import FieldgateError
from fieldgate.ingest.event_filter import EventFilter
from fieldgate.ingest.gate import Door, Gate
from fieldgate.ingest.mqtt_connection import LINGER_S, MqttConnection
from fieldgate.ingest.mqtt_inbox import InboxLimits, InboxTally, MqttInbox
from fieldgate.ingest.source import Intake
from fieldgate.mqtt.handshake import SessionLimits
from fieldgate.mqtt.local_broker import LocalBroker, SessionState
from fieldgate.mqtt.packets import Connect, Reason
from fieldgate.mqtt.server_session import ServerSession

__all__ = ["ListenError", "MqttListener"]

_TICK_S: Final = 0.25
_BACKLOG: Final = 256
_REFUSED_LOG_S: Final = 10.0  # a crowd at the door makes one line in this time
_LANES: Final = {"high": 0, "normal": 1, "low": 2}

log = structlog.get_logger("fieldgate")


class ListenError(FieldgateError):
    """The listener cannot use its address."""


class MqttListener:
    """One ``listen`` entry. The counters are plain attributes, read by status and metrics."""

    def __init__(self, settings: ListenConfig, intake: Intake, broker: LocalBroker) -> None:
        self.name = f"{settings.host}:{settings.port}"
        self.tally = InboxTally()
        self.connections: set[MqttConnection] = set()
        self.accepted = 0
        self.refused: Counter[str] = Counter()  # sockets turned away, by limit
        self.ended: Counter[str] = Counter()  # connections ended, by how
        self.started = asyncio.Event()
        self.port = settings.port  # the real one, once started
        self._settings = settings
        self._intake = intake
        self._broker = broker
        self._filter = EventFilter(settings.events)
        self.gate = Gate(settings, name=self.name, is_full=self._exceeded)
        self._lane = _LANES[settings.lane]
        self._per_address: Counter[str] = Counter()
        self._refused_logged = 0
        self._refused_log_at_s = 0.0
        self._servers: list[asyncio.Server] = []
        self._all_gone = asyncio.Event()
        self._limits = SessionLimits(
            max_packet_bytes=settings.max_packet,
            connect_timeout_s=settings.connect_timeout,
            receive_maximum=settings.receive_maximum,
            max_unsent_bytes=settings.max_unsent,
        )
        self._inbox_limits = InboxLimits(
            receive_maximum=settings.receive_maximum,
            max_unsettled_bytes=settings.max_unsettled,
            topic_alias_maximum=self._limits.topic_alias_maximum,
        )

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            ListenError: the address cannot be bound, or must not be.
        """
        try:
            self.gate.open()
            self._servers = await self._bind()
            log.info("listener.started", listener=self.name, port=self.port)
            self.started.set()
            while True:
                await asyncio.sleep(_TICK_S)
                self._tick()
        finally:
            self._close_server()
            self._abort_all()
            self.gate.close()
            self.started.clear()

    async def stop(self) -> None:
        """Accept nobody and read nothing more; acknowledgements still go out as events are settled."""
        self._close_server()
        for connection in self.connections:
            connection.stop_reading()
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
        """Listen on every address of the host that this machine has (``localhost`` may be two, or one of them)."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._settings.host, self._settings.port, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))
            for _, host in addresses:
                is_open = self._settings.admits_anonymous
                if is_open and not ipaddress.ip_address(host).is_loopback:
                    raise ListenError(
                        f"{self.name}: {host} is not a loopback address, and devices are not asked who they are; "
                        "add auth: {users: FILE}, or listen on 127.0.0.1"
                    )
            return [
                await loop.create_server(self._new_connection, sock=one, backlog=_BACKLOG)
                for one in self._open_sockets(addresses)
            ]
        except OSError as error:
            raise ListenError(f"cannot listen on {self.name}: {error.strerror or error}") from error

    def _open_sockets(self, addresses: Sequence[tuple[int, str]]) -> list[socket.socket]:
        opened: list[socket.socket] = []
        missing: OSError | None = None
        self.port = self._settings.port
        for family, host in addresses:
            try:
                opened.append(socket.create_server((host, self.port), family=family, backlog=_BACKLOG))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    for one in opened:
                        one.close()
                    raise
                missing = error
            else:
                self.port = opened[0].getsockname()[1]
        if missing is not None and not opened:
            raise missing
        return opened

    def _close_server(self) -> None:
        for server in self._servers:
            server.close()
        self._servers = []

    def _abort_all(self) -> None:
        for connection in list(self.connections):
            connection.abort()

    def _new_connection(self) -> MqttConnection:
        return MqttConnection(self, max_unsent_bytes=self._limits.max_unsent_bytes)

    def _tick(self) -> None:
        now_s = boot_s()
        for connection in list(self.connections):
            connection.tick(now_s)
        self._broker.tick(now_s)
        self.gate.tick(now_s, self._access_exchanged)
        refused = self.refused.total()
        if refused != self._refused_logged and now_s >= self._refused_log_at_s:
            log.warning("client.refused", listener=self.name, count=refused - self._refused_logged)
            self._refused_logged = refused
            self._refused_log_at_s = now_s + _REFUSED_LOG_S

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

    def _exceeded(self, address: str) -> str:
        return ""

    # Owner

    def open_session(self, connection: MqttConnection, now_s: float) -> ServerSession | None:
        """See `Owner`."""
        settings = self._settings
        if not self._servers:
            return None
        if len(self.connections) >= settings.max_clients:
            self.refused["max_clients"] += 1
            return None
        if self._per_address[connection.address] >= settings.max_clients_per_address:
            self.refused["max_clients_per_address"] += 1
            return None
        self.accepted += 1
        self.connections.add(connection)
        self._per_address[connection.address] += 1
        connection.door = Door(self.gate, connection.address)
        return ServerSession(
            connection,
            broker=self._broker,
            authority=connection.door,
            limits=self._limits,
            open_inbox=connection.open_inbox,
            new_client_id=_new_client_id,
            now_s=now_s,
        )

    def open_inbox(self, connection: MqttConnection, state: SessionState, connect: Connect) -> MqttInbox:
        """See `Owner`."""
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
        )

    def closed(self, connection: MqttConnection) -> None:
        """See `Owner`."""
        self.connections.discard(connection)
        self._per_address[connection.address] -= 1
        if not self._per_address[connection.address]:
            del self._per_address[connection.address]
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


def _new_client_id() -> str:
    return f"fieldgate-{uuid.uuid4().hex}"


def _shown(client_id: str) -> str:
    """The id as a log may print it: a client must not write our log lines for us."""
    return (client_id if client_id.isprintable() else ascii(client_id))[:100]
