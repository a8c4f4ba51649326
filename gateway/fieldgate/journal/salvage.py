"""Read what can be read from a damaged journal file, a few pages at a time, in bounded memory.

The file and its write-ahead log are taken as a heap of pages: every row with a sound checksum counts, wherever it
stands, whatever the database's own structure says. Nothing is ever written to the file.
"""

from __future__ import annotations

import contextlib
import os
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from fieldgate.journal.blocks import Checked, check
from fieldgate.journal.book import BookRow, check_book_row
from fieldgate.journal.pages import cells, is_leaf, page_size_of, parse_record, wal_frames, wal_header_is_sound
from fieldgate.journal.schema import BLOCK_COLUMNS, PAGE_SIZE

__all__ = ["BlockIndex", "PageHeap", "Salvage", "wal_is_damaged"]

_BOOK_COLUMNS: Final = 7
_CHUNK_BYTES: Final = 1 << 20
_IN_WAL: Final = 1 << 40  # places at or above this are in the log


class PageHeap:
    """The pages of a database file and its log. A place is an offset in the file, or `_IN_WAL` + one in the log."""

    def __init__(self, path: Path) -> None:
        self._fd: int | None = None
        self._wal = b""
        self.size_bytes = 0
        self.page_size = PAGE_SIZE
        with contextlib.suppress(OSError):
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self.size_bytes = os.fstat(self._fd).st_size
        with contextlib.suppress(OSError):
            self._wal = path.with_name(path.name + "-wal").read_bytes()
        self.page_size = page_size_of(self.read(0, 100)) or PAGE_SIZE
        self._latest: dict[int, int] = {}
        self.wal_places: list[tuple[int, int]] = []
        self.stale_places: list[tuple[int, int]] = []
        self._map_wal()

    def _map_wal(self) -> None:
        """Sort the log's frames into what a transaction completed and the rest."""
        frames = list(wal_frames(self._wal, page_size=self.page_size))
        ends = [number for number, frame in enumerate(frames) if frame.is_current and frame.commit_pages]
        last = ends[-1] if ends else -1
        for number, frame in enumerate(frames):
            place = (_IN_WAL + frame.offset, frame.page)
            if frame.is_current and number <= last:
                self._latest[frame.page] = place[0]
                self.wal_places.append(place)
            else:
                self.stale_places.append(place)
        self.wal_places.reverse()

    def read(self, place: int, size: int) -> bytes:
        """Bytes at a place; short or empty where the device does not give them."""
        if place >= _IN_WAL:
            offset = place - _IN_WAL
            return self._wal[offset : offset + size]
        if self._fd is None:
            return b""
        try:
            return os.pread(self._fd, size, place)
        except OSError:
            return b""

    def page(self, place: int) -> bytes | None:
        """The page at a place, or None where it is not whole."""
        page = self.read(place, self.page_size)
        return page if len(page) == self.page_size else None

    def numbered(self, number: int) -> bytes | None:
        """A page by its number, as the last transaction left it."""
        return self.page(self._latest.get(number, (number - 1) * self.page_size))

    def in_file(self, number: int) -> bytes | None:
        """A page by its number, as the data file alone has it."""
        return self.page((number - 1) * self.page_size)

    def leaves(self, start: int) -> tuple[list[tuple[int, int]], int]:
        """Places and numbers of pages that may hold rows, in the chunk of the file at ``start``; and its end."""
        chunk = memoryview(self.read(start, _CHUNK_BYTES))
        size = self.page_size
        found: list[tuple[int, int]] = []
        for offset in range(0, len(chunk) - size + 1, size):
            number = (start + offset) // size + 1
            if is_leaf(chunk[offset : offset + size], number):
                found.append((start + offset, number))
        return found, start + (len(chunk) if len(chunk) == _CHUNK_BYTES else _CHUNK_BYTES)

    def close(self) -> None:
        """Let go of the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class BlockIndex:
    """Where the blocks of one lane are, in order of their numbers; 80 bytes each."""

    def __init__(self) -> None:
        self.block_no = array("q")
        self.place = array("q")
        self.cell = array("i")
        self.ordinal = array("q")
        self.events_before = array("q")
        self.events_after = array("q")
        self.bytes_before = array("q")
        self.bytes_after = array("q")
        self.first_seq = array("q")
        self.top_seq = array("q")
        self._known: set[int] = set()

    def __len__(self) -> int:
        return len(self.block_no)

    def add(self, checked: Checked, place: int, cell: int) -> None:
        """Note a block unless one of that number is known."""
        row = checked.row
        if row.block_no in self._known:
            return
        self._known.add(row.block_no)
        self.block_no.append(row.block_no)
        self.place.append(place)
        self.cell.append(cell)
        self.ordinal.append(row.ordinal)
        self.events_before.append(row.events_before)
        self.bytes_before.append(row.bytes_before)
        self.bytes_after.append(row.bytes_before + row.size_bytes)
        self.first_seq.append(row.first_seq)
        self.events_after.append(row.events_before + row.event_count)
        self.top_seq.append(row.top_seq)

    def finish(self) -> None:
        """Put the blocks in order."""
        self._known = set()
        order = sorted(range(len(self)), key=self.block_no.__getitem__)
        columns = {name: column for name, column in vars(self).items() if isinstance(column, array)}
        for name, column in columns.items():
            setattr(self, name, array(column.typecode, (column[number] for number in order)))


class Salvage:
    """Indexes a damaged file step by step; afterwards its blocks can be read in order."""

    def __init__(self, path: Path, *, lanes: int = 3) -> None:
        self._heap = PageHeap(path)
        self.lanes = [BlockIndex() for _ in range(lanes)]
        self.book: dict[tuple[str, str], BookRow] = {}
        self.is_indexed = False
        self._next = 0
        self._index(self._heap.wal_places)

    @property
    def size_bytes(self) -> int:
        """The size of the data file."""
        return self._heap.size_bytes

    def step(self) -> bool:
        """Index about a megabyte more; answers whether all is indexed."""
        if self.is_indexed:
            return True
        if self._next < self._heap.size_bytes:
            places, self._next = self._heap.leaves(self._next)
            self._index(places)
        else:
            self._index(self._heap.stale_places)
            for lane in self.lanes:
                lane.finish()
            self.is_indexed = True
        return self.is_indexed

    def _index(self, places: Iterable[tuple[int, int]]) -> None:
        for place, number in places:
            page = self._heap.page(place)
            if page is None or not is_leaf(page, number):
                continue
            for cell in cells(page, number):
                self._index_cell(page, place, cell)

    def _index_cell(self, page: bytes, place: int, cell: int) -> None:
        checked = self._block(page, cell)
        if checked is not None:
            self.lanes[checked.row.lane].add(checked, place, cell)
            return
        for read_page in (self._heap.numbered, self._heap.in_file):
            values = parse_record(page, cell, columns=_BOOK_COLUMNS, read_page=read_page)
            if values is None:
                return
            row = check_book_row((*values[:4], *values[5:]), values[4])
            if row is not None:
                known = self.book.get((row.kind, row.name))
                if known is None or known.version < row.version:
                    self.book[(row.kind, row.name)] = row
                return

    def _block(self, page: bytes, cell: int) -> Checked | None:
        """The row at that cell: whole if any version of the pages that it overflows to makes it so."""
        best: Checked | None = None
        for read_page in (self._heap.numbered, self._heap.in_file):
            values = parse_record(page, cell, columns=len(BLOCK_COLUMNS), read_page=read_page)
            if values is None:
                return None
            for lane in range(len(self.lanes)):
                checked = check(lane, values)
                if checked is not None:
                    if checked.is_whole:
                        return checked
                    best = checked
        return best

    def read(self, lane: int, number: int) -> Checked | None:
        """The row of the lane's block ``number`` in order; None if the device does not give it any more."""
        index = self.lanes[lane]
        page = self._heap.page(index.place[number])
        checked = None if page is None else self._block(page, index.cell[number])
        return checked if checked is not None and checked.row.block_no == index.block_no[number] else None

    def close(self) -> None:
        """Let go of the file."""
        self._heap.close()


def wal_is_damaged(path: Path) -> bool:
    """Whether the log beside ``path`` certainly lost transactions that had been on the disk.

    What a power cut can leave is not damage: a last transaction cut short, or a log of zeros.
    """
    try:
        wal = path.with_name(path.name + "-wal").read_bytes()
    except OSError:
        return False
    if len(wal) <= 56 or not any(wal[:32]):
        return False
    if not wal_header_is_sound(wal):  # it is written at once, so a power cut leaves the old one or the new one
        return True
    frames = list(wal_frames(wal, page_size=PAGE_SIZE))
    unsound = next((number for number, frame in enumerate(frames) if not frame.is_sound), len(frames))
    return sum(1 for frame in frames[unsound:] if frame.is_current and frame.commit_pages) > 1
