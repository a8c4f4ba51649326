"""The file of the local broker: sessions, what waits for their clients, and retained messages.

A file beside the journal's, written by the same thread. Nothing of it is a promise to a device: the journal keeps
those. So no damage to it keeps the gateway from starting or stops it: what can be read is taken over into a new file,
the old one is set aside. Each row bears a checksum, because SQLite would not notice.

Blocking; to be used by one thread at a time.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from fieldgate.journal.row_file import FileKind
from fieldgate.journal.side_file import SideFile
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS
from fieldgate.mqtt.stored import Changes, StoredDelivery, StoredMessage, StoredSession, StoredState

__all__ = ["KIND", "SessionFile"]

KIND: Final = FileKind("sessions.db", application_id=0x46475331, schema_version=1)  # "FGS1"
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


class SessionFile:
    """The open file. ``state`` is what it held when it was opened; ``dropped_rows`` could not be read.

    ``set_aside`` is where a damaged file went, if there was one. ``problem`` says why there is no file, if that is so:
    `begin_again` tries again.

    Raises:
        NewerFile: a newer version wrote it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = KIND.path(folder)
        self.state = StoredState()
        self.dropped_rows = 0
        self.set_aside: Path | None = None
        self.problem = ""
        self._file = KIND.side(folder)
        self._is_damaged = True  # unless it proves to be sound: what cannot be read is never thrown away
        try:
            self._file.finish()
            is_sound = self.path.exists() and self._load()
            self._is_damaged = self.path.exists() and not is_sound
            self._drop_orphans()
            if not is_sound or self.dropped_rows:
                self.begin_again(_everything(self.state))
            self._file.clean()
        except (*SQLITE_ERRORS, OSError) as error:
            self.problem = str(error)

    def _load(self) -> bool:
        """Open the file and read all of it; return whether SQLite found it in order."""
        is_sound = self._file.open()
        connection = self._file.connection
        if not is_sound or connection is None:
            return False
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
        with self._file.transaction() as connection:
            _write(connection, changes)

    def begin_again(self, everything: Changes) -> None:
        """Put a new file that holds ``everything`` in the place of this one.

        Raises:
            sqlite3.Error, OSError: the new file cannot be made.
        """

        def fill(connection: sqlite3.Connection) -> None:
            for table, columns in _KEYS.items():
                typed = ", ".join(f"{name} {kind} NOT NULL" for name, kind in columns.items())
                key = ", ".join(columns)
                connection.execute(
                    f"CREATE TABLE {table} ({typed}, body BLOB NOT NULL, PRIMARY KEY ({key})) WITHOUT ROWID"
                )
            _write(connection, everything)

        aside = self._file.replace(fill, keeps_old=self._is_damaged)
        self.set_aside = aside or self.set_aside
        self._is_damaged = False

    @property
    def side(self) -> SideFile:
        """The file as SQLite has it."""
        return self._file

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


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
