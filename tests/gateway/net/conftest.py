"""A good broker by script, an authority with its PEM file, and silence where handshakes fail on purpose."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from uplink_kit import ScriptedBroker


@pytest.fixture
async def broker() -> AsyncIterator[ScriptedBroker]:
    async with ScriptedBroker().serving() as broker:
        yield broker


@pytest.fixture(scope="session")
def authority() -> Any:
    return pytest.importorskip("trustme", reason="certificates are made with trustme").CA()


@pytest.fixture
def ca(authority: Any, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture(autouse=True)
def _quiet_server() -> None:
    """The server side logs each handshake that fails on purpose."""
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
