"""How much a file of rules may hold. Apart from what reads them, for who only opens files."""

from __future__ import annotations

from typing import Final

from fieldgate_devices.files.document import Limits

__all__ = ["MAX_RULE_FILE"]

MAX_RULE_FILE: Final = Limits(max_bytes=8 * 1024 * 1024, max_nodes=1_000_000)
"""Ten thousand rules may stand in one file."""
