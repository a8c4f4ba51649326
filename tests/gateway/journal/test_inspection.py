"""A stopped gateway's journal can be looked into in any state, and looking changes not a byte of it."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from fieldgate.journal.facts import stats_facts
from fieldgate.journal.history import HistoryQuery, Place, history_step
from fieldgate.journal.inspection import Inspection
from fieldgate.journal.records import JournalBusy, JournalRefused, LedgerEntry, Removal
from journal_kit import BIG, RUN, block, data_file, fill, open_journal, wal_file, write


def fingerprint(folder: Path) -> dict[str, tuple[str, int, int]]:
    return {
        file.name: (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns, file.stat().st_mode)
        for file in folder.iterdir()
    }


@contextmanager
def inspecting(folder: Path) -> Iterator[Inspection]:
    """Look, and check that nothing has changed."""
    before = fingerprint(folder)
    with closing(Inspection.open(folder, max_size_bytes=BIG)) as found:
        yield found
    assert fingerprint(folder) == before


def seqs(stored: Inspection) -> list[int]:
    found: list[int] = []
    position: list[Place] | None = None
    while True:
        step = history_step(stored, query=HistoryQuery(), position=position)
        position = step.position
        found += [event.seq for event in step.events]
        if position is None:
            return found


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """A journal as kill -9 leaves it: part in the data file, part in the log, part removed, a ledger, a state."""
    journal = open_journal(tmp_path / "origin")
    fill(journal, 1, 100)
    journal._active.checkpoint("PASSIVE")
    write(journal, block(range(101, 111)), block(range(111, 121), lane=0), uplink_states={"up": b"state"})
    write(journal, remove=[Removal(1, 20)], ledger=[LedgerEntry("up", 1, "evicted", RUN, 1, 20, 20, 0, 0)])
    shutil.copytree(tmp_path / "origin", tmp_path / "crashed")
    journal.close()
    return tmp_path / "crashed"


def test_what_a_crash_left_is_read_with_its_log(crashed: Path) -> None:
    """The newest events are in the log alone; SQLite's own read-only mode would miss or move them."""
    assert wal_file(crashed).stat().st_size > 0

    with inspecting(crashed) as stored:
        assert seqs(stored) == list(range(21, 121))
        assert stored.uplink_states() == {"up": b"state"}
        assert [row.entry.count for row in stored.ledger()] == [20]
        facts = stats_facts(stored)
        assert {name: lane["events"] for name, lane in facts["lanes"].items()} == {"high": 10, "normal": 90, "low": 0}
        walk = stored.verification()
        assert walk is not None
        while not walk.step():
            pass
        assert walk.report().is_sound
        assert stored.notes == []


def test_a_journal_that_was_closed_well_needs_no_log(tmp_path: Path) -> None:
    """Not even an empty one is made beside it."""
    journal = open_journal(tmp_path)
    fill(journal, 1, 50)
    journal.close()

    with inspecting(tmp_path) as stored:
        assert seqs(stored) == list(range(1, 51))


def test_a_folder_without_a_journal_is_an_empty_one(tmp_path: Path) -> None:
    """A gateway that never started, or whose files were taken away."""
    with inspecting(tmp_path) as stored:
        assert seqs(stored) == []
        assert stats_facts(stored)["lanes"]["normal"]["events"] == 0
        assert stored.verification() is None


@pytest.mark.parametrize("damage", ["header", "log"])
def test_a_damaged_journal_is_shown_as_far_as_it_can_be_read(crashed: Path, damage: str) -> None:
    """The next start has to find it as it was, to salvage it and to book what is lost."""
    path = data_file(crashed) if damage == "header" else wal_file(crashed)
    content = bytearray(path.read_bytes())
    content[: 100 if damage == "header" else 32] = bytes(100 if damage == "header" else 32)
    if damage == "log":
        content[:4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)

    with inspecting(crashed) as stored:
        found = seqs(stored)
        assert len(stored.notes) == 1
        assert "is damaged: " in stored.notes[0]
        assert set(range(21, 101)) <= set(found)
        assert stored.verification() is None


def test_files_that_were_set_aside_and_not_done_with_are_shown_too(crashed: Path) -> None:
    """What is still to be drained is still stored."""
    path = data_file(crashed)
    content = bytearray(path.read_bytes())
    content[:100] = bytes(100)
    path.write_bytes(content)
    journal = open_journal(crashed, run=RUN + 1)
    write(journal, block(range(1_000_000, 1_000_010), run=RUN + 1))
    journal.close()

    with inspecting(crashed) as stored:
        found = seqs(stored)
        assert set(range(21, 101)) <= set(found)
        assert found[-10:] == list(range(1_000_000, 1_000_010))
        assert stats_facts(stored)["set_aside_bytes"] > 0


def test_a_journal_that_is_in_use_is_left_alone_and_one_that_is_looked_at_cannot_be_started(tmp_path: Path) -> None:
    """Reading what another process writes gives nonsense."""
    journal = open_journal(tmp_path)
    with pytest.raises(JournalBusy):
        Inspection.open(tmp_path, max_size_bytes=BIG)
    journal.close()
    (tmp_path / "lock").write_text("999999999\n")

    with inspecting(tmp_path), inspecting(tmp_path), pytest.raises(JournalBusy, match="in use by another process"):
        open_journal(tmp_path)
    open_journal(tmp_path).close()


def test_a_newer_version_s_journal_is_refused(tmp_path: Path) -> None:
    """Its blocks may mean something else."""
    open_journal(tmp_path).close()
    with closing(sqlite3.connect(data_file(tmp_path))) as database:
        database.execute("PRAGMA user_version=99")

    with pytest.raises(JournalRefused, match="written by a newer version"):
        Inspection.open(tmp_path, max_size_bytes=BIG)


def test_only_the_gateway_s_own_user_can_read_what_is_stored(tmp_path: Path) -> None:
    """Whatever the umask, and also where somebody else made the folder (CVE-2017-9868 was a readable store)."""
    before = os.umask(0)
    try:
        journal = open_journal(tmp_path)
        fill(journal, 1, 100)
    finally:
        os.umask(before)

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir() if file.name != "lock"}
    journal.close()
    assert len(modes) >= 3
    assert set(modes.values()) == {0o600}
