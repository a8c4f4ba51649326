"""Keep the registry on disk: what is new within a minute, what only goes on every quarter of an hour, all at the end.

The disk may fail: the registry goes on from memory, it is said once, and once it works again everything is written
anew. Written in small transactions, so that no commit of the journal waits long for it. The thread is the journal's.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final, Protocol

import structlog

from fieldgate import clock
from fieldgate.journal.device_file import DeviceFile, DeviceTexts
from fieldgate.journal.side_file import SideFile
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS
from fieldgate.journal.writer import Writer

__all__ = ["DeviceKeeper", "KnownDevices", "open_device_file"]

_NEWS_EVERY_S: Final = 60.0
_ALL_EVERY_S: Final = 900.0
_AT_ONCE: Final = 250  # devices in one transaction
_AT_LAST: Final = 1000  # at a stop, when no commit waits
_MOST_NEWS: Final = 500  # devices in a minute: a flood of new names does not wear the flash

log = structlog.get_logger("fieldgate")


class KnownDevices(Protocol):
    """What is to be kept."""

    def changes(self, limit: int, *, is_all: bool, has_history: bool) -> DeviceTexts:
        """Return what has changed of up to ``limit`` devices, which counts as written from then on.

        ``is_all``: not only what is new. Empty when nothing is left.
        """

    def all_changed(self) -> None:
        """All of it is to be written once more."""


def open_device_file(folder: Path) -> DeviceFile:
    """Open the file of the registry, or make it; whatever is wrong with it is said, and stops nothing."""
    file = DeviceFile(folder)
    if file.set_aside is not None or file.damaged_rows:
        log.error(
            "devices.damaged",
            devices=len(file.texts.devices),
            lost_rows=file.damaged_rows,
            set_aside=str(file.set_aside or ""),
        )
    if file.problem:
        _say_not_stored(file.problem)
    return file


def _say_not_stored(reason: str) -> None:
    log.error("devices.not_stored", reason=reason, meaning="what is known of devices lives in memory until it can be")


class DeviceKeeper:
    """``problem`` says why nothing is stored at the moment, empty when all is well."""

    def __init__(self, file: DeviceFile, writer: Writer, *, now_s: float) -> None:
        self.problem = file.problem
        self.commits = 0
        self._file = file
        self._writer = writer
        self._known: KnownDevices | None = None
        self._news_at_s = now_s + _NEWS_EVERY_S
        self._all_at_s = now_s + _ALL_EVERY_S
        self._saving = asyncio.Lock()

    @property
    def side(self) -> SideFile:
        """The file as SQLite has it; for the writer's thread."""
        return self._file.side

    def take_texts(self) -> DeviceTexts:
        """Return what the file held at start; once, so that it is in memory but once."""
        texts, self._file.texts = self._file.texts, DeviceTexts()
        return texts

    def watch(self, known: KnownDevices) -> None:
        """From now on store what changes in ``known``."""
        self._known = known

    async def save(self, now_s: float, *, is_last: bool = False) -> None:
        """Store what is due."""
        is_all = is_last or now_s >= self._all_at_s
        if not is_all and now_s < self._news_at_s:
            return
        self._news_at_s = now_s + _NEWS_EVERY_S
        if is_all:
            self._all_at_s = now_s + _ALL_EVERY_S
        async with self._saving:
            await self._save(is_all=is_all, is_last=is_last)

    async def _save(self, *, is_all: bool, is_last: bool) -> None:
        known, file = self._known, self._file
        if known is None or file.is_foreign:
            return
        is_anew = bool(self.problem)
        if is_anew:
            known.all_changed()
        written = 0
        while is_all or is_anew or written < _MOST_NEWS:
            texts = known.changes(
                _AT_LAST if is_last else _AT_ONCE, is_all=is_all or is_anew, has_history=is_last or is_anew
            )
            if not texts and not is_anew:
                return
            write = file.begin_again if self.problem else file.apply
            try:
                await self._writer.call(lambda _, write=write, texts=texts: write(texts))  # type: ignore[misc]  # mypy infers no defaults
            except (*SQLITE_ERRORS, OSError) as error:
                self._failed(error)
                return
            self.commits += 1
            written += len(texts.devices)
            if self.problem:
                self.problem = ""
                log.info("devices.stored_again")
            if not texts:
                return

    def _failed(self, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        if not self.problem:
            _say_not_stored(reason)
        self.problem = reason

    async def stop(self) -> None:
        """Store everything that has changed, with its history, and close the file."""
        await self.save(clock.boot_s(), is_last=True)
        await self._writer.call(lambda _: self._file.close())
