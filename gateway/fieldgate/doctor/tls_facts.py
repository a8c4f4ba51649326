"""What TLS has agreed on, and the certificate of the far side, also of one that is refused."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from fieldgate.config.certificates import Validity, names_of, validity_of

__all__ = ["RefusedCertificate", "TlsFacts", "agreed_on", "shown_certificate"]

_LOOK_DEADLINE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """``names`` are those that the certificate bears."""

    version: str
    cipher: str
    names: tuple[str, ...]
    issuer: str
    not_after: datetime | None


def agreed_on(tls: ssl.SSLObject) -> TlsFacts:
    """Return it for a connection that stands; its certificate was verified."""
    cipher = tls.cipher()
    shown: dict[str, Any] = dict(tls.getpeercert() or {})
    names = tuple(value for kind, value in shown.get("subjectAltName", ()) if kind in ("DNS", "IP Address"))
    issuer = {key: value for part in shown.get("issuer", ()) for key, value in part}
    end = shown.get("notAfter")
    return TlsFacts(
        version=tls.version() or "",
        cipher=cipher[0] if cipher is not None else "",
        names=names,
        issuer=issuer.get("commonName") or issuer.get("organizationName", ""),
        not_after=datetime.fromtimestamp(ssl.cert_time_to_seconds(end), UTC) if end else None,
    )


@dataclass(frozen=True, slots=True)
class RefusedCertificate:
    """What stands in a certificate that could not be verified."""

    validity: Validity
    names: tuple[str, ...]


async def shown_certificate(host: str, port: int, server_name: str) -> RefusedCertificate | None:
    """Return what stands in the certificate of a server that was refused; None if it shows none now.

    Nothing is sent on this connection but the handshake: it is not verified, only looked at.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(OSError, ValueError, TimeoutError):
        async with asyncio.timeout(_LOOK_DEADLINE_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=server_name)
        try:
            der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            return RefusedCertificate(validity_of(der), names_of(der)) if der else None
        finally:
            writer.transport.abort()
    return None
