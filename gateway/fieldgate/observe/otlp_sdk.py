"""The one file that knows OpenTelemetry's packages; imported where they are needed and installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace.span import TraceState

from fieldgate.observe.span import Span

__all__ = ["SdkExporter"]

_KINDS: Final = {"consumer": SpanKind.CONSUMER, "internal": SpanKind.INTERNAL, "producer": SpanKind.PRODUCER}
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


class SdkExporter:
    """Exports spans, a list at a time; for one thread."""

    def __init__(
        self, url: str, *, gateway: str, headers: Mapping[str, str], ca: Path | None, timeout_s: float
    ) -> None:
        self._ids = _GivenIds()
        self._made = _Made()
        resource = Resource.create({
            "service.name": "fieldgate", "service.instance.id": gateway, "service.version": version("fieldgate"),
        })  # fmt: skip
        provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        provider.add_span_processor(self._made)
        self._tracer = provider.get_tracer("fieldgate", version("fieldgate"))
        self._exporter = OTLPSpanExporter(
            endpoint=url,
            headers=dict(headers),
            certificate_file=None if ca is None else str(ca),
            timeout=timeout_s,
            compression=Compression.Gzip,
        )

    def export(self, spans: Sequence[Span]) -> bool:
        """Send these spans; return whether they were taken."""
        for span in spans:
            self._make(span)
        made, self._made.spans = self._made.spans, []
        return self._exporter.export(made) is SpanExportResult.SUCCESS

    def end(self) -> None:
        """Stop waiting for another try."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # has no annotations

    def _make(self, span: Span) -> None:
        self._ids.trace, self._ids.span = int(span.trace, 16), int(span.id, 16)
        context = None
        if span.parent:
            context = set_span_in_context(NonRecordingSpan(_context(span.trace, span.parent, span.state)))
        made = self._tracer.start_span(
            span.name,
            context,
            _KINDS[span.kind],
            dict(span.facts),
            [Link(_context(*link)) for link in span.links],
            span.start_ns,
        )
        if span.problem:
            made.set_status(Status(StatusCode.ERROR, span.problem))
        made.end(span.end_ns)


def _context(trace: str, span: str, state: str = "") -> SpanContext:
    states = TraceState.from_header([state]) if state else None
    return SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=_SAMPLED, trace_state=states)


class _GivenIds(IdGenerator):
    """Gives the ids that the next span has already."""

    def __init__(self) -> None:
        self.trace = self.span = 0

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return self.span


class _Made(SpanProcessor):
    """Gathers what the SDK has made."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)
