"""What the server may keep for an uplink's session, in a small file: MQTT has no way to ask.

The file is a help, not a promise, and not synced: it is of no use after a power cut. Without it a subscription that is
not configured any more stays at the server, and what waited there counts as old as it can be.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

__all__ = ["SessionRecord"]


class _Kept(msgspec.Struct):
    """``who``: client id and broker; ``heard_s`` is boot time of the OS boot ``os_boot``."""

    who: str
    filter: str
    os_boot: str
    heard_s: float


class SessionRecord:
    """One uplink's file. ``filter`` is what was subscribed to, empty for nothing; ``heard_s`` may not be known."""

    def __init__(self, path: Path, *, who: str, os_boot: str) -> None:
        self.filter = ""
        self.heard_s: float | None = None
        self._path = path
        self._who = who
        self._os_boot = os_boot
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return
        if kept.who == who:
            self.filter = kept.filter
            self.heard_s = kept.heard_s if kept.os_boot == os_boot else None

    def save(self, topic_filter: str, heard_s: float) -> None:
        """Replace the file, so that a crash leaves the old one or the new one.

        Raises:
            OSError: it cannot be written.
        """
        self._path.parent.mkdir(exist_ok=True)
        draft = self._path.with_suffix(".new")
        draft.write_bytes(msgspec.json.encode(_Kept(self._who, topic_filter, self._os_boot, heard_s)))
        draft.replace(self._path)
