"""Compare a sound file with what the high-water file remembers, and go on under a new epoch where they differ."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from fieldgate.journal.blockfile import BlockFile
from fieldgate.journal.book import Kind
from fieldgate.journal.files import Folder, sync_folder
from fieldgate.journal.highwater import HighWater, LaneMark
from fieldgate.journal.records import Loss
from fieldgate.journal.shapes import DrainRecord, NotedLoss, Single, Tail, loss_name

__all__ = ["begin_epoch", "continue_after_loss"]


def continue_after_loss(folder: Folder, file: BlockFile, mark: HighWater | None) -> tuple[BlockFile, str]:
    """Return the file to go on with, and what was found.

    A file whose newest blocks are fewer than the mark says lost its end (a write-ahead log cut, flipped or deleted,
    an older copy of the database): the loss is noted for each lane, numbers go on above what was given.
    """
    note = ""
    is_same = mark is not None and mark.lineage == file.meta.lineage
    if mark is not None and mark.lineage > file.meta.lineage:
        note = "an older data file was put in place of the newest one"
        name = f"journal-{mark.epoch:06d}.db.lost"
        file.book.put(Kind.DRAIN, name, DrainRecord(name, mark.lineage, note, mark.lanes, is_exact=False))
    elif mark is not None and is_same and mark.block_no > file.last_no:
        note = f"blocks {file.last_no + 1} to {mark.block_no} at least are missing at the end of the journal"
    elif mark is not None and is_same and _has_cut_lane(file, mark):
        note = "the newest blocks of a lane are missing"
    elif mark is not None and is_same and _is_other_history(file, mark):
        note = "the data file does not continue what this journal had written"
    elif not file.is_chained:
        note = "the chain of the newest blocks is broken"
    elif mark is not None and is_same:
        for lane, lane_mark in enumerate(mark.lanes):  # damaged newest rows: the mark knows how much they held
            tail = file.tails[lane]
            if lane_mark.ordinal == tail.ordinal and lane_mark.events > tail.events:
                tail.events, tail.top_seq = lane_mark.events, max(tail.top_seq, lane_mark.top_seq)
    if note:
        return begin_epoch(folder, file, mark, is_same=is_same), note
    if file.path != folder.database(file.meta.epoch):  # a start was cut short between noting an epoch and renaming
        return _renamed(folder, file), note
    return file, note


def _has_cut_lane(file: BlockFile, mark: HighWater) -> bool:
    return any(lane_mark.ordinal > tail.ordinal for lane_mark, tail in zip(mark.lanes, file.tails, strict=True))


def _is_other_history(file: BlockFile, mark: HighWater) -> bool:
    return mark.block_no == file.last_no and bool(file.last_crc) and mark.crc not in (0, file.last_crc)


def begin_epoch(folder: Folder, file: BlockFile, mark: HighWater | None, *, is_same: bool) -> BlockFile:
    """Go on in the same file under the next epoch, above everything that it or ``mark`` knows of.

    ``is_same``: the mark is of this file, so that what it knows beyond the file's newest blocks is noted as lost.
    """
    epoch = file.meta.epoch
    start_no = file.last_no
    if mark is not None:
        epoch = max(epoch, mark.epoch)
        start_no = max(start_no, mark.block_no)
    if mark is not None and is_same:
        for lane, lane_mark in enumerate(mark.lanes):
            _note_tail(file, lane, lane_mark)
    meta = msgspec.structs.replace(
        file.meta,
        epoch=epoch + 1,
        epoch_id=secrets.randbits(63),
        start_no=start_no,
        start_crc=0,
        tails=[(tail.ordinal, tail.events, tail.bytes, tail.top_seq) for tail in file.tails],
    )
    file.book.put(Kind.META, "meta", meta)
    connection = file.connection
    connection.execute("BEGIN IMMEDIATE")
    file.book.write(connection)
    connection.execute("COMMIT")
    file.book.settle()
    file.meta = meta
    return _renamed(folder, file)


def _note_tail(file: BlockFile, lane: int, mark: LaneMark) -> None:
    """Note what the lane had been given beyond its newest block, removed or lost, and count on from there."""
    tail = file.tails[lane]
    if mark.ordinal <= tail.ordinal:
        return
    known = Tail(tail.ordinal, tail.events, tail.bytes, tail.top_seq)
    if mark.floor_ordinal > known.ordinal:
        blocks, events = mark.floor_ordinal - known.ordinal, max(mark.floor_events - known.events, 0)
        single = Single(lane, "removed", known.ordinal + 1, mark.floor_ordinal, blocks, events, 0)
        file.book.put(Kind.SINGLE, file.book.next_name(), single)
        known = Tail(mark.floor_ordinal, mark.floor_events, tail.bytes, max(mark.floor_seq, known.top_seq))
    if mark.ordinal > known.ordinal:
        loss = Loss(
            epoch=file.epoch,
            lane=lane,
            first_ordinal=known.ordinal + 1,
            last_ordinal=mark.ordinal,
            first_seq=known.top_seq + 1,
            last_seq=max(mark.top_seq, known.top_seq + 1),
            count=max(mark.events - known.events, 1),
            reason="missing",
            is_exact=False,  # more may have been written after the mark was saved
        )
        file.book.put(Kind.LOSS, loss_name(loss), NotedLoss(loss, is_booked=False))
    file.tails[lane] = Tail(mark.ordinal, max(mark.events, tail.events), tail.bytes, max(mark.top_seq, tail.top_seq))


def _renamed(folder: Folder, file: BlockFile) -> BlockFile:
    """Give the file the name of its epoch; it has to be closed for that."""
    target = folder.database(file.meta.epoch)
    (synchronous,) = file.connection.execute("PRAGMA synchronous").fetchone()
    file.connection.close()
    wal = _wal(file.path)
    if wal.exists():
        wal.rename(_wal(target))
    file.path.rename(target)
    sync_folder(folder.path)
    return BlockFile(target, synchronous=str(synchronous))


def _wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")
