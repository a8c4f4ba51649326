"""An authority of our own, with files as a listener wants them."""

from __future__ import annotations

import ssl
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

trustme = pytest.importorskip("trustme", reason="certificates are made with trustme")

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
