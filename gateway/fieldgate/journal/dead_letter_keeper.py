"""Do what the box of dead letters decides: write them, a group at a time, in the journal's thread; read them back.

The disk may fail or be full: what waits is tried again, no device is told anything meanwhile, and it is said once. The
journal is not concerned, and neither is what becomes an event.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import structlog

from fieldgate import clock
from fieldgate.ingest.source import Settler
from fieldgate.journal.dead_letter import DeadLetter, Kind, LetterChanges, LetterQuery, LettersUnreadable
from fieldgate.journal.dead_letter_box import BoxLimits, DeadLetterBox
from fieldgate.journal.dead_letter_file import DeadLetterFile, dead_letter_path
from fieldgate.journal.dead_letter_rows import LetterPage
from fieldgate.journal.journal import Journal
from fieldgate.journal.records import JournalRefused
from fieldgate.journal.side_file import NewerFile, SideFile
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS, is_the_files
from fieldgate.journal.writer import Writer

__all__ = ["DeadLetters", "open_dead_letters"]

T = TypeVar("T")

log = structlog.get_logger("fieldgate")

_RETRY_S: Final = 1.0
_RETRY_BROKEN_S: Final = 10.0  # each attempt reads all that is left
_WAITING_SHARE: Final = 16  # this part of the file's limit may wait in memory, and be one write


class _NotMended(Exception):
    """The file is damaged, and no new one can be made."""


def open_dead_letters(folder: Path, *, max_size_bytes: int) -> DeadLetterFile:
    """Open the file of the dead letters, or make it; a damaged one is replaced by what could be read of it.

    Raises:
        JournalRefused: a newer version wrote it.
    """
    try:
        return DeadLetterFile(folder, max_size_bytes=max_size_bytes)
    except NewerFile as error:
        raise JournalRefused(f"{dead_letter_path(folder)}: {error}") from error


class DeadLetters:
    """The box with its file. ``problem`` says why nothing is stored at the moment, empty when all is well."""

    def __init__(
        self,
        file: DeadLetterFile,
        writer: Writer,
        *,
        rate_per_s: float,
        largest_bytes: int,
        base_s: float,
        commit_delay_s: float,
    ) -> None:
        waiting_bytes = file.max_size_bytes // _WAITING_SHARE
        self.commits = 0
        self.problem = ""
        self.box = DeadLetterBox(
            BoxLimits(rate_per_s, waiting_bytes=waiting_bytes, letter_bytes=largest_bytes),
            base_s=base_s,
            commit_delay_s=commit_delay_s,
            attention=self._attention,
        )
        self._file = file
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at_s = 0.0
        self._is_busy = False
        self._is_stopping = False
        self._idle = asyncio.Event()
        self._told: set[Kind] = set()
        self._say_repairs()
        if file.problem:
            self._is_not_stored(file.problem)

    @property
    def side(self) -> SideFile:
        """The file as SQLite has it; for the writer's thread."""
        return self._file.side

    # -- the flow -------------------------------------------------------------------------------------------------

    def put(self, letter: DeadLetter, settler: Settler, position: int) -> bool:
        """Take a message that is no event; see `DeadLetterBox.put`. Its position is settled once it is on the disk."""
        if letter.kind not in self._told:
            self._told.add(letter.kind)
            log.warning(
                "dead_letters.began",
                profile=letter.profile,
                reason=letter.reason,
                source=letter.source,
                meaning="such messages are kept aside; look at them with 'fieldgate dead-letters list'",
            )
        return self.box.put(letter, settler, position, now_s=clock.boot_s())

    @property
    def kept(self) -> Counter[Kind]:
        """What is on the disk."""
        return self._file.kept

    @property
    def used_bytes(self) -> int:
        """How much of the disk that takes."""
        return self._file.used_bytes

    # -- a turn ---------------------------------------------------------------------------------------------------

    def _attention(self) -> None:
        self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Let settlers write what is due, and begin a write if it is time."""
        box = self.box
        box.begin_turn()
        if self._is_busy or self._is_stopping:
            return
        now_s = clock.boot_s()
        due_s = box.due_s(now_s)
        if due_s is None:
            return
        if due_s <= now_s:
            self._begin_write()
        elif self._timer is None or due_s < self._wakes_at_s:
            if self._timer is not None:
                self._timer.cancel()
            self._wakes_at_s = due_s
            self._timer = self._loop.call_later(due_s - now_s, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._turn()

    def _begin_write(self) -> None:
        changes = self.box.begin_write(clock.boot_s())
        self._is_busy = True
        self._writer.submit(partial(_write, self._file, changes), partial(self._write_ended, changes))

    def _write_ended(self, changes: LetterChanges, future: Future[Counter[Kind]]) -> None:
        self._is_busy = False
        error = future.exception()
        if error is None:
            self.commits += 1
            self.box.written(changes, future.result())
            if self.problem:
                self.problem = ""
                log.info("dead_letters.stored_again")
        else:
            pause_s = _RETRY_BROKEN_S if isinstance(error, _NotMended) else _RETRY_S
            self.box.write_failed(changes, retry_at_s=clock.boot_s() + pause_s)
            self._is_not_stored(str(error) or repr(error))
        self._say_repairs()
        self._idle.set()
        self._turn()

    def _is_not_stored(self, problem: str) -> None:
        if not self.problem:
            log.error(
                "dead_letters.not_stored",
                reason=problem,
                meaning="devices keep what they are not told to be safe; it is tried again",
            )
        self.problem = problem

    def _say_repairs(self) -> None:
        while self._file.repairs:
            one = self._file.repairs.popleft()
            log.error(
                "dead_letters.damaged",
                problem=one.why,
                kept=one.kept,
                damaged_rows=one.damaged_rows,
                set_aside=str(one.set_aside or ""),
            )

    # -- for people -----------------------------------------------------------------------------------------------

    async def read(self, query: LetterQuery, *, after: int = 0) -> LetterPage:
        """Return the next letters after number ``after``, none of which was removed by now; see `DeadLetterFile.read`.

        Raises:
            LettersUnreadable: the file cannot be read, nor be replaced by what can.
        """
        try:
            while True:
                removals = self.box.removals
                page = await self._writer.call(partial(_read, self._file, query, after))
                if self.box.removals == removals:
                    return page
        except (*SQLITE_ERRORS, OSError, _NotMended) as error:
            raise LettersUnreadable(f"{self._file.path}: {error}") from error
        finally:
            self._say_repairs()

    async def stop(self) -> None:
        """Write everything that waits and close the file. What the disk does not take stays unacknowledged."""
        self._is_stopping = True
        if self._timer is not None:
            self._timer.cancel()
        is_tried = False
        while self._is_busy or (self.box.is_behind and not (is_tried and self.problem)):
            self._idle.clear()
            if not self._is_busy:
                is_tried = True
                self._begin_write()
            await self._idle.wait()
        self.box.begin_turn()
        file = self._file
        await self._writer.call(lambda _: file.close())


def _write(file: DeadLetterFile, changes: LetterChanges, _journal: Journal) -> Counter[Kind]:
    return _mended(file, lambda: file.apply(changes))


def _read(file: DeadLetterFile, query: LetterQuery, after: int, _journal: Journal) -> LetterPage:
    return _mended(file, lambda: file.read(query, after=after))


def _mended(file: DeadLetterFile, work: Callable[[], T]) -> T:
    """Do it; where the file is the obstacle, and not the disk's space or the rights, once more with a new one.

    After a failed sync that is the way on, too: what was synced before is read and written once more, and what failed
    was promised to nobody.
    """
    try:
        return work()
    except SQLITE_ERRORS as error:
        if not is_the_files(error, file.path.parent):
            raise
        try:
            file.repair(ascii(str(error))[1:-1])  # SQLite quotes what it found
            return work()
        except (*SQLITE_ERRORS, OSError) as still:
            raise _NotMended(str(still)) from still
