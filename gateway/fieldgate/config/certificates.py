"""Read from a certificate how long it is valid, and for which names.

Laws of this file: no clock, no network. It walks the DER of an X.509 certificate (RFC 5280, 4.1) as far as is
asked and no further; whether a certificate can be trusted is OpenSSL's to say.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["SOON_DAYS", "Validity", "names_of", "read_validity", "validity_of"]

SOON_DAYS: Final = 21
"""For how long before its end a certificate is worth a warning."""

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0  # [0] EXPLICIT
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_EXTENSIONS: Final = 0xA3  # [3] EXPLICIT
_OCTETS: Final = 0x04
_ALTERNATIVE_NAMES: Final = b"\x55\x1d\x11"  # 2.5.29.17
_DNS_NAME: Final = 0x82  # [2] IMPLICIT
_IP_ADDRESS: Final = 0x87  # [7] IMPLICIT
_MAX_FILE_BYTES: Final = 1024 * 1024
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


class Validity(NamedTuple):
    """From when to when, both included, in UTC."""

    not_before: datetime
    not_after: datetime


def read_validity(path: Path) -> Validity:
    """Return how long the first certificate of a PEM file is valid.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no certificate.
    """
    with path.open("rb") as file:
        text = file.read(_MAX_FILE_BYTES).decode("latin-1")
    begin = text.find(_BEGIN)
    end = text.find(_END, begin)
    if begin < 0 or end < 0:
        raise ValueError(f"{str(path)!r} holds no certificate in PEM form")
    return validity_of(ssl.PEM_cert_to_DER_cert(text[begin : end + len(_END)]))


def validity_of(certificate: bytes) -> Validity:
    """Return how long a certificate in DER is valid.

    Raises:
        ValueError: it is none.
    """
    try:
        _, body, _ = _element(certificate, _SEQUENCE)
        _, rest, _ = _element(body, _SEQUENCE)  # TBSCertificate
        if rest[:1] == bytes([_VERSION]):
            _, _, rest = _element(rest)
        for _ in ("serial number", "signature", "issuer"):
            _, _, rest = _element(rest)
        _, validity, _ = _element(rest, _SEQUENCE)
        kind, begin, rest = _element(validity)
        not_before = _time(kind, begin)
        kind, end, _ = _element(rest)
        return Validity(not_before, _time(kind, end))
    except IndexError:
        raise ValueError("the certificate is cut off") from None


def names_of(certificate: bytes) -> tuple[str, ...]:
    """Return the host names and addresses that a certificate in DER bears (RFC 5280, 4.2.1.6); none if it is odd."""
    with suppress(IndexError, ValueError):
        _, body, _ = _element(certificate, _SEQUENCE)
        _, rest, _ = _element(body, _SEQUENCE)
        while rest:
            tag, content, rest = _element(rest)
            if tag == _EXTENSIONS:
                return _alternative_names(content)
    return ()


def _alternative_names(extensions: bytes) -> tuple[str, ...]:
    _, rest, _ = _element(extensions, _SEQUENCE)
    while rest:
        _, extension, rest = _element(rest, _SEQUENCE)
        _, oid, inner = _element(extension)
        if oid == _ALTERNATIVE_NAMES:
            tag, value, inner = _element(inner)
            if tag != _OCTETS:  # whether it is critical comes first
                _, value, _ = _element(inner, _OCTETS)
            return tuple(_names(value))
    return ()


def _names(value: bytes) -> Iterator[str]:
    _, rest, _ = _element(value, _SEQUENCE)
    while rest:
        tag, name, rest = _element(rest)
        if tag == _DNS_NAME:
            yield name.decode("ascii", "replace")
        elif tag == _IP_ADDRESS:
            yield str(ipaddress.ip_address(name))


def _element(der: bytes, wanted: int | None = None) -> tuple[int, bytes, bytes]:
    """Split off one element: its tag, its content, and what follows."""
    tag, size, at = der[0], der[1], 2
    if wanted is not None and tag != wanted:
        raise ValueError(f"no certificate: tag 0x{tag:02x} instead of 0x{wanted:02x}")
    if size & 0x80:
        count = size & 0x7F
        size, at = int.from_bytes(der[2 : 2 + count], "big"), 2 + count
    if len(der) < at + size:
        raise IndexError
    return tag, der[at : at + size], der[at + size :]


def _time(kind: int, content: bytes) -> datetime:
    """RFC 5280, 4.1.2.5: two digits of a year below 50 mean 20xx."""
    text = content.decode("latin-1")
    if kind == _UTC_TIME:
        text = ("20" if text[:2] < "50" else "19") + text
    elif kind != _GENERALIZED_TIME:
        raise ValueError(f"no certificate: tag 0x{kind:02x} is no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
