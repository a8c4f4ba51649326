"""The file that is written to: one transaction and one fsync per commit, within the byte limit.

Notices what SQLite does not: that its file or log is not the one in the folder any more. Says with `Broken` that it
cannot go on while another file could; the journal then begins one.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import zstandard

from fieldgate import clock
from fieldgate.errors import JournalError
from fieldgate.journal.blockfile import BlockFile, tail_after
from fieldgate.journal.blocks import Row, encode_body, encode_seqs, seal
from fieldgate.journal.paced_copy import PacedCopy
from fieldgate.journal.parking import parked_limit_bytes
from fieldgate.journal.records import JournalFull, LaneStats, NewBlock
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS, Fault, classify
from fieldgate.journal.wal import WalGauge
from fieldgate.observe.histogram import Histogram

__all__ = ["ActiveFile", "Broken", "PackedBlock", "lane_stats"]

_CHECKPOINT_BYTES: Final = 1 << 20
_RESERVE_BYTES: Final = 256 << 10
_EXTRA_PAGES: Final = 24  # leaf and inner pages of three lanes, the book, the first page, the free list

PackedBlock = tuple[NewBlock, bytes, bytes]
"""A block with its encoded sequence numbers and body: done once, however often the commit is tried."""


class Broken(Exception):
    """The file cannot be written to any more, another one may. Stays inside ``journal/``."""


def pack(block: NewBlock, compressor: zstandard.ZstdCompressor) -> PackedBlock:
    """Encode a block.

    Raises:
        ValueError: its events do not belong together.
    """
    seqs = encode_seqs([event.seq for event in block.events])
    return block, seqs, encode_body(block.events, run=block.run, compressor=compressor)


def lane_stats(file: BlockFile, lane: int) -> LaneStats:
    """What a lane of the file holds; no scan."""
    floor, tail = file.floor(lane), file.tails[lane]
    gone = file.gone(lane)
    single_bytes = sum(single.bytes for _, single in file.singles(lane))
    first = file.heads(lane, 0, 1)
    return LaneStats(
        lane=lane,
        blocks=tail.ordinal - floor.ordinal - sum(gap.last_ordinal - gap.first_ordinal + 1 for gap in gone),
        events=tail.events - floor.events - sum(gap.events for gap in gone),
        body_bytes=tail.bytes - floor.bytes - single_bytes,
        first_seq=first[0][0].first_seq if first else None,
        last_seq=tail.top_seq if first else None,
        oldest_s=first[0][0].heard_s if first else None,
    )


class ActiveFile:
    """``base_s`` is the journal's own clock at the begin of this OS boot; ``other_bytes`` what else counts.

    ``sync_times`` counts how long commits took to become durable, in seconds; one that fails is none.
    """

    def __init__(
        self, file: BlockFile, *, max_size_bytes: int, base_s: int, sync_times: Histogram | None = None
    ) -> None:
        self.file = file
        self.max_size_bytes = max_size_bytes
        self.base_s = base_s
        self.other_bytes = 0
        self.sync_times = sync_times or Histogram()
        self.failure = ""
        self.was_checkpointed = True
        self.copy: PacedCopy | None = None
        self._checkpoint_bytes = min(_CHECKPOINT_BYTES, max_size_bytes // 8)
        self._reserve_bytes = min(_RESERVE_BYTES, max_size_bytes // 16)
        self._reserve_bytes += 2 * parked_limit_bytes(max_size_bytes)  # as rows and, on the way there, in the log
        self._wal = WalGauge(file.path, page_size=file.page_size)
        file.connection.execute(f"PRAGMA max_page_count={max(max_size_bytes // file.page_size, 64)}")  # a backstop

    def replaced_by(self, file: BlockFile) -> ActiveFile:
        """Return what writes to ``file`` from now on."""
        return ActiveFile(file, max_size_bytes=self.max_size_bytes, base_s=self.base_s, sync_times=self.sync_times)

    def transact(self, blocks: Sequence[PackedBlock], change: Callable[[], None]) -> list[Row]:
        """Append ``blocks`` and whatever ``change`` does (removals, the book) in one transaction.

        Raises:
            JournalFull: nothing was written.
            JournalError: the device failed; this file takes nothing any more.
            Broken: this file is damaged or gone; nothing was written.
        """
        if self.failure:
            raise JournalError(self.failure)
        self._check_identity()
        file = self.file
        connection = file.connection
        before = (list(file.tails), file.last_no, file.last_crc)
        try:
            rows = self._rows(blocks)
            self._make_room(rows)
            connection.execute("BEGIN IMMEDIATE")
            for row in rows:
                file.insert(row)
                file.advance(row)
            change()
            file.book.write(connection)
            begun_s = clock.boot_s()
            connection.execute("COMMIT")
            self.sync_times.observe(clock.boot_s() - begun_s)
        except BaseException as error:  # whatever it was, memory says what the file says
            file.tails, file.last_no, file.last_crc = before
            file.book.undo()
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            if isinstance(error, SQLITE_ERRORS):
                raise self.meaning(error) from error
            raise
        file.book.settle()
        return rows

    def _rows(self, blocks: Sequence[PackedBlock]) -> list[Row]:
        tails = list(self.file.tails)
        block_no, crc = self.file.last_no, self.file.last_crc
        rows: list[Row] = []
        for block, seqs, body in blocks:
            tail = tails[block.lane]
            block_no += 1
            first, last = block.events[0], block.events[-1]
            row = seal(
                Row(
                    lane=block.lane,
                    block_no=block_no,
                    crc=0,
                    prev_crc=crc,
                    body_crc=0,
                    ordinal=tail.ordinal + 1,
                    events_before=tail.events,
                    bytes_before=tail.bytes,
                    run=block.run,
                    first_seq=first.seq,
                    last_seq=last.seq,
                    top_seq=max(tail.top_seq, last.seq),
                    event_count=len(block.events),
                    boot_ns=first.stamp.boot_ns,
                    heard_s=self.base_s + first.stamp.boot_ns // 1_000_000_000,
                    seqs=seqs,
                    marks=block.marks,
                    body=body,
                )
            )
            crc = row.crc
            tails[block.lane] = tail_after(row)
            rows.append(row)
        return rows

    def _check_identity(self) -> None:
        path = self.file.path
        try:
            stat = path.stat()
        except FileNotFoundError as error:
            raise Broken("deleted") from error
        except OSError as error:
            raise Broken(f"out of reach: {error}") from error
        if (stat.st_dev, stat.st_ino) != self.file.identity:
            raise Broken("replaced")
        if self._wal.is_replaced():
            raise Broken("its write-ahead log was deleted or replaced")

    def meaning(self, error: Exception) -> Exception:
        """Translate; a device error is remembered, because SQLite would commit again as if nothing had been."""
        folder = self.file.path.parent
        match classify(error, folder):
            case Fault.FULL:
                return self._full(folder)
            case Fault.READ_ONLY:
                return JournalFull("read_only", f"{folder}: the file system takes no writes")
            case Fault.DAMAGED | Fault.UNREADABLE:
                return Broken(f"damaged: {error}")
            case _:
                self.failure = f"{self.file.path}: {error}; what is on the disk is not known any more"
                return JournalError(self.failure)

    def _full(self, folder: Path) -> JournalFull:
        total, _ = self.file.pages()
        if (total + _EXTRA_PAGES) * self.file.page_size > self.max_size_bytes:
            return JournalFull("limit", f"the journal has reached its limit of {self.max_size_bytes} bytes")
        return JournalFull("disk", f"{folder}: no space left for the journal")

    def _make_room(self, rows: list[Row]) -> None:
        """Refuse rows that would break the limit, before anything is written.

        The data file leaves room for a log of full length: else, near the limit, every commit would have to empty it.
        """
        if not rows:
            return
        page_size = self.file.page_size
        limit_bytes = self.max_size_bytes - self._reserve_bytes - self.other_bytes
        pages = _EXTRA_PAGES + sum(row.size_bytes // (page_size - 4) + 2 for row in rows)
        total, free = self.file.pages()
        growth = max(0, pages - free)
        data_bytes = (total + growth) * page_size
        frames_bytes = pages * (page_size + 24)
        is_over = growth > 0 and data_bytes + max(self._checkpoint_bytes, frames_bytes) > limit_bytes
        if not is_over and data_bytes + self._wal_after(frames_bytes) > limit_bytes:
            self.checkpoint("TRUNCATE")
            is_over = data_bytes + self._wal_after(frames_bytes) > limit_bytes
        if is_over:
            raise JournalFull("limit", f"the journal has reached its limit of {self.max_size_bytes} bytes")

    def _wal_after(self, frames_bytes: int) -> int:
        return max(self._wal.size_bytes(), self._wal.used_bytes() + frames_bytes)

    def checkpoint_if_due(self) -> None:
        """Move the log to the data file once it is long enough. A failure shows at the next commit."""
        if self._wal.used_bytes() >= self._checkpoint_bytes:
            with contextlib.suppress(JournalError, JournalFull, Broken):
                self.checkpoint("PASSIVE")

    def checkpoint(self, mode: str) -> None:
        """Move the log to the data file; ``TRUNCATE`` gives its space back as well. A full disk only delays it.

        Raises:
            JournalError: the device failed.
            Broken: the file is damaged.
        """
        try:
            self.file.connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        except SQLITE_ERRORS as error:
            meaning = self.meaning(error)
            if not isinstance(meaning, JournalFull):
                raise meaning from error
            return
        self._wal.was_checkpointed()
        self.was_checkpointed = True

    @property
    def size_bytes(self) -> int:
        """The data file and its log as they are on the disk."""
        total, _ = self.file.pages()
        return total * self.file.page_size + self._wal.size_bytes()

    @property
    def used_bytes(self) -> int:
        """Pages in use, without those free for reuse."""
        total, free = self.file.pages()
        return (total - free) * self.file.page_size

    @property
    def wal_bytes(self) -> int:
        """The part of the log that is not in the data file yet."""
        return self._wal.used_bytes()

    def lane_stats(self, lane: int) -> LaneStats:
        """What the lane holds; no scan."""
        return lane_stats(self.file, lane)

    def close(self) -> None:
        """Let go of the file, and give up a copy of it. SQLite moves the rest of the log to it, if it can."""
        if self.copy is not None:
            self.copy.abort()
        self._wal.close()
        with contextlib.suppress(sqlite3.Error):
            self.file.connection.close()
