"""Find rows in the pages of an SQLite file without trusting anything in it but the rows' own checksums.

A damaged file is read page by page: whatever looks like a table leaf is parsed, whatever then passes its checksum is a
row. Format: https://www.sqlite.org/fileformat2.html sections 1.6 (b-tree pages), 2.1 (records), 4.1 (write-ahead log).
Core: is given bytes; what it cannot make sense of it answers with None.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

__all__ = [
    "WalFrame",
    "cells",
    "is_leaf",
    "page_size_of",
    "parse_record",
    "plausible_page_size",
    "wal_checksum",
    "wal_frames",
    "wal_header_is_sound",
]

_LEAF: Final = 0x0D
_HEADER_BYTES: Final = 100
_MAX_PAYLOAD: Final = 1 << 30
_WAL_HEADER: Final = struct.Struct(">8I")
_WAL_MAGIC: Final = (0x377F0682, 0x377F0683)
_INTEGER_BYTES: Final = (0, 1, 2, 3, 4, 6, 8)

Value = int | str | bytes | float | None
PageReader = Callable[[int], bytes | None]


class WalFrame(NamedTuple):
    """One frame of a write-ahead log: ``page`` of the database, ``commit_pages`` not 0 on the last of a transaction."""

    offset: int
    page: int
    commit_pages: int
    is_current: bool
    is_sound: bool


def plausible_page_size(size: int) -> bool:
    """Whether a database can have that page size."""
    return 512 <= size <= 65536 and size & (size - 1) == 0


def page_size_of(header: bytes) -> int | None:
    """The page size that a database header states."""
    if len(header) < _HEADER_BYTES:
        return None
    size = int.from_bytes(header[16:18], "big")
    size = 65536 if size == 1 else size
    return size if plausible_page_size(size) else None


def is_leaf(page: bytes | memoryview, number: int) -> bool:
    """Whether a page may hold rows; ``number`` counts from 1."""
    start = _HEADER_BYTES if number == 1 else 0
    return len(page) > start + 8 and page[start] == _LEAF


def cells(page: bytes, number: int) -> list[int]:
    """Where the rows of a leaf page start, in the page's own order."""
    start = _HEADER_BYTES if number == 1 else 0
    count = int.from_bytes(page[start + 3 : start + 5], "big")
    first = start + 8
    if first + 2 * count > len(page):
        return []
    offsets = struct.unpack_from(f">{count}H", page, first)
    return [offset for offset in offsets if first + 2 * count <= offset < len(page) - 4]


