"""Damage is found, stated exactly, and never keeps the journal from starting or from going on (P5)."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fieldgate.journal.records import JournalRefused, Removal
from fieldgate_devices.event import Lane
from journal_kit import (
    EVENTS,
    assert_accounted,
    block,
    closed,
    crash_copy,
    data_file,
    everything,
    fill,
    filled,
    flip,
    open_journal,
    read_all,
    seqs_of,
    wal_file,
    write,
)

# -- the write-ahead log ---------------------------------------------------------------------------


def test_a_deleted_log_is_noticed_by_the_high_water_file(tmp_path: Path) -> None:
    """Row 24: SQLite opens such a database and says nothing."""
    folder = filled(tmp_path, checkpoint_at=200)
    wal_file(folder).unlink()

    journal = open_journal(folder, run=2)

    assert seqs_of(read_all(journal)[0]) == list(range(1, 201))
    (loss,) = journal.opened.losses
    assert (loss.lane, loss.first_seq, loss.count, loss.is_exact) == (Lane.NORMAL, 201, 10, False)
    assert journal.opened.next_seq > 210
    assert journal.epoch == 2


def test_without_the_high_water_file_a_deleted_log_goes_unnoticed(tmp_path: Path) -> None:
    """The mutant of the test above: what it proves is the high-water file's doing."""
    folder = filled(tmp_path, checkpoint_at=200)
    wal_file(folder).unlink()
    (folder / "highwater").unlink()

    journal = open_journal(folder, run=2)

    assert journal.opened.losses == ()
    assert "high-water file was missing" in journal.opened.notes[0]


