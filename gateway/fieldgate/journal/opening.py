"""Open the journal's folder, whatever state it is in, and say what was lost.

A file that cannot be written to safely is set aside and drained; a healthy file whose end is missing goes on under a
new epoch. Only missing rights and a newer schema keep a journal from opening.
"""

from __future__ import annotations

import errno
import secrets
import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fieldgate import clock
from fieldgate.errors import JournalError
from fieldgate.journal import ledger
from fieldgate.journal.blockfile import BlockFile, FileDamaged, NewerSchema, make_file
from fieldgate.journal.book import Book, BookRow, Kind
from fieldgate.journal.drain import Drain
from fieldgate.journal.files import STAGE, Ballast, Folder
from fieldgate.journal.highwater import HighWater, HighWaterFile
from fieldgate.journal.newer import refuse_newer
from fieldgate.journal.parked_rows import parked_heads
from fieldgate.journal.records import (
    BootRecord,
    JournalBusy,
    JournalFull,
    JournalRefused,
    OpenReport,
    RunRecord,
)
from fieldgate.journal.restoring import PREPARED, finish_restore
from fieldgate.journal.salvage import wal_is_damaged
from fieldgate.journal.shapes import DrainRecord, Meta, NotedLoss, loss_name
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS, Fault, classify
from fieldgate.journal.tailcheck import continue_after_loss

__all__ = ["CARRIED", "FAR", "Opening", "begin_file", "open_journal"]

CARRIED: Final = (Kind.STATE, Kind.LEDGER, Kind.LOSS, Kind.RUN, Kind.BOOT, Kind.DRAIN, Kind.PARKED)
"""What a new file takes over from the book of the one before."""

_INDEX_S: Final = 2.5  # a start may take 5 s when something is damaged
FAR: Final = 1 << 32  # how far numbers jump while it is not known which were given


@dataclass(slots=True)
class Opening:
    """What `open_journal` opened."""

    folder: Folder
    highwater: HighWaterFile
    file: BlockFile
    drains: list[Drain]
    base_s: int
    max_seq: int
    set_aside: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_new: bool = False

    def report(self) -> OpenReport:
        """The same for the caller."""
        book = self.file.book
        noted = book.values(Kind.LOSS, NotedLoss).values()
        return OpenReport(
            epoch=self.file.meta.epoch,
            is_new=self.is_new,
            next_seq=self.max_seq + 1,
            uplink_states=book.blobs(Kind.STATE),
            runs=ledger.runs(book),
            boots=ledger.boots(book),
            losses=tuple(loss.loss for loss in noted if not loss.is_booked),
            set_aside=tuple(self.set_aside),
            notes=tuple(self.notes),
            parked=tuple(parked_heads(book)),
        )


@dataclass(frozen=True, slots=True)
class Start:
    """Who opens the journal, and when."""

    run: int
    os_boot: str
    gateway: str
    boot_ns: int
    wall_ns: int
    synchronous: str


def open_journal(path: Path, start: Start) -> Opening:
    """Take the lock, find or make the data file, check it and begin this run in it.

    Raises:
        JournalBusy: another process holds the journal.
        JournalRefused: missing rights, or a newer version wrote it.
        JournalFull: there is no space to make it.
        JournalError: the device fails.
    """
    folder = Folder(path)
    try:
        finish_restore(path)
        refuse_newer(path)
        for left in (STAGE, PREPARED):  # a kill may have left them, as large as all that is stored
            shutil.rmtree(path / left, ignore_errors=True)
        try:
            return _open(folder, start)
        except (*SQLITE_ERRORS, OSError) as error:
            if not _is_no_space(error, path) or not Ballast(path / "ballast", 1).release():
                raise
            return _open(folder, start)
    except SQLITE_ERRORS as error:
        folder.close()
        raise _meaning(error, path) from error
    except OSError as error:
        folder.close()
        if _is_no_space(error, path):
            raise JournalFull("disk", f"{path}: no space left for the journal") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise JournalRefused(f"{path}: the journal cannot be used: {error}; check its owner and mode") from error
        raise JournalError(f"{path}: the journal cannot be opened: {error}") from error
    except BaseException:  # a refusal of ours, Ctrl-C: the lock is given back
        folder.close()
        raise


def _is_no_space(error: Exception, path: Path) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return classify(error, path) is Fault.FULL


def _meaning(error: Exception, path: Path) -> Exception:
    match classify(error, path):
        case Fault.FULL:
            return JournalFull("disk", f"{path}: no space left for the journal")
        case Fault.REFUSED if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            return JournalBusy(path, None)
        case Fault.REFUSED | Fault.READ_ONLY:
            return JournalRefused(f"{path}: the journal cannot be used: {error}; check its owner and mode")
        case _:
            return JournalError(f"{path}: the journal cannot be opened: {error}")


