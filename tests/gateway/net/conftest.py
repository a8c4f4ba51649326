"""A good broker by script, and silence where handshakes fail on purpose."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest

from uplink_kit import ScriptedBroker


@pytest.fixture
async def broker() -> AsyncIterator[ScriptedBroker]:
    async with ScriptedBroker().serving() as broker:
        yield broker


@pytest.fixture(autouse=True)
def _quiet_server() -> None:
    """The server side logs each handshake that fails on purpose."""
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
