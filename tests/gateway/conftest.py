"""An authority for certificates, and its PEM file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def authority() -> Any:
    return pytest.importorskip("trustme", reason="certificates are made with trustme").CA()


@pytest.fixture
def ca(authority: Any, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path
