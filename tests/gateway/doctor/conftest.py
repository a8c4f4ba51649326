"""Silence where handshakes fail on purpose."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def _quiet_server() -> None:
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
