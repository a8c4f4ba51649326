"""Keep the record of commands on disk: all that wait for it go in one transaction, as soon as the thread is free.

The disk may fail: that is said once, commands are refused from then on, and once it works again everything that is in
memory is written anew. The thread is the journal's.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from pathlib import Path
from typing import Final, Protocol

import structlog

from fieldgate import clock
from fieldgate.decide.order_row import RowChanges
from fieldgate.journal.command_file import CommandFile
from fieldgate.journal.journal import Journal
from fieldgate.journal.side_file import SideFile
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS
from fieldgate.journal.writer import Writer

__all__ = ["CommandKeeper", "CommandRecords", "open_command_file"]

_RETRY_S: Final = 5.0

log = structlog.get_logger("fieldgate")


class CommandRecords(Protocol):
    """What is to be kept, and who waits for it."""

    def changes(self) -> RowChanges:
        """Return what is to be written; `written` answers, before it is asked again."""

    def everything(self) -> RowChanges:
        """The same, for a new file."""

    def written(self, problem: str = "") -> None:
        """What was given last is on disk, or not, for the reason ``problem``."""


def open_command_file(folder: Path) -> CommandFile:
    """Open the file of the commands, or make it; whatever is wrong with it is said, and does not stop a start (P5)."""
    file = CommandFile(folder)
    if file.set_aside is not None or file.damaged_rows:
        log.error(
            "commands.damaged",
            commands=len(file.bodies),
            lost_rows=file.damaged_rows,
            set_aside=str(file.set_aside or ""),
            meaning="what was lost may be carried out once more if it is given once more",
        )
    if file.problem:
        _say_not_recorded(file.problem)
    return file


def _say_not_recorded(reason: str) -> None:
    log.error("commands.not_recorded", reason=reason, meaning="commands are refused until they can be recorded")


class CommandKeeper:
    """``problem`` says why nothing can be recorded at the moment, empty when all is well."""

    def __init__(self, file: CommandFile, writer: Writer, loop: asyncio.AbstractEventLoop) -> None:
        self.problem = file.problem
        self.commits = 0
        self._file = file
        self._writer = writer
        self._loop = loop
        self._records: CommandRecords | None = None
        self._is_writing = False
        self._is_called = False
        self._retry_at_s = 0.0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def side(self) -> SideFile:
        """The file as SQLite has it; for the writer's thread."""
        return self._file.side

    def take_bodies(self) -> dict[int, bytes]:
        """Return what the file held at start; once, so that it is in memory but once."""
        bodies, self._file.bodies = self._file.bodies, {}
        return bodies

    def watch(self, records: CommandRecords) -> None:
        """From now on write what changes in ``records``, whenever `attention` is called."""
        self._records = records

    def attention(self) -> None:
        """There is something to write: with all else that comes in this turn of the loop."""
        if not self._is_called:
            self._is_called = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._is_called = False
        records = self._records
        if records is None or self._is_writing:
            return  # what has changed goes when the thread is back
        if self.problem and (clock.boot_s() < self._retry_at_s or self._file.is_foreign):
            if records.changes():
                records.written(self.problem)
            return
        is_anew = bool(self.problem)
        changes = records.everything() if is_anew else records.changes()
        if not changes and not is_anew:
            return
        write = self._file.begin_again if is_anew else self._file.apply
        self._is_writing = True
        self._idle.clear()
        self._writer.submit(lambda _: write(changes), self._done)

    def _done(self, future: Future[None]) -> None:
        self._is_writing = False
        self._idle.set()
        error = future.exception()
        if error is None:
            self.commits += 1
            if self.problem:
                self.problem = ""
                log.info("commands.recorded_again")
        elif isinstance(error, (*SQLITE_ERRORS, OSError)):
            reason = str(error) or type(error).__name__
            if not self.problem:
                _say_not_recorded(reason)
            self.problem = reason
            self._retry_at_s = clock.boot_s() + _RETRY_S
        else:
            raise error
        assert self._records is not None
        self._records.written(self.problem)
        self.attention()

    async def run(self) -> None:
        """Try again where the disk has failed, and write what nobody waits for, now and then; until cancelled."""
        while True:
            await asyncio.sleep(_RETRY_S)
            self.attention()

    async def stop(self) -> None:
        """Write what has changed, and close the file."""
        self.attention()
        await asyncio.sleep(0)
        await self._idle.wait()
        await self._writer.call(lambda journal: _close(journal, self._file))


def _close(_: Journal, file: CommandFile) -> None:
    file.close()
