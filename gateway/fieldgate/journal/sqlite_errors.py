"""What an SQLite error means for the journal: try again, give up the file, or stop."""

from __future__ import annotations

import errno
import os
import sqlite3
from enum import Enum
from pathlib import Path
from typing import Final

__all__ = ["SQLITE_ERRORS", "Fault", "classify", "is_the_files"]

SQLITE_ERRORS: Final = (sqlite3.Error, UnicodeDecodeError)
"""What sqlite3 raises; the second where a damaged file put garbage into the text of an error."""


class Fault(Enum):
    """The answers that differ."""

    FULL = "full"  # no space; nothing was written; may be tried again
    READ_ONLY = "read_only"  # the file system takes no writes; the same
    DAMAGED = "damaged"  # the file is not what was written: move to a new one
    UNREADABLE = "unreadable"  # the device does not give back what was written: the same
    DEVICE = "device"  # a write or sync failed: what is on the disk is unknown, never commit again
    REFUSED = "refused"  # no permission, locked by a stranger


_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_SCHEMA}
_IOERR_CORRUPTFS: Final = sqlite3.SQLITE_IOERR | 33 << 8  # a read failed with EIO; Python 3.11 has no name for it
_UNREADABLE: Final = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, _IOERR_CORRUPTFS}
_REFUSED: Final = {sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def classify(error: Exception, folder: Path) -> Fault:
    """Return what ``error`` means; a write error on a file system that has become read-only loses nothing."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by the sqlite3 module itself: a row that cannot be decoded
        return Fault.DAMAGED
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_FULL:
        return Fault.FULL
    if code in _UNREADABLE:
        return Fault.UNREADABLE
    if primary in _DAMAGED or primary == sqlite3.SQLITE_ERROR:  # ERROR: a table or column of ours is gone
        return Fault.DAMAGED
    if primary == sqlite3.SQLITE_READONLY:
        return Fault.READ_ONLY
    if code == sqlite3.SQLITE_IOERR_WRITE and _why_no_file_can_be_made(folder) == errno.EROFS:
        return Fault.READ_ONLY
    if primary == sqlite3.SQLITE_CANTOPEN and _why_no_file_can_be_made(folder) in (errno.ENOSPC, errno.EDQUOT):
        return Fault.FULL
    if primary in _REFUSED or primary == sqlite3.SQLITE_CANTOPEN:
        return Fault.REFUSED
    return Fault.DEVICE


def is_the_files(error: Exception, folder: Path) -> bool:
    """Whether a new file is the answer to ``error``: it is this one's fault, and not for want of space or rights."""
    return classify(error, folder) in (Fault.DAMAGED, Fault.UNREADABLE, Fault.DEVICE)


def _why_no_file_can_be_made(folder: Path) -> int:
    """Try it, because SQLite does not say why it failed, and a file system can take no writes without a flag for it."""
    probe = folder / "probe"
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        probe.unlink()
    except OSError as error:
        return error.errno or 0
    return 0
