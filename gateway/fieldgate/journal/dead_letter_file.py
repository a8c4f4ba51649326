"""The file of the dead letters, readable with any SQLite tool: table ``dead_letter``, view ``letters``.

A file beside the journal's, written by the same thread. What is in it was acknowledged to a device, so each write is
synced, and no damage passes unnoticed: rows bear a checksum. A damaged file is set aside and what can be read of it
is taken over into a new one. When it is full the oldest letters go.

Blocking; to be used by one thread at a time.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fieldgate.journal.dead_letter import DeadLetter, Kind, LetterChanges, LetterQuery
from fieldgate.journal.dead_letter_rows import INSERT, TABLES, UPDATE, LetterPage, read_letters, row_of, rows_left
from fieldgate.journal.salvage import wal_is_damaged
from fieldgate.journal.side_file import PAGE_BYTES, SideFile
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS, is_the_files

__all__ = ["APPLICATION_ID", "SCHEMA_VERSION", "DeadLetterFile", "Repair", "dead_letter_path"]

_NAME: Final = "dead_letters.db"
APPLICATION_ID: Final = 0x46474431  # "FGD1"
SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Repair:
    """A file was replaced by what could be read of it. ``damaged_rows`` is the least that was lost."""

    why: str
    kept: int
    damaged_rows: int
    set_aside: Path | None


@dataclass(slots=True)
class _Counts:
    kept: Counter[Kind] = field(default_factory=Counter)
    evicted: Counter[Kind] = field(default_factory=Counter)


def dead_letter_path(folder: Path) -> Path:
    """Return where the file lies."""
    return folder / _NAME


class DeadLetterFile:
    """The open file, at most ``max_size_bytes`` with its log; three quarters of that may be letters.

    ``kept`` counts what it holds. Whoever tells of ``repairs`` takes them out. ``problem`` says why there is no file,
    if that is so; `apply` tries again.

    Raises:
        NewerFile: a newer version wrote it.
    """

    def __init__(self, folder: Path, *, max_size_bytes: int) -> None:
        self.path = folder / _NAME
        self.max_size_bytes = max_size_bytes
        self.kept: Counter[Kind] = Counter()
        self.used_bytes = 0
        self.next_number = 1
        self.repairs: deque[Repair] = deque()
        self.problem = ""
        self._max_pages = max_size_bytes * 3 // 4 // PAGE_BYTES
        self._side = SideFile(
            self.path,
            application_id=APPLICATION_ID,
            schema_version=SCHEMA_VERSION,
            checkpoint_pages=max_size_bytes // 16 // PAGE_BYTES,
        )
        self._identity = (0, 0)
        try:
            self._open()
        except (*SQLITE_ERRORS, OSError) as error:
            self.problem = str(error)

    def _open(self) -> None:
        """Open what is there, or make it; only a file of which all is known stays open."""
        try:
            self._open_or_make()
        except BaseException:  # whatever it was: a half-known file would be written to
            self._side.close()
            raise

    def _open_or_make(self) -> None:
        self._side.finish()
        self._side.clean()
        if not self.path.exists():
            self._replace(None, "", keeps_old=False)
            return
        why = "its write-ahead log is damaged" if wal_is_damaged(self.path) else ""
        is_ours = self._side.open()
        if not is_ours or not self._look():
            why = why or "SQLite cannot read it"
        if why:
            self.repair(why)
        elif self._file_pages() > self._max_pages * 9 // 8:  # there may be less now than there was
            with self._side.transaction() as connection:
                self._make_room(connection, 0, _Counts())
            self._replace(self._side.connection, "", keeps_old=False)
        self._note_identity()

    def _look(self) -> bool:
        """Count what is there; return whether SQLite finds it in order, as far as that goes."""
        connection = self._connected()
        try:
            rows = connection.execute("SELECT profile, reason, count(*), max(number) FROM dead_letter GROUP BY 1, 2")
            kept: Counter[Kind] = Counter()
            newest = 0
            for profile, reason, count, number in rows:
                kept[str(profile), str(reason)] += count
                newest = max(newest, number)
            noted = connection.execute("SELECT value FROM note WHERE name = 'next_number'").fetchone()
            self.next_number = max(self.next_number, newest + 1, int(noted[0]) if noted else 1)
            self.used_bytes = self._used_pages(connection) * PAGE_BYTES
        except (TypeError, ValueError):  # values of other types than were written
            return False
        except SQLITE_ERRORS as error:
            if not is_the_files(error, self.path.parent):
                raise
            return False
        self.kept = kept
        return True

    # -- writing --------------------------------------------------------------------------------------------------

    def apply(self, changes: LetterChanges) -> Counter[Kind]:
        """Number what is new, write all in one transaction, and return what had to go for it; it is on the disk then.

        Raises:
            sqlite3.Error, OSError: nothing is written.
        """
        if self._side.connection is None:
            self._open()
        if not self._is_in_place():
            self.repair("it was deleted or replaced")
        counts = _Counts(Counter(self.kept))
        for number, letter in enumerate(changes.new, self.next_number):
            letter.number = number
        with self._side.transaction() as connection:
            self._remove(connection, changes.gone, counts.kept)
            self._alter(connection, changes.again, counts.kept)
            self._make_room(connection, sum(one.size_bytes for one in changes.new) // PAGE_BYTES + 1, counts)
            connection.executemany(INSERT, [row_of(one) for one in changes.new])
            counts.kept.update(one.kind for one in changes.new)
            self._make_room(connection, 0, counts)
            used_pages = self._used_pages(connection)
        self.next_number += len(changes.new)
        self.kept = +counts.kept
        self.used_bytes = used_pages * PAGE_BYTES
        self.problem = ""
        if changes.gone and not self.kept:
            self._give_space_back()
        return counts.evicted

    def _remove(self, connection: sqlite3.Connection, numbers: Sequence[int], kept: Counter[Kind]) -> None:
        if not numbers:
            return
        for number in numbers:
            row = connection.execute("SELECT profile, reason FROM dead_letter WHERE number = ?", (number,)).fetchone()
            if row is not None:
                kept[row[0], row[1]] -= 1
                connection.execute("DELETE FROM dead_letter WHERE number = ?", (number,))
        connection.execute("INSERT OR REPLACE INTO note VALUES ('next_number', ?)", (self.next_number,))

    def _alter(self, connection: sqlite3.Connection, letters: Sequence[DeadLetter], kept: Counter[Kind]) -> None:
        for letter in letters:
            key = (letter.number,)
            row = connection.execute("SELECT profile, reason FROM dead_letter WHERE number = ?", key).fetchone()
            if row is not None:
                kept[row[0], row[1]] -= 1
                kept[letter.kind] += 1
                connection.execute(UPDATE, (*row_of(letter), letter.number))

    def _make_room(self, connection: sqlite3.Connection, needed_pages: int, counts: _Counts) -> None:
        """The oldest go until ``needed_pages`` more fit."""
        while self._used_pages(connection) + needed_pages > self._max_pages:
            row = connection.execute(
                "SELECT number, profile, reason FROM dead_letter ORDER BY number LIMIT 1"
            ).fetchone()
            if row is None:
                return
            connection.execute("DELETE FROM dead_letter WHERE number = ?", row[:1])
            counts.kept[row[1], row[2]] -= 1
            counts.evicted[row[1], row[2]] += 1

    def _give_space_back(self) -> None:
        """Nothing is left: begin a new file. The old one serves as well if there is no room for that."""
        with contextlib.suppress(*SQLITE_ERRORS, OSError):
            self._replace(None, "", keeps_old=False)

    def repair(self, why: str) -> None:
        """Set the file aside and go on with a new one that holds what can be read of it.

        Raises:
            sqlite3.Error, OSError: the new file cannot be made; the old one stands where it was.
        """
        self._replace(self._side.connection, why, keeps_old=True)

    def _replace(self, old: sqlite3.Connection | None, why: str, *, keeps_old: bool) -> None:
        next_number = self.next_number
        damaged = 0
        kept: Counter[Kind] = Counter()

        def fill(connection: sqlite3.Connection) -> None:
            nonlocal damaged
            for table in TABLES:
                connection.execute(table)
            for letter in rows_left(old) if old is not None else ():
                if letter is None:
                    damaged += 1
                else:
                    connection.execute(INSERT, row_of(letter))
                    kept[letter.kind] += 1
            (newest,) = connection.execute("SELECT coalesce(max(number), 0) FROM dead_letter").fetchone()
            note = max(next_number, newest + 1)
            connection.execute("INSERT INTO note VALUES ('next_number', ?)", (note,))

        aside = self._side.replace(fill, keeps_old=keeps_old)
        if why:
            self.repairs.append(Repair(why, kept.total(), damaged, aside))
        self._note_identity()
        self._look()

    def read(self, query: LetterQuery, *, after: int = 0) -> LetterPage:
        """See `read_letters`."""
        return read_letters(self._connected(), query, after=after)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _connected(self) -> sqlite3.Connection:
        if self._side.connection is None:
            raise sqlite3.OperationalError(self.problem or f"{_NAME} is closed")
        return self._side.connection

    def _used_pages(self, connection: sqlite3.Connection) -> int:
        (total,) = connection.execute("PRAGMA page_count").fetchone()
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        return int(total) - int(free)

    def _file_pages(self) -> int:
        (total,) = self._connected().execute("PRAGMA page_count").fetchone()
        return int(total)

    def _note_identity(self) -> None:
        stat = self.path.stat()
        self._identity = (stat.st_dev, stat.st_ino)

    def _is_in_place(self) -> bool:
        """Whether what is open is what stands in the folder: anything else ends with its last descriptor."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return False
        return (stat.st_dev, stat.st_ino) == self._identity

    @property
    def side(self) -> SideFile:
        """The file as SQLite has it."""
        return self._side

    def close(self) -> None:
        """Let go of the file."""
        self._side.close()
