"""The gateway's own MQTT listener: devices connect here, and nothing is acknowledged before it is safe.

Sockets, limits and the order of a stop: ``listener.py``; protocol: ``mqtt/server_session.py``; who may come in:
``gate.py``; events and acknowledgements: ``mqtt_inbox.py``.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import structlog

from fieldgate.config.listen import ListenConfig
from fieldgate.ingest.echo import EchoGuard
from fieldgate.ingest.inbox_terms import InboxLimits, InboxTally
from fieldgate.ingest.layers import Layer, LayerStack
from fieldgate.ingest.listen_sockets import ListenError
from fieldgate.ingest.listener import LANES, Listener, shown
from fieldgate.ingest.mqtt_connection import MqttConnection
from fieldgate.ingest.mqtt_inbox import MqttInbox
from fieldgate.ingest.source import Intake
from fieldgate.mqtt.handshake import SessionLimits
from fieldgate.mqtt.local_broker import LocalBroker
from fieldgate.mqtt.packets import Connect, Reason
from fieldgate.mqtt.server_session import Phase, ServerSession
from fieldgate.mqtt.session_state import SessionState
from fieldgate_devices.catalogue import Catalogue

if TYPE_CHECKING:
    from fieldgate.ingest.websocket_server import WebSocketLayer

__all__ = ["ListenError", "MqttListener"]

log = structlog.get_logger("fieldgate")


class MqttListener(Listener[MqttConnection]):
    """One ``listen`` entry that says ``mqtt``."""

    def __init__(
        self, settings: ListenConfig, intake: Intake, broker: LocalBroker, *, guard: EchoGuard | None = None
    ) -> None:
        super().__init__(settings, transport=settings.transport, may_go=_is_only_waiting)
        self._guard = guard
        self.tally = InboxTally()
        self._websocket: type[WebSocketLayer] | None = None
        if settings.transport == "websocket":
            from fieldgate.ingest.websocket_server import WebSocketLayer  # its driver is a megabyte that few need

            self._websocket = WebSocketLayer
        self._intake = intake
        self._broker = broker
        self._lane = LANES[settings.lane]
        self._is_loop_told = False
        self._limit(settings)

    def _limit(self, settings: ListenConfig) -> None:
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

    @property
    def unacknowledged(self) -> int:
        """How many PUBLISHes of connected clients wait for their acknowledgement."""
        return sum(one.inbox.in_flight for one in self.connections if one.inbox is not None)

    def use(self, catalogue: Catalogue) -> None:
        """See `Listener`. A client with rights of its own remembers topics by itself."""
        super().use(catalogue)
        for connection in self.connections:
            if connection.inbox is not None:
                connection.inbox.rights_changed()

    def _new_connection(self) -> MqttConnection:
        return MqttConnection(self, max_unsent_bytes=self._limits.max_unsent_bytes)

    def _tick_own(self, now_s: float) -> None:
        self._broker.tick(now_s)
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
        door, displaced = self._arrive(connection)
        session = ServerSession(
            connection,
            broker=self._broker,
            authority=door,
            limits=self._limits,
            open_inbox=connection.open_inbox,
            new_client_id=_new_client_id,
            now_s=now_s,
        )
        if displaced is not None:
            one = session if displaced is connection else displaced.session
            if one is not None:
                one.fail(Reason.CONNECTION_RATE_EXCEEDED, "made room for another connection", at_once=True)
        return session

    def open_layers(self, connection: MqttConnection) -> LayerStack | None:
        """See `Owner`."""
        settings = self._settings
        layers: list[Layer] = self._tls_layers(connection)
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
            client=shown(connect.client_id),
            user=shown(state.user),
            address=connection.address,
            mqtt="5" if connect.version == 5 else "3.1.1",
        )
        return MqttInbox(
            connection,
            state,
            version=connect.version,
            intake=self._intake,
            event_filter=self.events,
            broker=self._broker,
            lane=self._lane,
            limits=self._inbox_limits,
            tally=self.tally,
            guard=self._guard,
            source=self.name,
        )

    def closed(self, connection: MqttConnection) -> None:
        """See `Owner`."""
        self._leave(connection)
        session = connection.session
        if session is not None:
            self.ended[session.end_code] += 1
            door = connection.door
            was_in = connection.inbox is not None
            who = (session.user if was_in else door.asked) if door is not None else ""
            log.info(
                "client.disconnected" if was_in else "client.not_admitted",
                listener=self.name,
                client=shown(session.client_id),
                user=shown(who),
                address=connection.address,
                reason=session.end_reason,
            )
        self._say_if_empty()


def _is_only_waiting(connection: MqttConnection) -> bool:
    return connection.session is None or connection.session.phase is Phase.WAITS_FOR_CONNECT


def _new_client_id() -> str:
    return f"fieldgate-{uuid.uuid4().hex}"
