"""Leave a data file that is damaged, deleted or replaced while the gateway runs, and go on with a new one."""

from __future__ import annotations

import sqlite3

from fieldgate.errors import JournalError
from fieldgate.journal.active import ActiveFile
from fieldgate.journal.blockfile import BlockFile
from fieldgate.journal.book import Book, Kind
from fieldgate.journal.drain import Drain
from fieldgate.journal.files import Folder
from fieldgate.journal.highwater import HighWater, LaneMark
from fieldgate.journal.opening import CARRIED, Start, begin_file
from fieldgate.journal.shapes import DrainRecord

__all__ = ["make_mark", "move_on"]


def _lane_marks(file: BlockFile) -> tuple[LaneMark, LaneMark, LaneMark]:
    """What each lane had been given and what was removed of it."""
    marks: list[LaneMark] = []
    for lane, tail in enumerate(file.tails):
        floor = file.floor(lane)
        marks.append(LaneMark(tail.ordinal, tail.events, tail.top_seq, floor.ordinal, floor.events, floor.top_seq))
    return marks[0], marks[1], marks[2]


def make_mark(file: BlockFile, *, max_seq: int, journal_s: int) -> HighWater:
    """What the high-water file is to remember of this file now."""
    return HighWater(
        counter=0,
        epoch=file.meta.epoch,
        epoch_id=file.meta.epoch_id,
        lineage=file.meta.lineage,
        block_no=file.last_no,
        crc=file.last_crc,
        max_seq=max_seq,
        journal_s=journal_s,
        lanes=_lane_marks(file),
    )


def move_on(folder: Folder, old: ActiveFile, *, damage: str, start: Start) -> tuple[BlockFile, Drain]:
    """Set the old file aside and begin the next epoch with its book, which is in memory.

    Where the file is gone, what stands in its place (nothing, or a copy) is drained: what it does not hold is a loss.

    Raises:
        JournalError: a new file cannot be made either.
    """
    file = old.file
    marks = _lane_marks(file)
    singles = [
        (lane, single.first_ordinal, single.last_ordinal, single.events)
        for lane in range(len(marks))
        for _, single in file.singles(lane)
    ]
    old.close()
    try:
        folder.ensure()
        there = file.path.exists()
        path = folder.set_aside(file.path) if there else file.path.with_name(file.path.name + ".lost")
        rows = [row for row in file.book.rows if row.kind in CARRIED]
        record = DrainRecord(path.name, file.epoch, damage, marks, is_exact=True, singles=singles)
        noting = Book(rows, is_stored=False)
        noting.put(Kind.DRAIN, path.name, record)
        new = begin_file(folder, noting.rows, epoch=file.meta.epoch + 1, start_no=file.last_no, start=start)
    except (OSError, sqlite3.Error) as error:
        raise JournalError(f"{folder.path}: no new data file can be made in place of a broken one: {error}") from error
    return new, Drain(path, new.book, record)
