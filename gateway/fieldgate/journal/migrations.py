"""The migrations of a journal file (sqlite-utils), applied before the writer opens it."""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from fieldgate.journal.schema import APPLICATION_ID, BLOCK_COLUMNS, BLOCK_TABLES, PAGE_SIZE, SCHEMA_VERSION

__all__ = ["apply", "create"]

_migrations: Final = Migrations("fieldgate_journal")

_VIEWS: Final = {
    "uplink_state": "name, version, length(blob) AS state_bytes, blob AS state",
    "ledger": "id, json_extract(value, '$.uplink') AS uplink, json_extract(value, '$.lane') AS lane, "
    "json_extract(value, '$.reason') AS reason, json_extract(value, '$.count') AS count, "
    "json_extract(value, '$.first_seq') AS first_seq, json_extract(value, '$.last_seq') AS last_seq",
    "run": "name AS run, value",
    "boot": "name AS os_boot, value",
    "loss": "id, value",
}


@_migrations()
def first_tables(db: Database) -> None:
    """Make the tables of version 1."""
    for table in BLOCK_TABLES:
        numbers = ", ".join(f"{column} INTEGER NOT NULL" for column in BLOCK_COLUMNS[1:-3])
        db.execute(
            f"CREATE TABLE {table} (block_no INTEGER PRIMARY KEY, {numbers}, "
            "seqs BLOB NOT NULL, marks BLOB NOT NULL, body BLOB NOT NULL)"
        )
    db.execute(
        "CREATE TABLE book (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, "
        "version INTEGER NOT NULL, crc INTEGER NOT NULL, value TEXT NOT NULL, blob BLOB NOT NULL)"
    )
    for view, columns in _VIEWS.items():
        kind = "state" if view == "uplink_state" else view
        db.execute(f"CREATE VIEW {view} AS SELECT {columns} FROM book WHERE kind = '{kind}'")


def create(connection: sqlite3.Connection) -> None:
    """Turn an empty database into a journal file, not yet in WAL mode."""
    connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    apply(connection)


def apply(connection: sqlite3.Connection) -> None:
    """Run the migrations that this file has not had yet."""
    _migrations.apply(Database(connection))
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
