"""The shape of a journal file, and the way to it.

Three block tables, one per lane: rows are only appended at the end and removed, so pages fill one after the other and
no index is needed. Everything else is small and lives in ``book``, one table so that a commit touches few pages; each
of its rows has a checksum, so that it can be told from garbage in a damaged file. Views give it readable columns.

`create` makes a new file without sqlite-utils, which is loaded only where an older one is to be migrated (decision
0005). Whoever adds a migration changes what `create` makes as well; a test holds the two against each other.
"""

from __future__ import annotations

import sqlite3
from typing import Final

__all__ = [
    "APPLICATION_ID",
    "BLOCK_COLUMNS",
    "BLOCK_TABLES",
    "FIRST_TABLES",
    "MIGRATION_SET",
    "PAGE_SIZE",
    "SCHEMA_VERSION",
    "create",
]

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

_VIEWS: Final = {
    "uplink_state": "name, version, length(blob) AS state_bytes, blob AS state",
    "ledger": "id, json_extract(value, '$.uplink') AS uplink, json_extract(value, '$.lane') AS lane, "
    "json_extract(value, '$.reason') AS reason, json_extract(value, '$.count') AS count, "
    "json_extract(value, '$.first_seq') AS first_seq, json_extract(value, '$.last_seq') AS last_seq",
    "run": "name AS run, value",
    "boot": "name AS os_boot, value",
    "loss": "id, value",
}
_NUMBERS: Final = ", ".join(f"{column} INTEGER NOT NULL" for column in BLOCK_COLUMNS[1:-3])

FIRST_TABLES: Final = (
    *(
        f"CREATE TABLE {table} (block_no INTEGER PRIMARY KEY, {_NUMBERS}, "
        "seqs BLOB NOT NULL, marks BLOB NOT NULL, body BLOB NOT NULL)"
        for table in BLOCK_TABLES
    ),
    "CREATE TABLE book (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, "
    "version INTEGER NOT NULL, crc INTEGER NOT NULL, value TEXT NOT NULL, blob BLOB NOT NULL)",
    *(
        f"CREATE VIEW {view} AS SELECT {columns} FROM book WHERE kind = '{'state' if view == 'uplink_state' else view}'"
        for view, columns in _VIEWS.items()
    ),
)
"""The statements of version 1."""

MIGRATION_SET: Final = "fieldgate_journal"
_MIGRATIONS: Final = ("first_tables",)
_COUNT_OF_MIGRATIONS: Final = (  # as sqlite-utils has it
    'CREATE TABLE "_sqlite_migrations" '
    '("id" INTEGER PRIMARY KEY, "migration_set" TEXT, "name" TEXT, "applied_at" TEXT)',
    'CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name" ON "_sqlite_migrations" ("migration_set", "name")',
)
_APPLIED: Final = (
    "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
    "VALUES (?, ?, strftime('%Y-%m-%d %H:%M:%f000+00:00', 'now'))"
)


def create(connection: sqlite3.Connection) -> None:
    """Turn an empty database into a journal file of today's version, not yet in WAL mode."""
    connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    for statement in (*_COUNT_OF_MIGRATIONS, *FIRST_TABLES):
        connection.execute(statement)
    connection.executemany(_APPLIED, [(MIGRATION_SET, name) for name in _MIGRATIONS])
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
