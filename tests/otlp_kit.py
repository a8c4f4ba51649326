"""A collector that takes OTLP over HTTP, reads the protobuf, and can be told to refuse."""

from __future__ import annotations

import gzip
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import pytest

__all__ = ["Got", "OtlpReceiver"]


@dataclass(frozen=True)
class Got:
    """A span as it arrived."""

    name: str
    trace: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    kind: int
    facts: dict[str, str | int]
    links: tuple[tuple[str, str], ...]
    state: str
    is_failed: bool
    problem: str
    service: str


class OtlpReceiver:
    """Listens on a free port while its context lasts; ``status`` is what it answers."""

    def __init__(self, port: int = 0) -> None:
        pytest.importorskip("opentelemetry.proto", reason="the extra 'otel' is not installed")
        self.status = 200
        self.spans: list[Got] = []
        self.requests = 0
        self.headers: dict[str, str] = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.take(self.path, dict(self.headers), body)
                self.send_response(receiver.status)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        assert path.endswith("/v1/traces")
        self.requests += 1
        self.headers = {name.lower(): value for name, value in headers.items()}
        if self.status != 200:
            return
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = {one.key: one.value.string_value for one in group.resource.attributes}["service.instance.id"]
            for scope in group.scope_spans:
                self.spans += [_got(one, service) for one in scope.spans]

    def of(self, trace: str) -> dict[str, list[Got]]:
        """The spans of one trace by name, in order of their start."""
        found: dict[str, list[Got]] = {}
        for one in sorted(self.spans, key=lambda span: span.start_ns):
            if one.trace == trace:
                found.setdefault(one.name, []).append(one)
        return found

    def __enter__(self) -> OtlpReceiver:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _got(span: Any, service: str) -> Got:
    facts = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}
    return Got(
        span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), span.start_time_unix_nano,
        span.end_time_unix_nano, span.kind, facts,
        tuple((one.trace_id.hex(), one.span_id.hex()) for one in span.links), span.trace_state,
        span.status.code == 2, span.status.message, service,
    )  # fmt: skip
