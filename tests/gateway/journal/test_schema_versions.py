"""An upgrade takes over what waits, whatever version wrote it; a downgrade is refused and changes nothing (row 85).

`schema-N.tar.zst` is a state folder as version N of the journal's schema left it: 60 events that wait, a session, a
state of a rule, a command. Who raises `SCHEMA_VERSION` adds one, made with the version before.
"""

from __future__ import annotations

import io
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
import zstandard
from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from backup_kit import fingerprint
from fieldgate.journal import blockfile, migrations, newer
from fieldgate.journal.command_file import stored_commands
from fieldgate.journal.records import JournalRefused
from fieldgate.journal.rule_file import stored_rows
from fieldgate.journal.schema import SCHEMA_VERSION
from fieldgate.journal.session_file import SessionFile
from journal_kit import block, data_file, open_journal, read_all, seqs_of, write

VERSIONS: Final = range(1, SCHEMA_VERSION + 1)
WAITING: Final = {1: list(range(1, 41)), 0: list(range(41, 61))}
DATABASES: Final = ("journal-000001.db", *(kind.name for kind in newer.SIDES))


def unpacked(folder: Path, version: int) -> Path:
    packed = Path(__file__).with_name(f"schema-{version}.tar.zst").read_bytes()
    content = io.BytesIO(zstandard.ZstdDecompressor().decompress(packed, max_output_size=1 << 24))
    with tarfile.open(fileobj=content) as tar:
        tar.extractall(folder, filter="data")
    return folder


def user_version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def assert_all_waits(folder: Path) -> None:
    journal = open_journal(folder, run=2)
    try:
        for lane, seqs in WAITING.items():
            blocks, losses = read_all(journal, lane)
            assert (seqs_of(blocks), losses) == (seqs, [])
        assert journal.opened.notes == ()
        assert journal.verify().problems == ()
        write(journal, block([journal.opened.next_seq], lane=2, run=2))
    finally:
        journal.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_what_an_earlier_version_left_is_gone_on_with(tmp_path: Path, version: int) -> None:
    """Nobody waits for an empty journal before an upgrade."""
    folder = unpacked(tmp_path, version)

    assert_all_waits(folder)

    assert user_version(data_file(folder)) == SCHEMA_VERSION
    assert stored_rows(folder) == {("rule", "group", "timer"): b"x"}
    assert stored_commands(folder) == {1: b"x"}
    sessions = SessionFile(folder)
    assert [one.client_id for one in sessions.state.sessions.values()] == ["boiler"]
    sessions.close()


class _PowerCut(BaseException):
    pass


@pytest.fixture
def next_version(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The version after this one, with a migration that changes a table; "cut" in the list cuts it in the middle."""
    steps = Migrations("fieldgate_journal")
    steps()(migrations.first_tables)
    said: list[str] = []

    def another_column(db: Database) -> None:
        db.execute("ALTER TABLE block_normal ADD COLUMN note TEXT")
        if "cut" in said:
            raise _PowerCut
        db.execute("ALTER TABLE block_high ADD COLUMN note TEXT")

    steps()(another_column)
    monkeypatch.setattr(migrations, "_migrations", steps)
    for module in (migrations, blockfile, newer):
        monkeypatch.setattr(module, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    return said


def test_a_migration_runs_with_events_waiting(tmp_path: Path, next_version: list[str]) -> None:
    """The way forward of a version that is still to come: tables change below a backlog."""
    folder = unpacked(tmp_path, SCHEMA_VERSION)

    assert_all_waits(folder)

    assert user_version(data_file(folder)) == SCHEMA_VERSION + 1
    with closing(sqlite3.connect(data_file(folder))) as connection:
        assert connection.execute("SELECT count(note) FROM block_normal").fetchone() == (0,)


def test_a_migration_that_is_cut_is_done_at_the_next_start(tmp_path: Path, next_version: list[str]) -> None:
    """An upgrade in the field is switched off by somebody who is in a hurry."""
    folder = unpacked(tmp_path, SCHEMA_VERSION)
    next_version.append("cut")
    with pytest.raises(_PowerCut):
        open_journal(folder)
    assert user_version(data_file(folder)) == SCHEMA_VERSION

    next_version.clear()

    assert_all_waits(folder)
    assert user_version(data_file(folder)) == SCHEMA_VERSION + 1


def test_after_an_upgrade_the_old_version_refuses_and_the_new_one_goes_on(
    tmp_path: Path, next_version: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up, down and up again is what people do when something is odd after an upgrade."""
    folder = unpacked(tmp_path, SCHEMA_VERSION)
    assert_all_waits(folder)
    before = fingerprint(folder)

    with monkeypatch.context() as old:
        for module in (blockfile, newer):
            old.setattr(module, "SCHEMA_VERSION", SCHEMA_VERSION)
        with pytest.raises(JournalRefused):
            open_journal(folder)

    assert fingerprint(folder) == before
    journal = open_journal(folder)
    assert seqs_of(read_all(journal)[0]) == WAITING[1]
    journal.close()


@pytest.mark.parametrize("name", DATABASES)
def test_a_newer_database_is_refused_with_both_versions_and_nothing_is_changed(tmp_path: Path, name: str) -> None:
    """Whichever of them is newer: half of a newer version's memory is worse than its refusal."""
    folder = unpacked(tmp_path, SCHEMA_VERSION)
    open_journal(folder).close()
    with closing(sqlite3.connect(folder / name)) as connection:
        known = int(connection.execute("PRAGMA user_version").fetchone()[0])
        connection.execute(f"PRAGMA user_version={known + 7}")
    before = fingerprint(folder)

    with pytest.raises(JournalRefused) as refused:
        open_journal(folder)

    assert str(refused.value) == (
        f"{folder}: written by a newer version of Fieldgate: {name} has schema version {known + 7}, this version of "
        f"Fieldgate knows {known}. Nothing was changed. Install the newer version again, or restore a backup that was "
        "made before the upgrade: fieldgate restore FILE"
    )
    assert fingerprint(folder) == before


def test_a_refusal_only_by_what_sqlite_opens_would_change_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: without the look at all heads a run begins in the journal before the sessions are found too new."""
    folder = unpacked(tmp_path, SCHEMA_VERSION)
    open_journal(folder).close()
    with closing(sqlite3.connect(folder / "sessions.db")) as connection:
        connection.execute("PRAGMA user_version=9")
    before = fingerprint(folder)
    monkeypatch.setattr("fieldgate.journal.opening.refuse_newer", lambda _folder: None)

    open_journal(folder).close()

    assert fingerprint(folder) != before
