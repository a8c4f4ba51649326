"""The shape of a journal file, and the way to it.

Three block tables, one per lane: rows are only appended at the end and removed, so pages fill one after the other and
no index is needed. Everything else is small and lives in ``book``, one table so that a commit touches few pages; each
of its rows has a checksum, so that it can be told from garbage in a damaged file. Views give it readable columns.
"""

from __future__ import annotations

from typing import Final

__all__ = ["APPLICATION_ID", "BLOCK_COLUMNS", "BLOCK_TABLES", "PAGE_SIZE", "SCHEMA_VERSION"]

APPLICATION_ID: Final = 0x46474A31  # "FGJ1"; tells a journal from any other SQLite file
SCHEMA_VERSION: Final = 1  # raised with each migration; kept in user_version
PAGE_SIZE: Final = (
    1024  # against 4096: 28 % less flash at 200 events a commit, 30 % at 25 (tests/bench/journal_speed.py)
)
BLOCK_TABLES: Final = ("block_high", "block_normal", "block_low")
BLOCK_COLUMNS: Final = (
    "block_no",
    "crc",
    "prev_crc",
    "body_crc",
    "ordinal",
    "events_before",
    "bytes_before",
    "run",
    "first_seq",
    "last_seq",
    "top_seq",
    "event_count",
    "boot_ns",
    "heard_s",
    "seqs",
    "marks",
    "body",
)