def _open(folder: Folder, start: Start) -> Opening:
    highwater = HighWaterFile(folder.path / "highwater")
    set_aside: list[Path] = []
    notes: list[str] = []
    databases = folder.databases()
    for _, path in databases[:-1]:
        set_aside.append(folder.set_aside(path))
        notes.append(f"{path.name} is older than the newest data file; its events are drained")
    opening: Opening | None = None
    if databases:
        path = databases[-1][1]
        try:
            opening = _go_on(folder, highwater, _open_file(path, start), start)
        except FileDamaged as error:
            path = folder.databases()[-1][1]  # it may have been renamed for a new epoch
            set_aside.append(folder.set_aside(path))
            notes.append(f"{path.name} was set aside: {error}")
    if opening is None:
        opening = _begin_again(folder, highwater, start)
    opening.set_aside = set_aside
    opening.notes[:0] = notes
    return opening


def _open_file(path: Path, start: Start) -> BlockFile:
    """Open a data file for writing.

    Raises:
        FileDamaged: it is not one that can be written to.
    """
    if wal_is_damaged(path):
        raise FileDamaged("its write-ahead log is damaged")
    try:
        file = BlockFile(path, synchronous=start.synchronous)
    except NewerSchema as error:
        raise JournalRefused(f"{path}: written by a newer version of Fieldgate ({error}); install that") from error
    except SQLITE_ERRORS as error:
        if classify(error, path.parent) in (Fault.DAMAGED, Fault.UNREADABLE):
            raise FileDamaged(str(error)) from error
        raise
    except OSError as error:
        if error.errno == errno.EIO:
            raise FileDamaged(str(error)) from error
        raise
    problem = "some of its own notes are damaged" if file.damaged_book_rows else _miscount(file)
    if problem:
        file.connection.close()
        raise FileDamaged(problem)
    return file


def _miscount(file: BlockFile) -> str:
    """Every block has a number and a place in its lane: more numbers than places, and a lane has lost its end."""
    before = sum(tail[0] for tail in file.meta.tails)
    places = sum(tail.ordinal for tail in file.tails) - before
    missing = file.last_no - file.meta.start_no - places
    return f"{missing} of its newest blocks are missing" if missing > 0 else ""


def _go_on(folder: Folder, highwater: HighWaterFile, file: BlockFile, start: Start) -> Opening:
    """Continue with a file that is sound as far as it goes.

    Raises:
        FileDamaged: it is not, as shows when it is first written to.
    """
    notes: list[str] = []
    mark = highwater.last
    if mark is None and file.last_no:
        notes.append("the high-water file was missing or damaged: a loss before this start would not be noticed")
    if file.damaged_rows:
        notes.append(f"{file.damaged_rows} of the newest blocks are damaged")
    try:
        file, note = continue_after_loss(folder, file, mark)
        drains = _drains(folder, file.book, None, file.meta.lineage)
        _index(drains)
        for drain in drains:
            if drain.is_indexed:
                note_losses(file.book, drain)
        top_seq = max(tail.top_seq for tail in file.tails)
        max_seq = max([top_seq, mark.max_seq if mark else 0, *(_newest(drain)[1] for drain in drains)])
        opening = Opening(folder, highwater, file, drains, 0, max_seq, notes=[*notes, *([note] if note else [])])
        _begin_run(opening, start)
    except SQLITE_ERRORS as error:
        file.connection.close()
        if classify(error, folder.path) in (Fault.DAMAGED, Fault.UNREADABLE):
            raise FileDamaged(str(error)) from error
        raise
    return opening


def _newest(drain: Drain) -> tuple[int, int]:
    """The highest block number and seq that the file can hold."""
    block_no, seq = drain.newest()
    far = 0 if drain.is_indexed else FAR
    marks = drain.record.marks or ()
    return block_no + far, max([seq, *(mark.top_seq for mark in marks)]) + far


def _drains(folder: Folder, book: Book, mark: HighWater | None, lineage: int | None = None) -> list[Drain]:
    """Files that were set aside and are not done with; those the book does not know are entered in it."""
    known = book.values(Kind.DRAIN, DrainRecord)
    taken = {record.epoch for record in known.values()} | ({lineage} if lineage is not None else set())
    for epoch, path in folder.set_aside_files():
        if path.name in known:
            continue
        marks = mark.lanes if mark is not None and mark.epoch == epoch else None
        while epoch in taken:  # a copy of a file that was seen before
            epoch += 1_000_000
        taken.add(epoch)
        book.put(Kind.DRAIN, path.name, DrainRecord(path.name, epoch, "set aside", marks, is_exact=False))
    records = sorted(book.values(Kind.DRAIN, DrainRecord).values(), key=lambda record: record.epoch)
    return [Drain(folder.path / record.file, book, record) for record in records if not record.is_done]


