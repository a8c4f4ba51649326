"""The gateway's own HTTP listener: what is posted to it is an event, and success is said when that is safe.

Sockets, limits and the order of a stop: ``listener.py``; protocol: ``http_session.py``; who may send:
``http_login.py``; events and answers: ``http_inbox.py``. No line is logged per request, and never a path: it may hold
a token.
"""

from __future__ import annotations

from functools import partial

import msgspec
import structlog

from fieldgate.config.listen import ListenConfig
from fieldgate.ingest.echo import EchoGuard
from fieldgate.ingest.http_connection import HttpConnection
from fieldgate.ingest.http_inbox import HttpTally, InboxTerms
from fieldgate.ingest.http_login import HttpLogin
from fieldgate.ingest.http_port import HttpPort
from fieldgate.ingest.http_request import TopicTemplate
from fieldgate.ingest.http_roles import HttpLimits
from fieldgate.ingest.http_session import HttpSession, Phase
from fieldgate.ingest.listener import LANES
from fieldgate.ingest.source import Intake
from fieldgate.mqtt.local_broker import LocalBroker

__all__ = ["HttpListener"]

log = structlog.get_logger("fieldgate")


class HttpListener(HttpPort[HttpConnection]):
    """One ``listen`` entry that says ``http``."""

    def __init__(
        self, settings: ListenConfig, intake: Intake, broker: LocalBroker, *, guard: EchoGuard | None = None
    ) -> None:
        super().__init__(settings, may_go=_is_only_waiting)
        self.tally = HttpTally()
        self._template = TopicTemplate(settings.topic)
        self._is_loop_told = False
        self._terms = InboxTerms(
            source=self.name,
            intake=intake,
            broker=broker,
            event_filter=self.events,
            lane=LANES[settings.lane],
            max_unsettled_bytes=settings.max_unsettled,
            tally=self.tally,
            guard=guard,
        )
        self._limit(settings)

    def _limit(self, settings: ListenConfig) -> None:
        self._terms = msgspec.structs.replace(self._terms, max_unsettled_bytes=settings.max_unsettled)
        self._limits = HttpLimits(
            max_head_bytes=settings.max_head,
            max_body_bytes=settings.max_body,
            connect_timeout_s=settings.connect_timeout,
            request_timeout_s=settings.request_timeout,
            idle_timeout_s=settings.idle_timeout,
            answer_timeout_s=settings.answer_timeout,
            status=settings.answer,
            origins=settings.origins or (),
        )

    @property
    def unacknowledged(self) -> int:
        """How many requests wait for their answer."""
        return sum(one.session.inbox.line.in_flight for one in self.connections if one.session is not None)

    def _new_connection(self) -> HttpConnection:
        return HttpConnection(self)

    def _tick_own(self, now_s: float) -> None:
        super()._tick_own(now_s)
        if self.tally.echoes and not self._is_loop_told:
            self._is_loop_told = True
            log.warning("listener.echo_found", listener=self.name, meaning="somebody posts what was sent upstream")

    def _access_exchanged(self) -> None:
        """Other users or rules are in force: who is not welcome any more has to log in again."""
        for connection in self.connections:
            if connection.login is not None:
                connection.login.access_exchanged()

    def _room_for(self, connection: HttpConnection) -> str:
        """Which limit the connection would exceed by coming in, or an empty text."""
        if connection.session is not None and connection.session.is_in:
            return ""
        limit = self.crowd.exceeded(connection.address)
        if limit:
            self.refused[limit] += 1
        return limit

    # HttpOwner

    def open_session(self, connection: HttpConnection, now_s: float) -> tuple[HttpSession, HttpLogin] | None:
        """See `HttpOwner`."""
        if not self._servers:
            return None
        door, displaced = self._arrive(connection)
        login = HttpLogin(self.gate, door, partial(self._room_for, connection))
        session = HttpSession(
            connection,
            authority=login,
            template=self._template,
            terms=self._terms,
            limits=self._limits,
            date=lambda: self._date,
            now_s=now_s,
        )
        if displaced is not None:
            one = session if displaced is connection else displaced.session
            if one is not None:
                one.fail("max_connecting", "made room for another connection", at_once=True)
        return session, login

    def closed(self, connection: HttpConnection) -> None:
        """See `HttpOwner`."""
        self._leave(connection)
        session = connection.session
        if session is not None:
            self.ended[session.end_code] += 1
            if not session.is_in:
                self._say_not_admitted(connection, session.refused or session.end_reason)
        self._say_if_empty()


def _is_only_waiting(connection: HttpConnection) -> bool:
    return connection.session is None or connection.session.phase is not Phase.VERDICT
