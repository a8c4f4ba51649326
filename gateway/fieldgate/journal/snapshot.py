"""Copy everything that is kept in the state folder, as it is at one moment, of a gateway that runs or does not.

While it runs, all databases are copied side by side (`fieldgate.journal.paced_copy`) and end together between two
commits, so that what one of them says of another is true in the copy. Not copied: what the gateway may have with
brokers (``sources/``, ``uplinks/``), which they know better, and files that only serve a running process.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fieldgate.errors import FieldgateError
from fieldgate.journal.blockfile import BlockFile, FileDamaged, NewerSchema
from fieldgate.journal.book import Book, Kind
from fieldgate.journal.files import STAGE, data_files, open_mode, share_lock
from fieldgate.journal.highwater import HighWaterFile
from fieldgate.journal.journal import Journal
from fieldgate.journal.newer import SIDES
from fieldgate.journal.paced_copy import CopyFailed, PacedCopy
from fieldgate.journal.salvage import wal_is_damaged
from fieldgate.journal.shapes import DrainRecord
from fieldgate.journal.side_file import SideFile
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS

__all__ = ["HIGHWATER", "STAGE", "LiveSnapshot", "SnapshotError", "check_space", "copy_stopped"]

HIGHWATER: Final = "highwater"

_RESERVE_BYTES: Final = 8 << 20


class SnapshotError(FieldgateError):
    """What is stored cannot be copied now; nothing is changed."""


def check_space(folder: Path, needed_bytes: int, *, what: str) -> None:
    """Say before anything is written whether it will fit, with a little left for everybody else.

    Raises:
        SnapshotError: it will not.
    """
    stat = os.statvfs(folder)
    free_bytes = stat.f_bavail * stat.f_frsize
    if free_bytes < needed_bytes + _RESERVE_BYTES:
        raise SnapshotError(
            f"{folder}: {what} needs {needed_bytes:,} bytes and {_RESERVE_BYTES:,} to spare; {free_bytes:,} are free"
        )


@dataclass(slots=True)
class _One:
    copy: PacedCopy
    source: sqlite3.Connection
    side: SideFile | None = None


@dataclass(slots=True)
class LiveSnapshot:
    """One of a running gateway, into the folder ``stage``. Every method but `abort` is for the writer's thread.

    ``left_out`` are databases that the gateway itself does without at the moment.
    """

    stage: Path
    left_out: list[str] = field(default_factory=list)
    _copies: list[_One] = field(default_factory=list)

    def begin(self, journal: Journal, sides: Sequence[SideFile]) -> None:
        """Begin to copy.

        Raises:
            SnapshotError: there is no room.
        """
        active, drains = journal.files
        connections = [side.connection for side in sides if side.connection is not None]
        needed_bytes = sum(_size_bytes(one) for one in (active.file.connection, *connections))
        needed_bytes += sum(drain.size_bytes for drain in drains)
        check_space(self.stage.parent, needed_bytes, what="a copy of what is stored")
        make_stage(self.stage)
        active.copy = PacedCopy(active.file.connection, self.stage / active.file.path.name)
        self._copies.append(_One(active.copy, active.file.connection))
        for side in sides:
            if side.connection is None:
                self.left_out.append(side.path.name)
            else:
                copy = PacedCopy(side.connection, self.stage / side.path.name)
                self._copies.append(_One(copy, side.connection, side))
        for one in self._copies:
            one.copy.begin()

    @property
    def is_near(self) -> bool:
        """Whether `finish` will be quick."""
        return all(one.copy.is_near for one in self._copies)

    def progress(self) -> tuple[int, int]:
        """Bytes that are copied, of how many."""
        copies = [one.copy for one in self._copies]
        return sum(one.copied_bytes for one in copies), sum(one.total_bytes for one in copies)

    def finish(self, journal: Journal) -> list[str]:
        """Complete all files at this moment; return their names.

        Raises:
            CopyFailed: one was closed or replaced meanwhile.
        """
        active, drains = journal.files
        for one in self._copies:
            one.copy.finish()
            current = active.file.connection if one.side is None else one.side.connection
            if current is not one.source:
                raise CopyFailed("a database was replaced while it was copied")
        active.copy = None
        for drain in drains:
            _link(drain.path, self.stage)
        with closing(HighWaterFile(self.stage / HIGHWATER)) as highwater:
            highwater.save(journal.mark())
        return sorted(path.name for path in self.stage.iterdir())

    def abort(self) -> None:
        """Leave the databases alone and delete what was copied; also after `finish`."""
        for one in self._copies:
            one.copy.abort()
        shutil.rmtree(self.stage, ignore_errors=True)


def make_stage(stage: Path) -> None:
    """Make the folder anew: what lies there is of a backup that was cut short."""
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(mode=0o700)


def _size_bytes(connection: sqlite3.Connection) -> int:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    return int(pages) * int(page_size)


def _link(path: Path, stage: Path) -> None:
    """Take in a file that nobody writes to, with its log; a link costs neither time nor space where it is possible."""
    for one in (path, path.with_name(path.name + "-wal")):
        if not one.exists():
            continue
        try:
            os.link(one, stage / one.name, follow_symlinks=False)
        except OSError:  # another file system, or one without links
            shutil.copyfile(one, stage / one.name, follow_symlinks=False)


def copy_stopped(folder: Path, stage: Path) -> list[str]:
    """Copy what a stopped gateway left in ``folder``, without changing a byte of it; return the names.

    Raises:
        JournalBusy: a gateway runs.
        SnapshotError: there is nothing, no room, or it is damaged.
    """
    lock = share_lock(folder)
    try:
        databases, aside = data_files(folder)
        if not databases:
            raise SnapshotError(f"{folder}: there is no journal here to be backed up")
        sources = _sources(folder, databases[-1][1])
        needed_bytes = sum(path.stat().st_size for one in sources for path in _with_log(one))
        needed_bytes += sum(path.stat().st_size for _, path in aside)
        check_space(stage.parent, needed_bytes, what="a copy of what is stored")
        make_stage(stage)
        for path in sources:
            _copy_closed(path, stage / path.name.removeprefix("whole-"))
        book = _book(databases[-1][1])
        done = {name for name, record in book.values(Kind.DRAIN, DrainRecord).items() if record.is_done}
        for path in [path for _, path in (*aside, *databases[:-1]) if path.name not in done]:
            _link(path, stage)
        if (folder / HIGHWATER).exists():
            shutil.copyfile(folder / HIGHWATER, stage / HIGHWATER)
        return sorted(path.name for path in stage.iterdir())
    except PermissionError as error:
        raise SnapshotError(f"{folder}: permission denied; use sudo") from error
    except OSError as error:
        raise SnapshotError(f"{folder}: cannot be copied: {(error.strerror or str(error)).lower()}") from error
    finally:
        if lock is not None:
            os.close(lock)


def _sources(folder: Path, journal: Path) -> list[Path]:
    """The databases that count; one that was built to replace another is the one, once it is whole."""
    found = [journal]
    for kind in SIDES:
        whole = folder / f"whole-{kind.name}"
        path = whole if whole.exists() else kind.path(folder)
        if path.exists():
            found.append(path)
    return found


def _with_log(path: Path) -> list[Path]:
    wal = path.with_name(path.name + "-wal")
    return [path, wal] if wal.exists() else [path]


def _copy_closed(path: Path, target: Path) -> None:
    advice = "start the gateway once: it saves what can be read; then back up"
    if wal_is_damaged(path):
        raise SnapshotError(f"{path}: its write-ahead log is damaged; {advice}")
    uri = f"{path.absolute().as_uri()}?{open_mode(path, is_read_only=True)}"
    target.touch(mode=0o600)
    try:
        with closing(sqlite3.connect(uri, uri=True)) as source, closing(sqlite3.connect(target)) as copy:
            source.execute("PRAGMA locking_mode=EXCLUSIVE")  # so the log is read without a -shm being made
            copy.execute("PRAGMA synchronous=OFF")
            copy.execute("PRAGMA journal_mode=OFF")
            source.backup(copy)
    except SQLITE_ERRORS as error:
        raise SnapshotError(f"{path}: {error}; {advice}") from error


def _book(path: Path) -> Book:
    try:
        file = BlockFile(path, is_read_only=True)
    except (FileDamaged, NewerSchema, *SQLITE_ERRORS) as error:
        raise SnapshotError(f"{path}: {error}") from error
    with closing(file.connection):
        return file.book
