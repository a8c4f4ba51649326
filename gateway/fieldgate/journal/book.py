"""The small things of a journal file, mirrored in memory: places of uplinks, floors, ledger, runs, boots, losses,
parked events.

What is read comes from memory; what is written goes to table ``book`` in the transaction of the commit that it
belongs to. `undo` takes back in memory what a failed transaction took back on the disk. Because all of it is in
memory, a new file can be given all of it when the old one breaks.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec

__all__ = ["Book", "BookRow", "Kind", "book_row_crc", "check_book_row"]

T = TypeVar("T")


class Kind:
    """What a row of the book is about."""

    META: Final = "meta"
    FLOOR: Final = "floor"
    SINGLE: Final = "single"
    STATE: Final = "state"
    RUN: Final = "run"
    BOOT: Final = "boot"
    LEDGER: Final = "ledger"
    LOSS: Final = "loss"
    DRAIN: Final = "drain"
    PARKED: Final = "parked"


class BookRow(NamedTuple):
    """One row. ``version`` rises with each write, so of two copies in a damaged file the newer is known."""

    row_id: int
    kind: str
    name: str
    version: int
    value: str
    blob: bytes


def book_row_crc(row: BookRow) -> int:
    """The checksum kept with a row."""
    text = f"{row.row_id}\0{row.kind}\0{row.name}\0{row.version}\0{row.value}\0"
    return zlib.crc32(row.blob, zlib.crc32(text.encode(errors="surrogatepass")))


class Book:
    """The rows of one journal file. `put` and `drop` count once `settle` says that their transaction is on the disk."""

    def __init__(self, rows: list[BookRow], *, is_stored: bool = True) -> None:
        self._rows: dict[tuple[str, str], BookRow] = {(row.kind, row.name): row for row in rows}
        self._stored: dict[tuple[str, str], int] = {}
        self._changed: set[tuple[str, str]] = set()
        if is_stored:
            self._stored = {key: row.row_id for key, row in self._rows.items()}
        else:
            self._changed = set(self._rows)
        self._undo: dict[tuple[str, str], tuple[BookRow | None, bool]] = {}
        self._next_id = max((row.row_id for row in rows), default=0) + 1
        self._version = max((row.version for row in rows), default=0)

    @classmethod
    def load(cls, connection: sqlite3.Connection) -> tuple[Book, int]:
        """Read the book of a file; also answers how many of its rows were damaged and left out."""
        rows: list[BookRow] = []
        damaged = 0
        for values in connection.execute("SELECT id, kind, name, version, value, blob, crc FROM book"):
            row = check_book_row(values[:-1], values[-1])
            if row is None:
                damaged += 1
            else:
                rows.append(row)
        return cls(rows), damaged

    @property
    def rows(self) -> list[BookRow]:
        """All rows."""
        return list(self._rows.values())

    def get(self, kind: str, name: str, shape: type[T]) -> T | None:
        """Return one value, or None if there is no such row."""
        row = self._rows.get((kind, name))
        return None if row is None else msgspec.json.decode(row.value, type=shape)

    def values(self, kind: str, shape: type[T]) -> dict[str, T]:
        """Return all values of a kind by name, in the order in which they were first written."""
        return {row.name: msgspec.json.decode(row.value, type=shape) for row in self._of(kind)}

    def numbered(self, kind: str, shape: type[T]) -> list[tuple[int, T]]:
        """Return all values of a kind with their ids, by id."""
        return [(row.row_id, msgspec.json.decode(row.value, type=shape)) for row in self._of(kind)]

    def names(self, kind: str, row_ids: set[int]) -> list[str]:
        """Return the names of the rows of a kind with these ids."""
        return [row.name for row in self._of(kind) if row.row_id in row_ids]

    def blobs(self, kind: str) -> dict[str, bytes]:
        """Return all blobs of a kind by name."""
        return {row.name: row.blob for row in self._of(kind)}

    def blob(self, kind: str, name: str) -> bytes:
        """Return the blob of one row; empty if there is no such row."""
        row = self._rows.get((kind, name))
        return b"" if row is None else row.blob

    def _of(self, kind: str) -> list[BookRow]:
        return sorted(row for row in self._rows.values() if row.kind == kind)

    def put(self, kind: str, name: str, value: object = None, blob: bytes = b"") -> int:
        """Write or replace one row; answers its id."""
        key = (kind, name)
        old = self._rows.get(key)
        self._undo.setdefault(key, (old, key in self._changed))
        row_id = old.row_id if old is not None else self._stored.get(key)
        if row_id is None:
            row_id = self._next_id
            self._next_id += 1
        self._version += 1
        text = "" if value is None else msgspec.json.encode(value).decode()
        self._rows[key] = BookRow(row_id, kind, name, self._version, text, blob)
        self._changed.add(key)
        return row_id

    def next_name(self) -> str:
        """A name for a row that has none of its own."""
        return str(self._next_id)

    def drop(self, kind: str, name: str) -> None:
        """Delete one row if it is there."""
        key = (kind, name)
        old = self._rows.pop(key, None)
        if old is not None:
            self._undo.setdefault(key, (old, key in self._changed))
            self._changed.add(key)

    def write(self, connection: sqlite3.Connection) -> None:
        """Write what changed into the open transaction."""
        for key in self._changed:
            row = self._rows.get(key)
            if row is not None:
                connection.execute(
                    "INSERT OR REPLACE INTO book (id, kind, name, version, crc, value, blob) VALUES (?,?,?,?,?,?,?)",
                    (row.row_id, row.kind, row.name, row.version, book_row_crc(row), row.value, row.blob),
                )
            elif key in self._stored:
                connection.execute("DELETE FROM book WHERE id = ?", (self._stored[key],))

    def keep(self) -> None:
        """What changed so far is to be written by a later transaction: `undo` leaves it alone."""
        self._undo.clear()

    def settle(self) -> None:
        """The transaction was committed."""
        for key in self._changed:
            row = self._rows.get(key)
            if row is None:
                self._stored.pop(key, None)
            else:
                self._stored[key] = row.row_id
        self._changed.clear()
        self._undo.clear()

    def undo(self) -> None:
        """The transaction was rolled back: so are the changes since the last `settle` or `keep`."""
        for key, (old, was_changed) in self._undo.items():
            if old is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = old
            if not was_changed:
                self._changed.discard(key)
        self._undo.clear()


def check_book_row(values: Sequence[object], crc: object) -> BookRow | None:
    """Return the row that these values make, or None where they are not what was written."""
    if [type(value) for value in values] != [int, str, str, int, str, bytes]:
        return None
    row = BookRow(*values)  # type: ignore[arg-type]  # just checked
    return row if book_row_crc(row) == crc else None
