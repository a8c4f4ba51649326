"""HTTP/1.1 for devices that speak no MQTT: requests of one connection become messages, answered in their order.

Laws of this file:

- Success is said of what is safe, and of nothing else (P1): see ``http_inbox.py``. Further requests may come before
  earlier ones are answered (pipelining); answers leave in the order of the requests [RFC 9112 9.3.2].
- The head decides. Before it is known who sends it, that he may publish to that topic and that it is not too large,
  nothing of a body is kept, and no 100 Continue is said.
- What is refused is read to its end and thrown away, so that the connection can go on; where that is not possible
  (too large, malformed, not sent because nobody said 100), the connection ends after the answer.
- One turn of the loop does a bounded number of steps for one connection, however small the pieces are.
- A connection has a deadline for coming in, one for every request, one for silence, and one for the answer: what is
  not safe by then is answered with 503. It may be forwarded all the same, and the sender's next try is another event.

It will not do: GET, content in answers (but for the words of a refusal), compression, upgrades, HTTP/2. The wire is
`h11`'s. No I/O; times are given.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Final

import h11

from fieldgate.ingest.http_answer import CLOSE, Headers, come_again, encode_answer, of_refused, refusal_text
from fieldgate.ingest.http_inbox import HttpInbox, InboxTerms, Place
from fieldgate.ingest.http_request import Head, HttpRefusal, TopicTemplate, read_head, too_large
from fieldgate.ingest.http_roles import HttpAuthority, HttpLimits, HttpLink, HttpVerdict
from fieldgate.mqtt.session_roles import Refused

__all__ = ["HttpSession", "Phase"]

_STEPS: Final = 96  # of one turn; a small request takes three, about 0.2 ms together
_PREFLIGHT: Final = (
    ("Access-Control-Allow-Methods", "POST, PUT"),
    ("Access-Control-Allow-Headers", "Authorization, Content-Type"),
    ("Access-Control-Max-Age", "3600"),
)
_MALFORMED: Final = {
    431: "the head, or the head of a chunk, is too large",
    501: "a Transfer-Encoding other than chunked",
}


class Phase(Enum):
    """Where a connection is with what it reads."""

    HEAD = auto()
    VERDICT = auto()
    BODY = auto()
    SKIPS_BODY = auto()
    OVER = auto()  # nothing more is read; answers may still be due
    CLOSED = auto()


_READING: Final = frozenset({Phase.HEAD, Phase.BODY, Phase.SKIPS_BODY})


class HttpSession:
    """One connection. ``end_code`` and ``end_reason`` say how it ended, ``refused`` what was refused last, and why."""

    def __init__(
        self,
        link: HttpLink,
        *,
        authority: HttpAuthority,
        template: TopicTemplate,
        terms: InboxTerms,
        limits: HttpLimits,
        date: Callable[[], str],
        now_s: float,
    ) -> None:
        """``date`` gives the time as a header has it, or an empty text while it is not known [RFC 9110 6.6.1]."""
        self.phase = Phase.HEAD
        self.is_in = False
        self.end_code = ""
        self.end_reason = ""
        self.refused = ""
        self.inbox = HttpInbox(terms, self.flush)
        self._link = link
        self._authority = authority
        self._template = template
        self._tally = terms.tally
        self._limits = limits
        self._date = date
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.max_head_bytes)
        self._method = b""
        self._head: Head | None = None
        self._place: Place | None = None
        self._body = bytearray()
        self._skipped_bytes = 0
        self._is_stopped = False
        self._is_congested = False
        self._is_full = False
        self._has_more = False  # what was read is not worked off yet
        self._come_in_by_s = now_s + limits.connect_timeout_s
        self._begun_s: float | None = None  # when the request that is being read began
        self._idle_s: float | None = None  # since when there is nothing to do

    # what comes

    def receive(self, chunk: bytes, now_s: float) -> None:
        """Take what was read."""
        if self.phase in (Phase.OVER, Phase.CLOSED):
            return
        if self._begun_s is None:
            chunk = chunk.lstrip(b"\r\n")  # [RFC 9112 2.2]
            if not chunk:
                return
            self._begun_s = now_s
        self._http.receive_data(chunk)
        self._work(now_s)

    def receive_end(self, now_s: float) -> None:
        """The client sends nothing more; it may still wait for answers."""
        if self.phase not in (Phase.OVER, Phase.CLOSED):
            self._http.receive_data(b"")
            self._work(now_s)

    def go_on(self, now_s: float) -> None:
        """See `HttpLink.go_on_soon`."""
        self._has_more = False
        self._work(now_s)

    def set_congested(self, is_congested: bool) -> None:
        """Whether the client lets answers lie: then nothing more of it is read."""
        self._is_congested = is_congested
        if is_congested:
            self._link.set_reading(False)
        else:
            self._link.go_on_soon()

    def stop(self) -> None:
        """Take nothing more, whatever comes or has come; answers still go out."""
        self._is_stopped = True
        self._link.set_reading(False)

    def _work(self, now_s: float) -> None:
        try:
            self._read_events(now_s)
        except h11.RemoteProtocolError as error:
            self._broken(error.error_status_hint)
        self.inbox.hand_over(now_s)
        self._is_full = self._is_full or self.inbox.is_full
        self._link.set_reading(self._may_read)
        self.flush()

    @property
    def _may_read(self) -> bool:
        is_held = self._is_stopped or self._is_congested or self._is_full or self._has_more
        return self.phase in _READING and not is_held

    def _read_events(self, now_s: float) -> None:
        http = self._http
        for _ in range(_STEPS):
            if not self._may_read or self.inbox.is_full:
                return
            event = http.next_event()
            match event:
                case h11.Request():
                    self._open(event, now_s)
                case h11.Data():
                    self._gather(event.data)
                case h11.EndOfMessage():
                    self._complete(now_s)
                case h11.ConnectionClosed():
                    self._over("client_done", "the client closed the connection")
                case _:  # NEED_DATA
                    if self.phase is Phase.HEAD and not http.trailing_data[0]:
                        self._begun_s = None
                    return
        self._has_more = True
        self._link.go_on_soon()

    # one request

    def _open(self, request: h11.Request, now_s: float) -> None:
        self._tally.requests += 1
        self._begun_s = self._begun_s if self._begun_s is not None else now_s
        self._head, self._place, self._idle_s = None, None, None
        self._method = request.method
        limits = self._limits
        try:
            head = self._head = read_head(
                request,
                max_header_bytes=limits.max_head_bytes,
                max_body_bytes=limits.max_body_bytes,
                origins=limits.origins,
            )
            if head.method == b"OPTIONS":
                self._answer(204, _PREFLIGHT)
                return
            verdict = self._authority.judge(head, self._judged)
            if verdict is None:
                self.phase = Phase.VERDICT
            else:
                self._enter(verdict)
        except HttpRefusal as refusal:
            self._refuse(refusal)

    def _judged(self, verdict: HttpVerdict, now_s: float) -> None:
        """What the authority had to think about."""
        if self.phase is not Phase.VERDICT:
            return
        self.phase = Phase.HEAD
        try:
            self._enter(verdict)
        except HttpRefusal as refusal:
            self._refuse(refusal)
        self._work(now_s)

    def _enter(self, verdict: HttpVerdict) -> None:
        if isinstance(verdict, Refused):
            raise of_refused(verdict)
        if not self.is_in:
            self.is_in = True
            self._link.admitted()
        self._place = self.inbox.place(self._template.topic(verdict.levels), verdict.user, verdict.rights)
        self._body.clear()
        self.phase = Phase.BODY
        if self._http.they_are_waiting_for_100_continue:
            chunk = self._http.send(h11.InformationalResponse(status_code=100, headers=[]))
            self.inbox.line.add_ready(chunk or b"")

    def _gather(self, piece: bytes | bytearray) -> None:
        max_bytes = self._limits.max_body_bytes
        if self.phase is Phase.BODY:
            self._body += piece
            if len(self._body) > max_bytes:
                self._refuse(too_large(max_bytes))
            return
        self._skipped_bytes += len(piece)
        if self._skipped_bytes > max_bytes:
            self._over("too_large", f"the client sent more than {max_bytes} bytes that nobody wanted")

    def _complete(self, now_s: float) -> None:
        if self.phase is Phase.BODY and self._place is not None:
            try:
                self.inbox.check_open()
            except HttpRefusal as refusal:
                self._refuse(refusal)
            else:
                answer = self._encode(self._limits.status)
                said = () if self._head is None else self._head.trace
                self.inbox.take(self._place, bytes(self._body), answer, said=said, now_s=now_s)
        self._body.clear()
        self._begun_s = now_s
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            self.phase = Phase.HEAD
        else:
            self._over("client_done", "the client wanted one answer")

    # answers

    def _encode(self, status: int, headers: Headers = (), body: bytes = b"") -> bytes:
        every = [*headers]
        if date := self._date():
            every.append(("Date", date))
        if self._head is not None and self._head.origin:
            every += [("Access-Control-Allow-Origin", self._head.origin), ("Vary", "Origin")]
        return encode_answer(self._http, status, tuple(every), body, is_head=self._method == b"HEAD")

    def _answer(self, status: int, headers: Headers = (), body: bytes = b"", *, is_last: bool = False) -> None:
        """Answer in turn, before the body has come; what comes of it is thrown away."""
        if is_last:
            headers = (*headers, CLOSE)
        self.inbox.line.add_ready(self._encode(status, headers, body))
        self._body.clear()
        self._skipped_bytes = 0
        self.phase = Phase.SKIPS_BODY

    def _refuse(self, refusal: HttpRefusal) -> None:
        self._tally.refused[refusal.code] += 1
        self.refused = f"{refusal.status}: {refusal.problem}"
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # it has an answer already
            self._over(refusal.code, refusal.problem)
            return
        # Who waits for 100 may send the body all the same, or not: what follows cannot be told [RFC 9110 10.1.1].
        is_last = refusal.is_last or self._http.they_are_waiting_for_100_continue
        self._answer(refusal.status, *refusal_text(refusal), is_last=is_last)
        if is_last:
            self._over(refusal.code, refusal.problem)

    def _broken(self, status: int) -> None:
        """What was read is no request, or ends in the middle of one."""
        if self._http.trailing_data[1]:
            self._over("connection_lost", "the client closed the connection in the middle of a request")
            return
        problem = _MALFORMED.get(status, "this is no HTTP/1.1 request")
        self._head, self._method = None, b""
        self._refuse(HttpRefusal(status, "malformed", problem, is_last=True))

    def flush(self) -> None:
        """Write the answers that are due, and read on, or end, if that is what follows."""
        if self.phase is Phase.CLOSED:
            return
        if due := self.inbox.line.take_due():
            self._link.write(due)
        if self._is_full and self.inbox.has_room:
            self._is_full = False
            self._link.go_on_soon()
        if self.phase is Phase.OVER and not self.inbox.line:
            self._close()

    # the end

    def _over(self, code: str, reason: str) -> None:
        """Read nothing more; `flush` ends the connection when the last answer has left."""
        self.phase = Phase.OVER
        if not self.end_code:
            self.end_code, self.end_reason = code, reason

    def _close(self, *, at_once: bool = False) -> None:
        self.phase = Phase.CLOSED
        self._link.close(at_once=at_once)

    def fail(self, code: str, reason: str, *, at_once: bool = False) -> None:
        """End the connection; answers that are not due are never given."""
        if self.phase is not Phase.CLOSED:
            self._over(code, reason)
            self._close(at_once=at_once)

    def shut_down(self) -> None:
        """The gateway stops. Who waits for an answer, or is in the middle of a request, is told to come again."""
        self._give_up(come_again(503, "stopping", "the gateway stops", is_last=True), "the gateway stops")

    def lost(self, reason: str, *, code: str = "connection_lost") -> None:
        """The socket is gone."""
        if self.phase is not Phase.CLOSED:
            self._over(code, reason)
            self.phase = Phase.CLOSED

    def tick(self, now_s: float) -> None:
        """Deadlines; to be called a few times per second."""
        if self.phase is Phase.CLOSED:
            return
        limits, waits_since_s = self._limits, self.inbox.line.waits_since_s
        if waits_since_s is not None and now_s >= waits_since_s + limits.answer_timeout_s:
            problem = "the event is not safe yet; it may arrive all the same"
            self._give_up(come_again(503, "answer_timeout", problem, is_last=True), problem)
        elif not self.is_in and now_s >= self._come_in_by_s:
            self._too_slow("connect_timeout", f"nobody was let in within {limits.connect_timeout_s:g} s")
        elif self._is_full or self.phase is Phase.VERDICT:
            self._begun_s = now_s if self._begun_s is not None else None  # that it goes on slowly is our doing
        elif self._begun_s is not None and now_s >= self._begun_s + limits.request_timeout_s:
            self._too_slow("request_timeout", f"a request took longer than {limits.request_timeout_s:g} s")
        else:
            self._watch_silence(now_s)

    def _watch_silence(self, now_s: float) -> None:
        if self._begun_s is not None or self.inbox.line:
            self._idle_s = None
        elif self._idle_s is None:
            self._idle_s = now_s
        elif now_s >= self._idle_s + self._limits.idle_timeout_s:
            self.fail("idle_timeout", f"no request within {self._limits.idle_timeout_s:g} s")

    def _too_slow(self, code: str, problem: str) -> None:
        if self._begun_s is None:
            self.fail(code, problem)  # there is nothing to answer
        else:
            self._give_up(HttpRefusal(408, code, problem, is_last=True), problem)

    def _give_up(self, refusal: HttpRefusal, reason: str) -> None:
        """End the connection; the first request that has no answer yet gets this one."""
        if self.phase is Phase.CLOSED:
            return
        self._link.write(self.inbox.line.take_due())
        if self.inbox.line or (self._begun_s is not None and self.phase is not Phase.SKIPS_BODY):
            self._tally.refused[refusal.code] += 1
            headers, body = refusal_text(refusal)
            self._link.write(encode_answer(h11.Connection(h11.SERVER), refusal.status, (*headers, CLOSE), body))
        self.fail(refusal.code, reason)
