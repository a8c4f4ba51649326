"""Read one lane forward, from a healthy file or a damaged one, and say what is missing on the way."""

from __future__ import annotations

from typing import Protocol

import zstandard

from fieldgate.journal.blocks import BlockDamaged, Checked, Row, decode_body, decode_seqs
from fieldgate.journal.holes import Gone, find_hole
from fieldgate.journal.records import BlockInfo, Loss, ReadHint, ReadResult, StoredBlock

__all__ = ["Source", "block_info", "decode_row", "missing", "read_lane", "scan_blocks"]


class Source(Protocol):
    """A file that holds blocks."""

    decompressor: zstandard.ZstdDecompressor

    @property
    def epoch(self) -> int:
        """Which file it is."""

    def floor_hint(self, lane: int) -> ReadHint:
        """Where the lane begins: just behind what was removed from its old end."""

    def start_hint(self, lane: int, after_seq: int) -> ReadHint:
        """Where to begin so that nothing above ``after_seq`` is left out."""

    def end_hint(self, lane: int) -> ReadHint:
        """Where the lane ends, as far as is known."""

    def next_row(self, lane: int, after_no: int) -> Checked | None:
        """The first block after that number that has a sound head."""

    def gone(self, lane: int) -> list[Gone]:
        """What is missing above the floor and accounted for."""


def block_info(row: Row, *, epoch: int, body_bytes: int = 0) -> BlockInfo:
    """What a head says. ``body_bytes`` where the body was not read."""
    return BlockInfo(
        block_no=row.block_no,
        lane=row.lane,
        run=row.run,
        first_seq=row.first_seq,
        last_seq=row.last_seq,
        count=row.event_count,
        size_bytes=row.size_bytes + body_bytes,
        heard_s=row.heard_s,
        boot_ns=row.boot_ns,
        marks=row.marks,
        ordinal=row.ordinal,
        epoch=epoch,
    )


def decode_row(
    checked: Checked, *, epoch: int, decompressor: zstandard.ZstdDecompressor | None = None
) -> StoredBlock | Loss:
    """Return the block of a row, or the loss that it is."""
    row = checked.row
    try:
        if not checked.is_whole:
            raise BlockDamaged("its body's checksum is wrong")
        seqs = decode_seqs(row.seqs, first_seq=row.first_seq, last_seq=row.last_seq, count=row.event_count)
        events = decode_body(row.body, run=row.run, lane=row.lane, seqs=seqs, decompressor=decompressor)
    except BlockDamaged:
        return Loss(
            epoch=epoch,
            lane=row.lane,
            first_ordinal=row.ordinal,
            last_ordinal=row.ordinal,
            first_seq=row.first_seq,
            last_seq=row.last_seq,
            count=row.event_count,
            reason="corrupt",
            run=row.run,
            block_no=row.block_no,
            marks=row.marks,
        )
    return StoredBlock(block_info(row, epoch=epoch), events)


def read_lane(
    source: Source, lane: int, after_seq: int, *, max_bytes: int, hint: ReadHint | None, max_rows: int = 1000
) -> ReadResult:
    """Return blocks that hold seqs above ``after_seq``, up to ``max_bytes`` of decoded data and at least one.

    At most ``max_rows`` are looked at, so that a step takes a bounded time whatever is skipped.
    """
    floor = source.floor_hint(lane)
    if hint is None:
        hint = source.start_hint(lane, after_seq)
    if hint.ordinal < floor.ordinal:  # what was removed meanwhile is no loss
        hint = ReadHint(source.epoch, hint.block_no, floor.ordinal, floor.events_before, floor.last_seq)
    blocks: list[StoredBlock] = []
    losses: list[Loss] = []
    taken_bytes = 0
    for _ in range(max_rows):
        checked = source.next_row(lane, hint.block_no)
        if checked is None:
            end = source.end_hint(lane)
            losses += missing(source, lane, hint, end.ordinal + 1, end.events_before, end.last_seq + 1)
            if end.ordinal > hint.ordinal:
                hint = ReadHint(end.epoch, max(hint.block_no, end.block_no), *_place(end))
            return ReadResult(blocks, losses, hint, more=False)
        row = checked.row
        losses += missing(source, lane, hint, row.ordinal, row.events_before, row.first_seq)
        hint = ReadHint(source.epoch, row.block_no, row.ordinal, row.events_before + row.event_count, row.top_seq)
        if row.last_seq <= after_seq:
            continue
        match decode_row(checked, epoch=source.epoch, decompressor=source.decompressor):
            case Loss() as loss:
                losses.append(loss)
            case block:
                blocks.append(block)
                taken_bytes += sum([len(event.data) for event in block.events])
        if taken_bytes >= max_bytes:
            break
    return ReadResult(blocks, losses, hint, more=True)


def scan_blocks(source: Source, after_no: int, *, max_bytes: int) -> tuple[list[StoredBlock], list[Loss]]:
    """Return blocks of all lanes by number, up to ``max_bytes`` of decoded data and at least one; and damaged ones."""
    blocks: list[StoredBlock] = []
    losses: list[Loss] = []
    taken_bytes = 0
    ahead = [source.next_row(lane, after_no) for lane in range(3)]
    while taken_bytes < max_bytes:
        found = [checked for checked in ahead if checked is not None]
        if not found:
            break
        checked = min(found, key=lambda checked: checked.row.block_no)
        lane = checked.row.lane
        ahead[lane] = source.next_row(lane, checked.row.block_no)
        match decode_row(checked, epoch=source.epoch, decompressor=source.decompressor):
            case Loss() as loss:
                losses.append(loss)
            case block:
                blocks.append(block)
        taken_bytes += checked.row.size_bytes * 4
    return blocks, losses


def _place(hint: ReadHint) -> tuple[int, int, int]:
    return hint.ordinal, hint.events_before, hint.last_seq


def missing(
    source: Source, lane: int, after: ReadHint, next_ordinal: int, events_before: int, next_seq: int
) -> list[Loss]:
    """The loss between where the read stands and the next block, if there is one."""
    if next_ordinal <= after.ordinal + 1:
        return []
    hole = find_hole(
        after_ordinal=after.ordinal,
        events_until=after.events_before,
        next_ordinal=next_ordinal,
        events_before=events_before,
        gone=source.gone(lane),
    )
    if hole is None:
        return []
    return [
        Loss(
            epoch=source.epoch,
            lane=lane,
            first_ordinal=hole.first_ordinal,
            last_ordinal=hole.last_ordinal,
            first_seq=after.last_seq + 1,
            last_seq=max(next_seq - 1, after.last_seq + 1),
            count=hole.events,
            reason="missing",
        )
    ]
