"""The file of the local broker: sessions, what waits for their clients, and retained messages.

A file beside the journal's, written by the same thread. Nothing of it is a promise to a device: the journal keeps
those. So no damage to it keeps the gateway from starting or stops it: what can be read is taken over into a new file,
the old one is set aside. Each row bears a checksum, because SQLite would not notice.

A new file takes the old one's place only once it is whole and on the disk; cut at any moment, one of the two is there.

Blocking; to be used by one thread at a time.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from fieldgate.journal.files import delete_file, sync_folder
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS
from fieldgate.mqtt.stored import Changes, StoredDelivery, StoredMessage, StoredSession, StoredState

__all__ = ["NewerSessionFile", "SessionFile"]

_NAME: Final = "sessions.db"
_APPLICATION_ID: Final = 0x46475331  # "FGS1"
_SCHEMA_VERSION: Final = 1
_CHECKPOINT_PAGES: Final = 1000
_KEPT_ASIDE: Final = 2
_KEYS: Final = {
    "session": {"number": "INTEGER"},
    "message": {"number": "INTEGER"},
    "delivery": {"session": "INTEGER", "position": "INTEGER"},
    "retained": {"topic": "BLOB"},
}
"""The tables, each with its key; beside it stands one blob, a checksum and the value."""

Key = tuple[int | bytes, ...]

_encode = msgspec.msgpack.Encoder().encode
_decode_session = msgspec.msgpack.Decoder(StoredSession).decode
_decode_message = msgspec.msgpack.Decoder(StoredMessage).decode
_decode_delivery = msgspec.msgpack.Decoder(StoredDelivery).decode


class NewerSessionFile(Exception):
    """A newer version wrote the file. Stays inside ``journal/``."""


class SessionFile:
    """The open file. ``state`` is what it held when it was opened; ``dropped_rows`` could not be read.

    ``set_aside`` is where a damaged file went, if there was one. ``problem`` says why there is no file, if that is so:
    `begin_again` tries again.

    Raises:
        NewerSessionFile: a newer version wrote it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / _NAME
        self.state = StoredState()
        self.dropped_rows = 0
        self.set_aside: Path | None = None
        self.problem = ""
        self._connection: sqlite3.Connection | None = None
        self._making = folder / f"new-{_NAME}"  # half a file, or less
        self._whole = folder / f"{_NAME}.new"  # a new file that has only its name to get
        self._is_damaged = False
        try:
            if self._whole.exists():
                self._rename_whole()
            is_there = self.path.exists()
            is_sound = is_there and self._load()
            self._is_damaged = is_there and not is_sound
            self._drop_orphans()
            if not is_sound or self.dropped_rows:
                self.begin_again(_everything(self.state))
            delete_file(self._making)
        except (*SQLITE_ERRORS, OSError) as error:
            self.problem = str(error)

    def _load(self) -> bool:
        """Open the file and read all of it; return whether SQLite found it in order."""
        try:
            self._connection = connection = _connect(self.path)
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (application,) = connection.execute("PRAGMA application_id").fetchone()
        except SQLITE_ERRORS:
            return False
        if application != _APPLICATION_ID:
            return False
        if version > _SCHEMA_VERSION:
            self.close()
            raise NewerSessionFile(f"schema version {version}; this version knows {_SCHEMA_VERSION}")
        is_sound = True
        for table in _KEYS:  # all of them: what can be read is taken over
            is_sound = self._load_table(connection, table) and is_sound
        return is_sound

    def _load_table(self, connection: sqlite3.Connection, table: str) -> bool:
        columns = ", ".join(_KEYS[table])
        before: Key | None = None
        try:
            for *key, body in connection.execute(f"SELECT {columns}, body FROM {table} ORDER BY {columns}"):
                if before is not None and tuple(key) <= before:  # a damaged tree may go round for ever
                    return False
                before = tuple(key)
                self._take(table, before, body)
        except (*SQLITE_ERRORS, TypeError):  # TypeError: a key of another type than the table's
            return False
        return True

    def _take(self, table: str, key: Key, body: object) -> None:
        text = _checked(table, key, body)
        if text is None:
            self.dropped_rows += 1
            return
        state = self.state
        try:
            match table, key:
                case "session", (int(number),):
                    state.sessions[number] = _decode_session(text)
                case "message", (int(number),):
                    state.messages[number] = _decode_message(text)
                case "delivery", (int(number), int(position)):
                    state.deliveries.setdefault(number, {})[position] = _decode_delivery(text)
                case "retained", (bytes(topic),):
                    state.retained[topic.decode()] = _decode_message(text)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
            self.dropped_rows += 1

    def _drop_orphans(self) -> None:
        """A row that points at one which could not be read is of no use; a message that nobody waits for neither."""
        state = self.state
        wanted: set[int] = set()
        for number, deliveries in list(state.deliveries.items()):
            if number not in state.sessions:
                del state.deliveries[number]
                self.dropped_rows += len(deliveries)
                continue
            for position in [at for at, one in deliveries.items() if one.message and one.message not in state.messages]:
                del deliveries[position]
                self.dropped_rows += 1
            wanted.update(one.message for one in deliveries.values())
        for message in state.messages.keys() - wanted:
            del state.messages[message]
            self.dropped_rows += 1

    def apply(self, changes: Changes) -> None:
        """Write ``changes`` in one transaction; they are on the disk when this returns.

        Raises:
            sqlite3.Error: as SQLite does; nothing is written then.
        """
        connection = self._connection
        if connection is None:
            raise sqlite3.OperationalError("the file of the sessions is closed")
        connection.execute("BEGIN IMMEDIATE")
        try:
            _write(connection, changes)
            connection.execute("COMMIT")
        except BaseException:  # whatever it was, the next changes must find no transaction open
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def begin_again(self, everything: Changes) -> None:
        """Put a new file that holds ``everything`` in the place of this one; what was damaged is set aside.

        Raises:
            sqlite3.Error, OSError: the new file cannot be made; the old one is left as it is.
        """
        self.close()
        try:
            _make(self._making, everything)
        except BaseException:  # whatever it was: a full disk needs the space of half a file
            delete_file(self._making)
            raise
        self._making.rename(self._whole)
        if self._is_damaged and self.path.exists():
            self.set_aside = _set_aside(self.path)
        self._is_damaged = False
        self._rename_whole()
        self._connection = _connect(self.path)

    def _rename_whole(self) -> None:
        delete_file(self.path)  # with its log, which SQLite would take for the new one's
        self._whole.rename(self.path)
        sync_folder(self.path.parent)

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False, timeout=1.0
    )
    try:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        connection.execute("PRAGMA secure_delete=OFF")  # Debian's SQLite zeroes what is removed: flash for nothing
        connection.execute("PRAGMA cell_size_check=ON")
        connection.execute("PRAGMA trusted_schema=OFF")
    except SQLITE_ERRORS:
        connection.close()
        raise
    return connection


