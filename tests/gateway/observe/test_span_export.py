"""A collector that is slow, down or gone costs spans, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
import structlog.testing

from fieldgate.observe.span import Span
from fieldgate.observe.span_export import SpanExport

SPAN = Span("receive", "a" * 32, "b" * 16, "", 1, 2)


class Scripted:
    """A `Collector` that answers when it is let, with what it is told."""

    def __init__(self, *answers: str, is_let: bool = True) -> None:
        self.answers = list(answers)
        self.sent = 0
        self.let = threading.Event()
        self.asked = threading.Event()
        if is_let:
            self.let.set()

    def send(self, spans: Sequence[Span]) -> str:
        self.asked.set()
        self.let.wait(30)
        self.sent += len(spans)
        return self.answers.pop(0) if self.answers else ""

    def end(self) -> None:
        self.let.set()


@contextmanager
def exporting(collector: Scripted) -> Iterator[SpanExport]:
    export = SpanExport(collector, place="http://c", gather_s=0.0)
    try:
        yield export
    finally:
        export.close(deadline_s=30)


def test_what_waits_is_bounded_and_whoever_puts_never_waits() -> None:
    """The collector hangs: memory does not grow, and the flow goes on."""
    collector = Scripted(is_let=False)
    with exporting(collector) as export:
        export.put([SPAN])
        assert collector.asked.wait(30)

        export.put([SPAN] * 5000)
        export.put([SPAN])

        assert export.dropped["full"] == 5001 - 4096
        collector.let.set()
    assert export.exported == collector.sent == 1 + 4096, "the stop sends what waits"


def test_the_stop_does_not_wait_for_a_collector_that_hangs() -> None:
    """A gateway has to be down within its deadline; spans have not."""
    collector = Scripted(is_let=False)
    export = SpanExport(collector, place="http://c", gather_s=0.0)
    export.put([SPAN])
    assert collector.asked.wait(30)

    export.close(deadline_s=0.05)

    assert collector.let.is_set(), "it was told to give up"


def test_that_it_is_down_is_said_once_and_that_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each try would fill the log of a gateway whose collector is switched off for the summer."""
    monkeypatch.setattr("fieldgate.observe.span_export._PAUSE_S", (0.0,))
    collector = Scripted("refused", "refused", "refused")
    with structlog.testing.capture_logs() as lines, exporting(collector) as export:
        for count in range(1, 5):
            export.put([SPAN])
            while export.exported + export.dropped["not_taken"] < count:
                assert collector.asked.wait(30)

    assert [one["event"] for one in lines] == ["tracing.not_exported", "tracing.exported_again"]
    assert (export.exported, export.dropped["not_taken"]) == (1, 3)
