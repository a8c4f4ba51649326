"""Look into the journal of a stopped gateway without changing a byte of it.

No run begins, nothing is set aside, moved or repaired: what is found stays for the gateway's next start to find. A
shared lock keeps a gateway from starting meanwhile, where there is one to take.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from fieldgate.errors import JournalError
from fieldgate.journal import ledger
from fieldgate.journal.active import lane_stats
from fieldgate.journal.blockfile import BlockFile, FileDamaged, NewerSchema
from fieldgate.journal.book import Book, Kind
from fieldgate.journal.drain import Drain
from fieldgate.journal.files import data_files, share_lock
from fieldgate.journal.parked_rows import parked_events, parked_heads
from fieldgate.journal.reading import Source, read_lane
from fieldgate.journal.records import (
    JournalRefused,
    JournalStats,
    LaneStats,
    LedgerRow,
    Loss,
    ParkedEvent,
    ParkedHead,
    ReadHint,
    ReadResult,
)
from fieldgate.journal.salvage import wal_is_damaged
from fieldgate.journal.shapes import DrainRecord, sum_stats
from fieldgate.journal.verify import Verification
from fieldgate.journal.wal import WalGauge

__all__ = ["Inspection"]

_LANES: Final = range(3)


class Inspection:
    """What `fieldgate.journal.journal.Journal` answers to questions, for files that nobody writes. Made by `open`."""

    def __init__(self, folder: Path, lock: int | None, *, max_size_bytes: int) -> None:
        self.notes: list[str] = []
        self._folder = folder
        self._lock = lock
        self._max_size_bytes = max_size_bytes
        self._told: set[tuple[int, int, int]] = set()
        self._file: BlockFile | None = None
        self._book = Book([])
        databases, aside = data_files(folder)
        if databases:
            self._open_newest(*databases.pop())
        for epoch, path in [*aside, *databases]:
            if self._book.get(Kind.DRAIN, path.name, DrainRecord) is None:
                self._book.put(Kind.DRAIN, path.name, DrainRecord(path.name, epoch, "set aside", None, is_exact=False))
        self._drains = self._open_drains()

    @classmethod
    def open(cls, folder: Path, *, max_size_bytes: int) -> Self:
        """Open what is in ``folder``.

        Raises:
            JournalBusy: a gateway holds the journal.
            JournalRefused: missing rights, or a newer version wrote it.
        """
        try:
            lock = share_lock(folder)
            try:
                return cls(folder, lock, max_size_bytes=max_size_bytes)
            except BaseException:  # Ctrl-C too gives the lock back
                if lock is not None:
                    os.close(lock)
                raise
        except PermissionError as error:
            raise JournalRefused(f"{folder}: permission denied; use sudo") from error
        except OSError as error:
            raise JournalError(f"{folder}: the journal cannot be read: {error.strerror or error}") from error

    def _open_newest(self, epoch: int, path: Path) -> None:
        try:
            if wal_is_damaged(path):
                raise FileDamaged("its write-ahead log is damaged")
            file = BlockFile(path, is_read_only=True)
        except NewerSchema as error:
            raise JournalRefused(f"{path}: written by a newer version of Fieldgate ({error})") from error
        except (FileDamaged, sqlite3.Error) as error:
            damage = ascii(str(error))[1:-1][:200]  # SQLite quotes what it found
            self.notes.append(f"{path.name} is damaged: {damage}; what can be read of it is shown")
            self._book.put(Kind.DRAIN, path.name, DrainRecord(path.name, epoch, damage, None, is_exact=False))
        else:
            self._file = file
            self._book = file.book

    def _open_drains(self) -> list[Drain]:
        records = sorted(self._book.values(Kind.DRAIN, DrainRecord).values(), key=lambda record: record.epoch)
        drains = [Drain(self._folder / record.file, self._book, record) for record in records if not record.is_done]
        for drain in drains:
            while not drain.step():
                pass
        if self._file is None and drains:  # the notes of the newest file are those that count
            salvaged = [row for row in drains[-1].book_rows() if row.kind != Kind.DRAIN]
            self._book = Book([*self._book.rows, *salvaged])
            for drain in drains:
                drain.rebind(self._book)
        return drains

    def close(self) -> None:
        """Let go of everything."""
        if self._file is not None:
            with contextlib.suppress(sqlite3.Error):
                self._file.connection.close()
        for drain in self._drains:
            drain.close()
        if self._lock is not None:
            os.close(self._lock)

    def read(self, lane: int, after_seq: int, *, max_bytes: int, hint: ReadHint | None = None) -> ReadResult:
        """See `Journal.read`."""
        sources: list[Source] = [*self._drains, *([self._file] if self._file is not None else [])]
        if not sources:
            return ReadResult([], [], hint, more=False)
        epochs = [source.epoch for source in sources]
        number = epochs.index(hint.epoch) if hint is not None and hint.epoch in epochs else 0
        while True:
            own_hint = hint if hint is not None and hint.epoch == epochs[number] else None
            try:
                result = read_lane(sources[number], lane, after_seq, max_bytes=max_bytes, hint=own_hint)
            except sqlite3.Error as error:
                problem = f"{self._folder}: damaged: {error}; the gateway's next start saves what can be read"
                raise JournalError(problem) from error
            is_last = number == len(sources) - 1
            losses = [loss for loss in result.losses if self._is_new(loss)]
            if result.blocks or losses or result.more or is_last:
                return ReadResult(result.blocks, losses, result.hint, more=result.more or not is_last)
            number += 1

    def _is_new(self, loss: Loss) -> bool:
        key = (loss.epoch, loss.lane, loss.first_ordinal)
        is_new = key not in self._told
        self._told.add(key)
        return is_new

    def stats(self) -> JournalStats:
        """See `Journal.stats`; sizes are those of the files."""
        file = self._file
        wal_bytes, used_bytes = 0, 0
        if file is not None:
            gauge = WalGauge(file.path, page_size=file.page_size)
            wal_bytes = gauge.used_bytes()
            gauge.close()
            total, free = file.pages()
            used_bytes = (total - free) * file.page_size
        databases, aside = data_files(self._folder)
        aside_bytes = sum(path.stat().st_size for _, path in aside)
        return JournalStats(
            epoch=file.meta.epoch if file is not None else max((drain.epoch for drain in self._drains), default=0),
            size_bytes=aside_bytes + sum(_size_with_wal(path) for _, path in databases),
            used_bytes=used_bytes,
            wal_bytes=wal_bytes,
            set_aside_bytes=aside_bytes,
            max_size_bytes=self._max_size_bytes,
            last_block_no=file.last_no if file is not None else 0,
            lanes=tuple(self._lane_stats(lane) for lane in _LANES),
        )

    def _lane_stats(self, lane: int) -> LaneStats:
        parts = [drain.stats(lane) for drain in self._drains]
        if self._file is not None:
            parts.append(lane_stats(self._file, lane))
        return sum_stats(parts) if parts else LaneStats(lane, 0, 0, 0, None, None, None)

    def ledger(self) -> list[LedgerRow]:
        """See `Journal.ledger`."""
        return ledger.ledger_rows(self._book)

    def parked(self, is_wanted: Callable[[ParkedHead], bool] = lambda _head: True) -> list[ParkedEvent]:
        """See `Journal.parked`."""
        return parked_events(self._book, is_wanted=is_wanted)

    def parked_heads(self) -> list[ParkedHead]:
        """See `Journal.parked_heads`."""
        return parked_heads(self._book)

    def uplink_states(self) -> dict[str, bytes]:
        """See `Journal.uplink_states`."""
        return self._book.blobs(Kind.STATE)

    def journal_s(self) -> int:
        """The journal's own clock as it stood when it was last written."""
        return self._file.heard_s if self._file is not None else 0

    def verification(self) -> Verification | None:
        """A walk over the newest file; None where that is too damaged to be walked."""
        return Verification(self._file) if self._file is not None else None


def _size_with_wal(path: Path) -> int:
    wal = path.with_name(path.name + "-wal")
    return path.stat().st_size + (wal.stat().st_size if wal.exists() else 0)