@pytest.mark.parametrize("part", range(1, 24))
def test_a_flipped_bit_in_the_log_costs_one_block_at_most_and_is_stated(tmp_path: Path, part: int) -> None:
    """Row 24: to SQLite the log ends at the flipped bit; one bit turned 50 rows into 24 and it said ok."""
    folder = filled(tmp_path, checkpoint_at=100)
    size = wal_file(folder).stat().st_size
    flip(wal_file(folder), 40 + (size - 4000) * part // 24)

    journal = open_journal(folder, run=2)

    seqs, losses = assert_accounted(journal)
    assert len(seqs) >= EVENTS - 30
    if seqs != list(range(1, EVENTS + 1)):
        assert losses
    fill(journal, EVENTS + 1, 20)
    assert everything(journal)[0][-20:] == list(range(EVENTS + 1, EVENTS + 21))


@pytest.mark.parametrize("offset", [0, 5, 17, 20, 25, 31])
def test_a_flipped_bit_in_the_logs_header_is_found(tmp_path: Path, offset: int) -> None:
    """SQLite would silently drop the whole log."""
    folder = filled(tmp_path, checkpoint_at=100)
    flip(wal_file(folder), offset)

    assert_accounted(open_journal(folder, run=2))


@pytest.mark.parametrize("part", range(12))
def test_a_cut_log_loses_no_more_than_it_says_or_looks_like_a_crash(tmp_path: Path, part: int) -> None:
    """What is behind the last saved mark looks like a torn tail; what is before it is stated."""
    folder = filled(tmp_path, checkpoint_at=100)
    content = wal_file(folder).read_bytes()
    wal_file(folder).write_bytes(content[: len(content) * part // 12])

    journal = open_journal(folder, run=2)

    seqs, losses = everything(journal)
    assert seqs == list(range(1, len(seqs) + 1))
    assert bool(losses) == (len(seqs) < 110)
    assert journal.opened.next_seq > max(seqs)


def test_a_garbage_shm_is_ignored(tmp_path: Path) -> None:
    """Row 25."""
    folder = filled(tmp_path)
    data_file(folder).with_name(data_file(folder).name + "-shm").write_bytes(b"\xa5" * 32768)

    journal = open_journal(folder, run=2)

    assert everything(journal) == (list(range(1, EVENTS + 1)), [])


# -- the database --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"x", b"SQLite format 3\0", b"\0" * 5000, b"not a database at all " * 1000])
def test_a_foreign_file_is_set_aside_and_the_loss_is_stated(tmp_path: Path, content: bytes) -> None:
    """Row 23: mosquitto, telegraf and vector refused to start."""
    folder = filled(tmp_path)
    wal_file(folder).unlink()
    data_file(folder).write_bytes(content)

    journal = open_journal(folder, run=2)

    seqs, losses = everything(journal)
    assert seqs == []
    assert sum(loss.count for loss in losses) == 10
    assert journal.opened.set_aside[0].read_bytes() == content
    fill(journal, journal.opened.next_seq, 10)
    assert len(everything(journal)[0]) == 10


def test_another_programs_database_is_set_aside(tmp_path: Path) -> None:
    """A file that SQLite likes is not therefore ours."""
    (tmp_path / "j").mkdir()
    connection = sqlite3.connect(tmp_path / "j" / "journal-000001.db")
    connection.execute("CREATE TABLE q (id INTEGER PRIMARY KEY, body TEXT)")
    connection.close()

    journal = open_journal(tmp_path / "j")

    assert [path.name for path in journal.opened.set_aside] == ["journal-000001.db.damaged-1"]
    fill(journal, 1, 10)
    assert everything(journal) == (list(range(1, 11)), [])


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_truncated_database_gives_what_is_left_of_it(tmp_path: Path, kept: float) -> None:
    """Row 23."""
    folder = filled(tmp_path, checkpoint_at=300)
    content = data_file(folder).read_bytes()
    data_file(folder).write_bytes(content[: int(len(content) * kept)])

    journal = open_journal(folder, run=2)

    seqs, _ = assert_accounted(journal)
    assert len(seqs) >= EVENTS * kept * 0.5
    assert set(range(301, EVENTS + 1)) <= set(seqs)


@pytest.mark.parametrize("page", range(0, 45, 2))
def test_a_page_of_garbage_costs_what_was_in_it(tmp_path: Path, page: int) -> None:
    """Row 23: found at start where it is at an end of the chain, else when it is met."""
    folder = closed(tmp_path)
    path = data_file(folder)
    content = bytearray(path.read_bytes())
    assert len(content) > 45 * 1024
    content[page * 1024 : page * 1024 + 1024] = b"\xa5" * 1024
    path.write_bytes(content)

    journal = open_journal(folder, run=2)

    seqs, _ = assert_accounted(journal)
    assert len(seqs) >= EVENTS - 60
    fill(journal, journal.opened.next_seq, 10)
    assert len(everything(journal)[0]) == len(seqs) + 10


def test_a_damaged_file_keeps_the_places_of_the_uplinks_and_the_ledger(tmp_path: Path) -> None:
    """Without them everything that was delivered would be sent again."""
    journal = open_journal(tmp_path / "live")
    fill(journal, 1, 100)
    write(journal, uplink_states={"cloud": b"cursor"}, remove=[Removal(1, 50)])
    crash_copy(tmp_path / "live", tmp_path / "crash")
    path = data_file(tmp_path / "crash")
    path.write_bytes(b"\0" * 1024 + path.read_bytes()[1024:])

    again = open_journal(tmp_path / "crash", run=2)

    assert again.opened.uplink_states == {"cloud": b"cursor"}
    assert everything(again) == (list(range(51, 101)), [])
    assert [run.run for run in again.opened.runs][-1] == 2


def test_a_drained_file_goes_when_everything_in_it_is_removed(tmp_path: Path) -> None:
    """The limit counts it, so it must not stay for ever; small ones are kept for inspection."""
    folder = filled(tmp_path)
    flip(wal_file(folder), 20)
    journal = open_journal(folder, run=2)
    assert journal.opened.set_aside
    fill(journal, EVENTS + 1, 10)

    write(journal, remove=[Removal(Lane.NORMAL, EVENTS - 5)], losses=journal.opened.losses)
    assert everything(journal)[0] == list(range(EVENTS - 9, EVENTS + 11))
    write(journal, remove=[Removal(Lane.NORMAL, EVENTS)])

    assert everything(journal)[0] == list(range(EVENTS + 1, EVENTS + 11))
    journal.close()
    again = open_journal(folder, run=3)
    assert everything(again)[0] == list(range(EVENTS + 1, EVENTS + 11))
    assert again.opened.losses == ()


def test_what_was_removed_from_a_draining_file_stays_removed_over_a_restart(tmp_path: Path) -> None:
    """P4: an event that was booked as evicted must not come back."""
    folder = filled(tmp_path)
    flip(wal_file(folder), 20)
    journal = open_journal(folder, run=2)
    write(journal, remove=[Removal(Lane.NORMAL, 200)])
    write(journal, remove=[Removal(Lane.NORMAL, reason="evicted", block_nos=(30, 31))])
    journal.close()

    seqs, losses = everything(open_journal(folder, run=3))

    assert seqs == [*range(201, 291), *range(311, EVENTS + 1)]
    assert losses == []


# -- copies and strangers ------------------------------------------------------------------------------------


def test_yesterdays_backup_begins_a_new_epoch_and_states_the_loss(tmp_path: Path) -> None:
    """Row 26."""
    live = tmp_path / "live"
    journal = open_journal(live)
    fill(journal, 1, 100)
    journal.close()
    shutil.copy(data_file(live), tmp_path / "backup.db")
    journal = open_journal(live, run=2)
    fill(journal, 101, 200)
    write(journal, remove=[Removal(Lane.NORMAL, 150)])
    journal.close()
    shutil.copy(tmp_path / "backup.db", data_file(live))

    restored = open_journal(live, run=3)

    (loss,) = restored.opened.losses
    assert (loss.first_seq, loss.last_seq, loss.count) == (151, 300, 150)
    assert restored.opened.next_seq == 301
    assert restored.epoch == 2
    assert seqs_of(read_all(restored)[0]) == list(range(1, 101))
    write(restored, block(range(301, 311)), losses=restored.opened.losses)
    restored.close()
    again = open_journal(live, run=4)
    assert everything(again) == ([*range(1, 101), *range(301, 311)], [])
    assert again.epoch == 2


def test_a_backup_from_before_the_last_epoch_is_noticed(tmp_path: Path) -> None:
    """The high-water file knows a newer file than the one that was put back."""
    folder = filled(tmp_path)
    shutil.copy(data_file(folder), tmp_path / "backup.db")
    shutil.copy(wal_file(folder), tmp_path / "backup.db-wal")
    flip(wal_file(folder), 20)
    journal = open_journal(folder, run=2)
    fill(journal, 1001, 50)
    journal.close()
    for path in folder.glob("journal-*"):
        path.unlink()
    shutil.copy(tmp_path / "backup.db", folder / "journal-000001.db")
    shutil.copy(tmp_path / "backup.db-wal", folder / "journal-000001.db-wal")

    restored = open_journal(folder, run=3)

    seqs, losses = everything(restored)
    assert seqs == list(range(1, EVENTS + 1))
    assert [(loss.first_seq, loss.last_seq, loss.count) for loss in losses] == [(1, 1050, 50)]
    assert restored.opened.next_seq == 1051


def test_a_deleted_data_file_is_stated(tmp_path: Path) -> None:
    """Row 30, while the gateway was stopped."""
    folder = filled(tmp_path)
    data_file(folder).unlink()
    for path in folder.glob("journal-*"):
        path.unlink()

    journal = open_journal(folder, run=2)

    assert [loss.count for loss in journal.opened.losses] == [10]
    assert journal.opened.next_seq > 10


def test_losses_are_told_at_each_start_until_they_are_booked(tmp_path: Path) -> None:
    """A crash between finding and booking must not hide a loss."""
    folder = filled(tmp_path, checkpoint_at=200)
    wal_file(folder).unlink()
    first = open_journal(folder, run=2)
    found = first.opened.losses
    first.close()

    second = open_journal(folder, run=3)
    assert second.opened.losses == found
    write(second, losses=found)
    second.close()

    assert open_journal(folder, run=4).opened.losses == ()


@pytest.mark.parametrize("sql", ["SELECT count(*) FROM block_normal", "PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM",
                                 "PRAGMA journal_mode=DELETE", "SELECT * FROM ledger"])  # fmt: skip
def test_a_stopped_journal_may_be_opened_with_the_users_own_tools(tmp_path: Path, sql: str) -> None:
    """Row 29: looking must not cause a false gap."""
    folder = filled(tmp_path)
    connection = sqlite3.connect(data_file(folder))
    connection.execute(sql).fetchall()
    connection.close()

    journal = open_journal(folder, run=2)

    assert everything(journal) == (list(range(1, EVENTS + 1)), [])
    assert journal.opened.notes == ()


def test_a_running_journal_refuses_the_users_own_tools(tmp_path: Path) -> None:
    """Row 28."""
    journal = open_journal(tmp_path)
    fill(journal, 1, 10)
    connection = sqlite3.connect(data_file(tmp_path), timeout=0)

    with pytest.raises(sqlite3.OperationalError, match="locked"):
        connection.execute("BEGIN IMMEDIATE")

    connection.close()
    fill(journal, 11, 10)
    assert everything(journal) == (list(range(1, 21)), [])


def test_a_newer_schema_is_refused_in_plain_words(tmp_path: Path) -> None:
    """Row 85: a downgrade must not destroy what the newer version wrote."""
    open_journal(tmp_path).close()
    connection = sqlite3.connect(data_file(tmp_path))
    connection.execute("PRAGMA user_version=99")
    connection.close()

    with pytest.raises(JournalRefused, match="newer version"):
        open_journal(tmp_path)


def test_counts_are_right_when_a_lost_block_has_left_the_journal(tmp_path: Path) -> None:
    """A lost block below the floor was taken off twice: the status showed -10 events."""
    folder = closed(tmp_path, 2_000)
    path = data_file(folder)
    with closing(sqlite3.connect(path)) as database:
        (body,) = database.execute("SELECT body FROM block_normal WHERE block_no = 90").fetchone()
    flip(path, path.read_bytes().index(body) + len(body) // 2)
    journal = open_journal(folder, run=2)
    _, losses = everything(journal)

    write(journal, remove=[Removal(1, 2_000)])
    write(journal, losses=tuple(losses))

    stats = journal.stats().lanes[1]
    assert losses
    assert (stats.events, stats.blocks) == (0, 0)
