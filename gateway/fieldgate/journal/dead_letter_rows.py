"""How a dead letter stands in the database: the tables, one row, and what can be read of a damaged file."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import msgspec

from fieldgate.journal.dead_letter import DeadLetter, LetterQuery
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS

__all__ = ["INSERT", "TABLES", "UPDATE", "LetterPage", "RowDamaged", "read_letters", "row_of", "rows_left"]

_FAR: Final = 1 << 62
_PAGE_BYTES: Final = 512 << 10
_PAGE_ROWS: Final = 500
_COLUMNS: Final = {
    "number": "INTEGER PRIMARY KEY",
    "received_wall_ns": "INTEGER NOT NULL",
    "source": "TEXT NOT NULL",
    "topic": "TEXT NOT NULL",
    "content_id": "INTEGER NOT NULL",
    "lane": "INTEGER NOT NULL",
    "profile": "TEXT NOT NULL",
    "version": "INTEGER NOT NULL",
    "reason": "TEXT NOT NULL",
    "detail": "TEXT NOT NULL",
    "attempts": "INTEGER NOT NULL",
    "is_synced": "INTEGER NOT NULL",
    "heard_s": "INTEGER NOT NULL",
    "checksum": "INTEGER NOT NULL",
    "payload": "BLOB NOT NULL",  # the last: what comes before it is read without it
}
_ALL: Final = ", ".join(_COLUMNS)
INSERT: Final = f"INSERT INTO dead_letter ({_ALL}) VALUES ({', '.join('?' * len(_COLUMNS))})"
UPDATE: Final = f"UPDATE dead_letter SET ({_ALL}) = ({', '.join('?' * len(_COLUMNS))}) WHERE number = ?"
TABLES: Final = (
    f"CREATE TABLE dead_letter ({', '.join(f'{name} {kind}' for name, kind in _COLUMNS.items())})",
    "CREATE TABLE note (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE VIEW letters AS SELECT number, "
    "strftime('%Y-%m-%dT%H:%M:%fZ', received_wall_ns / 1e9, 'unixepoch') AS received, source, topic, profile, version, "
    "reason, detail, attempts, payload FROM dead_letter",
)

_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class LetterPage:
    """A piece of what was asked for. Go on after ``last_number`` unless ``is_last``; ``damaged`` rows were left out."""

    letters: list[DeadLetter]
    last_number: int
    is_last: bool
    damaged: int = 0


class RowDamaged(sqlite3.DatabaseError):
    """A row is not as it was written."""


def row_of(letter: DeadLetter) -> tuple[int | str | bytes, ...]:
    """The values of a row, in the order of `_COLUMNS`."""
    head = (
        letter.number,
        letter.received_wall_ns,
        _text(letter.source),
        _text(letter.topic),
        letter.content_id - (1 << 64) if letter.content_id >= 1 << 63 else letter.content_id,
        letter.lane,
        _text(letter.profile),
        letter.version,
        _text(letter.reason),
        _text(letter.detail),
        letter.attempts,
        int(letter.is_synced),
        letter.heard_s,
    )
    return (*head, _checksum(head, letter.payload), letter.payload)


def _text(text: str) -> str:
    """What SQLite can hold: a lone surrogate, which no message has and a reason could quote, is written out."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _checksum(head: Sequence[int | str | bytes], payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_encode(head)))


def _letter(row: Sequence[object]) -> DeadLetter | None:
    """The letter in a row, None if it is not as it was written."""
    *head, checksum, payload = row
    try:
        if not isinstance(payload, bytes) or checksum != _checksum(head, payload):  # type: ignore[arg-type] # any value
            return None
        number, wall_ns, source, topic, content_id, lane, profile, version, reason, detail, *rest = head
        attempts, is_synced, heard_s = rest
        values = {
            "number": number, "received_wall_ns": wall_ns, "source": source, "topic": topic, "payload": payload,
            "content_id": content_id, "lane": lane, "profile": profile, "version": version, "reason": reason,
            "detail": detail, "attempts": attempts, "is_synced": bool(is_synced), "heard_s": heard_s,
        }  # fmt: skip
        letter = msgspec.convert(values, DeadLetter)
    except (msgspec.MsgspecError, OverflowError, UnicodeEncodeError):
        return None
    letter.content_id %= 1 << 64
    return letter


def read_letters(
    connection: sqlite3.Connection, query: LetterQuery, *, after: int, skips_damaged: bool = False
) -> LetterPage:
    """Return the next letters after number ``after``, the oldest first; some, none, and perhaps more to come.

    Raises:
        sqlite3.Error: it cannot be read; a damaged row counts as that unless ``skips_damaged``.
    """
    numbers = query.numbers
    if numbers is not None:
        after = max(after, min(numbers, default=_FAR) - 1)
    last = _FAR if numbers is None else max(numbers, default=0)
    after, last = min(after, _FAR), min(last, _FAR)
    letters: list[DeadLetter] = []
    count = damaged = size_bytes = 0
    sql = f"SELECT {_ALL} FROM dead_letter WHERE number > ? AND number <= ? ORDER BY number LIMIT {_PAGE_ROWS}"
    with closing(connection.execute(sql, (after, last))) as rows:
        for row in rows:
            if not isinstance(row[0], int) or row[0] <= after:  # a damaged tree may go round for ever
                raise RowDamaged("the database gives rows out of order")
            after = row[0]
            count += 1
            letter = _letter(row)
            if letter is None and not skips_damaged:
                raise RowDamaged(f"letter {after} is not as it was written")
            if letter is None:
                damaged += 1
                continue
            size_bytes += letter.size_bytes
            if query.takes(letter):
                letters.append(letter)
            if size_bytes >= _PAGE_BYTES:
                return LetterPage(letters, after, is_last=False, damaged=damaged)
    return LetterPage(letters, after, is_last=count < _PAGE_ROWS, damaged=damaged)


def rows_left(old: sqlite3.Connection) -> Iterator[DeadLetter | None]:
    """Every letter that can be read, from the old end up to what cannot, then from the new end; None for a bad row."""
    seen_to = 0
    sql = f"SELECT {_ALL} FROM dead_letter WHERE number > ? ORDER BY number"
    for is_backwards in (False, True):
        bound = _FAR
        try:
            with closing(old.execute(f"{sql} DESC" if is_backwards else sql, (seen_to,))) as rows:
                for row in rows:
                    number = row[0]
                    if not isinstance(number, int) or not seen_to < number < bound:
                        break
                    if is_backwards:
                        bound = number
                    else:
                        seen_to = number
                    yield _letter(row)
                else:
                    return
        except SQLITE_ERRORS:
            continue
