"""The file of the rules' state: timers, alerts, throttles, windows, earlier values. Table ``state``.

A file beside the journal's, written by the same thread. What is in the rows is the engine's. Rows bear a checksum,
because SQLite would not notice; a damaged file is set aside and what can be read of it is taken over into a new one,
so that a rule loses its state at the most, and never the gateway its events.

Blocking; to be used by one thread at a time.
"""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path
from typing import Final

from fieldgate.journal.row_file import FileKind, RowFile
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS

__all__ = ["KIND", "STOPPED", "RowKey", "RuleFile", "RuleRows", "rule_path", "stored_rows"]

KIND: Final = FileKind("rules.db", application_id=0x46475332, schema_version=1)  # "FGS2"

RowKey = tuple[str, str, str]
"""The rule's id, its group, and what of it."""

RuleRows = dict[RowKey, bytes | None]
"""Rows by key; None in a change: it is to be removed."""

STOPPED: Final[RowKey] = ("", "", "stopped")
"""The mark of a stop after which nothing came any more: all rows are those of its moment."""


def rule_path(folder: Path) -> Path:
    """Return where the file lies."""
    return KIND.path(folder)


class RuleFile(RowFile[RuleRows]):
    """The open file. ``rows`` is what it held when it was opened.

    ``was_stopped``: the gateway that wrote it last was stopped and wrote all of it; it was not killed.
    """

    def __init__(self, folder: Path) -> None:
        self.rows: RuleRows = {}
        self.was_stopped = False
        super().__init__(folder, KIND)

    def load(self, connection: sqlite3.Connection) -> tuple[int, bool]:
        """See `RowFile`."""
        damaged, is_whole = _load(connection, self.rows)
        has_mark = self.rows.pop(STOPPED, None) is not None
        self.was_stopped = has_mark and is_whole and not damaged
        return damaged, is_whole

    def loaded(self) -> RuleRows:
        """See `RowFile`."""
        return self.rows

    def create(self, connection: sqlite3.Connection) -> None:
        """See `RowFile`."""
        connection.execute(
            "CREATE TABLE state (rule TEXT NOT NULL, grp TEXT NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL, "
            "PRIMARY KEY (rule, grp, kind)) WITHOUT ROWID"
        )

    def write(self, connection: sqlite3.Connection, changes: RuleRows) -> None:
        """See `RowFile`."""
        connection.executemany(
            "DELETE FROM state WHERE rule = ? AND grp = ? AND kind = ?",
            [key for key, body in changes.items() if body is None],
        )
        connection.executemany(
            "INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?)",
            [(*key, _crc(key, body) + body) for key, body in changes.items() if body is not None],
        )


def stored_rows(folder: Path) -> RuleRows | None:
    """Read what is stored; see `FileKind.stored`."""

    def load(connection: sqlite3.Connection) -> RuleRows:
        rows: RuleRows = {}
        _load(connection, rows)
        rows.pop(STOPPED, None)
        return rows

    return KIND.stored(folder, load)


def _load(connection: sqlite3.Connection, rows: RuleRows) -> tuple[int, bool]:
    """Read all into ``rows``; return how many are not as they were written, and whether SQLite got to the end."""
    damaged = 0
    before: RowKey | None = None
    try:
        for rule, group, kind, body in connection.execute("SELECT * FROM state ORDER BY rule, grp, kind"):
            key = (rule, group, kind)
            if before is not None and key <= before:  # a damaged tree may go round for ever
                return damaged, False
            before = key
            if isinstance(body, bytes) and len(body) >= 4 and body[:4] == _crc(key, body[4:]):
                rows[key] = body[4:]
            else:
                damaged += 1
    except (*SQLITE_ERRORS, TypeError):  # TypeError: a key of another type than the table's
        return damaged, False
    return damaged, True


def _crc(key: RowKey, body: bytes) -> bytes:
    return zlib.crc32(body, zlib.crc32(repr(key).encode("utf-8", "surrogatepass"))).to_bytes(4, "big")
