"""The metrics' port: sockets, limits, TLS and log-in are those of a listener for devices; what is spoken is not.

Metrics are gathered once for all who wait for them, and not again before that is done: however many ask, and however
slowly the disk answers, there is one question at a time. Neither a request nor an answer makes a line in the log; who
was never let in makes one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import structlog

from fieldgate import clock
from fieldgate.config.listen import ListenConfig
from fieldgate.config.metrics import MetricsConfig
from fieldgate.ingest.http_answer import come_again
from fieldgate.ingest.http_port import HttpPort
from fieldgate.ingest.http_request import HttpRefusal
from fieldgate.observe.metric import Dialect, Sample, render
from fieldgate.observe.metric_table import METRICS, SCRAPES_REFUSED
from fieldgate.scrape.connection import ScrapeConnection
from fieldgate.scrape.login import ScrapeLogin
from fieldgate.scrape.session import ScrapeSession

__all__ = ["MetricsListener"]

log = structlog.get_logger("fieldgate")

Collect = Callable[[], Awaitable[list[Sample]]]


class MetricsListener(HttpPort[ScrapeConnection]):
    """``run`` and ``answer`` are two parts of the gateway; ``collect`` gives what there is to say."""

    def __init__(self, settings: MetricsConfig, collect: Collect) -> None:
        door = settings.door
        super().__init__(door, may_go=_may_go)
        self.refusals: Counter[str] = Counter()  # requests, by code
        self._auth = settings.auth
        self._asks_who = not door.is_open_door
        self._collect = collect
        self._waiting: dict[ScrapeConnection, Dialect] = {}
        self._is_asked = asyncio.Event()

    async def answer(self) -> None:
        """Gather metrics for whoever waits, until cancelled."""
        while True:
            await self._is_asked.wait()
            self._is_asked.clear()
            waiting, self._waiting = self._waiting, {}
            texts: dict[Dialect, bytes] = {}
            try:
                samples = await self._collect()
                samples += [Sample(SCRAPES_REFUSED, (code,), count) for code, count in self.refusals.items()]
                texts = {dialect: render(samples, METRICS, dialect=dialect) for dialect in {*waiting.values()}}
            finally:  # who asked is not to wait for nothing
                for connection, dialect in waiting.items():
                    if connection.session is not None:
                        connection.session.answer(texts.get(dialect), clock.boot_s())

    def _new_connection(self) -> ScrapeConnection:
        return ScrapeConnection(self)

    def _limit(self, settings: ListenConfig) -> None:
        """Its limits are those of `ScrapeLimits`, whatever is reloaded."""

    def _access_exchanged(self) -> None:
        """Who may read is asked for every request anyway."""

    # ScrapeOwner

    def open_session(self, connection: ScrapeConnection, now_s: float) -> tuple[ScrapeSession, ScrapeLogin] | None:
        """See `ScrapeOwner`."""
        if not self._servers:
            return None
        door, displaced = self._arrive(connection)
        session = ScrapeSession(
            connection, refused=self.refusals, asks_who=self._asks_who, date=lambda: self._date, now_s=now_s
        )
        auth = self._auth
        login = ScrapeLogin(
            door,
            auth.readers if auth is not None else (),
            is_token_known=auth is not None and auth.token is not None,
            judged=lambda verdict: session.judged(verdict, clock.boot_s()),
        )
        if displaced is not None:
            one = session if displaced is connection else displaced.session
            if one is not None:
                one.fail("max_connecting", at_once=True)
        return session, login

    def room_for(self, connection: ScrapeConnection) -> HttpRefusal | None:
        """See `ScrapeOwner`."""
        if connection.session is not None and connection.session.is_in:
            return None
        limit = self.crowd.exceeded(connection.address)
        if not limit:
            return None
        self.refused[limit] += 1
        return come_again(503, "max_clients", "as many clients read the metrics as may", is_last=True)

    def wants(self, connection: ScrapeConnection, dialect: Dialect) -> None:
        """See `ScrapeOwner`."""
        self._waiting[connection] = dialect
        self._is_asked.set()

    def closed(self, connection: ScrapeConnection) -> None:
        """See `ScrapeOwner`."""
        self._leave(connection)
        self._waiting.pop(connection, None)
        session = connection.session
        if session is not None:
            self.ended[session.end_code] += 1
            if not session.is_in:
                self._say_not_admitted(connection, session.last_refusal or session.end_code)
        self._say_if_empty()


def _may_go(connection: ScrapeConnection) -> bool:
    return connection.session is None or connection.session.may_go
