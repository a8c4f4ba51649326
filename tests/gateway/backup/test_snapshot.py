"""A copy of databases that are written to is whole, of one moment, and holds up no commit."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fieldgate.journal.paced_copy import STEP_BYTES, CopyFailed
from fieldgate.journal.side_file import SideFile
from fieldgate.journal.snapshot import LiveSnapshot, SnapshotError, copy_stopped
from gateway_kit import eventually
from journal_kit import assert_accounted, block, everything, fill, filled, open_journal, write

EVENTS = 12_000


async def near(snapshot: LiveSnapshot) -> None:
    await eventually("all but the last pages are copied", lambda: snapshot.is_near)


@pytest.fixture
def side(tmp_path: Path) -> SideFile:
    """A database beside the journal's, with a counter in it."""
    file = SideFile(tmp_path / "live" / "side.db", application_id=1, schema_version=1)
    (tmp_path / "live").mkdir()
    file.replace(lambda connection: connection.execute("CREATE TABLE t (n INTEGER)"), keeps_old=False)  # type: ignore[arg-type, return-value]
    return file


async def test_what_is_committed_while_it_is_copied_is_in_the_copy(tmp_path: Path, side: SideFile) -> None:
    """The moment of a backup is its end: whatever was acknowledged before is in it, in every database alike."""
    journal = open_journal(tmp_path / "live")
    fill(journal, 1, EVENTS, a_block=200)
    assert journal.size_bytes > 4 * STEP_BYTES
    snapshot = LiveSnapshot(tmp_path / "live" / "stage")
    snapshot.begin(journal, [side])
    written = EVENTS
    while not snapshot.is_near or written < EVENTS + 2_000:
        write(journal, block(range(written + 1, written + 101)))
        written += 100
        with side.transaction() as connection:
            connection.execute("INSERT INTO t VALUES (?)", (written,))

    names = snapshot.finish(journal)
    write(journal, block([written + 1]))  # is not in it

    assert names == ["highwater", "journal-000001.db", "side.db"]
    copy = open_journal(snapshot.stage)
    seqs, losses = assert_accounted(copy, written)
    assert (len(seqs), losses, copy.opened.notes) == (written, [], ())
    assert copy.verify().problems == ()
    copy.close()
    with closing(sqlite3.connect(snapshot.stage / "side.db")) as connection:
        assert connection.execute("SELECT max(n) FROM t").fetchone() == (written,)
    assert journal.verify().problems == ()
    snapshot.abort()
    assert not snapshot.stage.exists()
    journal.close()
    side.close()


async def test_a_copy_is_given_up_when_the_journal_is_closed(tmp_path: Path) -> None:
    """A stop never waits for a backup."""
    journal = open_journal(tmp_path / "live")
    fill(journal, 1, EVENTS, a_block=200)
    snapshot = LiveSnapshot(tmp_path / "live" / "stage")
    snapshot.begin(journal, [])

    journal.close()

    with pytest.raises(CopyFailed, match="its file was closed"):
        snapshot.finish(journal)
    snapshot.abort()
    again = open_journal(tmp_path / "live")  # nothing has the file any more
    assert_accounted(again, EVENTS)
    again.close()


async def test_a_database_that_was_replaced_meanwhile_is_noticed(tmp_path: Path, side: SideFile) -> None:
    """Its copy would be of a file that is gone."""
    journal = open_journal(tmp_path / "live")
    snapshot = LiveSnapshot(tmp_path / "live" / "stage")
    snapshot.begin(journal, [side])
    side.replace(lambda connection: connection.execute("CREATE TABLE t (n INTEGER)"), keeps_old=False)  # type: ignore[arg-type, return-value]

    with pytest.raises(CopyFailed, match=r"replaced while it was copied|closed database"):
        snapshot.finish(journal)

    snapshot.abort()
    journal.close()
    side.close()


async def test_space_is_asked_for_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup that fills the disk stops the gateway that it is to save."""
    journal = open_journal(tmp_path / "live")
    monkeypatch.setattr("fieldgate.journal.snapshot._RESERVE_BYTES", 1 << 60)
    snapshot = LiveSnapshot(tmp_path / "live" / "stage")

    with pytest.raises(SnapshotError, match=r"a copy of what is stored needs [0-9,]+ bytes .* are free"):
        snapshot.begin(journal, [])

    assert not snapshot.stage.exists()
    journal.close()


def test_what_a_backup_left_that_was_killed_is_gone_at_the_next_start(tmp_path: Path) -> None:
    """It is as large as all that is stored, and nobody would find it."""
    (tmp_path / "backup.part").mkdir()
    (tmp_path / "backup.part" / "journal-000001.db").write_bytes(b"x" * 1000)

    open_journal(tmp_path).close()

    assert not (tmp_path / "backup.part").exists()


def test_a_plain_copy_of_the_file_would_lack_what_is_in_its_log(tmp_path: Path) -> None:
    """The mutant of the tests above: `cp journal.db` is what people try, and SQLite finds nothing wrong with it."""
    killed = filled(tmp_path)
    (tmp_path / "plain").mkdir()
    shutil.copy(killed / "journal-000001.db", tmp_path / "plain")

    copy = open_journal(tmp_path / "plain")

    assert len(everything(copy)[0]) < 400
    copy.close()


def test_what_a_kill_left_is_copied_with_its_log(tmp_path: Path) -> None:
    """A machine that does not start any more may still be backed up."""
    killed = filled(tmp_path)
    before = {path.name: path.read_bytes() for path in killed.iterdir()}

    names = copy_stopped(killed, tmp_path / "stage")

    assert names == ["highwater", "journal-000001.db"]
    assert {path.name: path.read_bytes() for path in killed.iterdir()} == before
    copy = open_journal(tmp_path / "stage")
    assert everything(copy)[1] == []
    assert_accounted(copy)
    copy.close()