def parse_record(page: bytes, offset: int, *, columns: int, read_page: PageReader) -> list[Value] | None:
    """Return the columns of the row at ``offset``, the first replaced by its rowid; None unless it has ``columns``.

    Pages that the row overflows to come from ``read_page``; where one is missing, what follows reads as zeros, and
    the row's checksums tell.
    """
    try:
        payload_bytes, offset = _varint(page, offset)
        rowid, offset = _varint(page, offset)
        if not 2 <= payload_bytes <= _MAX_PAYLOAD:
            return None
        usable = len(page)
        local = _local_bytes(payload_bytes, usable)
        payload = page[offset : offset + local]
        types, body_at = _types(payload, columns)
        if types is None or sum(map(_size, types)) + body_at != payload_bytes:
            return None
        if local < payload_bytes:
            next_page = int.from_bytes(page[offset + local : offset + local + 4], "big")
            payload += _overflow(next_page, payload_bytes - local, usable, read_page)
        return _columns(payload, types, body_at, rowid)
    except (IndexError, UnicodeDecodeError):
        return None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for _ in range(8):
        byte = data[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    return value << 8 | data[at], at + 1


def _local_bytes(payload_bytes: int, usable: int) -> int:
    """How much of a row is in its leaf page (section 1.6)."""
    if payload_bytes <= usable - 35:
        return payload_bytes
    least = (usable - 12) * 32 // 255 - 23
    local = least + (payload_bytes - least) % (usable - 4)
    return local if local <= usable - 35 else least


def _types(payload: bytes, columns: int) -> tuple[list[int] | None, int]:
    header_bytes, at = _varint(payload, 0)
    if header_bytes > len(payload):
        return None, 0
    types: list[int] = []
    while at < header_bytes:
        kind, at = _varint(payload, at)
        types.append(kind)
    return (types if len(types) == columns and at == header_bytes else None), header_bytes


def _size(kind: int) -> int:
    if kind >= 12:
        return (kind - 12) // 2
    return _INTEGER_BYTES[kind] if kind < 7 else 8 if kind == 7 else 0


def _overflow(page_number: int, wanted: int, usable: int, read_page: PageReader) -> bytes:
    parts: list[bytes] = []
    left = wanted
    while left > 0:
        page = read_page(page_number) if page_number else None
        if page is None:
            parts.append(bytes(left))
            break
        part = page[4 : 4 + min(left, usable - 4)]
        parts.append(part)
        left -= len(part)
        page_number = int.from_bytes(page[:4], "big")
    return b"".join(parts)


def _columns(payload: bytes, types: list[int], at: int, rowid: int) -> list[Value]:
    values: list[Value] = []
    for kind in types:
        size = _size(kind)
        piece = payload[at : at + size]
        at += size
        if kind >= 12:
            values.append(piece if kind % 2 == 0 else piece.decode("utf-8"))
        elif kind in (8, 9):
            values.append(kind - 8)
        elif 0 < kind < 7:
            values.append(int.from_bytes(piece, "big", signed=True))
        else:
            values.append(None)
    values[0] = rowid
    return values


def wal_checksum(data: bytes, before: tuple[int, int], *, is_big_endian: bool) -> tuple[int, int]:
    """SQLite's checksum over ``data`` (a multiple of 8 bytes), going on from ``before``."""
    first, second = before
    words = struct.unpack(f"{'>' if is_big_endian else '<'}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second


def wal_header_is_sound(wal: bytes) -> bool:
    """Whether a log begins as SQLite wrote it."""
    if len(wal) < _WAL_HEADER.size:
        return False
    magic, _version, page_size, _checkpoint, _salt_1, _salt_2, sum_1, sum_2 = _WAL_HEADER.unpack_from(wal)
    if magic not in _WAL_MAGIC or not plausible_page_size(page_size):
        return False
    return wal_checksum(wal[:24], (0, 0), is_big_endian=magic == _WAL_MAGIC[1]) == (sum_1, sum_2)


def wal_frames(wal: bytes, *, page_size: int) -> Iterator[WalFrame]:
    """Every frame of a log. ``is_current``: of its present generation; ``is_sound``: SQLite would read it.

    A frame that is current and not sound, with the end of a later transaction behind it, was damaged: each
    transaction is on the disk before the next one begins. ``page_size`` counts where the header is damaged; then the
    first frame, which each generation writes first, tells the generation.
    """
    if len(wal) < _WAL_HEADER.size + 24:
        return
    is_sound = wal_header_is_sound(wal)
    is_big_endian = wal[3] & 1 == 1
    salts = wal[_WAL_HEADER.size + 8 : _WAL_HEADER.size + 16]
    chain = (0, 0)
    if is_sound:
        page_size = int.from_bytes(wal[8:12], "big")
        salts = wal[16:24]
        chain = struct.unpack_from(">2I", wal, 24)
    for offset in range(_WAL_HEADER.size, len(wal) - 24 - page_size + 1, 24 + page_size):
        page, commit_pages, _salt_1, _salt_2, sum_1, sum_2 = struct.unpack_from(">6I", wal, offset)
        is_current = wal[offset + 8 : offset + 16] == salts
        if is_sound:
            chain = wal_checksum(wal[offset : offset + 8], chain, is_big_endian=is_big_endian)
            chain = wal_checksum(wal[offset + 24 : offset + 24 + page_size], chain, is_big_endian=is_big_endian)
            is_sound = is_current and page > 0 and chain == (sum_1, sum_2)
        yield WalFrame(offset + 24, page, commit_pages, is_current, is_sound)
