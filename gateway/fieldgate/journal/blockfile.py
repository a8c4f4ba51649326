"""One journal file: append, find, read and remove block rows, by one connection, inside the caller's transaction.

Knows nothing of events, limits or other files. Every row is checked as it is read; a row that fails is skipped, and
shows as a hole in its lane, with the exact number of events, because each row says what its lane held before it.
Errors are SQLite's own; the store translates them.
"""

from __future__ import annotations

import importlib
import os
import sqlite3
from pathlib import Path
from types import ModuleType
from typing import Final

import zstandard

from fieldgate.journal.blocks import Checked, Row, check
from fieldgate.journal.book import Book, Kind
from fieldgate.journal.files import open_mode, sync_folder
from fieldgate.journal.holes import Gone
from fieldgate.journal.records import ReadHint
from fieldgate.journal.schema import APPLICATION_ID, BLOCK_COLUMNS, BLOCK_TABLES, SCHEMA_VERSION, create
from fieldgate.journal.shapes import Floor, Meta, Single, Tail, gone_by_loss

__all__ = ["BlockFile", "FileDamaged", "NewerSchema", "make_file", "tail_after"]

_CHECKED_BLOCKS: Final = 64
_LAST: Final = (1 << 63) - 1
_MAGIC: Final = b"SQLite format 3\0"
_ALL: Final = ", ".join(BLOCK_COLUMNS)
_HEAD: Final = ", ".join(BLOCK_COLUMNS[:-1]) + ", x''"
_INSERT: Final = f"({_ALL}) VALUES ({','.join('?' * len(BLOCK_COLUMNS))})"


class FileDamaged(Exception):
    """A file is not a journal that can be written to. Stays inside ``journal/``."""


class NewerSchema(Exception):
    """A file was written by a newer version. Stays inside ``journal/``."""


def _connect(path: Path, *, synchronous: str, is_read_only: bool) -> sqlite3.Connection:
    """Open an existing database as its only user."""
    uri = f"{path.absolute().as_uri()}?{open_mode(path, is_read_only=is_read_only)}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=1.0)
    try:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")  # before WAL is entered: no -shm, no second user
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA secure_delete=OFF")  # Debian's SQLite zeroes what is removed: flash for nothing
        connection.execute("PRAGMA cell_size_check=ON")
        connection.execute("PRAGMA trusted_schema=OFF")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def tail_after(row: Row) -> Tail:
    """A lane's tail once this row is its newest."""
    return Tail(row.ordinal, row.events_before + row.event_count, row.bytes_before + row.size_bytes, row.top_seq)


def _is_chained(meta: Meta, rows: list[Row]) -> bool:
    """Whether each of these rows continues the one before it, where that one is among them."""
    crcs = {row.block_no: row.crc for row in rows} | {meta.start_no: meta.start_crc}
    return all(crcs.get(row.block_no - 1, row.prev_crc) == row.prev_crc for row in rows)


def _check_order(is_in_order: bool) -> None:
    """A damaged tree may give rows that were not asked for, for ever, without SQLite minding."""
    if not is_in_order:
        raise sqlite3.DatabaseError("the database gives rows out of order")


def _migrations() -> ModuleType:
    """Loaded when needed only: sqlite-utils takes 3 MB, and most starts migrate nothing."""
    return importlib.import_module("fieldgate.journal.migrations")


