"""Keep the state of rules on disk: what cannot wait soon, the rest now and then, all at the end (`WritePace`).

The disk may fail: rules run on from memory, it is said once, and once it works again everything that is in memory is
written anew. Written in small transactions, so that no commit of the journal waits long for it. The thread is the
journal's.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import structlog

from fieldgate import clock
from fieldgate.journal.rule_file import STOPPED, RuleFile, RuleRows
from fieldgate.journal.rule_pace import WritePace
from fieldgate.journal.side_file import SideFile
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS
from fieldgate.journal.writer import Writer

__all__ = ["RuleKeeper", "RuleRecords", "open_rule_file"]

_LOOK_EVERY_S: Final = 1.0
_RETRY_S: Final = 5.0
_AT_ONCE: Final = 250  # rows in one transaction
_AT_LAST: Final = 1000  # at a stop, when no commit waits

log = structlog.get_logger("fieldgate")


class RuleRecords(Protocol):
    """What is to be kept."""

    @property
    def urgent(self) -> int:
        """How many rows have changed that cannot wait: timers, alerts, throttles."""

    def changes(self, limit: int, *, is_all: bool) -> RuleRows:
        """Return up to ``limit`` rows that have changed; they count as written from then on.

        ``is_all``: not only those that cannot wait. Empty when nothing is left.
        """

    def everything(self) -> RuleRows:
        """Return all rows, for a new file; nothing counts as changed from then on."""


def open_rule_file(folder: Path) -> RuleFile:
    """Open the file of the rules' state, or make it; whatever is wrong with it is said, and stops nothing (P5)."""
    file = RuleFile(folder)
    if file.set_aside is not None or file.damaged_rows:
        log.error(
            "rules.state_damaged",
            rows=len(file.rows),
            lost_rows=file.damaged_rows,
            set_aside=str(file.set_aside or ""),
            meaning="rules whose state was lost begin anew",
        )
    if file.problem:
        _say_not_stored(file.problem)
    return file


def _say_not_stored(reason: str) -> None:
    log.error("rules.state_not_stored", reason=reason, meaning="timers and windows live in memory until it can be")


class RuleKeeper:
    """``problem`` says why nothing is stored at the moment, empty when all is well; ``retry_at_s`` is the next attempt.

    ``was_stopped``: what `take_rows` gives is all that the last process knew, because it was stopped and not killed.
    """

    def __init__(
        self, file: RuleFile, writer: Writer, loop: asyncio.AbstractEventLoop, *, commit_delay_s: float
    ) -> None:
        self.problem = file.problem
        self.was_stopped = file.was_stopped
        self.commits = 0
        self.written_bytes = 0
        self._file = file
        self._writer = writer
        self._loop = loop
        self._pace = WritePace(commit_delay_s=commit_delay_s, now_s=clock.boot_s())
        self._records: RuleRecords | None = None
        self._is_called = False
        self._wakes: asyncio.TimerHandle | None = None
        self._wakes_at_s = 0.0
        self.retry_at_s = 0.0
        self._rest_bytes = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_stopping = False

    @property
    def is_behind(self) -> bool:
        """Whether a crash would lose anything that cannot wait."""
        return not self._idle.is_set() or bool(self.problem) or (self._records is not None and self._records.urgent > 0)

    @property
    def side(self) -> SideFile:
        """The file as SQLite has it; for the writer's thread."""
        return self._file.side

    def take_rows(self) -> RuleRows:
        """Return what the file held at start; once, so that it is in memory but once."""
        rows, self._file.rows = self._file.rows, {}
        return rows

    def watch(self, records: RuleRecords) -> None:
        """From now on store what changes in ``records``. The mark of the last stop goes before anything happens."""
        self._records = records
        if self.problem or not self.was_stopped:
            return
        try:
            self._file.apply({STOPPED: None})
        except (*SQLITE_ERRORS, OSError) as error:
            self._failed(error)

    def attention(self) -> None:
        """There is something that cannot wait: it goes with all else that comes in this turn of the loop."""
        if not self._is_called:
            self._is_called = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._is_called = False
        records = self._records
        if records is None or self._file.is_foreign or self._is_stopping or not self._idle.is_set():
            return  # what has changed goes when the thread is back
        now_s = clock.boot_s()
        if self.problem:
            if now_s >= self.retry_at_s:
                self._begin_write(now_s, is_anew=True)
            return
        due_s = self._pace.due_s(now_s, urgent=records.urgent)
        if due_s <= now_s:
            self._begin_write(now_s)
        elif records.urgent and (self._wakes is None or due_s < self._wakes_at_s):
            if self._wakes is not None:
                self._wakes.cancel()
            self._wakes_at_s = due_s
            self._wakes = self._loop.call_later(due_s - now_s, self._woke)

    def _woke(self) -> None:
        self._wakes = None
        self._turn()

    # -- a write --------------------------------------------------------------------------------------------------

    def _begin_write(self, now_s: float, *, is_anew: bool = False) -> None:
        records, file, pace = self._records, self._file, self._pace
        assert records is not None
        if records.urgent:
            pace.wrote(now_s)
        is_all = is_anew or pace.is_rest_due(now_s)
        rows = records.everything() if is_anew else records.changes(_AT_ONCE, is_all=is_all)
        if is_all:
            self._rest_bytes += _size(rows)
            if is_anew or len(rows) < _AT_ONCE:
                pace.wrote_rest(now_s, size_bytes=self._rest_bytes)
                self._rest_bytes = 0
        if not rows and not is_anew:
            return
        self._idle.clear()
        write = file.begin_again if is_anew else file.apply
        self._writer.submit(lambda _: write(rows), partial(self._done, rows))

    def _done(self, rows: RuleRows, future: Future[None]) -> None:
        self._idle.set()
        error = future.exception()
        if error is None:
            self._wrote(rows)
            self._turn()
        elif isinstance(error, (*SQLITE_ERRORS, OSError)):
            self._failed(error)
        else:
            raise error

    def _wrote(self, rows: RuleRows) -> None:
        self.commits += 1
        self.written_bytes += _size(rows)
        if self.problem:
            self.problem = ""
            log.info("rules.state_stored_again")

    def _failed(self, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        if not self.problem:
            _say_not_stored(reason)
        self.problem = reason
        self.retry_at_s = clock.boot_s() + _RETRY_S

    # -- running --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write the rest when it is due, and try again where the disk has failed; until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            self._turn()

    async def stop(self) -> None:
        """Write everything that has changed, and that it was a stop; close the file. Nothing may change any more."""
        self._is_stopping = True
        if self._wakes is not None:
            self._wakes.cancel()
        await self._idle.wait()
        if self._records is not None and not self._file.is_foreign:
            try:
                await self._write_all(self._records)
            except (*SQLITE_ERRORS, OSError) as error:
                self._failed(error)
        await self._writer.call(lambda _: self._file.close())

    async def _write_all(self, records: RuleRecords) -> None:
        file = self._file
        if self.problem:
            rows = records.everything() | {STOPPED: b""}
            await self._writer.call(lambda _: file.begin_again(rows))
            self._wrote(rows)
            return
        while rows := records.changes(_AT_LAST, is_all=True):
            await self._writer.call(lambda _, rows=rows: file.apply(rows))  # type: ignore[misc]  # mypy infers no defaults
            self._wrote(rows)
        await self._writer.call(lambda _: file.apply({STOPPED: b""}))
        self.commits += 1


def _size(rows: RuleRows) -> int:
    return sum(len(body) for body in rows.values() if body is not None)
