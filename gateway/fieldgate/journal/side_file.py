"""One SQLite file beside the journal's: opened alone, written in whole transactions, replaced without a gap.

What it holds is the caller's, and so is what is done about damage. A file is replaced through two names: it is built
under one, and gets the other once it is whole and on the disk. From then on it counts, whenever the power goes, and
`SideFile.open` finishes what was cut short.

Blocking; to be used by one thread at a time.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fieldgate.journal.files import delete_file, open_mode, sync_folder
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS, is_the_files

__all__ = ["PAGE_BYTES", "NewerFile", "SideFile"]

PAGE_BYTES: Final = 4096
_KEPT_ASIDE: Final = 2


class NewerFile(Exception):
    """A newer version wrote the file. Stays inside ``journal/``."""


class SideFile:
    """``connection`` is None while the file is not open.

    The log is moved into the database when it has grown to ``checkpoint_pages``.
    """

    def __init__(self, path: Path, *, application_id: int, schema_version: int, checkpoint_pages: int = 1000) -> None:
        self.path = path
        self.connection: sqlite3.Connection | None = None
        self._application_id = application_id
        self._schema_version = schema_version
        self._checkpoint_pages = checkpoint_pages
        self._new = path.with_name(f"new-{path.name}")
        self._whole = path.with_name(f"whole-{path.name}")

    def finish(self) -> None:
        """Finish a replacement that was cut short.

        Raises:
            OSError: the folder takes no changes.
        """
        if self._whole.exists():
            self._swap(keeps_old=True)

    def clean(self) -> None:
        """Delete what is left of a new file that was never whole.

        Raises:
            OSError: the folder takes no changes.
        """
        delete_file(self._new)

    def open(self, *, is_read_only: bool = False) -> bool:
        """Open the file; return whether it is ours and in order as far as its head tells.

        Raises:
            NewerFile: a newer version wrote it.
            sqlite3.Error: it cannot be opened now, which says nothing about what it holds.
        """
        try:
            self.connection = connection = self._connect(is_read_only=is_read_only)
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (application,) = connection.execute("PRAGMA application_id").fetchone()
        except SQLITE_ERRORS as error:
            if is_the_files(error, self.path.parent):
                return False
            self.close()
            raise
        if application != self._application_id:
            return False
        if version > self._schema_version:
            self.close()
            raise NewerFile(f"schema version {version}; this version knows {self._schema_version}")
        return True

    def _connect(self, *, is_read_only: bool) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?{open_mode(self.path, is_read_only=is_read_only)}"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=1.0)
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            if not is_read_only:
                connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint={self._checkpoint_pages}")
            connection.execute("PRAGMA secure_delete=OFF")  # Debian's SQLite zeroes what is removed: flash for nothing
            connection.execute("PRAGMA cell_size_check=ON")
            connection.execute("PRAGMA trusted_schema=OFF")
        except SQLITE_ERRORS:
            connection.close()
            raise
        return connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """What is done inside is on the disk afterwards, all of it, or none of it was done.

        Raises:
            sqlite3.Error: as SQLite does; nothing is written then.
        """
        connection = self.connection
        if connection is None:
            raise sqlite3.OperationalError(f"{self.path.name} is closed")
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:  # whatever it was, the next one must find no transaction open
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def replace(self, fill: Callable[[sqlite3.Connection], None], *, keeps_old: bool) -> Path | None:
        """Put a new file, which ``fill`` makes from an empty database, in the place of this one, and open it.

        ``keeps_old``: the old one is set aside; its new path is returned.

        Raises:
            sqlite3.Error, OSError: the new file cannot be made; the old one stands where it was.
        """
        try:
            self._build(fill)
            self._new.rename(self._whole)
        except BaseException:  # half a file on a full disk only makes it fuller
            delete_file(self._new)
            raise
        sync_folder(self.path.parent)
        self.close()
        aside = self._swap(keeps_old=keeps_old)
        self.connection = self._connect(is_read_only=False)
        return aside

    def _build(self, fill: Callable[[sqlite3.Connection], None]) -> None:
        delete_file(self._new)
        self._new.touch(mode=0o600)  # whatever the umask: who can read it can read the messages
        connection = sqlite3.connect(self._new, isolation_level=None)
        try:
            connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
            connection.execute("PRAGMA synchronous=OFF")  # it counts only once it is whole, and is synced then
            connection.execute(f"PRAGMA application_id={self._application_id}")
            connection.execute(f"PRAGMA user_version={self._schema_version}")
            connection.execute("BEGIN IMMEDIATE")
            fill(connection)
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            connection.close()
        with self._new.open("rb") as file:
            os.fsync(file.fileno())

    def _swap(self, *, keeps_old: bool) -> Path | None:
        """Put the whole file in its place. The old log goes first: SQLite would take it for the new file's."""
        aside = _set_aside(self.path) if keeps_old and self.path.exists() else None
        delete_file(self.path)
        self._whole.rename(self.path)
        sync_folder(self.path.parent)
        return aside

    def close(self) -> None:
        """Let go of the file."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def _set_aside(path: Path) -> Path:
    """Rename a damaged file with its log; of such files the newest few are kept for inspection."""
    number = 1 + max([_number(one) for one in path.parent.glob(f"{path.name}.damaged-*")], default=0)
    target = path.with_name(f"{path.name}.damaged-{number}")
    wal = path.with_name(path.name + "-wal")
    if wal.exists():
        wal.rename(target.with_name(target.name + "-wal"))
    path.rename(target)
    delete_file(path.with_name(f"{path.name}.damaged-{number - _KEPT_ASIDE}"))
    sync_folder(path.parent)
    return target


def _number(path: Path) -> int:
    text = path.name.removesuffix("-wal").rpartition("-")[2]
    return int(text) if text.isdigit() else 0
