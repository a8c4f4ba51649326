"""The file of the commands: which were received, started and answered; the audit trail. Table ``command``.

A file beside the journal's, written by the same thread. A command is carried out only once its start is synced here, so
each write is one synced transaction, and no damage passes unnoticed: rows bear a checksum. A damaged file is set aside
and what can be read of it is taken over into a new one.

Blocking; to be used by one thread at a time.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import Final

from fieldgate.decide.order_row import RowChanges
from fieldgate.journal.files import share_lock
from fieldgate.journal.salvage import wal_is_damaged
from fieldgate.journal.side_file import NewerFile, SideFile
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS

__all__ = ["CommandFile", "command_path", "stored_commands"]

_NAME: Final = "commands.db"
_APPLICATION_ID: Final = 0x46474331  # "FGC1"
_SCHEMA_VERSION: Final = 1

Bodies = dict[int, bytes]


def command_path(folder: Path) -> Path:
    """Return where the file lies."""
    return folder / _NAME


class CommandFile:
    """The open file. ``bodies`` is what it held when it was opened, by number; ``damaged_rows`` could not be read.

    ``set_aside`` is where a damaged file went, if there was one. ``problem`` says why there is no file, if that is so:
    `begin_again` tries again, but not where a newer version wrote it (``is_foreign``), which is left alone.
    """

    def __init__(self, folder: Path) -> None:
        self.path = command_path(folder)
        self.bodies: Bodies = {}
        self.damaged_rows = 0
        self.set_aside: Path | None = None
        self.problem = ""
        self.is_foreign = False
        self._side = SideFile(self.path, application_id=_APPLICATION_ID, schema_version=_SCHEMA_VERSION)
        self._is_damaged = False
        try:
            self._open()
        except NewerFile as error:
            self.problem, self.is_foreign = f"{self.path}: {error}", True
        except (*SQLITE_ERRORS, OSError) as error:
            self.problem = str(error)

    def _open(self) -> None:
        self._side.finish()
        self._side.clean()
        is_sound = False
        if self.path.exists():
            is_sound = not wal_is_damaged(self.path)
            is_sound = self._side.open() and is_sound
            if self._side.connection is not None:
                self.damaged_rows, is_whole = _load(self._side.connection, self.bodies)
                is_sound = is_sound and is_whole
            self._is_damaged = not is_sound or bool(self.damaged_rows)
        if not is_sound or self.damaged_rows:
            self.begin_again(RowChanges(dict(self.bodies), []))

    def apply(self, changes: RowChanges) -> None:
        """Write ``changes`` in one transaction, which is on the disk afterwards.

        Raises:
            sqlite3.Error: as SQLite does; nothing is written then.
        """
        with self._side.transaction() as connection:
            _write(connection, changes)

    def begin_again(self, everything: RowChanges) -> None:
        """Put a new file that holds ``everything`` in the place of this one; a damaged one is set aside.

        Raises:
            sqlite3.Error, OSError: the new file cannot be made.
        """

        def fill(connection: sqlite3.Connection) -> None:
            connection.execute(
                "CREATE TABLE command (number INTEGER PRIMARY KEY, crc INTEGER NOT NULL, body BLOB NOT NULL)"
            )
            _write(connection, everything)

        aside = self._side.replace(fill, keeps_old=self._is_damaged)
        self.set_aside = aside or self.set_aside
        self._is_damaged = False

    def close(self) -> None:
        """Let go of the file."""
        self._side.close()


def stored_commands(folder: Path) -> Bodies | None:
    """Read what is stored without changing a byte, while no gateway runs; None where there is nothing to be read.

    Raises:
        JournalBusy: a gateway runs.
    """
    path = command_path(folder)
    side = SideFile(path, application_id=_APPLICATION_ID, schema_version=_SCHEMA_VERSION)
    lock = share_lock(folder)
    try:
        if not path.exists() or not side.open(is_read_only=True) or side.connection is None:
            return None
        bodies: Bodies = {}
        with closing(side):
            _load(side.connection, bodies)
        return bodies
    except (*SQLITE_ERRORS, OSError, NewerFile):
        return None
    finally:
        side.close()
        if lock is not None:
            os.close(lock)


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


def _write(connection: sqlite3.Connection, changes: RowChanges) -> None:
    connection.executemany("DELETE FROM command WHERE number = ?", [(number,) for number in changes.gone])
    connection.executemany(
        "INSERT OR REPLACE INTO command VALUES (?, ?, ?)",
        [(number, _crc(number, body), body) for number, body in changes.rows.items()],
    )


def _crc(number: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(number.to_bytes(8, "big")))