def make_file(path: Path, meta: Meta, book: Book) -> None:
    """Create a complete journal file at ``path`` with this book, under another name until it is on the disk."""
    temporary = path.with_name(f"new-{path.name}")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)  # whatever the umask: who can read it can read every event
    connection = sqlite3.connect(temporary, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous=OFF")  # it counts only once it is whole, and is synced then
        create(connection)
        book.put(Kind.META, "meta", meta)
        connection.execute("BEGIN IMMEDIATE")
        book.write(connection)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_folder(path.parent)


class BlockFile:
    """An open journal file. ``damaged_rows`` counts bad rows met by the check of its newest blocks."""

    def __init__(self, path: Path, *, synchronous: str = "FULL", is_read_only: bool = False) -> None:
        _check_header(path)
        self.path = path
        self.decompressor = zstandard.ZstdDecompressor()
        self._is_read_only = is_read_only
        self.connection = _connect(path, synchronous=synchronous, is_read_only=is_read_only)
        try:
            self._load()
        except BaseException:  # nobody else can close it: there is no object yet
            self.connection.close()
            raise

    def _load(self) -> None:
        (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        (application,) = self.connection.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION_ID:
            raise FileDamaged("not a journal")
        if version > SCHEMA_VERSION:
            raise NewerSchema(f"schema version {version}; this version knows {SCHEMA_VERSION}")
        if not self._is_read_only:
            if version < SCHEMA_VERSION:
                _migrations().apply(self.connection)
            self.connection.execute("PRAGMA journal_mode=WAL")  # a user's tool may have changed it
            self.connection.execute("BEGIN IMMEDIATE")  # takes the lock for good; refused while a stranger holds it
            self.connection.execute("COMMIT")
        self.book, self.damaged_book_rows = Book.load(self.connection)
        meta = self.book.get(Kind.META, "meta", Meta)
        if meta is None:
            raise FileDamaged("its first entry is missing")
        self.meta = meta
        self.page_size = int(self.connection.execute("PRAGMA page_size").fetchone()[0])
        self.damaged_rows = 0
        self.last_no = meta.start_no
        self.last_crc = meta.start_crc
        self.heard_s = 0
        newest = [self._newest(lane) for lane in range(len(BLOCK_TABLES))]
        self.is_chained = _is_chained(meta, [row for rows in newest for row in rows])
        self.tails = [self._tail(lane, rows) for lane, rows in enumerate(newest)]
        stat = self.path.stat()
        self.identity = (stat.st_dev, stat.st_ino)

    def _newest(self, lane: int) -> list[Row]:
        """The newest rows of a lane that are sound, the newest first."""
        sql = f"SELECT {_ALL} FROM {BLOCK_TABLES[lane]} ORDER BY block_no DESC LIMIT {_CHECKED_BLOCKS}"
        rows: list[Row] = []
        for values in self.connection.execute(sql):
            checked = check(lane, values)
            self.damaged_rows += checked is None or not checked.is_whole
            if checked is not None:
                rows.append(checked.row._replace(body=b"") if rows else checked.row)
        return rows

    def _tail(self, lane: int, rows: list[Row]) -> Tail:
        """Where a lane ends; rows behind its newest sound one count as a block of one event at least."""
        floor = self.floor(lane)
        tail = Tail(floor.ordinal, floor.events, floor.bytes, floor.top_seq)
        for known in (floor.tail, *self.meta.tails[lane : lane + 1]):
            if known[0] > tail.ordinal:
                tail = Tail(*known)
        if floor.tail_no > self.last_no:
            self.last_no, self.last_crc = floor.tail_no, floor.tail_crc
        newest_sound = 0
        if rows:
            row = rows[0]
            newest_sound = row.block_no
            if row.ordinal > tail.ordinal:
                tail = tail_after(row)
            self.heard_s = max(self.heard_s, row.heard_s)
            if row.block_no > self.last_no:
                self.last_no, self.last_crc = row.block_no, row.crc
        sql = f"SELECT count(*), max(block_no) FROM {BLOCK_TABLES[lane]} WHERE block_no > ?"
        bad, newest_no = self.connection.execute(sql, (newest_sound,)).fetchone()
        if bad:
            tail.ordinal += bad
            tail.events += bad
            if newest_no > self.last_no:
                self.last_no, self.last_crc = newest_no, 0
        return tail

    @property
    def epoch(self) -> int:
        """Which file it is: the epoch in which it was made."""
        return self.meta.lineage

    def floor(self, lane: int) -> Floor:
        """Up to where the lane was removed."""
        return self.book.get(Kind.FLOOR, str(lane), Floor) or Floor()

    def singles(self, lane: int) -> list[tuple[str, Single]]:
        """Ranges removed from the lane's middle, by name, in order."""
        found = [item for item in self.book.values(Kind.SINGLE, Single).items() if item[1].lane == lane]
        return sorted(found, key=lambda item: item[1].first_ordinal)

    def gone(self, lane: int) -> list[Gone]:
        """What is missing above the floor and accounted for."""
        known = [Gone(single.first_ordinal, single.last_ordinal, single.events) for _, single in self.singles(lane)]
        floor = self.floor(lane).ordinal
        gone = known + gone_by_loss(self.book, self.epoch, lane)
        return sorted(one for one in gone if one.last_ordinal > floor)

    def floor_hint(self, lane: int) -> ReadHint:
        """Where the lane begins: just behind what was removed from its old end."""
        floor = self.floor(lane)
        return ReadHint(self.epoch, 0, floor.ordinal, floor.events, floor.top_seq)

    def start_hint(self, lane: int, after_seq: int) -> ReadHint:
        """Where to begin so that nothing above ``after_seq`` is left out."""
        first = self.first_above(lane, after_seq)
        before = self.before(lane, _LAST if first is None else first.block_no)
        if before is None:
            return self.floor_hint(lane)
        events = before.events_before + before.event_count
        return ReadHint(self.epoch, before.block_no, before.ordinal, events, before.top_seq)

    def end_hint(self, lane: int) -> ReadHint:
        """Where the lane ends."""
        tail = self.tails[lane]
        return ReadHint(self.epoch, 0, tail.ordinal, tail.events, tail.top_seq)

    def insert(self, row: Row) -> None:
        """Append a row."""
        run = row.run - (1 << 64) if row.run >= 1 << 63 else row.run
        self.connection.execute(f"INSERT INTO {BLOCK_TABLES[row.lane]} {_INSERT}", (*row[1:8], run, *row[9:]))

    def advance(self, row: Row) -> None:
        """Take a row that was committed into account."""
        self.tails[row.lane] = tail_after(row)
        self.last_no, self.last_crc = row.block_no, row.crc

    def first_above(self, lane: int, seq: int) -> Row | None:
        """The head of the first row that comes after everything up to ``seq``: the oldest whose top_seq is above it."""
        ends = self.connection.execute(f"SELECT min(block_no), max(block_no) FROM {BLOCK_TABLES[lane]}").fetchone()
        if ends[0] is None:
            return None
        low, high = int(ends[0]), int(ends[1])
        while low < high:  # top_seq never falls within a lane, whatever the order in which events were written
            middle = (low + high) // 2
            found = self._head(lane, "block_no BETWEEN ? AND ? ORDER BY block_no", middle, high)
            _check_order(found is None or middle <= found.block_no <= high)
            if found is None or found.top_seq > seq:
                high = middle
            else:
                low = found.block_no + 1
        first = self._head(lane, "block_no >= ? ORDER BY block_no", low)
        return first if first is not None and first.top_seq > seq else None

    def before(self, lane: int, block_no: int) -> Row | None:
        """The head of the newest sound row before ``block_no``."""
        return self._head(lane, "block_no < ? ORDER BY block_no DESC", block_no)

    def _head(self, lane: int, where: str, *numbers: int) -> Row | None:
        sql = f"SELECT {_HEAD} FROM {BLOCK_TABLES[lane]} WHERE {where}"
        for values in self.connection.execute(sql, numbers):
            if found := check(lane, values, has_body=False):
                return found.row
        return None

    def next_values(self, lane: int, after_no: int) -> tuple[int, Checked | None] | None:
        """The first row after ``after_no``, sound or not, with its number."""
        sql = f"SELECT {_ALL} FROM {BLOCK_TABLES[lane]} WHERE block_no > ? ORDER BY block_no LIMIT 1"
        values = self.connection.execute(sql, (after_no,)).fetchone()
        if values is None:
            return None
        _check_order(after_no < values[0])
        return int(values[0]), check(lane, values)

    def next_row(self, lane: int, after_no: int) -> Checked | None:
        """The first row after ``after_no`` whose head is sound."""
        while (found := self.next_values(lane, after_no)) is not None:
            after_no, checked = found
            if checked is not None:
                return checked
        return None

    def heads(self, lane: int, after_no: int, limit: int) -> list[tuple[Row, int]]:
        """Up to ``limit`` sound heads after ``after_no``, with the size of their bodies, which are not read."""
        sql = f"SELECT {_HEAD}, length(body) FROM {BLOCK_TABLES[lane]} WHERE block_no > ? ORDER BY block_no LIMIT ?"
        answers = self.connection.execute(sql, (after_no, limit)).fetchall()
        found = ((check(lane, values[:-1], has_body=False), values[-1]) for values in answers)
        return [(checked.row, int(body_bytes)) for checked, body_bytes in found if checked]

    def delete_upto(self, lane: int, block_no: int) -> int:
        """Delete the rows up to ``block_no``; answers how many there were."""
        return self.connection.execute(f"DELETE FROM {BLOCK_TABLES[lane]} WHERE block_no <= ?", (block_no,)).rowcount

    def delete_one(self, lane: int, block_no: int) -> None:
        """Delete one row."""
        self.connection.execute(f"DELETE FROM {BLOCK_TABLES[lane]} WHERE block_no = ?", (block_no,))

    def pages(self) -> tuple[int, int]:
        """All pages of the file, and how many of them are free for reuse."""
        (total,) = self.connection.execute("PRAGMA page_count").fetchone()
        (free,) = self.connection.execute("PRAGMA freelist_count").fetchone()
        return int(total), int(free)


def _check_header(path: Path) -> None:
    """Tell a foreign or empty file before SQLite takes it for a new database. Nothing else may have the file open."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise FileDamaged("it has no database header")
