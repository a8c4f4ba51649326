"""The file of the registry: what is known of each device, and the recent history of its numbers.

A file beside the journal's, written by the same thread. Nothing of it is a promise to anybody: a damaged file is set
aside, what can be read of it is taken over into a new one, and one that cannot be used at all is done without. Rows
bear a checksum, because SQLite would not notice; what is in them is the caller's.

Blocking; to be used by one thread at a time.
"""

from __future__ import annotations

import sqlite3
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fieldgate.journal.row_file import FileKind, RowFile
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS

__all__ = ["KIND", "DeviceFile", "DeviceTexts", "device_path", "stored_devices"]

KIND: Final = FileKind("devices.db", application_id=0x46475231, schema_version=1)  # "FGR1"
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
    return KIND.path(folder)


class DeviceFile(RowFile[DeviceTexts]):
    """The open file. ``texts`` is what it held when it was opened."""

    def __init__(self, folder: Path) -> None:
        self.texts = DeviceTexts()
        super().__init__(folder, KIND)

    def load(self, connection: sqlite3.Connection) -> tuple[int, bool]:
        """See `RowFile`."""
        return _load(connection, self.texts)

    def loaded(self) -> DeviceTexts:
        """See `RowFile`."""
        return self.texts

    def create(self, connection: sqlite3.Connection) -> None:
        """See `RowFile`."""
        for table in _TABLES:
            connection.execute(
                f"CREATE TABLE {table} (type TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL, "
                "PRIMARY KEY (type, name)) WITHOUT ROWID"
            )

    def write(self, connection: sqlite3.Connection, changes: DeviceTexts) -> None:
        """See `RowFile`."""
        for table in _TABLES:
            rows = changes.of(table)
            connection.executemany(
                f"DELETE FROM {table} WHERE type = ? AND name = ?", [key for key, text in rows.items() if text is None]
            )
            connection.executemany(
                f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)",
                [(*key, _crc(table, key, text) + text) for key, text in rows.items() if text is not None],
            )


def stored_devices(folder: Path) -> DeviceTexts | None:
    """Read what is stored; see `FileKind.stored`."""

    def load(connection: sqlite3.Connection) -> DeviceTexts:
        texts = DeviceTexts()
        _load(connection, texts)
        return texts

    return KIND.stored(folder, load)


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


def _checked(table: str, key: Key, body: object) -> bytes | None:
    """The text, or None if this row is not as it was written."""
    if not isinstance(body, bytes) or len(body) < 4:
        return None
    return body[4:] if body[:4] == _crc(table, key, body[4:]) else None


def _crc(table: str, key: Key, text: bytes) -> bytes:
    return zlib.crc32(text, zlib.crc32(repr((table, *key)).encode("utf-8", "surrogatepass"))).to_bytes(4, "big")
