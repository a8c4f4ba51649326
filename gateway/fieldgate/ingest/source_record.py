"""What a source is subscribed to, kept in a small file: MQTT has no way to ask.

The file is a help, not a promise: without it what an earlier configuration subscribed to stays so (its messages are
acknowledged and dropped), and nothing else changes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

__all__ = ["SourceRecord"]


class _Kept(msgspec.Struct):
    """``who``: the session's client id and broker; ``filters``: filter -> QoS."""

    who: str
    filters: dict[str, int]


class SourceRecord:
    """One source's file; ``who`` names the session that it speaks of."""

    def __init__(self, path: Path, *, who: str) -> None:
        self._path = path
        self._who = who

    def load(self) -> dict[str, int]:
        """Return what was saved for this session; empty where there is nothing, or nothing readable."""
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return {}
        return kept.filters if kept.who == self._who else {}

    def save(self, filters: Mapping[str, int]) -> None:
        """Replace the file, so that a crash leaves the old one or the new one.

        Raises:
            OSError: it cannot be written.
        """
        self._path.parent.mkdir(exist_ok=True)
        draft = self._path.with_suffix(".new")
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(_Kept(self._who, dict(filters))))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
