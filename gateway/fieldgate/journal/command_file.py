"""The file of the commands: which were received, started and answered; the audit trail. Table ``command``.

A file beside the journal's, written by the same thread. A command is carried out only once its start is synced here, so
each write is one synced transaction, and no damage passes unnoticed: rows bear a checksum. A damaged file is set aside
and what can be read of it is taken over into a new one.

Blocking; to be used by one thread at a time.
"""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path
from typing import Final

from fieldgate.decide.order_row import RowChanges
from fieldgate.journal.row_file import FileKind, RowFile
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS

__all__ = ["KIND", "CommandFile", "command_path", "stored_commands"]

KIND: Final = FileKind("commands.db", application_id=0x46474331, schema_version=1)  # "FGC1"

Bodies = dict[int, bytes]


def command_path(folder: Path) -> Path:
    """Return where the file lies."""
    return KIND.path(folder)


class CommandFile(RowFile[RowChanges]):
    """The open file. ``bodies`` is what it held when it was opened, by number."""

    def __init__(self, folder: Path) -> None:
        self.bodies: Bodies = {}
        super().__init__(folder, KIND)

    def load(self, connection: sqlite3.Connection) -> tuple[int, bool]:
        """See `RowFile`."""
        return _load(connection, self.bodies)

    def loaded(self) -> RowChanges:
        """See `RowFile`."""
        return RowChanges(dict(self.bodies), [])

    def create(self, connection: sqlite3.Connection) -> None:
        """See `RowFile`."""
        connection.execute(
            "CREATE TABLE command (number INTEGER PRIMARY KEY, crc INTEGER NOT NULL, body BLOB NOT NULL)"
        )

    def write(self, connection: sqlite3.Connection, changes: RowChanges) -> None:
        """See `RowFile`."""
        connection.executemany("DELETE FROM command WHERE number = ?", [(number,) for number in changes.gone])
        connection.executemany(
            "INSERT OR REPLACE INTO command VALUES (?, ?, ?)",
            [(number, _crc(number, body), body) for number, body in changes.rows.items()],
        )


def stored_commands(folder: Path) -> Bodies | None:
    """Read what is stored; see `FileKind.stored`."""

    def load(connection: sqlite3.Connection) -> Bodies:
        bodies: Bodies = {}
        _load(connection, bodies)
        return bodies

    return KIND.stored(folder, load)


def _load(connection: sqlite3.Connection, bodies: Bodies) -> tuple[int, bool]:
    """Read all rows into ``bodies``; return how many are not as written, and whether SQLite got to the end."""
    damaged = 0
    before: int | None = None
    try:
        for number, crc, body in connection.execute("SELECT number, crc, body FROM command ORDER BY number"):
            if before is not None and number <= before:  # a damaged tree may go round for ever
                return damaged, False
            before = number
            if isinstance(body, bytes) and crc == _crc(number, body):
                bodies[number] = body
            else:
                damaged += 1
    except (*SQLITE_ERRORS, TypeError):  # TypeError: a number of another type than the table's
        return damaged, False
    return damaged, True


def _crc(number: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(number.to_bytes(8, "big")))
