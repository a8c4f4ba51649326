"""The journal: what is committed here survives a kill and a power cut, and stays within its byte limit.

Promises: a commit is one transaction and one fsync, or nothing; what was lost behind SQLite's back is found and
stated with its range; damage never keeps the journal from starting or going on (a new file begins, the old one is
drained). Used by one thread. Decides neither what to write nor what to remove (the outbox does).
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from fieldgate.errors import JournalError
from fieldgate.journal import ledger
from fieldgate.journal.active import ActiveFile, Broken, PackedBlock, pack
from fieldgate.journal.blocks import new_compressor
from fieldgate.journal.book import Kind
from fieldgate.journal.drain import Drain
from fieldgate.journal.files import Ballast, Folder
from fieldgate.journal.highwater import HighWater, HighWaterFile
from fieldgate.journal.moving import make_mark, move_on
from fieldgate.journal.opening import Opening, Start, note_losses, open_journal
from fieldgate.journal.parked_rows import change_parked, forget_parked, parked_events, parked_heads
from fieldgate.journal.reading import Source, block_info, read_lane, scan_blocks
from fieldgate.journal.records import (
    BlockInfo,
    Commit,
    Committed,
    JournalFull,
    JournalStats,
    LaneStats,
    LedgerRow,
    Loss,
    OpenReport,
    ParkedEvent,
    ParkedHead,
    ReadHint,
    ReadResult,
    ScanResult,
    VerifyReport,
)
from fieldgate.journal.removal import remove
from fieldgate.journal.shapes import NotedLoss, loss_name, noted_losses, sum_stats
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS
from fieldgate.journal.told import ToldLosses
from fieldgate.journal.verify import Verification

__all__ = ["Journal"]

_SAVE_EVERY_S: Final = 10.0
_BALLAST_BYTES: Final = 1 << 20
_MAX_MOVES: Final = 2
_LANES: Final = range(3)
_STEPS_A_READ: Final = 8  # megabytes of a damaged file looked at in one call


class Journal:
    """See the module. Made by `open` only."""

    def __init__(self, opening: Opening, start: Start, *, max_size_bytes: int) -> None:
        self._start = start
        self._folder: Folder = opening.folder
        self._highwater: HighWaterFile = opening.highwater
        self._drains: list[Drain] = opening.drains
        self._max_size_bytes = max_size_bytes
        self._active = ActiveFile(opening.file, max_size_bytes=max_size_bytes, base_s=opening.base_s)
        self._ballast = Ballast(self._folder.path / "ballast", min(_BALLAST_BYTES, max_size_bytes // 16))
        self._ballast_due_s = 0.0
        self._marked_s = start.boot_ns / 1e9
        self._now_boot_ns = start.boot_ns
        self._max_seq = opening.max_seq
        self._compressor = new_compressor()
        self.opened: OpenReport = opening.report()
        self._told = ToldLosses(opening.file.book, self.opened.losses)
        self._count_others()
        if opening.notes:  # what was found must not be found again, and not be forgotten
            self._save_mark()

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        run: int,
        os_boot: str,
        gateway: str,
        boot_ns: int,
        wall_ns: int,
        max_size_bytes: int,
        synchronous: str = "FULL",
    ) -> Journal:
        """Open the journal in ``folder``, made if need be, and begin run ``run`` in it (0: none, only to look).

        Raises:
            JournalBusy: another gateway holds it.
            JournalRefused: it cannot be used with this user's rights, or a newer version wrote it.
            JournalFull: there is no space to make it.
            JournalError: the device does not take or give back what it should.
        """
        start = Start(run, os_boot, gateway, boot_ns, wall_ns, synchronous)
        return cls(open_journal(folder, start), start, max_size_bytes=max_size_bytes)

    # -- writing -----------------------------------------------------------------------------------------------------

    def commit(self, commit: Commit) -> Committed:
        """Make everything in ``commit`` durable together.

        Raises:
            JournalFull: nothing was written; the same commit may be tried again.
            JournalError: the device failed; nothing may be acknowledged any more and the process must end.
            ValueError: a block's events do not belong together.
        """
        now_s = commit.now_boot_ns / 1e9
        self._now_boot_ns = max(self._now_boot_ns, commit.now_boot_ns)
        blocks = [pack(block, self._compressor) for block in commit.blocks]
        epoch = self.epoch
        found: list[Loss] = []
        for _ in range(_MAX_MOVES):
            try:
                committed = self._transact(commit, blocks)
                break
            except Broken as broken:
                self._move_on(str(broken))
                found += self._lost_by_moving()
        else:
            raise JournalError(f"{self._folder.path}: new data files break as soon as they are made")
        self._after_commit(now_s)
        found += self._told.overdue()
        return replace(committed, losses=tuple(found), moved_to=self.epoch if self.epoch != epoch else None)

    def _transact(self, commit: Commit, blocks: Sequence[PackedBlock]) -> Committed:
        removed = 0
        ledger_ids: tuple[int, ...] = ()

        def change() -> None:
            nonlocal removed, ledger_ids
            removed = sum(remove(one, self._active.file, self._drains) for one in commit.remove)
            ledger_ids = self._note(commit)

        try:
            try:
                rows = self._active.transact(blocks, change)
            except JournalFull as full:
                if blocks or full.cause != "disk" or not self._ballast.release():
                    raise
                rows = self._active.transact(blocks, change)  # a removal is what makes space
        except BaseException:  # whatever failed, the file may be another than before
            for drain in self._drains:
                drain.rebind(self._active.file.book)
            raise
        self._max_seq = max([self._max_seq, *(row.last_seq for row in rows)])
        return Committed(
            block_nos=tuple(row.block_no for row in rows),
            sizes_bytes=tuple(row.size_bytes for row in rows),
            ledger_ids=ledger_ids,
            removed_blocks=removed,
        )

    def _note(self, commit: Commit) -> tuple[int, ...]:
        book = self._active.file.book
        for uplink, state in commit.uplink_states.items():
            book.put(Kind.STATE, uplink, blob=state)
        for uplink in commit.forget_uplinks:
            book.drop(Kind.STATE, uplink)
            forget_parked(book, uplink)
        for boot in commit.boots:
            ledger.add_boot(book, boot, base_s=self._active.base_s)
        for loss in commit.losses:
            book.put(Kind.LOSS, loss_name(loss), NotedLoss(loss, is_booked=True))
        ledger_ids = tuple(ledger.add_entry(book, entry) for entry in commit.ledger)
        ledger.mark_reported(book, set(commit.reported))
        if commit.parking:
            change_parked(book, commit.parking, journal_s=self.journal_s(commit.now_boot_ns))
        return ledger_ids

    def _move_on(self, damage: str) -> None:
        """Begin a new file in place of one that is damaged or gone; what that held is drained."""
        old = self._active
        file, drain = move_on(self._folder, old, damage=damage, start=self._start)
        self._active = old.replaced_by(file)
        self._told.book = file.book
        for other in self._drains:
            other.rebind(file.book)
        self._drains.append(drain)
        self._count_others()
        self._save_mark()

    def _lost_by_moving(self) -> list[Loss]:
        """What the file that was left has certainly lost; told here, so not again when a read passes it."""
        drain, book = self._drains[-1], self._active.file.book
        if not self._is_indexed(drain):
            return []
        note_losses(book, drain)
        book.keep()
        return self._told.new([loss for lane in _LANES for loss in drain.losses_noted(lane)])

    # -- after a commit ----------------------------------------------------------------------------------------------

    def _after_commit(self, now_s: float) -> None:
        active = self._active
        if active.was_checkpointed or now_s - self._marked_s >= _SAVE_EVERY_S:
            self._save_mark()
        active.checkpoint_if_due()
        if self._drains:
            self._drop_done()
            self._count_others()
        if not self._ballast.is_held and now_s >= self._ballast_due_s:
            self._ballast_due_s = now_s + _SAVE_EVERY_S
            self._ballast.restore()

    def _save_mark(self) -> None:
        try:
            self._highwater.save(self.mark())
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                self._active.failure = f"{self._folder.path}: the high-water file cannot be written: {error}"
            return
        self._active.was_checkpointed = False
        self._marked_s = self._now_boot_ns / 1e9

    def _drop_done(self) -> None:
        done = [drain for drain in self._drains if drain.record.is_done]
        if not done:
            return
        book = self._active.file.book
        for drain in done:
            for lane in _LANES:
                for name, noted in noted_losses(book, drain.epoch, lane):
                    if noted.is_booked:
                        book.drop(Kind.LOSS, name)
            drain.close()
            self._drains.remove(drain)
        book.keep()
        self._folder.prune_set_aside({drain.path for drain in self._drains}, max_bytes=self._max_size_bytes // 8)

    def _count_others(self) -> None:
        draining = {drain.path for drain in self._drains}
        kept = sum(path.stat().st_size for _, path in self._folder.set_aside_files() if path not in draining)
        self._active.other_bytes = kept + sum(drain.size_bytes for drain in self._drains)

    # -- reading -----------------------------------------------------------------------------------------------------

    def read(self, lane: int, after_seq: int, *, max_bytes: int, hint: ReadHint | None = None) -> ReadResult:
        """Return blocks of ``lane`` that hold seqs above ``after_seq``, the oldest first, at least one if there is one.

        Stops after ``max_bytes`` of event data. Give back ``hint`` with the next call of a forward read, as long as
        ``more`` says so; no blocks and ``more`` means that a damaged file is still being looked through.
        """
        sources: list[Source] = [*self._drains, self._active.file]
        epochs = [source.epoch for source in sources]
        number = epochs.index(hint.epoch) if hint is not None and hint.epoch in epochs else 0
        losses: list[Loss] = []
        while True:
            source = sources[number]
            if isinstance(source, Drain) and not self._is_indexed(source):
                return ReadResult([], losses, hint, more=True)
            own_hint = hint if hint is not None and hint.epoch == source.epoch else None
            try:
                result = read_lane(source, lane, after_seq, max_bytes=max_bytes, hint=own_hint)
            except SQLITE_ERRORS as error:
                self._move_after(error)
                return ReadResult([], losses, hint, more=True)
            losses += self._told.new(result.losses)
            is_last = number == len(sources) - 1
            if result.blocks or result.more or is_last:
                return ReadResult(result.blocks, losses, result.hint, more=result.more or not is_last)
            number += 1

    def _is_indexed(self, drain: Drain) -> bool:
        return drain.is_indexed or any(drain.step() for _ in range(_STEPS_A_READ))

    def _move_after(self, error: Exception) -> None:
        """A read failed: drain what can be read of this file and go on with another."""
        meaning = self._active.meaning(error)
        if not isinstance(meaning, Broken):
            raise meaning from error
        self._move_on(str(meaning))

    def scan(self, after_no: int, *, max_bytes: int) -> ScanResult:
        """Return blocks of all lanes in the order in which they were written, after block ``after_no``."""
        sources: list[Source] = [*self._drains, self._active.file]
        for source in sources:
            if isinstance(source, Drain) and not self._is_indexed(source):
                return ScanResult([], [], after_no, more=True)
            try:
                blocks, losses = scan_blocks(source, after_no, max_bytes=max_bytes)
            except SQLITE_ERRORS as error:
                self._move_after(error)
                return ScanResult([], [], after_no, more=True)
            numbers = [block.block_no for block in blocks] + [loss.block_no or 0 for loss in losses]
            if numbers:
                return ScanResult(blocks, losses, max(numbers), more=True)
        return ScanResult([], [], after_no, more=False)

    def oldest_blocks(self, lane: int, limit: int, *, after_no: int = 0) -> list[BlockInfo]:
        """Heads of the oldest blocks of a lane (after ``after_no``); bodies of the newest file are not read."""
        found: list[BlockInfo] = []
        for drain in self._drains:
            if self._is_indexed(drain):
                found += drain.heads(lane, after_no, limit - len(found))
        file = self._active.file
        heads = file.heads(lane, after_no, limit - len(found))
        return found + [block_info(row, epoch=file.epoch, body_bytes=body_bytes) for row, body_bytes in heads]

    def ledger(self) -> list[LedgerRow]:
        """All ledger rows, the oldest first."""
        return ledger.ledger_rows(self._active.file.book)

    def parked(self, is_wanted: Callable[[ParkedHead], bool] = lambda _head: True) -> list[ParkedEvent]:
        """Parked events whose heads are wanted, the longest parked first."""
        return parked_events(self._active.file.book, is_wanted=is_wanted)

    def parked_heads(self) -> list[ParkedHead]:
        """The heads of all parked events."""
        return parked_heads(self._active.file.book)

    # -- state -------------------------------------------------------------------------------------------------------

    def uplink_states(self) -> dict[str, bytes]:
        """What the last commit left of each uplink's state."""
        return self._active.file.book.blobs(Kind.STATE)

    @property
    def epoch(self) -> int:
        """The epoch that is written to."""
        return self._active.file.meta.epoch

    @property
    def files(self) -> tuple[ActiveFile, list[Drain]]:
        """The file that is written to, and those that still hold blocks, for whoever copies them."""
        return self._active, self._drains

    def mark(self) -> HighWater:
        """What the high-water file is to remember of this moment."""
        return make_mark(self._active.file, max_seq=self._max_seq, journal_s=self.journal_s(self._now_boot_ns))

    def journal_s(self, boot_ns: int) -> int:
        """That moment of this OS boot on the journal's own clock: seconds that devices running it have been on.

        Never steps back, whatever the wall clock does; time switched off does not count, so an age is a lower bound.
        """
        return self._active.base_s + boot_ns // 1_000_000_000

    @property
    def size_bytes(self) -> int:
        """What counts against the limit: the data file, its write-ahead log, and what is left of older files."""
        return self._active.size_bytes + self._active.other_bytes

    def stats(self) -> JournalStats:
        """Sizes and counts; costs no scan."""
        active = self._active
        return JournalStats(
            epoch=self.epoch,
            size_bytes=self.size_bytes,
            used_bytes=active.used_bytes,
            wal_bytes=active.wal_bytes,
            set_aside_bytes=active.other_bytes,
            max_size_bytes=self._max_size_bytes,
            last_block_no=active.file.last_no,
            lanes=tuple(self._lane_stats(lane) for lane in _LANES),
            sync_times=active.sync_times.spread(),
        )

    def _lane_stats(self, lane: int) -> LaneStats:
        return sum_stats([*(drain.stats(lane) for drain in self._drains), self._active.lane_stats(lane)])

    def verification(self) -> Verification:
        """A walk over every block that can be taken in steps, between which commits go on."""
        return Verification(self._active.file)

    def verify(self) -> VerifyReport:
        """Walk over every block of the newest file at once: the chain, every checksum, every count."""
        walk = self.verification()
        while not walk.step():
            pass
        return walk.report()

    def close(self) -> None:
        """Move everything to the data file, save the mark and let go; safe to call twice."""
        if self._folder.is_closed:
            return
        if not self._active.failure:
            with contextlib.suppress(JournalError, Broken):
                self._active.checkpoint("TRUNCATE")
                self._save_mark()
        self._active.failure = self._active.failure or f"{self._folder.path}: the journal is closed"
        self._active.close()
        for drain in self._drains:
            drain.close()
        self._highwater.close()
        self._folder.close()
