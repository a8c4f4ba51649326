"""The file of the registry: what is known of each device, and the recent history of its numbers.

A file beside the journal's, written by the same thread. Nothing of it is a promise to anybody: a damaged file is set
aside, what can be read of it is taken over into a new one, and one that cannot be used at all is done without. Rows
bear a checksum, because SQLite would not notice; what is in them is the caller's.

Blocking; to be used by one thread at a time.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fieldgate.journal.files import share_lock
from fieldgate.journal.salvage import wal_is_damaged
from fieldgate.journal.side_file import NewerFile, SideFile
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS

__all__ = ["DeviceFile", "DeviceTexts", "device_path", "stored_devices"]

_NAME: Final = "devices.db"
_APPLICATION_ID: Final = 0x46475231  # "FGR1"
_SCHEMA_VERSION: Final = 1
_TABLES: Final = ("device", "history")

Key = tuple[str, str]


@dataclass(slots=True)
class DeviceTexts:
    """Texts by type and name of the device; None in a change: it is to be removed."""

    devices: dict[Key, bytes | None] = field(default_factory=dict)
    histories: dict[Key, bytes | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.devices or self.histories)

    def of(self, table: str) -> dict[Key, bytes | None]:
        """Return those of one table."""
        return self.devices if table == "device" else self.histories


def device_path(folder: Path) -> Path:
    """Return where the file lies."""
    return folder / _NAME


class DeviceFile:
    """The open file. ``texts`` is what it held when it was opened; ``damaged_rows`` could not be read.

    ``set_aside`` is where a damaged file went, if there was one. ``problem`` says why there is no file, if that is so:
    `begin_again` tries again, but not where a newer version wrote it (``is_foreign``), which is left alone.
    """

    def __init__(self, folder: Path) -> None:
        self.path = device_path(folder)
        self.texts = DeviceTexts()
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
                self.damaged_rows, is_whole = _load(self._side.connection, self.texts)
                is_sound = is_sound and is_whole
            self._is_damaged = not is_sound or bool(self.damaged_rows)
        if not is_sound or self.damaged_rows:
            self.begin_again(self.texts)

    def apply(self, changes: DeviceTexts) -> None:
        """Write ``changes`` in one transaction.

        Raises:
            sqlite3.Error: as SQLite does; nothing is written then.
        """
        with self._side.transaction() as connection:
            _write(connection, changes)

    def begin_again(self, everything: DeviceTexts) -> None:
        """Put a new file that holds ``everything`` in the place of this one; a damaged one is set aside.

        Raises:
            sqlite3.Error, OSError: the new file cannot be made.
        """

        def fill(connection: sqlite3.Connection) -> None:
            for table in _TABLES:
                connection.execute(
                    f"CREATE TABLE {table} (type TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL, "
                    "PRIMARY KEY (type, name)) WITHOUT ROWID"
                )
            _write(connection, everything)

        aside = self._side.replace(fill, keeps_old=self._is_damaged)
        self.set_aside = aside or self.set_aside
        self._is_damaged = False

    def close(self) -> None:
        """Let go of the file."""
        self._side.close()


def stored_devices(folder: Path) -> DeviceTexts | None:
    """Read what is stored without changing a byte, while no gateway runs; None where there is nothing to be read.

    Raises:
        JournalBusy: a gateway runs.
    """
    path = device_path(folder)
    side = SideFile(path, application_id=_APPLICATION_ID, schema_version=_SCHEMA_VERSION)
    lock = share_lock(folder)
    try:
        if not path.exists() or not side.open(is_read_only=True) or side.connection is None:
            return None
        texts = DeviceTexts()
        with closing(side):
            _load(side.connection, texts)
        return texts
    except (*SQLITE_ERRORS, OSError, NewerFile):
        return None
    finally:
        side.close()
        if lock is not None:
            os.close(lock)


def _load(connection: sqlite3.Connection, texts: DeviceTexts) -> tuple[int, bool]:
    """Read all rows into ``texts``; return how many are not as they were written, and whether SQLite got to the end."""
    damaged = 0
    is_whole = True
    for table in _TABLES:
        found = texts.of(table)
        before: Key | None = None
        try:
            for kind, name, body in connection.execute(f"SELECT type, name, body FROM {table} ORDER BY type, name"):
                key = (kind, name)
                if before is not None and key <= before:  # a damaged tree may go round for ever
                    raise sqlite3.DatabaseError("out of order")
                before = key
                text = _checked(table, key, body)
                if text is None:
                    damaged += 1
                else:
                    found[key] = text
        except (*SQLITE_ERRORS, TypeError):  # TypeError: a key of another type than the table's
            is_whole = False
    return damaged, is_whole


def _write(connection: sqlite3.Connection, texts: DeviceTexts) -> None:
    for table in _TABLES:
        rows = texts.of(table)
        connection.executemany(
            f"DELETE FROM {table} WHERE type = ? AND name = ?", [key for key, text in rows.items() if text is None]
        )
        connection.executemany(
            f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)",
            [(*key, _crc(table, key, text) + text) for key, text in rows.items() if text is not None],
        )


def _checked(table: str, key: Key, body: object) -> bytes | None:
    """The text, or None if this row is not as it was written."""
    if not isinstance(body, bytes) or len(body) < 4:
        return None
    return body[4:] if body[:4] == _crc(table, key, body[4:]) else None


def _crc(table: str, key: Key, text: bytes) -> bytes:
    return zlib.crc32(text, zlib.crc32(repr((table, *key)).encode("utf-8", "surrogatepass"))).to_bytes(4, "big")
