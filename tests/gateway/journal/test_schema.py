"""A new journal file, made in one go, is what all migrations make of an empty one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlite_utils import Database

from fieldgate.journal import migrations, schema

COUNTS = "_sqlite_migrations"  # written by sqlite-utils, whose versions may word it differently


@pytest.fixture
def made() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.create(connection)
        yield connection


@pytest.fixture
def migrated() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrations.apply(connection)
        yield connection


def shape(connection: sqlite3.Connection) -> dict[str, Any]:
    ours = connection.execute("SELECT name, type, sql FROM sqlite_master WHERE tbl_name <> ? ORDER BY name", [COUNTS])
    indexes = [
        (is_unique, [name for _, _, name in connection.execute(f"PRAGMA index_info({index})")])
        for _, index, is_unique, *_ in connection.execute(f"PRAGMA index_list({COUNTS})")
    ]
    return {
        "ours": ours.fetchall(),
        "counts": connection.execute(f"PRAGMA table_xinfo({COUNTS})").fetchall(),
        "indexes": indexes,
        "applied": connection.execute(f"SELECT id, migration_set, name FROM {COUNTS}").fetchall(),
        "version": connection.execute("PRAGMA user_version").fetchone(),
    }


def test_a_new_file_is_what_the_migrations_make(made: sqlite3.Connection, migrated: sqlite3.Connection) -> None:
    """Whoever adds a migration and forgets new files is told here."""
    assert shape(made) == shape(migrated)


@pytest.mark.parametrize(
    "change",
    [
        "DROP VIEW loss",
        "ALTER TABLE book ADD COLUMN note TEXT",
        f"DELETE FROM {COUNTS}",
        "PRAGMA user_version=2",
        f'DROP INDEX "idx_{COUNTS}_migration_set_name"',
    ],
)
def test_a_difference_is_seen(made: sqlite3.Connection, migrated: sqlite3.Connection, change: str) -> None:
    """The control."""
    made.execute(change)

    assert shape(made) != shape(migrated)


def test_sqlite_utils_finds_nothing_left_to_do_in_a_new_file(made: sqlite3.Connection) -> None:
    """A later version of Fieldgate migrates this file from here on."""
    before = "".join(made.iterdump())

    migrations.apply(made)

    assert "".join(made.iterdump()) == before
    at = datetime.fromisoformat(Database(made)[COUNTS].get(1)["applied_at"])
    assert abs(datetime.now(UTC) - at) < timedelta(days=1), "in the form of sqlite-utils"