def _make(path: Path, everything: Changes) -> None:
    """Make a file that holds ``everything``, and bring it to the disk."""
    delete_file(path)
    path.touch(mode=0o600)  # whatever the umask: who can read it can read the messages
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous=OFF")  # it counts only once it is whole, and is synced then
        connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")
        connection.execute("BEGIN IMMEDIATE")
        for table, columns in _KEYS.items():
            typed = ", ".join(f"{name} {kind} NOT NULL" for name, kind in columns.items())
            key = ", ".join(columns)
            connection.execute(f"CREATE TABLE {table} ({typed}, body BLOB NOT NULL, PRIMARY KEY ({key})) WITHOUT ROWID")
        _write(connection, everything)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _everything(state: StoredState) -> Changes:
    return Changes(
        sessions=dict(state.sessions),
        deliveries={(number, at): one for number, many in state.deliveries.items() for at, one in many.items()},
        messages=dict(state.messages),
        retained=dict(state.retained),
    )


def _write(connection: sqlite3.Connection, changes: Changes) -> None:
    gone = [(number,) for number, session in changes.sessions.items() if session is None]
    connection.executemany("DELETE FROM delivery WHERE session = ?", gone)
    _write_table(connection, "session", [((number,), value) for number, value in changes.sessions.items()])
    _write_table(connection, "message", [((number,), value) for number, value in changes.messages.items()])
    _write_table(connection, "delivery", list(changes.deliveries.items()))
    _write_table(connection, "retained", [((topic.encode(),), value) for topic, value in changes.retained.items()])


def _write_table(connection: sqlite3.Connection, table: str, rows: Sequence[tuple[Key, object | None]]) -> None:
    keys = _KEYS[table]
    where = " AND ".join(f"{key} = ?" for key in keys)
    marks = ", ".join("?" for _ in range(len(keys) + 1))
    connection.executemany(f"DELETE FROM {table} WHERE {where}", [key for key, value in rows if value is None])
    connection.executemany(
        f"INSERT OR REPLACE INTO {table} VALUES ({marks})",
        [(*key, _body(table, key, value)) for key, value in rows if value is not None],
    )


def _body(table: str, key: Key, value: object) -> bytes:
    text = _encode(value)
    return _crc(table, key, text).to_bytes(4, "big") + text


def _checked(table: str, key: Key, body: object) -> bytes | None:
    """The value's text, or None if this row is not as it was written."""
    if not isinstance(body, bytes) or len(body) < 4:
        return None
    text = body[4:]
    return text if int.from_bytes(body[:4], "big") == _crc(table, key, text) else None


def _crc(table: str, key: Key, text: bytes) -> int:
    return zlib.crc32(text, zlib.crc32(repr((table, *key)).encode()))


def _set_aside(path: Path) -> Path:
    """Rename a damaged file with its log; of such files the newest few are kept for inspection."""
    number = 1 + max([_number(one) for one in path.parent.glob(f"{_NAME}.damaged-*")], default=0)
    target = path.with_name(f"{_NAME}.damaged-{number}")
    path.rename(target)
    wal = path.with_name(path.name + "-wal")
    if wal.exists():
        wal.rename(target.with_name(target.name + "-wal"))
    delete_file(path.with_name(f"{_NAME}.damaged-{number - _KEPT_ASIDE}"))
    sync_folder(path.parent)
    return target


def _number(path: Path) -> int:
    text = path.name.rpartition("-")[2]
    return int(text) if text.isdigit() else 0
