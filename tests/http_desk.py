"""One HTTP session, fed bytes and time."""

from __future__ import annotations

import re
from collections.abc import Callable

from fieldgate.ingest.event_filter import EventFilter
from fieldgate.ingest.http_inbox import HttpTally, InboxTerms
from fieldgate.ingest.http_request import Head, TopicTemplate
from fieldgate.ingest.http_roles import Entry, HttpLimits, HttpVerdict
from fieldgate.ingest.http_session import HttpSession
from fieldgate.mqtt.local_broker import LocalBroker
from listener_kit import HeldIntake, SettlingIntake


class Desk:
    """A session with everything that it needs of others: `HttpLink` and `HttpAuthority` in one."""

    def __init__(self, intake: HeldIntake | None = None, *, is_slow: bool = False, **limits: object) -> None:
        self.now_s = 100.0
        self.written = b""
        self.closed: str = ""
        self.is_reading = True
        self.turns = 0
        self.is_in = False
        self.waiting: list[Callable[[HttpVerdict, float], None]] = []
        self.verdict: HttpVerdict | None = None
        self.intake = intake or SettlingIntake()
        self._is_slow = is_slow
        terms = InboxTerms(
            source="127.0.0.1:8080",
            intake=self.intake,
            broker=LocalBroker(),
            event_filter=EventFilter(["#"]),
            lane=1,
            max_unsettled_bytes=10_000,
            tally=HttpTally(),
        )
        self.tally = terms.tally
        self.session = HttpSession(
            self,
            authority=self,
            template=TopicTemplate("http/{path}"),
            terms=terms,
            limits=HttpLimits(**limits),  # type: ignore[arg-type]
            date=lambda: "Thu, 26 Nov 2026 13:00:00 GMT",
            now_s=self.now_s,
        )

    def feed(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.session.receive(chunk, self.now_s)
            self.run()

    def run(self) -> None:
        """What the loop does: the turns that were asked for."""
        while self.turns:
            self.turns -= 1
            self.session.go_on(self.now_s)

    def after(self, pause_s: float) -> None:
        self.now_s += pause_s
        self.session.tick(self.now_s)

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", self.written)]

    # HttpLink

    def write(self, chunk: bytes) -> None:
        assert not self.closed or not chunk
        self.written += chunk

    def close(self, *, at_once: bool) -> None:
        assert not self.closed
        self.closed = "at once" if at_once else "gently"

    def set_reading(self, is_wanted: bool) -> None:
        self.is_reading = is_wanted

    def go_on_soon(self) -> None:
        self.turns += 1

    def admitted(self) -> None:
        assert not self.is_in
        self.is_in = True

    # HttpAuthority

    def judge(self, head: Head, answer: Callable[[HttpVerdict, float], None]) -> HttpVerdict | None:
        if self._is_slow:
            self.waiting.append(answer)
            return None
        return self.verdict or Entry("amy", None, head.levels)
