"""How much of the write-ahead log is in use, read from the log itself: SQLite does not say."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

__all__ = ["WalGauge"]

_HEADER_BYTES: Final = 32
_FRAME_HEADER_BYTES: Final = 24


class WalGauge:
    """Follows one database's log. Opening the log is safe; the database itself must have no second descriptor.

    (Closing any descriptor of a file drops all POSIX locks of the process on it; SQLite's are on the database.)
    """

    def __init__(self, database: Path, *, page_size: int) -> None:
        self._path = database.with_name(database.name + "-wal")
        self._frame_bytes = _FRAME_HEADER_BYTES + page_size
        self._fd: int | None = None
        self._salts = b""
        self._end = _HEADER_BYTES
        self._is_spent = False

    def used_bytes(self) -> int:
        """Bytes of the log that are not in the database yet."""
        fd = self._open()
        if fd is None:
            return 0
        salts = os.pread(fd, 8, 16)
        if len(salts) < 8:
            return 0
        if salts != self._salts:
            self._salts = salts
            self._end = _HEADER_BYTES
            self._is_spent = False
        if self._is_spent:  # all of this generation is in the database; the next commit begins another
            return 0
        while os.pread(fd, 8, self._end + 8) == salts:
            self._end += self._frame_bytes
        return self._end

    def was_checkpointed(self) -> None:
        """Everything in the log has been moved to the database."""
        self.used_bytes()
        self._is_spent = True

    def size_bytes(self) -> int:
        """The size of the log's file, which it keeps when its content has moved to the database."""
        fd = self._open()
        return 0 if fd is None else os.fstat(fd).st_size

    def is_replaced(self) -> bool:
        """Whether the log in the folder is not the one that SQLite writes to."""
        fd = self._open()
        if fd is None:
            return False
        try:
            there = self._path.stat()
        except OSError:
            return True
        here = os.fstat(fd)
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)

    def _open(self) -> int | None:
        if self._fd is None:
            with contextlib.suppress(OSError):
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        return self._fd

    def close(self) -> None:
        """Let go of the log."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
