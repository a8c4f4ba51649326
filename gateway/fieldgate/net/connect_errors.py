"""TLS as clients use it, and the errors of connecting in words that a person can act on."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from fieldgate.errors import UplinkError

__all__ = ["TlsContexts", "connect_problem", "is_refusal"]

_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21})
_WRONG_NAME: Final = frozenset({62, 63, 64})


class TlsContexts:
    """The TLS context of a client: always verifies, TLS 1.2 or later; made anew when the CA file has changed."""

    def __init__(self, ca: Path | None) -> None:
        self._ca = ca
        self._made: tuple[tuple[int, int], ssl.SSLContext] | None = None

    def get(self) -> ssl.SSLContext:
        """Return the context.

        Raises:
            UplinkError: the CA file cannot be used.
        """
        try:
            stat = self._ca.stat() if self._ca is not None else None
            key = (stat.st_mtime_ns, stat.st_size) if stat is not None else (0, 0)
            if self._made is None or self._made[0] != key:
                context = ssl.create_default_context(cafile=self._ca)
                context.minimum_version = ssl.TLSVersion.TLSv1_2
                self._made = (key, context)
        except (OSError, ssl.SSLError) as error:
            detail = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise UplinkError(f"{self._ca}: no usable PEM file of certificate authorities: {detail}") from error
        return self._made[1]


def is_refusal(error: BaseException) -> bool:
    """Whether a person must act (wrong certificate, wrong CA file) before connecting can succeed."""
    return isinstance(error, ssl.SSLCertVerificationError | UplinkError)


def connect_problem(error: BaseException, *, host: str, port: int, wall_ns: int, in_tls: bool = False) -> str:
    """Return in words why connecting to ``host``:``port`` failed (``in_tls``: it may be TLS), or why it broke."""
    where = f"{host}:{port}"
    match error:
        case ssl.SSLCertVerificationError():
            return _certificate_problem(error, host=host, wall_ns=wall_ns)
        case ssl.SSLError():
            reason = (error.reason or str(error)).replace("_", " ").lower()
            return f"TLS with {where} failed: {reason}; is that a TLS port, with TLS 1.2 or later?"
        case socket.gaierror():
            return f"cannot look up {host}: {error.strerror}"
        case TimeoutError():
            return f"{where} did not answer in time"
        case ConnectionRefusedError():
            return f"{where} refuses connections: nothing listens there"
        case ConnectionResetError() if in_tls:
            return f"{where} hung up while TLS was agreed on; is that a TLS port, with TLS 1.2 or later?"
        case ConnectionResetError() | BrokenPipeError():
            return f"{where} reset the connection"
        case OSError():
            return f"cannot reach {where}: {error.strerror or error}"
        case _:
            return str(error)


def _certificate_problem(error: ssl.SSLCertVerificationError, *, host: str, wall_ns: int) -> str:
    code = error.verify_code
    now = datetime.fromtimestamp(wall_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if code == _EXPIRED:
        return f"the certificate of {host} has expired (this machine's clock says {now})"
    if code == _NOT_YET_VALID:
        return f"the certificate of {host} is not valid yet (this machine's clock says {now}; is it set?)"
    if code in _UNKNOWN_AUTHORITY:
        return f"the certificate of {host} is signed by an authority that is not known here; set 'ca' to its PEM file"
    if code in _WRONG_NAME:
        return f"the certificate is not for {host}: {error.verify_message}"
    return f"the certificate of {host} cannot be verified: {error.verify_message}"
