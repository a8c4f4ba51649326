"""An authority of our own, with files as a listener wants them."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

trustme = pytest.importorskip("trustme", reason="certificates are made with trustme")
from cryptography import x509  # noqa: E402 - what trustme itself is made of
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402

__all__ = ["Authority"]


class Authority:
    """Makes certificates and writes them where they are wanted."""

    def __init__(self) -> None:
        self.ca = trustme.CA()

    def write_ca(self, path: Path) -> Path:
        self.ca.cert_pem.write_to_path(str(path))
        return path

    def write_server(self, folder: Path, **validity: datetime) -> dict[str, Path]:
        """`certificate` and `key` for 127.0.0.1 and localhost, as settings of ``tls``."""
        self._write(self.ca.issue_cert("127.0.0.1", "localhost", **validity), folder / "server")
        return {"certificate": folder / "server.pem", "key": folder / "server.key"}

    def write_client(self, folder: Path, name: str, **more: Any) -> tuple[Path, Path]:
        """A client's certificate with this common name (and ``name@example`` as e-mail), and its key."""
        self._write(self.ca.issue_cert(f"{name}@example.com", common_name=name or None, **more), folder / f"c-{name}")
        return folder / f"c-{name}.pem", folder / f"c-{name}.key"

    def write_crl(self, path: Path, *revoked: Path, until: datetime | None = None) -> Path:
        """The list of revoked certificates, good until tomorrow."""
        now = datetime.now(UTC)
        issuer = x509.load_pem_x509_certificate(self.ca.cert_pem.bytes())
        builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject)
        builder = builder.last_update(now - timedelta(2)).next_update(until or now + timedelta(1))
        for certificate in revoked:
            serial = x509.load_pem_x509_certificate(certificate.read_bytes()).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - timedelta(1))
            builder = builder.add_revoked_certificate(entry.build())
        key = serialization.load_pem_private_key(self.ca.private_key_pem.bytes(), None)
        crl = builder.sign(key, hashes.SHA256())  # type: ignore[arg-type]
        fresh = path.with_suffix(".new")
        fresh.write_bytes(crl.public_bytes(serialization.Encoding.PEM))
        fresh.replace(path)
        return path

    def client_context(self, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return context

    def _write(self, leaf: Any, path: Path) -> None:
        fresh = path.with_suffix(".new")
        for suffix, blobs in ((".key", [leaf.private_key_pem]), (".pem", leaf.cert_chain_pems)):
            fresh.write_bytes(b"".join(blob.bytes() for blob in blobs))
            fresh.chmod(0o600)
            fresh.replace(path.with_suffix(suffix))
