"""When a certificate ends: the one thing that a listener must know of its own, and that `ssl` does not tell.

Reads as much of X.509 (RFC 5280 4.1) as lies before that date. The certificate itself is checked by whoever uses it.
"""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from typing import Final

from fieldgate.errors import FieldgateError

__all__ = ["CertificateError", "expiry_of"]

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_VERSION_TAG: Final = 0xA0
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18


class CertificateError(FieldgateError):
    """There is no certificate, or it cannot be read."""


def expiry_of(pem: bytes) -> datetime:
    """Return when the first certificate of a PEM file ends, UTC.

    Raises:
        CertificateError: the file has none that can be read.
    """
    match = _PEM.search(pem)
    if match is None:
        raise CertificateError("holds no certificate in PEM")
    try:
        der = ssl.PEM_cert_to_DER_cert(match[0].decode("ascii"))
        return _not_after(der)
    except (ValueError, IndexError):
        raise CertificateError("holds a certificate that cannot be read") from None


def _not_after(der: bytes) -> datetime:
    _, certificate, _ = _element(der, 0)
    _, body, _ = _element(certificate, 0)
    at = 0
    if body[0] == _VERSION_TAG:
        _, _, at = _element(body, at)
    for _ in ("serial number", "signature", "issuer"):
        _, _, at = _element(body, at)
    _, validity, _ = _element(body, at)
    _, _, at = _element(validity, 0)
    kind, text, _ = _element(validity, at)
    return _time(kind, text.decode("ascii"))


def _element(data: bytes, at: int) -> tuple[int, bytes, int]:
    """Read one DER element; returns its tag, its content, and where the next begins."""
    tag, length, start = data[at], data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length, start = int.from_bytes(data[start : start + count], "big"), start + count
    end = start + length
    if end > len(data):
        raise ValueError("cut off")
    return tag, data[start:end], end


def _time(kind: int, text: str) -> datetime:
    if kind == _UTC_TIME:
        year = int(text[:2])
        text = f"{1900 + year if year >= 50 else 2000 + year}{text[2:]}"  # [RFC 5280 4.1.2.5.1]
    elif kind != _GENERALIZED_TIME:
        raise ValueError("no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
