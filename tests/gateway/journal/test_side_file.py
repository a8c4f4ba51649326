"""A file beside the journal's is replaced without a moment at which a power cut would leave none, or a wrong one."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldgate.journal.side_file import SideFile

NAME = "side.db"


def side(folder: Path) -> SideFile:
    return SideFile(folder / NAME, application_id=77, schema_version=1)


def holding(*values: int) -> Callable[[sqlite3.Connection], None]:
    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
        connection.executemany("INSERT INTO t VALUES (?)", [(one,) for one in values])

    return fill


def insert(file: SideFile, value: int) -> None:
    with file.transaction() as connection:
        connection.execute("INSERT INTO t VALUES (?)", (value,))


def values(file: SideFile) -> list[int]:
    assert file.connection is not None
    return [n for (n,) in file.connection.execute("SELECT n FROM t ORDER BY n")]


def reopened(folder: Path) -> tuple[SideFile, bool]:
    file = side(folder)
    file.finish()
    file.clean()
    return file, file.open()


def crashed_while_replacing(tmp_path: Path, step: int) -> Path:
    """What is left when the power goes ``step`` renames into the replacement of 1, 2 (2 is in the log) by 7."""
    file = side(tmp_path)
    file.replace(holding(1), keeps_old=False)
    insert(file, 2)
    left = tmp_path / "left"
    left.mkdir()
    for path in tmp_path.glob(f"{NAME}*"):
        shutil.copy(path, left)
    assert (left / f"{NAME}-wal").stat().st_size
    file.close()
    (tmp_path / "other").mkdir()
    other = side(tmp_path / "other")
    other.replace(holding(7), keeps_old=False)
    other.close()
    shutil.copy(tmp_path / "other" / NAME, left / f"whole-{NAME}")
    if step >= 1:
        (left / f"{NAME}-wal").rename(left / f"{NAME}.damaged-1-wal")
    if step >= 2:
        (left / NAME).rename(left / f"{NAME}.damaged-1")
    return left


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_replacement_that_was_cut_short_is_finished(tmp_path: Path, step: int) -> None:
    """The new file is whole and on the disk before the old one is touched; so it is the one that counts."""
    left = crashed_while_replacing(tmp_path, step)

    file, is_there = reopened(left)

    assert is_there
    assert values(file) == [7]
    assert not list(left.glob("whole-*"))
    assert list(left.glob(f"{NAME}.damaged-*"))
    file.close()


def test_the_log_of_the_old_file_is_never_taken_for_the_new_ones(tmp_path: Path) -> None:
    """The control: SQLite replays any sound log that lies beside a database."""
    left = crashed_while_replacing(tmp_path, 0)
    (left / NAME).unlink()
    mixed = tmp_path / "mixed"
    shutil.copytree(left, mixed)

    file, _ = reopened(left)
    (mixed / f"whole-{NAME}").rename(mixed / NAME)
    control = side(mixed)
    control.open()

    assert values(file) == [7]
    assert values(control) != [7]
    file.close()
    control.close()


def test_half_a_new_file_counts_for_nothing(tmp_path: Path) -> None:
    """And does not stay on the disk."""
    file = side(tmp_path)
    file.replace(holding(1), keeps_old=False)
    file.close()
    (tmp_path / f"new-{NAME}").write_bytes(b"half")

    file, _ = reopened(tmp_path)

    assert values(file) == [1]
    assert sorted(path.name for path in tmp_path.glob("new-*")) == []
    file.close()


def test_a_replacement_that_fails_leaves_the_old_file_as_it_was(tmp_path: Path) -> None:
    """As on a full disk."""
    file = side(tmp_path)
    file.replace(holding(1), keeps_old=False)

    def fails(connection: sqlite3.Connection) -> None:
        holding(2)(connection)
        raise OSError(28, os.strerror(28))

    with pytest.raises(OSError, match="No space"):
        file.replace(fails, keeps_old=True)
    insert(file, 3)

    assert values(file) == [1, 3]
    assert sorted(path.name for path in tmp_path.glob("new-*")) == []
    file.close()


def test_a_transaction_that_fails_does_nothing_and_the_next_one_is_free(tmp_path: Path) -> None:
    """Whatever is raised inside."""
    file = side(tmp_path)
    file.replace(holding(), keeps_old=False)

    def is_interrupted() -> None:
        with file.transaction() as connection:
            connection.execute("INSERT INTO t VALUES (1)")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        is_interrupted()
    insert(file, 2)

    assert values(file) == [2]
    file.close()
