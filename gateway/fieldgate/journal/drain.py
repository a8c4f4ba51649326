"""An older file that still holds blocks: read in order, never written, deleted when everything in it is removed.

It was set aside because it was damaged, foreign or replaced. What it was known to have held and does not give any
more is a loss, counted by what its blocks say of their lane.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from pathlib import Path

import zstandard

from fieldgate.journal.blocks import Checked
from fieldgate.journal.book import Book, BookRow, Kind
from fieldgate.journal.holes import Gone
from fieldgate.journal.reading import block_info, missing
from fieldgate.journal.records import BlockInfo, LaneStats, Loss, ReadHint
from fieldgate.journal.salvage import Salvage
from fieldgate.journal.shapes import DrainRecord, Floor, gone_by_loss, noted_losses

__all__ = ["Drain"]

_LANES = range(3)


class Drain:
    """One such file. ``book`` is the newer file's: it remembers how far this one has been removed."""

    def __init__(self, path: Path, book: Book, record: DrainRecord) -> None:
        self.path = path
        self.decompressor = zstandard.ZstdDecompressor()
        self.record = record
        self._book = book
        self._salvage = Salvage(path)
        self._floors: list[ReadHint] = []

    @property
    def epoch(self) -> int:
        """Which file it is."""
        return self.record.epoch

    @property
    def is_indexed(self) -> bool:
        """Whether it is known what the file holds; until then it cannot be read."""
        return self._salvage.is_indexed

    def step(self) -> bool:
        """Look at a megabyte more; answers `is_indexed`."""
        if self._salvage.step() and not self._floors:
            self._floors = [self._first_floor(lane) for lane in _LANES]
        return self.is_indexed

    def book_rows(self) -> list[BookRow]:
        """What was found of the file's own book so far."""
        return list(self._salvage.book.values())

    def rebind(self, book: Book) -> None:
        """Take the record from ``book``, which is another one now or was rolled back."""
        self._book = book
        record = book.get(Kind.DRAIN, self.path.name, DrainRecord)
        if record is not None:
            self.record = record
            if self.is_indexed:
                self._floors = [self._first_floor(lane) for lane in _LANES]

    def _first_floor(self, lane: int) -> ReadHint:
        """What was gone from the lane's old end when the file was set aside."""
        mark = self.record.marks[lane] if self.record.marks is not None else None
        if mark is not None and self.record.is_exact:
            return self._hint(mark.floor_ordinal, mark.floor_events, mark.floor_seq)
        own = Book(self.book_rows()).get(Kind.FLOOR, str(lane), Floor)
        if own is not None and (mark is None or own.ordinal >= mark.floor_ordinal):
            return self._hint(own.ordinal, own.events, own.top_seq)
        if mark is not None:
            return self._hint(mark.floor_ordinal, mark.floor_events, mark.floor_seq)
        index = self._salvage.lanes[lane]
        return self._hint(index.ordinal[0] - 1, index.events_before[0], 0) if len(index) else self._hint(0, 0, 0)

    def _hint(self, ordinal: int, events: int, seq: int, *, block_no: int = 0) -> ReadHint:
        return ReadHint(self.epoch, block_no, ordinal, events, seq)

    def floor_hint(self, lane: int) -> ReadHint:
        """Where the lane begins now."""
        first = self._floors[lane]
        removed = self.record.removed[lane]
        return first if first.ordinal >= removed[0] else self._hint(*removed)

    def end_hint(self, lane: int) -> ReadHint:
        """Where the lane ends: its newest block found, or what it was known to have held."""
        index = self._salvage.lanes[lane]
        floor = self.floor_hint(lane)
        end = floor
        if len(index) and index.ordinal[-1] > floor.ordinal:
            end = self._at(lane, len(index) - 1)
        mark = self.record.marks[lane] if self.record.marks is not None else None
        if mark is not None and mark.ordinal > end.ordinal:
            return self._hint(mark.ordinal, mark.events, mark.top_seq, block_no=end.block_no)
        return end

    def start_hint(self, lane: int, after_seq: int) -> ReadHint:
        """Where to begin so that nothing above ``after_seq`` is left out."""
        index = self._salvage.lanes[lane]
        number = bisect_right(index.top_seq, after_seq)
        floor = self.floor_hint(lane)
        if number == 0 or index.ordinal[number - 1] <= floor.ordinal:
            return floor
        return self._at(lane, number - 1)

    def next_row(self, lane: int, after_no: int) -> Checked | None:
        """The first block after that number that can be read."""
        index = self._salvage.lanes[lane]
        floor = self.floor_hint(lane).ordinal
        removed = [range(first, last + 1) for of_lane, first, last, _ in self.record.singles if of_lane == lane]
        start = max(bisect_right(index.block_no, after_no), bisect_right(index.ordinal, floor))
        for number in range(start, len(index)):
            if not any(index.ordinal[number] in gap for gap in removed):
                checked = self._salvage.read(lane, number)
                if checked is not None:
                    return checked
        return None

    def gone(self, lane: int) -> list[Gone]:
        """What is missing above the floor and accounted for."""
        known = [Gone(first, last, events) for of_lane, first, last, events in self.record.singles if of_lane == lane]
        return sorted(known + gone_by_loss(self._book, self.epoch, lane))

    def losses(self, lane: int) -> list[Loss]:
        """What is missing in the lane without a record; heads suffice to tell."""
        index = self._salvage.lanes[lane]
        at = self.floor_hint(lane)
        losses: list[Loss] = []
        for number in range(bisect_right(index.ordinal, at.ordinal), len(index)):
            if index.ordinal[number] > at.ordinal + 1:
                losses += missing(
                    self, lane, at, index.ordinal[number], index.events_before[number], index.first_seq[number]
                )
            at = self._at(lane, number)
        end = self.end_hint(lane)
        losses += missing(self, lane, at, end.ordinal + 1, end.events_before, end.last_seq + 1)
        return losses if self.record.is_exact else [replace(loss, is_exact=False) for loss in losses]

    def losses_noted(self, lane: int) -> list[Loss]:
        """The losses of the lane that the book knows and that were not booked yet."""
        noted = noted_losses(self._book, self.epoch, lane)
        return [entry.loss for _, entry in noted if not entry.is_booked]

    def _at(self, lane: int, number: int) -> ReadHint:
        index = self._salvage.lanes[lane]
        return self._hint(
            index.ordinal[number], index.events_after[number], index.top_seq[number], block_no=index.block_no[number]
        )

    def heads(self, lane: int, after_no: int, limit: int) -> list[BlockInfo]:
        """Heads of up to ``limit`` blocks after that number."""
        found: list[BlockInfo] = []
        while len(found) < limit and (checked := self.next_row(lane, after_no)) is not None:
            after_no = checked.row.block_no
            found.append(block_info(checked.row, epoch=self.epoch))
        return found

    def remove_below(self, lane: int, last_seq: int) -> int:
        """Note that the lane's blocks up to ``last_seq`` are removed; answers how many that were."""
        if not self.is_indexed:
            return 0
        floor, end = self.floor_hint(lane), self.end_hint(lane)
        if floor.ordinal >= end.ordinal:
            return 0
        index = self._salvage.lanes[lane]
        if end.last_seq <= last_seq:
            target = (end.ordinal, end.events_before, end.last_seq)
        else:
            number = bisect_right(index.top_seq, last_seq)
            if number == 0 or index.ordinal[number - 1] <= floor.ordinal:
                return 0
            target = (index.ordinal[number - 1], index.events_after[number - 1], last_seq)
        removed = bisect_right(index.ordinal, target[0]) - bisect_right(index.ordinal, floor.ordinal)
        self.record.removed[lane] = target
        self.record.singles = [single for single in self.record.singles if single[0] != lane or single[2] > target[0]]
        self._save()
        return removed

    def remove_single(self, lane: int, block_no: int) -> bool:
        """Note that one block is removed; answers whether it was here."""
        checked = self.next_row(lane, block_no - 1) if self.is_indexed else None
        if checked is None or checked.row.block_no != block_no:
            return False
        ordinal = checked.row.ordinal
        self.record.singles.append((lane, ordinal, ordinal, checked.row.event_count))
        self._save()
        return True

    def _save(self) -> None:
        self.record.is_done = all(self._is_empty(lane) for lane in _LANES)
        self._book.put(Kind.DRAIN, self.path.name, self.record)

    def _is_empty(self, lane: int) -> bool:
        return self.floor_hint(lane).ordinal >= self.end_hint(lane).ordinal

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to read or to state."""
        return self.is_indexed and all(self._is_empty(lane) for lane in _LANES)

    def stats(self, lane: int) -> LaneStats:
        """What the lane holds, as far as is known."""
        if not self.is_indexed:
            return LaneStats(lane, 0, 0, 0, None, None, None)
        floor, end = self.floor_hint(lane), self.end_hint(lane)
        gone = self.gone(lane)
        first = self.next_row(lane, 0)
        return LaneStats(
            lane=lane,
            blocks=end.ordinal - floor.ordinal - sum(gap.last_ordinal - gap.first_ordinal + 1 for gap in gone),
            events=end.events_before - floor.events_before - sum(gap.events for gap in gone),
            body_bytes=self._bytes(lane, floor.ordinal),
            first_seq=first.row.first_seq if first else None,
            last_seq=end.last_seq if first else None,
            oldest_s=first.row.heard_s if first else None,
        )

    def _bytes(self, lane: int, floor_ordinal: int) -> int:
        index = self._salvage.lanes[lane]
        first = bisect_right(index.ordinal, floor_ordinal)
        return index.bytes_after[-1] - index.bytes_before[first] if first < len(index) else 0

    @property
    def size_bytes(self) -> int:
        """What still counts against the limit: all of it until it is known what the file holds."""
        if not self.is_indexed:
            return self._salvage.size_bytes
        return sum(self._bytes(lane, self.floor_hint(lane).ordinal) for lane in _LANES)

    def newest(self) -> tuple[int, int]:
        """The highest block number and seq found."""
        numbers = [lane.block_no[-1] for lane in self._salvage.lanes if len(lane)]
        seqs = [lane.top_seq[-1] for lane in self._salvage.lanes if len(lane)]
        return max(numbers, default=0), max(seqs, default=0)

    def close(self) -> None:
        """Let go of the file."""
        self._salvage.close()
