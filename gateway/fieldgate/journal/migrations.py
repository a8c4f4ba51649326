"""The migrations of a journal file (sqlite-utils), applied before the writer opens it.

A new file is made in one go (`fieldgate.journal.schema.create`) and has had all of them: it says so in the table in
which sqlite-utils keeps count. Each one stays as it was when it was new, whatever the schema is today.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from fieldgate.journal.schema import FIRST_TABLES, MIGRATION_SET, SCHEMA_VERSION

__all__ = ["apply"]

_migrations: Final = Migrations(MIGRATION_SET)


@_migrations()
def first_tables(db: Database) -> None:
    """Make the tables of version 1."""
    for statement in FIRST_TABLES:
        db.execute(statement)


def apply(connection: sqlite3.Connection) -> None:
    """Run the migrations that this file has not had yet."""
    _migrations.apply(Database(connection))
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
