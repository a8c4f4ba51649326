"""The ledger and the other notes of the book: what uplinks will never get, runs, boots and their clocks.

The ledger is bounded: entries that touch become one row, those reported upstream are folded into one total per
uplink, lane and reason, and beyond a number of rows of one kind a new entry widens the newest row (its count stays
exact, its range becomes an envelope).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from fieldgate.journal.book import Book, Kind
from fieldgate.journal.records import BootRecord, LedgerEntry, LedgerRow, RunRecord, Unparked

__all__ = [
    "add_boot",
    "add_entry",
    "add_run",
    "boot_base_s",
    "boots",
    "ledger_rows",
    "mark_reported",
    "runs",
    "take_back",
]

_MAX_ROWS_OF_A_KIND: Final = 256
_MAX_RUNS: Final = 4096


class _Row(msgspec.Struct):
    uplink: str
    lane: int
    reason: str
    run: int | None
    first_seq: int
    last_seq: int
    count: int
    wall_ns: int
    boot_ns: int
    is_reported: bool

    def entry(self) -> LedgerEntry:
        return LedgerEntry(
            self.uplink,
            self.lane,
            self.reason,
            self.run,
            self.first_seq,
            self.last_seq,
            self.count,
            self.wall_ns,
            self.boot_ns,
        )


class _Boot(msgspec.Struct):
    offset_ns: int | None
    quality: int
    base_s: int


def add_entry(book: Book, entry: LedgerEntry) -> int:
    """Note an entry; answers the id of the row it is in."""
    same = [
        (name, row)
        for name, row in book.values(Kind.LEDGER, _Row).items()
        if not row.is_reported and (row.uplink, row.lane, row.reason) == (entry.uplink, entry.lane, entry.reason)
    ]
    if same:
        name, newest = same[-1]
        if (entry.joins and newest.run == entry.run) or len(same) >= _MAX_ROWS_OF_A_KIND:
            newest.first_seq = min(newest.first_seq, entry.first_seq)
            newest.last_seq = max(newest.last_seq, entry.last_seq)
            newest.count += entry.count
            newest.run = newest.run if newest.run == entry.run else None
            return book.put(Kind.LEDGER, name, newest)
    row = _Row(
        entry.uplink,
        entry.lane,
        entry.reason,
        entry.run,
        entry.first_seq,
        entry.last_seq,
        entry.count,
        entry.wall_ns,
        entry.boot_ns,
        is_reported=False,
    )
    return book.put(Kind.LEDGER, book.next_name(), row)


def mark_reported(book: Book, row_ids: set[int]) -> None:
    """Fold these rows into the totals of what was reported upstream."""
    if not row_ids:
        return
    for name in book.names(Kind.LEDGER, row_ids):
        row = book.get(Kind.LEDGER, name, _Row)
        if row is None or row.is_reported:
            continue
        book.drop(Kind.LEDGER, name)
        total_name = f"{row.lane}:{row.reason}:{row.uplink}"
        total = book.get(Kind.LEDGER, total_name, _Row)
        if total is not None:
            row.first_seq = min(total.first_seq, row.first_seq)
            row.last_seq = max(total.last_seq, row.last_seq)
            row.count += total.count
            row.run = row.run if row.run == total.run else None
        row.is_reported = True
        book.put(Kind.LEDGER, total_name, row)


def take_back(book: Book, left: Sequence[Unparked]) -> None:
    """Events are parked no more: each is taken out of the count of a row that it may be in. Ranges stay envelopes."""
    if not left:
        return
    rows = {name: row for name, row in book.values(Kind.LEDGER, _Row).items() if row.reason == "parked"}
    changed: set[str] = set()
    for one in left:
        own = [(name, row) for name, row in rows.items() if row.uplink == one.uplink and row.lane == one.lane]
        exact = (name for name, row in own if row.run in (None, one.run) and row.first_seq <= one.seq <= row.last_seq)
        name = next(exact, own[-1][0] if own else None)
        if name is None:
            continue
        changed.add(name)
        rows[name].count -= 1
        if rows[name].count <= 0:
            del rows[name]
    for name in changed:
        if name in rows:
            book.put(Kind.LEDGER, name, rows[name])
        else:
            book.drop(Kind.LEDGER, name)


def ledger_rows(book: Book) -> list[LedgerRow]:
    """All rows, the oldest first."""
    return [LedgerRow(row_id, row.entry(), row.is_reported) for row_id, row in book.numbered(Kind.LEDGER, _Row)]


def add_run(book: Book, run: RunRecord) -> None:
    """Note a start of the gateway; the oldest are forgotten beyond some thousands."""
    book.put(Kind.RUN, f"{run.run:016x}", run)
    names = list(book.values(Kind.RUN, RunRecord))
    for name in names[: max(0, len(names) - _MAX_RUNS)]:
        book.drop(Kind.RUN, name)
    known = {record.os_boot for record in book.values(Kind.RUN, RunRecord).values()}
    for os_boot in book.values(Kind.BOOT, _Boot):
        if os_boot not in known:
            book.drop(Kind.BOOT, os_boot)


def runs(book: Book) -> tuple[RunRecord, ...]:
    """All runs, the oldest first."""
    return tuple(book.values(Kind.RUN, RunRecord).values())


def add_boot(book: Book, boot: BootRecord, *, base_s: int) -> None:
    """Note what is known of an OS boot's clock; ``base_s`` counts only where the boot is new."""
    old = book.get(Kind.BOOT, boot.os_boot, _Boot)
    new = _Boot(boot.offset_ns, boot.quality, base_s if old is None else old.base_s)
    if new != old:
        book.put(Kind.BOOT, boot.os_boot, new)


def boot_base_s(book: Book, os_boot: str) -> int | None:
    """The journal's own clock when that OS boot began; None if the boot is new."""
    boot = book.get(Kind.BOOT, os_boot, _Boot)
    return None if boot is None else boot.base_s


def boots(book: Book) -> tuple[BootRecord, ...]:
    """All OS boots, the oldest first."""
    known = book.values(Kind.BOOT, _Boot)
    return tuple(BootRecord(name, boot.offset_ns, boot.quality) for name, boot in known.items())
