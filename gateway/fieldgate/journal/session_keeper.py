"""Keep the local broker's memory on disk: what changed goes out once a second, all of it at the end.

The disk may fail: the broker goes on from memory, it is said once, and once it works again everything that is in
memory is written anew. The thread is the journal's; the broker is asked and told on the loop.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final, Protocol

import structlog

from fieldgate import clock
from fieldgate.journal.records import JournalRefused
from fieldgate.journal.session_file import SessionFile
from fieldgate.journal.side_file import NewerFile, SideFile
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS
from fieldgate.journal.writer import Writer
from fieldgate.mqtt.stored import Changes, StoredState

__all__ = ["Memory", "SessionKeeper", "open_session_file"]

_EVERY_S: Final = 1.0
_RETRY_S: Final = 10.0

log = structlog.get_logger("fieldgate")


class Memory(Protocol):
    """What is to be kept; see `fieldgate.mqtt.memory.BrokerMemory`."""

    def changes(self, now_s: float, *, is_last: bool = False) -> Changes:
        """What must be written now; it counts as written from then on. ``is_last``: nothing may wait any longer."""

    def everything(self, now_s: float, *, is_last: bool = False) -> Changes:
        """All that is to be kept, for a new file; ``is_last`` as for `changes`."""

    @property
    def is_behind(self) -> bool:
        """Whether anything has changed that `changes` has not given yet."""


def open_session_file(folder: Path) -> SessionFile:
    """Open the file of the sessions, or make it; a damaged one is replaced by what could be read of it.

    Raises:
        JournalRefused: a newer version wrote it.
    """
    try:
        file = SessionFile(folder)
    except NewerFile as error:
        raise JournalRefused(f"{folder / 'sessions.db'}: {error}") from error
    if file.set_aside is not None or file.dropped_rows:
        log.error(
            "sessions.damaged",
            sessions=len(file.state.sessions),
            retained=len(file.state.retained),
            lost_rows=file.dropped_rows,
            set_aside=str(file.set_aside or ""),
        )
    if file.problem:
        _say_not_stored(file.problem)
    return file


def _say_not_stored(reason: str) -> None:
    log.error("sessions.not_stored", reason=reason, meaning="they live in memory until the disk works")


class SessionKeeper:
    """``problem`` says why nothing is stored at the moment, empty when all is well."""

    def __init__(self, file: SessionFile, writer: Writer) -> None:
        self.problem = file.problem
        self.commits = 0
        self._file = file
        self._writer = writer
        self._memory: Memory | None = None
        self._retry_at_s = 0.0
        self._saving = asyncio.Lock()  # what is saved first is on disk first

    @property
    def is_behind(self) -> bool:
        """Whether there is anything that a crash would lose."""
        return self._saving.locked() or bool(self.problem) or (self._memory is not None and self._memory.is_behind)

    @property
    def side(self) -> SideFile:
        """The file as SQLite has it; for the writer's thread."""
        return self._file.side

    def take_state(self) -> StoredState:
        """Return what the file held at start; once, so that it is in memory but once."""
        state, self._file.state = self._file.state, StoredState()
        return state

    def watch(self, memory: Memory, now_s: float) -> None:
        """From now on store what changes in ``memory``; how it differs from the file now is stored at once.

        So that no client is sent anything before it is on disk which packet ids are in use for it.
        """
        self._memory = memory
        if self.problem or not (changes := memory.changes(now_s)):
            return
        try:
            self._file.apply(changes)
        except (*SQLITE_ERRORS, OSError) as error:
            self._failed(error)

    async def run(self) -> None:
        """Store what changes, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.save(clock.boot_s())

    async def save(self, now_s: float, *, is_last: bool = False) -> None:
        """Store what has changed since the last time."""
        memory, file = self._memory, self._file
        async with self._saving:
            if memory is None or (now_s < self._retry_at_s and not is_last):
                return
            is_anew = bool(self.problem)
            look = memory.everything if is_anew else memory.changes
            changes = look(now_s, is_last=is_last)
            if not changes and not is_anew:
                return
            write = file.begin_again if is_anew else file.apply
            try:
                await self._writer.call(lambda _: write(changes))
            except (*SQLITE_ERRORS, OSError) as error:
                self._failed(error)
                self._retry_at_s = now_s + _RETRY_S
                return
            self.commits += 1
            if is_anew:
                self.problem = ""
                log.info("sessions.stored_again")

    def _failed(self, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        if not self.problem:
            _say_not_stored(reason)
        self.problem = reason

    async def stop(self) -> None:
        """Store everything that has changed, whatever it waits for, and close the file."""
        await self.save(clock.boot_s(), is_last=True)
        await self._writer.call(lambda _: self._file.close())
