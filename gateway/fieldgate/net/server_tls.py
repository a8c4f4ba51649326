"""A listener's certificate and what it asks clients for, made from its files.

The files are read again when they change; a new certificate that cannot be used leaves the old one in force. A key
that others can read is refused.
"""

from __future__ import annotations

import os
import ssl
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from fieldgate.config.listen import ListenTlsConfig
from fieldgate.errors import FieldgateError
from fieldgate.net.certificate import CertificateError, expiry_of

__all__ = ["ServerTls", "TlsFileError", "load_server_tls", "tls_files"]

_OPEN_TO_EVERYONE: Final = 0o007
_SOON_DAYS: Final = 21


class TlsFileError(FieldgateError):
    """A file that TLS needs cannot be used; ``key`` is the configuration key that names it."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key


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
        return f"the certificate expires on {day}, in {days} days" if days < _SOON_DAYS else ""


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
    key_name, key = ("key", settings.key) if settings.key is not None else ("certificate", certificate)
    expires_at = _expiry(certificate)
    _check_private(key_name, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise TlsFileError(key_name, _chain_problem(error, certificate, key)) from error
    if settings.client_ca is not None:
        try:
            context.load_verify_locations(settings.client_ca)
        except OSError as error:
            raise TlsFileError("client_ca", f"{str(settings.client_ca)!r} {_file_problem(error)}") from error
        if settings.crl is not None:
            _load_crl(context, settings.crl)
        context.verify_mode = ssl.CERT_REQUIRED if settings.require_client_certificate else ssl.CERT_OPTIONAL
    return ServerTls(context, expires_at)


def _expiry(certificate: Path) -> datetime:
    try:
        return expiry_of(certificate.read_bytes())
    except OSError as error:
        raise TlsFileError("certificate", f"{str(certificate)!r} {_file_problem(error)}") from error
    except CertificateError as error:
        raise TlsFileError("certificate", f"{str(certificate)!r} {error}") from error


def _check_private(name: str, key: Path) -> None:
    try:
        mode = stat.S_IMODE(key.stat().st_mode)
    except OSError as error:
        raise TlsFileError(name, f"{str(key)!r} {_file_problem(error)}") from error
    if mode & _OPEN_TO_EVERYONE:
        raise TlsFileError(
            name, f"{str(key)!r} holds a private key and is open to everyone (mode {mode:04o}); allowed: 0600, 0640"
        )


def _load_crl(context: ssl.SSLContext, crl: Path) -> None:
    before = context.cert_store_stats()["crl"]
    try:
        context.load_verify_locations(crl)
    except OSError as error:
        problem = "holds no list of revoked certificates in PEM" if isinstance(error, ssl.SSLError) else None
        raise TlsFileError("crl", f"{str(crl)!r} {problem or _file_problem(error)}") from error
    if context.cert_store_stats()["crl"] == before:
        raise TlsFileError("crl", f"{str(crl)!r} holds no list of revoked certificates in PEM")
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _no_password() -> str:
    """OpenSSL would ask on the terminal."""
    raise ValueError("the key is encrypted; store it without a passphrase, in a file of mode 0600")


def _chain_problem(error: OSError | ValueError, certificate: Path, key: Path) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"{str(key)!r} is not the key of the certificate {str(certificate)!r}"
        return f"{str(key)!r} is no private key in PEM"
    return f"{str(key)!r} {_file_problem(error)}" if isinstance(error, OSError) else f"{str(key)!r}: {error}"


def _file_problem(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "holds no certificate in PEM"
    return f"cannot be read: {os.strerror(error.errno or 0).lower()}"
