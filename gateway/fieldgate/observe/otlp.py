"""Spans to a collector by OTLP over HTTP, with OpenTelemetry's own SDK and exporter (extra ``otel``).

The SDK makes what is exported of our spans, which have their ids and times already: it neither samples, nor queues, nor
starts a thread. Both packages are imported in the thread of the first export.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from fieldgate.observe.span import Span

if TYPE_CHECKING:
    from fieldgate.observe.otlp_sdk import SdkExporter

__all__ = ["OtlpCollector"]

_MAX_TEXT: Final = 300
_TIMEOUT_S: Final = 5.0  # the exporter's own tries included


class OtlpCollector:
    """Implements `Collector`. ``url`` is that of the signal; ``headers`` may be secret and are never logged."""

    def __init__(self, url: str, *, gateway: str, headers: Mapping[str, str], ca: Path | None) -> None:
        self._url = url
        self._gateway = gateway
        self._headers = headers
        self._ca = ca
        self._exporter: SdkExporter | None = None
        self._said = _FirstWord()

    def send(self, spans: Sequence[Span]) -> str:
        """See `Collector`."""
        if self._exporter is None:
            from fieldgate.observe.otlp_sdk import SdkExporter

            library = logging.getLogger("opentelemetry")  # says each failure again and again; we say it once
            library.propagate = False
            library.handlers[:] = [self._said]
            self._exporter = SdkExporter(
                self._url, gateway=self._gateway, headers=self._headers, ca=self._ca, timeout_s=_TIMEOUT_S
            )
        self._said.text = ""
        if self._exporter.export(spans):
            return ""
        return self._told(self._said.text) or "it did not take them"

    def _told(self, text: str) -> str:
        """What the library says, without what may be secret in it: a URL, its path, headers."""
        for secret in (self._url, urlsplit(self._url).path, *self._headers.values()):
            text = text.replace(secret, "…")
        return text[:_MAX_TEXT]

    def end(self) -> None:
        """See `Collector`."""
        if self._exporter is not None:
            self._exporter.end()


class _FirstWord(logging.Handler):
    """Remembers what a library says first, which is why; what follows is that it gives up."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        self.text = self.text or record.getMessage()
