"""HTTP/1.1 for whoever reads the metrics: GET and HEAD of ``/metrics``, one after the other, and nothing else.

Laws of this file:

- One request is answered before the next one is read; what a client sends ahead waits in the socket.
- Who may read is asked for every request, and before anything is gathered for it.
- Refusals of one connection are counted, and the last one ends it: what was sent ahead is answered in one go, and
  nobody who was not let in may keep the gateway at that.
- A head has a largest size and a latest time; a body is not read: who sends one gets its answer, and the end.
- A client that nobody is asked for may name this host by address or by a name of its own network only: a web page
  must not read by a name of its own that leads here (DNS rebinding).
- A refusal says what to do. No path and no header is ever logged.

The wire is `h11`'s. No I/O; times are given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, Protocol

import h11

from fieldgate.config.texts import is_own_name
from fieldgate.ingest.http_answer import CLOSE, Headers, come_again, encode_answer, refusal_text
from fieldgate.ingest.http_request import HttpRefusal
from fieldgate.observe.metric import CONTENT_TYPES, Dialect
from fieldgate.scrape.accept import dialect_for

__all__ = ["PATH", "ScrapeLimits", "ScrapeLink", "ScrapeSession"]

PATH: Final = b"/metrics"
_MAX_HEADERS: Final = 100
_MAX_REFUSALS: Final = 32
_MALFORMED: Final = {431: "the head is too large", 501: "a Transfer-Encoding other than chunked"}
_ALLOW: Final = (("Allow", "GET, HEAD"),)


class ScrapeLimits:
    """What one connection may cost."""

    max_head_bytes: Final = 8 * 1024
    come_in_s: Final = 5.0
    request_s: Final = 5.0
    answer_s: Final = 10.0
    idle_s: Final = 120.0  # Prometheus keeps its connection from one scrape to the next


class ScrapeLink(Protocol):
    """The socket of a session, and who answers."""

    def write(self, chunk: bytes) -> None:
        """Send; never blocks."""

    def close(self, *, at_once: bool) -> None:
        """End the connection, after what was written unless ``at_once``."""

    def set_reading(self, is_wanted: bool) -> None:
        """Read on, or read nothing more for now."""

    def judge(self, authorization: bytes | None) -> HttpRefusal | bool:
        """Whether this request may read: True, why not, or False: `ScrapeSession.judged` is called later."""

    def wants(self, dialect: Dialect) -> None:
        """Gather the metrics; `ScrapeSession.answer` is called later."""

    def admitted(self) -> None:
        """Its first request may read: limits for strangers do not hold any more."""


class _Phase(Enum):
    HEAD = auto()
    VERDICT = auto()
    ANSWER = auto()
    CLOSED = auto()


class ScrapeSession:
    """One connection. ``refused`` counts refusals by code, over all connections; ``end_code`` says how it ended."""

    def __init__(
        self,
        link: ScrapeLink,
        *,
        refused: Counter[str],
        asks_who: bool,
        date: Callable[[], str],
        now_s: float,
    ) -> None:
        """``asks_who``: somebody has to say who he is. ``date``: the time as a header has it, or an empty text."""
        self.is_in = False
        self.end_code = ""
        self.last_refusal = ""
        self._link = link
        self._refused = refused
        self._asks_who = asks_who
        self._date = date
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=ScrapeLimits.max_head_bytes)
        self._phase = _Phase.HEAD
        self._dialect: Dialect = "text"
        self._is_head = False
        self._has_body = False
        self._until_s = now_s + ScrapeLimits.come_in_s
        self._has_begun = False
        self._refusals = 0

    @property
    def may_go(self) -> bool:
        """Whether it may be asked to make room: it is not being judged."""
        return self._phase is not _Phase.VERDICT

    # what comes

    def receive(self, chunk: bytes, now_s: float) -> None:
        """Take what was read; empty: nothing more will come."""
        if self._phase is _Phase.CLOSED:
            return
        self._http.receive_data(chunk)
        if self._phase is _Phase.HEAD:
            self._read(now_s)

    def _read(self, now_s: float) -> None:
        try:
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint
            self._refuse(HttpRefusal(status, "malformed", _MALFORMED.get(status, "this is no HTTP/1.1 request")), now_s)
            return
        if isinstance(event, h11.Request):
            self._open(event, now_s)
        elif isinstance(event, h11.ConnectionClosed):
            self.fail("client_done")
        elif self._http.trailing_data[0] and not self._has_begun:
            self._has_begun = True
            if self.is_in:
                self._until_s = now_s + ScrapeLimits.request_s

    def _open(self, request: h11.Request, now_s: float) -> None:
        headers = dict(request.headers)
        self._is_head = request.method == b"HEAD"
        self._has_body = b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
        self._dialect = dialect_for(headers.get(b"accept", b"").decode("latin-1"))
        self._link.set_reading(False)
        self._until_s = now_s + ScrapeLimits.answer_s
        try:
            self._check(request, headers)
            verdict = self._link.judge(headers.get(b"authorization"))
        except HttpRefusal as refusal:
            self._refuse(refusal, now_s)
            return
        self._phase = _Phase.VERDICT
        if verdict is not False:
            self.judged(verdict, now_s)

    def _check(self, request: h11.Request, headers: dict[bytes, bytes]) -> None:
        size_bytes = len(request.target) + sum(len(name) + len(value) + 4 for name, value in request.headers)
        if size_bytes > ScrapeLimits.max_head_bytes or len(request.headers) > _MAX_HEADERS:
            raise HttpRefusal(431, "large_head", _MALFORMED[431], is_last=True)
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._asks_who and host and not is_own_name(host):
            raise HttpRefusal(403, "host", "nobody is asked who he is here, so a name of the public DNS does not do")
        if request.method not in (b"GET", b"HEAD"):
            raise HttpRefusal(405, "method", "GET reads the metrics", headers=_ALLOW)
        if request.target.partition(b"?")[0] != PATH:
            raise HttpRefusal(404, "path", "the metrics are at /metrics")

    def judged(self, verdict: HttpRefusal | bool, now_s: float) -> None:
        """What there was to think about: True lets the request in."""
        if self._phase is not _Phase.VERDICT:
            return
        if isinstance(verdict, HttpRefusal):
            self._refuse(verdict, now_s)
            return
        if not self.is_in:
            self.is_in = True
            self._link.admitted()
        self._phase = _Phase.ANSWER
        self._link.wants(self._dialect)

    # answers

    def answer(self, body: bytes | None, now_s: float) -> None:
        """Give the metrics; None: they could not be gathered."""
        if self._phase is not _Phase.ANSWER:
            return
        if body is None:
            self._refuse(come_again(503, "not_gathered", "the metrics could not be gathered; the log says why"), now_s)
        else:
            kind = ("Content-Type", CONTENT_TYPES[self._dialect])
            self._send(200, (kind, ("Vary", "Accept"), ("Cache-Control", "no-store")), body, now_s=now_s)

    def _refuse(self, refusal: HttpRefusal, now_s: float) -> None:
        self._refused[refusal.code] += 1
        self._refusals += 1
        self.last_refusal = f"{refusal.status}: {refusal.problem}"
        is_last = refusal.is_last or self._http.their_state is h11.ERROR or self._refusals >= _MAX_REFUSALS
        headers, body = refusal_text(refusal)
        self._send(refusal.status, headers, body, now_s=now_s, is_last=is_last, code=refusal.code)

    def _send(
        self, status: int, headers: Headers, body: bytes, *, now_s: float, is_last: bool = False, code: str = "done"
    ) -> None:
        is_last = is_last or self._has_body
        every = [*headers]
        if date := self._date():
            every.append(("Date", date))
        if is_last:
            every.append(CLOSE)
        self._link.write(encode_answer(self._http, status, tuple(every), body, is_head=self._is_head))
        if is_last or self._http.our_state is not h11.DONE:
            self.fail("client_done" if code == "done" else code)
            return
        self._next(now_s)

    def _next(self, now_s: float) -> None:
        """Begin with the request that follows, of which something may have come already."""
        if not isinstance(self._http.next_event(), h11.EndOfMessage) or self._http.their_state is not h11.DONE:
            self.fail("client_done")
            return
        self._http.start_next_cycle()
        self._phase, self._has_begun, self._is_head = _Phase.HEAD, False, False
        self._until_s = now_s + (ScrapeLimits.idle_s if self.is_in else ScrapeLimits.request_s)
        self._link.set_reading(True)
        self._read(now_s)

    # the end

    def tick(self, now_s: float) -> None:
        """Deadlines; to be called a few times per second."""
        if self._phase is _Phase.CLOSED or now_s < self._until_s:
            return
        if self._phase in (_Phase.VERDICT, _Phase.ANSWER):
            self._refuse(come_again(503, "answer_timeout", "the gateway is busy", is_last=True), now_s)
        else:
            self.fail("idle_timeout" if self.is_in and not self._has_begun else "connect_timeout")

    def fail(self, code: str, *, at_once: bool = False) -> None:
        """End the connection; what has no answer never gets one."""
        if self._phase is not _Phase.CLOSED:
            self.lost(code)
            self._link.close(at_once=at_once)

    def lost(self, code: str = "connection_lost") -> None:
        """The socket is gone."""
        self._phase = _Phase.CLOSED
        self.end_code = self.end_code or code