def _index(drains: list[Drain]) -> None:
    """Look through what was set aside, the newest first, for as long as a start may take."""
    end_s = clock.boot_s() + _INDEX_S
    for drain in reversed(drains):
        while not drain.is_indexed and clock.boot_s() < end_s:
            drain.step()


def _begin_again(folder: Folder, highwater: HighWaterFile, start: Start) -> Opening:
    """Make a new file; what was set aside is drained, and its notes are taken over."""
    mark = highwater.last
    notes: list[str] = []
    finding = Book([])
    if mark is not None and not folder.set_aside_files():
        name = f"journal-{mark.epoch:06d}.db.lost"
        record = DrainRecord(name, mark.lineage, "the data file is gone", mark.lanes, is_exact=False)
        finding.put(Kind.DRAIN, name, record)
        notes.append("the data file is gone")
    drains = _drains(folder, finding, mark)
    _index(drains)
    if drains:
        finding = Book(_merged(finding.rows, drains[-1].book_rows()))
        for drain in drains:
            drain.rebind(finding)
        drains = [drain for drain in drains if not drain.record.is_done]
    for drain in drains:
        if drain.is_indexed:
            note_losses(finding, drain)
    epoch = 1 + max([0, mark.epoch if mark else 0, *(drain.epoch for drain in drains), *_epochs(folder)])
    newest = [_newest(drain) for drain in drains]
    start_no = max([mark.block_no if mark else 0, *(block_no for block_no, _ in newest)])
    file = begin_file(folder, finding.rows, epoch=epoch, start_no=start_no, start=start)
    for drain in drains:
        drain.rebind(file.book)
    max_seq = max([mark.max_seq if mark else 0, *(seq for _, seq in newest)])
    is_new = mark is None and not drains
    opening = Opening(folder, highwater, file, drains, 0, max_seq, notes=notes, is_new=is_new)
    _begin_run(opening, start)
    return opening


def _merged(rows: list[BookRow], salvaged: list[BookRow]) -> list[BookRow]:
    """What the newest file had noted, and ``rows`` for what it did not know."""
    carried = [row for row in salvaged if row.kind in CARRIED]
    known = {(row.kind, row.name) for row in carried}
    merged = carried + [row for row in rows if (row.kind, row.name) not in known]
    return [row._replace(row_id=row_id) for row_id, row in enumerate(merged, start=1)]


def _epochs(folder: Folder) -> list[int]:
    return [epoch for epoch, _ in folder.set_aside_files()]


def note_losses(book: Book, drain: Drain) -> None:
    """Enter what a drained file is known to have lost, to be booked by the caller."""
    for lane in range(3):
        for loss in drain.losses(lane):
            if book.get(Kind.LOSS, loss_name(loss), NotedLoss) is None:
                book.put(Kind.LOSS, loss_name(loss), NotedLoss(loss, is_booked=False))


def begin_file(folder: Folder, rows: list[BookRow], *, epoch: int, start_no: int, start: Start) -> BlockFile:
    """Make and open the data file of a new epoch, with these notes in its book."""
    meta = Meta(
        epoch=epoch,
        epoch_id=secrets.randbits(63),
        lineage=epoch,
        start_no=start_no,
        start_crc=0,
        created_wall_ns=start.wall_ns,
        gateway=start.gateway,
    )
    path = folder.database(epoch)
    make_file(path, meta, Book(rows, is_stored=False))
    return BlockFile(path, synchronous=start.synchronous)


def _begin_run(opening: Opening, start: Start) -> None:
    """Note the run and its OS boot; on a full disk that waits for the first commit."""
    file = opening.file
    known_base_s = ledger.boot_base_s(file.book, start.os_boot)
    mark = opening.highwater.last
    opening.base_s = known_base_s if known_base_s is not None else max(file.heard_s, mark.journal_s if mark else 0)
    if not start.run:
        return
    if known_base_s is None:
        ledger.add_boot(file.book, BootRecord(start.os_boot, None, 1), base_s=opening.base_s)
    ledger.add_run(file.book, RunRecord(start.run, start.gateway, start.os_boot, start.wall_ns, start.boot_ns))
    try:
        file.connection.execute("BEGIN IMMEDIATE")
        file.book.write(file.connection)
        file.connection.execute("COMMIT")
    except sqlite3.Error as error:
        if file.connection.in_transaction:
            file.connection.execute("ROLLBACK")
        if classify(error, file.path.parent) not in (Fault.FULL, Fault.READ_ONLY):
            raise
        file.book.keep()
        opening.notes.append("the disk is full: this start is noted with the first commit")
    else:
        file.book.settle()
