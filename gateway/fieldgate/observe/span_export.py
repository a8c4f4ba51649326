"""Hands spans to a collector in a thread of its own: one that is down costs the gateway nothing but their loss.

Spans wait in a bounded queue; what has no room is dropped and counted, as is what the collector does not take. While it
takes none it is asked more and more rarely, and the log says so once.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from fieldgate.observe.span import Span
from fieldgate.threads import leave_signals_to_main

__all__ = ["Collector", "SpanExport"]

_MAX_WAITING: Final = 4096
_AT_ONCE: Final = 512
_GATHER_S: Final = 0.5  # spans of one message come one by one: let them share a request
_PAUSE_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)

log = structlog.get_logger("fieldgate")


class Collector(Protocol):
    """Takes spans; called in one thread."""

    def send(self, spans: Sequence[Span]) -> str:
        """Send them; return why they were not taken, or an empty text. May block for seconds."""

    def end(self) -> None:
        """Give up what `send` waits for; called from another thread."""


class SpanExport:
    """A `SpanSink`. ``place`` is how the log calls the collector. ``exported`` and ``dropped`` count spans."""

    def __init__(self, collector: Collector, *, place: str, gather_s: float = _GATHER_S) -> None:
        self.exported = 0
        self.dropped: Counter[str] = Counter({"full": 0, "not_taken": 0})
        self.problem = ""
        self._collector = collector
        self._place = place
        self._gather_s = gather_s
        self._lock = threading.Condition()
        self._waiting: deque[Span] = deque()
        self._is_closing = False
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)  # a stuck request must not keep us
        self._thread.start()

    def put(self, spans: Sequence[Span]) -> None:
        """See `SpanSink`."""
        with self._lock:
            room = _MAX_WAITING - len(self._waiting)
            self._waiting.extend(spans[:room])
            self.dropped["full"] += max(0, len(spans) - room)
            self._lock.notify_all()

    def close(self, *, deadline_s: float) -> None:
        """Send what waits, unless the collector is known to be down, and end the thread within ``deadline_s``."""
        with self._lock:
            self._is_closing = True
            self._lock.notify_all()
        self._thread.join(timeout=0 if self._failures else deadline_s)
        self._collector.end()

    def _run(self) -> None:
        leave_signals_to_main()
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._waiting or self._is_closing)
                pause_s = _PAUSE_S[min(self._failures, len(_PAUSE_S)) - 1] if self._failures else self._gather_s
                is_closing = self._lock.wait_for(lambda: self._is_closing, timeout=pause_s)
                if is_closing and (not self._waiting or self._failures):
                    return
                spans = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
            self._done(len(spans), self._collector.send(spans))

    def _done(self, count: int, problem: str) -> None:
        self.problem = problem
        if problem:
            self.dropped["not_taken"] += count
            self._failures += 1
            if self._failures == 1:
                log.warning("tracing.not_exported", collector=self._place, problem=problem)
            return
        self.exported += count
        if self._failures:
            self._failures = 0
            log.info("tracing.exported_again", collector=self._place, dropped=self.dropped.total())
