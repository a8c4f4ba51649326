"""Parked events as rows of the book: written, marked and removed in the commit that they belong to.

So a crash never separates a parked event from the accounts that count it, a new file takes them along with everything
else in the book, and each has a checksum (decision 0010).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from fieldgate.journal import ledger
from fieldgate.journal.book import Book, Kind
from fieldgate.journal.records import ParkedEvent, ParkedHead, ParkingChange, RetryMark, Unparked
from fieldgate_devices.event import Event

__all__ = ["change_parked", "forget_parked", "parked_events", "parked_heads"]


class _Row(msgspec.Struct):
    uplink: str
    lane: int
    run: int
    seq: int
    reason: str
    parked_wall_ns: int
    parked_s: int
    bytes: int
    is_retrying: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Event).decode


def _name(uplink: str, run: int, seq: int) -> str:
    return f"{run:016x}-{seq}:{uplink}"


def change_parked(book: Book, changes: Sequence[ParkingChange], *, journal_s: int) -> None:
    """Apply ``changes`` in order; what leaves the parking leaves the ledger's entries of it as well."""
    left: list[Unparked] = []
    for change in changes:
        match change:
            case ParkedEvent(uplink, reason, event):
                run, seq = event.stamp.run, event.seq
                blob = _encode(event)
                name = _name(uplink, run, seq)
                known = book.get(Kind.PARKED, name, _Row)
                since_s = journal_s if known is None else known.parked_s
                row = _Row(uplink, event.lane, run, seq, reason, change.wall_ns, since_s, len(blob))
                book.put(Kind.PARKED, name, row, blob)
            case RetryMark(uplink, run, seq):
                name = _name(uplink, run, seq)
                marked = book.get(Kind.PARKED, name, _Row)
                if marked is not None:
                    marked.is_retrying = True
                    book.put(Kind.PARKED, name, marked, book.blob(Kind.PARKED, name))
            case Unparked(uplink, _, run, seq):
                book.drop(Kind.PARKED, _name(uplink, run, seq))
                left.append(change)
    ledger.take_back(book, left)


def forget_parked(book: Book, uplink: str) -> None:
    """Nothing is kept for this uplink any more."""
    for name, row in book.values(Kind.PARKED, _Row).items():
        if row.uplink == uplink:
            book.drop(Kind.PARKED, name)


def parked_heads(book: Book) -> list[ParkedHead]:
    """Return the heads of all parked events, the longest parked first."""
    rows = book.values(Kind.PARKED, _Row).values()
    return [ParkedHead(row.uplink, row.lane, row.run, row.seq, row.bytes, is_retrying=row.is_retrying) for row in rows]


def parked_events(book: Book, *, is_wanted: Callable[[ParkedHead], bool]) -> list[ParkedEvent]:
    """Return the parked events whose heads are wanted, the longest parked first."""
    found: list[ParkedEvent] = []
    for name, row in book.values(Kind.PARKED, _Row).items():
        if is_wanted(ParkedHead(row.uplink, row.lane, row.run, row.seq, row.bytes, is_retrying=row.is_retrying)):
            event = _decode(book.blob(Kind.PARKED, name))
            found.append(
                ParkedEvent(
                    row.uplink, row.reason, event, row.parked_wall_ns, row.parked_s, is_retrying=row.is_retrying
                )
            )
    return found
