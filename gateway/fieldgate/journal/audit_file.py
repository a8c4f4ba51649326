"""The audit trail on disk: ``audit.jsonl`` in the state folder, which becomes ``audit.1.jsonl`` when it is full.

Both are open to the gateway's user only (0600), and together never larger than `MAX_BYTES`. Written now and then, and
not synced before the gateway stops: a power cut may cost the last half minute, and the flash is not worn.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

__all__ = ["MAX_BYTES", "AuditFile", "read_audit"]

MAX_BYTES: Final = 2 << 20
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_Entry = dict[str, Any]


def _files(folder: Path) -> tuple[Path, Path]:
    """The older one first."""
    return folder / "audit.1.jsonl", folder / "audit.jsonl"


class AuditFile:
    """Appends to it. ``problem`` says why the last time did not succeed."""

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self.problem = ""
        self._older, self._path = _files(folder)
        self._max_bytes = max_bytes // 2

    def append(self, lines: bytes, *, is_last: bool = False) -> bool:
        """Append whole lines, synced if they are the last; answers whether that was possible."""
        try:
            self._make_room(len(lines))
            file = os.open(self._path, _FLAGS, 0o600)
            try:
                if stat.S_IMODE(os.fstat(file).st_mode) != 0o600:
                    os.fchmod(file, 0o600)
                written = 0
                while written < len(lines):
                    written += os.write(file, lines[written:])
                if is_last:
                    os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            self.problem = f"{self._path}: {os.strerror(error.errno or 0).lower()}"
            return False
        self.problem = ""
        return True

    def _make_room(self, more_bytes: int) -> None:
        try:
            size_bytes = self._path.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            return
        if size_bytes + more_bytes > self._max_bytes:
            self._path.replace(self._older)


def read_audit(folder: Path) -> Iterator[_Entry]:
    """Return every entry, the oldest first; what a crash or a full disk has cut is passed over.

    Raises:
        OSError: a file is there and cannot be read.
    """
    for path in _files(folder):
        try:
            file = path.open("rb")
        except FileNotFoundError:
            continue
        with file:
            for line in file:
                try:
                    entry = msgspec.json.decode(line, type=_Entry)
                except msgspec.DecodeError:
                    continue
                if isinstance(entry.get("at"), str) and isinstance(entry.get("event"), str):
                    yield entry
