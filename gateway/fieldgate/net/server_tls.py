"""A listener's certificate and what it asks clients for, made from its files.

The files are read again when they change; a new certificate that cannot be used leaves the old one in force. A key
that others can read is refused.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fieldgate.config.certificates import SOON_DAYS, read_validity
from fieldgate.config.key_files import file_problem, load_own, ssl_detail
from fieldgate.config.listen import ListenTlsConfig
from fieldgate.errors import FieldgateError

__all__ = ["ServerTls", "TlsFileError", "load_server_tls", "tls_file_problems", "tls_files"]


class TlsFileError(FieldgateError):
    """A file that TLS needs cannot be used; ``key`` is the key that names it, ``reads`` are all keys that took part."""

    def __init__(self, key: str, problem: str, *, reads: tuple[str, ...] = ()) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.reads = reads or (key,)


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What new connections use. ``expires_at`` is that of the listener's own certificate, UTC."""

    context: ssl.SSLContext
    expires_at: datetime

    def warning(self, now: datetime) -> str:
        """Return what a person must do something about at ``now``, or an empty text."""
        day = self.expires_at.date()
        if self.expires_at <= now:
            return f"the certificate has expired on {day}: clients that look at it do not connect"
        days = (self.expires_at - now).days
        return f"the certificate expires on {day}, in {days} days" if days < SOON_DAYS else ""


def tls_files(settings: ListenTlsConfig) -> tuple[Path, ...]:
    """Return the files that `load_server_tls` reads."""
    return tuple(
        path for path in (settings.certificate, settings.key, settings.client_ca, settings.crl) if path is not None
    )


def load_server_tls(settings: ListenTlsConfig) -> ServerTls:
    """Read the files; opens no connection.

    Raises:
        TlsFileError: one of them cannot be used, or is open to everybody.
    """
    certificate = settings.certificate
    if certificate is None:
        raise TlsFileError("certificate", "there is none")
    expires_at = _expiry(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    _load_pair(context, settings, certificate)
    if settings.client_ca is not None:
        _load("client_ca", settings.client_ca, "certificate", context)
        if settings.crl is not None:
            _load_crl(context, settings.crl)
        context.verify_mode = ssl.CERT_REQUIRED if settings.require_client_certificate else ssl.CERT_OPTIONAL
    return ServerTls(context, expires_at)


def tls_file_problems(settings: ListenTlsConfig) -> list[TlsFileError]:
    """Everything for which `load_server_tls` would raise, one after the other; nothing if there is no certificate."""
    certificate, key, client_ca, crl = settings.certificate, settings.key, settings.client_ca, settings.crl
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found: list[TlsFileError] = []

    def attempt(step: Callable[[], object]) -> None:
        try:
            step()
        except TlsFileError as error:
            found.append(error)

    if certificate is not None:
        attempt(lambda: _expiry(certificate))
        if not found:
            attempt(lambda: _load_pair(context, settings, certificate))
        elif key is not None and (problem := file_problem(key)):
            found.append(TlsFileError("key", f"{str(key)!r} {problem}"))
    if client_ca is not None:
        attempt(lambda: _load("client_ca", client_ca, "certificate", context))
        if crl is not None:
            attempt(lambda: _load_crl(context, crl))
    return found


def _load_pair(context: ssl.SSLContext, settings: ListenTlsConfig, certificate: Path) -> None:
    name, key = ("key", settings.key) if settings.key is not None else ("certificate", certificate)
    try:
        load_own(context, certificate, key)
    except ValueError as error:
        raise TlsFileError(name, str(error), reads=("certificate", "key")) from error


def _expiry(certificate: Path) -> datetime:
    try:
        return read_validity(certificate).not_after
    except OSError as error:
        raise TlsFileError("certificate", f"{str(certificate)!r} cannot be read: {ssl_detail(error)}") from error
    except ValueError as error:
        raise TlsFileError("certificate", f"{str(certificate)!r} holds no certificate that can be read") from error


def _load_crl(context: ssl.SSLContext, crl: Path) -> None:
    before = context.cert_store_stats()["crl"]
    _load("crl", crl, "list of revoked certificates", context)
    if context.cert_store_stats()["crl"] == before:
        raise TlsFileError("crl", f"{str(crl)!r} holds no list of revoked certificates in PEM")
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _load(key: str, path: Path, what: str, context: ssl.SSLContext) -> None:
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise TlsFileError(key, f"{str(path)!r} holds no {what} in PEM") from error
    except OSError as error:
        raise TlsFileError(key, f"{str(path)!r} cannot be read: {ssl_detail(error)}") from error
