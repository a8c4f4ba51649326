"""What only several keys of ``metrics`` together can say: who could read, and what makes no sense."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fieldgate.config.finding import Finding
from fieldgate.config.listen_checks import is_token, overlap
from fieldgate.config.metrics import MetricsConfig
from fieldgate.config.model import Config
from fieldgate.config.texts import split_address
from fieldgate_devices.files.document import Document, Loc

__all__ = ["metrics_errors", "metrics_warnings"]

_HERE: Final[Loc] = ("metrics",)
_ADDRESS: Final[Loc] = ("metrics", "listen")
_AUTH: Final[Loc] = ("metrics", "auth")
_TLS: Final[Loc] = ("metrics", "tls")
_CLIENT_CA_KEYS: Final = ("crl", "require_client_certificate", "user_from")


def metrics_errors(config: Config, document: Document | None) -> Iterator[Finding]:
    """Everything that cannot work, or that would let anybody read from elsewhere."""
    metrics = config.metrics
    if metrics.listen is None:
        for key in ("tls", "auth"):
            if getattr(metrics, key) is not None:
                message = f"{key}: has no meaning without listen; write listen: 127.0.0.1:9469"
                yield Finding((*_HERE, key), message, (_ADDRESS, (*_HERE, key)))
        return
    yield from _taken(config, metrics.listen)
    yield from _door(metrics)
    if metrics.tls is not None and metrics.tls.certificate is None:
        yield Finding(_TLS, "tls: has no 'certificate'; write tls: {certificate: server.pem, key: server.key}")
    if metrics.tls is not None and metrics.tls.client_ca is None and document is not None:
        for key in _CLIENT_CA_KEYS:
            if document.node((*_TLS, key)) is not None:
                message = f"{key}: has no meaning without client_ca, which asks clients for a certificate"
                yield Finding((*_TLS, key), message, (_TLS,))


def metrics_warnings(config: Config) -> Iterator[Finding]:
    """What works and may surprise."""
    metrics = config.metrics
    if metrics.listen is None:
        return
    if metrics.tls is None and not metrics.is_local:
        message = (
            f"listen: {metrics.listen!r} takes passwords or tokens unencrypted from the network; "
            "tls: {certificate: server.pem, key: server.key} encrypts"
        )
        yield Finding(_ADDRESS, message)
    if metrics.auth is not None and metrics.auth.token is not None and metrics.auth.token.is_literal:
        message = "token: it stands in the file itself; write ${credential:NAME} or ${file:/PATH}"
        yield Finding((*_AUTH, "token"), message)


def _taken(config: Config, address: str) -> Iterator[Finding]:
    host, port = split_address(address)
    for number, listen in enumerate(config.listen):
        if listen.port == port != 0 and overlap(host.lower(), listen.host.lower()):
            message = f"listen: {address!r} is taken by listen[{number}] already; allowed: another port"
            yield Finding(_ADDRESS, message, (_ADDRESS, ("listen", number, listen.protocol)))
            return


def _door(metrics: MetricsConfig) -> Iterator[Finding]:
    auth, reads = metrics.auth, (_ADDRESS, _AUTH, _TLS)
    if auth is None:
        if not metrics.is_local and not metrics.names_by_certificate:
            message = (
                f"listen: {metrics.listen!r} can be reached from other machines, which needs authentication; add auth: "
                "{users: FILE, readers: [NAME]} or {token: SECRET}, or listen on 127.0.0.1:PORT, [::1]:PORT"
            )
            yield Finding(_ADDRESS, message, reads)
        return
    if auth.users is None and auth.token is None and not metrics.names_by_certificate:
        message = "auth: nobody can read; add token: SECRET, users: FILE with readers: [NAME], or tls.client_ca"
        yield Finding(_AUTH, message, reads)
    elif auth.users is not None and not auth.readers:
        message = "users: none of them may read; name those who may: readers: [prometheus]"
        yield Finding((*_AUTH, "users"), message, reads)
    elif auth.readers and auth.users is None and not metrics.names_by_certificate:
        message = "readers: nobody says who he is; they need users: FILE or tls.client_ca"
        yield Finding((*_AUTH, "readers"), message, reads)
    if auth.token is not None and not is_token(auth.token.reveal()):
        message = (
            "token: the value is no token; allowed: 16 or more letters, digits, '-', '_', '.', '~'; "
            "'openssl rand -hex 16' makes one"
        )
        yield Finding((*_AUTH, "token"), message)
