"""What is remembered of commands: rows by number and by id, what of them is not on disk yet, within bounds.

Laws of this file:

- A row goes only when it is answered and a while older than its command could still be executed: until then the same id
  must be recognised. Where all rows are younger than that, there is no room for another one.
- `changes` gives what the disk does not have, `written` says that it has it now. In between rows may change again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from fieldgate.decide.order_row import Moment, Row, RowChanges, Stage
from fieldgate.decide.orders import Answer, Order

__all__ = ["Bounds", "OrderBook", "decode_row", "encode_row"]

_ROW_COST_BYTES: Final = 600  # of a row in memory, beside its text
_STILL_S: Final = 60.0  # how long an id is known at least after its command is too old to be executed

encode_row = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(Row)


def decode_row(body: bytes) -> Row | None:
    """Return the row that was stored; None where that is none."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None


class Bounds(msgspec.Struct, frozen=True):
    """How much is remembered: rows, their bytes in memory, and for how long."""

    max_rows: int = 20_000
    max_bytes: int = 16 << 20
    max_age_s: float = 90 * 86_400.0


class OrderBook:
    """``forgotten`` counts rows that went to make room or for their age."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.forgotten = 0
        self._bounds = bounds or Bounds()
        self._rows: dict[int, Row] = {}  # oldest first
        self._sizes: dict[int, int] = {}
        self._by_id: dict[tuple[str, str], int] = {}
        self._dirty: dict[int, None] = {}
        self._gone: list[int] = []
        self._size_bytes = 0
        self._next_number = 1

    def __len__(self) -> int:
        """Answer how many rows there are."""
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        """All rows, the oldest first."""
        return iter(list(self._rows.values()))

    @property
    def has_changes(self) -> bool:
        """Whether anything is to be written."""
        return bool(self._dirty or self._gone)

    def restore(self, rows: Iterable[Row]) -> None:
        """Begin with what an earlier process stored."""
        for row in sorted(rows, key=lambda one: one.number):
            self._put(row)
        self._next_number = max(self._rows, default=0) + 1

    def take_number(self) -> int:
        """Return the number of a new row."""
        self._next_number += 1
        return self._next_number - 1

    def find(self, origin: str, order_id: str) -> Row | None:
        """Return the row that has this id."""
        number = self._by_id.get((origin, order_id))
        return None if number is None else self._rows[number]

    def numbered(self, number: int) -> Row | None:
        """Return the row of this number, if it is there still."""
        return self._rows.get(number)

    def changed(self, row: Row) -> None:
        """``row`` is new, or not what it was."""
        self._put(row)
        self._dirty[row.number] = None

    def told(self, order: Order, answer: Answer) -> None:
        """The sender has ``answer``; that is written with the next change: to be told twice does no harm."""
        row = self.find(order.origin, order.id)
        if row is not None and row.answer == answer and answer.status.is_final and not row.is_told:
            row.is_told = True
            self.changed(row)

    def event_safe(self, numbers: Iterable[int]) -> None:
        """The events of these rows are safe; that is written with the next change."""
        for number in numbers:
            row = self.numbered(number)
            if row is not None and row.owes_event:
                row.owes_event = False
                self.changed(row)

    def drop(self, row: Row) -> None:
        """Forget a row that could not be written."""
        self._dirty.pop(row.number, None)
        self._remove(row)

    def _put(self, row: Row) -> None:
        size_bytes = _ROW_COST_BYTES + len(encode_row(row))
        self._size_bytes += size_bytes - self._sizes.get(row.number, 0)
        self._sizes[row.number] = size_bytes
        self._rows[row.number] = row
        if row.has_id:
            self._by_id[row.order.origin, row.order.id] = row.number

    def _remove(self, row: Row) -> None:
        if self._rows.pop(row.number, None) is None:
            return
        self._size_bytes -= self._sizes.pop(row.number)
        key = row.order.origin, row.order.id
        if self._by_id.get(key) == row.number:
            del self._by_id[key]

    def make_room(self, now: Moment) -> bool:
        """Let go of what is too old or too much; return whether there is room for one row more."""
        bounds = self._bounds
        while self._rows:
            is_full = len(self._rows) >= bounds.max_rows or self._size_bytes >= bounds.max_bytes
            row = next(iter(self._rows.values()))
            is_old = now.journal_s - row.received_s > bounds.max_age_s
            if not is_full and not is_old:
                return True
            is_known_long_enough = row.os_boot != now.os_boot or now.boot_s > row.expires_boot_s + _STILL_S
            may_go = row.stage is Stage.ANSWERED and is_known_long_enough
            if not may_go:
                return not is_full
            self._remove(row)
            self._dirty.pop(row.number, None)
            self._gone.append(row.number)
            self.forgotten += 1
        return True

    # the disk

    def changes(self) -> RowChanges:
        """Return what is to be written; it counts as written from then on, until `unwritten` says otherwise."""
        dirty, self._dirty = self._dirty, {}
        gone, self._gone = self._gone, []
        return RowChanges({number: encode_row(self._rows[number]) for number in dirty}, gone)

    def unwritten(self, changes: RowChanges) -> None:
        """``changes`` did not reach the disk."""
        self._dirty = dict.fromkeys(number for number in changes.rows if number in self._rows) | self._dirty
        self._gone = changes.gone + self._gone

    def everything(self) -> RowChanges:
        """Return all rows, for an empty file; they count as written from then on."""
        self._dirty = {}
        self._gone = []
        return RowChanges({number: encode_row(row) for number, row in self._rows.items()}, [])
