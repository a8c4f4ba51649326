"""The dead letters of a gateway that does not run: to look at without changing a byte, and to drop."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from fieldgate.journal.dead_letter import DeadLetter, LetterChanges, LetterQuery, LettersUnreadable
from fieldgate.journal.dead_letter_file import APPLICATION_ID, SCHEMA_VERSION, DeadLetterFile, dead_letter_path
from fieldgate.journal.dead_letter_rows import LetterPage, read_letters
from fieldgate.journal.files import Folder, share_lock
from fieldgate.journal.side_file import NewerFile, SideFile
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS

__all__ = ["StoredLetters", "purge_stored"]

_AT_ONCE: Final = 500


class StoredLetters:
    """The open file, which no gateway opens meanwhile. ``damaged`` counts rows that were left out.

    Raises:
        JournalBusy: a gateway runs.
        LettersUnreadable: it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.damaged = 0
        self._path = dead_letter_path(folder)
        self._side = SideFile(self._path, application_id=APPLICATION_ID, schema_version=SCHEMA_VERSION)
        with _told(self._path):
            self._lock = share_lock(folder)
        try:
            with _told(self._path):
                if self._path.exists() and not self._side.open(is_read_only=True):
                    problem = "damaged; the gateway's next start saves what can be read"
                    raise LettersUnreadable(f"{self._path}: {problem}")
        except BaseException:  # Ctrl-C too gives the lock back
            self.close()
            raise

    def letters(self, query: LetterQuery) -> Iterator[DeadLetter]:
        """Yield what ``query`` takes, the oldest first.

        Raises:
            LettersUnreadable: it cannot be read.
        """
        page = LetterPage([], 0, is_last=self._side.connection is None)
        while not page.is_last and self._side.connection is not None:
            with _told(self._path):
                page = read_letters(self._side.connection, query, after=page.last_number, skips_damaged=True)
            self.damaged += page.damaged
            yield from page.letters

    def close(self) -> None:
        """Let go of everything."""
        self._side.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def purge_stored(folder: Path, query: LetterQuery, *, max_size_bytes: int) -> set[int]:
    """Drop what ``query`` takes for good and return its numbers.

    Raises:
        JournalBusy, JournalRefused: a gateway runs, or the folder cannot be written.
        LettersUnreadable: the file cannot be read or changed.
    """
    path = dead_letter_path(folder)
    with closing(StoredLetters(folder)) as stored:
        numbers = {letter.number for letter in stored.letters(query)}
    if not numbers:
        return numbers
    with closing(Folder(folder)), _told(path), closing(DeadLetterFile(folder, max_size_bytes=max_size_bytes)) as file:
        gone = sorted(numbers)
        for first in range(0, len(gone), _AT_ONCE):
            file.apply(LetterChanges(gone=gone[first : first + _AT_ONCE]))
    return numbers


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Translate what SQLite and the system say."""
    try:
        yield
    except (*SQLITE_ERRORS, OSError, NewerFile) as error:
        raise LettersUnreadable(f"{path}: {error}") from error
