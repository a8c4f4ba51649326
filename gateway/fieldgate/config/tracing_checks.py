"""What ``tracing`` needs of the machine, and what makes no sense in it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from fieldgate.config.finding import Finding
from fieldgate.config.model import Config
from fieldgate.config.texts import is_loopback
from fieldgate.config.urls import split_webhook_url
from fieldgate_devices.files.document import Document, Loc

__all__ = ["OTEL_PACKAGES", "tracing_errors", "tracing_warnings"]

OTEL_PACKAGES: Final = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")
"""What the extra consists of."""

_HERE: Final[Loc] = ("tracing",)
_OTLP: Final[Loc] = ("tracing", "otlp")


def tracing_errors(config: Config, document: Document | None) -> Iterator[Finding]:
    """Everything that cannot work."""
    tracing = config.tracing
    if tracing.otlp is None:
        for key in ("sample", "rate", "headers", "ca"):
            if document is not None and document.node((*_HERE, key)) is not None:
                message = f"{key}: has no meaning without otlp; write otlp: http://127.0.0.1:4318"
                yield Finding((*_HERE, key), message, (_OTLP, (*_HERE, key)))
        return
    if missing := [name for name in OTEL_PACKAGES if not _is_installed(name)]:
        message = f"otlp: needs {' and '.join(missing)}, not installed here; pip install 'fieldgate[otel]' brings them"
        yield Finding(_OTLP, message)
    url = split_webhook_url(tracing.otlp.reveal())
    if "?" in url.target:
        yield Finding(_OTLP, "otlp: has a query, which has no place before /v1/traces; write http[s]://HOST[:PORT]")
    if tracing.ca is not None and not url.is_tls:
        yield Finding((*_HERE, "ca"), "ca: has no meaning for http://; write otlp: https://HOST", (_OTLP,))


def tracing_warnings(config: Config) -> Iterator[Finding]:
    """What works and may surprise."""
    tracing = config.tracing
    if tracing.otlp is None:
        return
    url = split_webhook_url(tracing.otlp.reveal())
    if not url.is_tls and not is_loopback(url.host):
        message = f"otlp: sends topics and headers unencrypted to {url.host!r}; https:// encrypts"
        yield Finding(_OTLP, message)


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
