"""A side file of rows that bear checksums, and what is done about damage: what can be read goes into a new file.

A damaged file is set aside. One that cannot be used at all is done without; one of a newer version is left alone.

Blocking; to be used by one thread at a time.
"""

from __future__ import annotations

import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from fieldgate.journal.files import share_lock
from fieldgate.journal.salvage import wal_is_damaged
from fieldgate.journal.side_file import NewerFile, SideFile
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS

__all__ = ["FileKind", "RowFile"]

Changes = TypeVar("Changes")
Content = TypeVar("Content")


@dataclass(frozen=True, slots=True)
class FileKind:
    """What tells one side file from another."""

    name: str
    application_id: int
    schema_version: int

    def path(self, folder: Path) -> Path:
        """Return where the file lies."""
        return folder / self.name

    def side(self, folder: Path) -> SideFile:
        """Return the file, not open yet."""
        return SideFile(self.path(folder), application_id=self.application_id, schema_version=self.schema_version)

    def stored(self, folder: Path, load: Callable[[sqlite3.Connection], Content]) -> Content | None:
        """Read what is stored without changing a byte, while no gateway runs; None where there is nothing to be read.

        Raises:
            JournalBusy: a gateway runs.
        """
        side = self.side(folder)
        lock = share_lock(folder)
        try:
            if not side.path.exists() or not side.open(is_read_only=True) or side.connection is None:
                return None
            with closing(side):
                return load(side.connection)
        except (*SQLITE_ERRORS, OSError, NewerFile):
            return None
        finally:
            side.close()
            if lock is not None:
                os.close(lock)


class RowFile(ABC, Generic[Changes]):
    """The open file. ``damaged_rows`` could not be read when it was opened.

    ``set_aside`` is where a damaged file went, if there was one. ``problem`` says why there is no file, if that is so:
    `begin_again` tries again, but not where a newer version wrote it (``is_foreign``), which is left alone.
    """

    def __init__(self, folder: Path, kind: FileKind) -> None:
        self.path = kind.path(folder)
        self.damaged_rows = 0
        self.set_aside: Path | None = None
        self.problem = ""
        self.is_foreign = False
        self._side = kind.side(folder)
        self._is_damaged = False
        try:
            self._open()
        except NewerFile as error:
            self.problem, self.is_foreign = f"{self.path}: {error}", True
        except (*SQLITE_ERRORS, OSError) as error:
            self.problem = str(error)

    @abstractmethod
    def load(self, connection: sqlite3.Connection) -> tuple[int, bool]:
        """Read all rows; return how many are not as they were written, and whether SQLite got to the end."""

    @abstractmethod
    def loaded(self) -> Changes:
        """Return what `load` has read, as changes to an empty file."""

    @abstractmethod
    def create(self, connection: sqlite3.Connection) -> None:
        """Make the tables of a new file."""

    @abstractmethod
    def write(self, connection: sqlite3.Connection, changes: Changes) -> None:
        """Write ``changes`` within a transaction of the caller's."""

    def _open(self) -> None:
        self._side.finish()
        self._side.clean()
        is_sound = False
        if self.path.exists():
            is_sound = not wal_is_damaged(self.path)
            is_sound = self._side.open() and is_sound
            if self._side.connection is not None:
                self.damaged_rows, is_whole = self.load(self._side.connection)
                is_sound = is_sound and is_whole
            self._is_damaged = not is_sound or bool(self.damaged_rows)
        if not is_sound or self.damaged_rows:
            self.begin_again(self.loaded())

    def apply(self, changes: Changes) -> None:
        """Write ``changes`` in one transaction, which is on the disk afterwards.

        Raises:
            sqlite3.Error: as SQLite does; nothing is written then.
        """
        with self._side.transaction() as connection:
            self.write(connection, changes)

    def begin_again(self, everything: Changes) -> None:
        """Put a new file that holds ``everything`` in the place of this one; a damaged one is set aside.

        Raises:
            sqlite3.Error, OSError: the new file cannot be made.
        """

        def fill(connection: sqlite3.Connection) -> None:
            self.create(connection)
            self.write(connection, everything)

        aside = self._side.replace(fill, keeps_old=self._is_damaged)
        self.set_aside = aside or self.set_aside
        self._is_damaged = False

    @property
    def side(self) -> SideFile:
        """The file as SQLite has it."""
        return self._side

    def close(self) -> None:
        """Let go of the file."""
        self._side.close()
