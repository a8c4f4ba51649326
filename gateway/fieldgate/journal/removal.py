"""Remove blocks from a journal file so that what is gone stays accounted for.

A lane's floor moves up as blocks leave its old end; single blocks taken from its middle are remembered as ranges until
the floor passes them. So a reader tells what was removed from what was lost, and the counts of a lane are known
without a scan. Runs inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fieldgate.journal.blockfile import BlockFile, tail_after
from fieldgate.journal.book import Kind
from fieldgate.journal.drain import Drain
from fieldgate.journal.records import Removal
from fieldgate.journal.shapes import Floor, Single, Tail, noted_losses

__all__ = ["remove"]

_LAST: Final = (1 << 63) - 1


def remove(removal: Removal, file: BlockFile, drains: Sequence[Drain]) -> int:
    """Do one removal in all files of the journal; answers how many blocks there were."""
    lane = removal.lane
    removed = 0
    for block_no in removal.block_nos:
        in_drain = any(drain.remove_single(lane, block_no) for drain in drains)
        removed += in_drain or _remove_single(file, lane, block_no, removal.reason)
    if not removal.block_nos:
        removed += sum(drain.remove_below(lane, removal.last_seq) for drain in drains)
        removed += _remove_below(file, lane, removal.last_seq, removal.reason)
    return removed


def _remove_below(file: BlockFile, lane: int, last_seq: int, reason: str) -> int:
    """Remove, from the old end of the lane, the blocks whose seqs and all before them are <= ``last_seq``."""
    floor = file.floor(lane)
    boundary = file.first_above(lane, last_seq)
    if boundary is not None:
        upto_no = boundary.block_no - 1
        target = Tail(boundary.ordinal - 1, boundary.events_before, boundary.bytes_before, last_seq)
    elif file.tails[lane].top_seq <= last_seq:
        upto_no, target = _LAST, file.tails[lane]
    else:  # what comes after the newest sound row is lost, and stays on record until something newer is removed
        newest = file.before(lane, _LAST)
        if newest is None:
            return 0
        upto_no, target = newest.block_no, tail_after(newest)
    if target.ordinal <= floor.ordinal:
        return 0
    blocks = file.delete_upto(lane, upto_no)
    events = target.events - floor.events - _forget_below(file, lane, target.ordinal, floor)
    _count(floor, reason, blocks, events)
    floor.ordinal, floor.events, floor.bytes, floor.top_seq = (
        target.ordinal,
        target.events,
        target.bytes,
        target.top_seq,
    )
    _put_floor(file, lane, floor)
    return blocks


def _forget_below(file: BlockFile, lane: int, ordinal: int, floor: Floor) -> int:
    """Fold what is noted below the new floor into it; answers how many events that had been."""
    events = 0
    for name, single in file.singles(lane):
        if single.last_ordinal <= ordinal:
            _count(floor, single.reason, single.blocks, single.events)
            file.book.drop(Kind.SINGLE, name)
            events += single.events
    for name, noted in noted_losses(file.book, file.epoch, lane):
        if noted.loss.last_ordinal <= ordinal:
            if noted.loss.first_ordinal > floor.ordinal:
                events += noted.loss.count
            if noted.is_booked:
                file.book.drop(Kind.LOSS, name)
    return events


def _count(floor: Floor, reason: str, blocks: int, events: int) -> None:
    before = floor.removed.get(reason, (0, 0))
    floor.removed[reason] = (before[0] + blocks, before[1] + events)


def _remove_single(file: BlockFile, lane: int, block_no: int, reason: str) -> int:
    """Remove one block from anywhere in the lane; answers how many there were (0 or 1)."""
    found = file.heads(lane, block_no - 1, 1)
    if not found or found[0][0].block_no != block_no:
        return 0
    row, body_bytes = found[0]
    file.delete_one(lane, block_no)
    new = Single(lane, reason, row.ordinal, row.ordinal, 1, row.event_count, row.size_bytes + body_bytes)
    for name, single in file.singles(lane):
        joins = single.last_ordinal + 1 == new.first_ordinal or single.first_ordinal == new.last_ordinal + 1
        if joins and single.reason == reason:
            file.book.drop(Kind.SINGLE, name)
            new = Single(
                lane,
                reason,
                min(single.first_ordinal, new.first_ordinal),
                max(single.last_ordinal, new.last_ordinal),
                single.blocks + new.blocks,
                single.events + new.events,
                single.bytes + new.bytes,
            )
    file.book.put(Kind.SINGLE, file.book.next_name(), new)
    if row.ordinal == file.tails[lane].ordinal:
        _put_floor(file, lane, file.floor(lane))
    return 1


def _put_floor(file: BlockFile, lane: int, floor: Floor) -> None:
    """Keep a floor, and the ends that may have no block to tell them any more."""
    tail = file.tails[lane]
    floor.tail_no, floor.tail_crc = file.last_no, file.last_crc
    floor.tail = (tail.ordinal, tail.events, tail.bytes, tail.top_seq)
    file.book.put(Kind.FLOOR, str(lane), floor)
