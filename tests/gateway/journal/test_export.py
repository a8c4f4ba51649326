"""The journal can be taken elsewhere whole, in bounded steps, while it goes on (row 27)."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from fieldgate.journal.export import ExportError, export_file
from fieldgate.journal.facts import event_facts, stats_facts
from fieldgate.journal.history import HistoryQuery, Place, history_step
from fieldgate.journal.journal import Journal
from fieldgate.journal.records import LedgerEntry, NewBlock
from journal_kit import RUN, fill, make_events, open_journal, wal_file, write


def events_of(journal: Journal) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    position: list[Place] | None = None
    while True:
        step = history_step(journal, query=HistoryQuery(), position=position)
        position = step.position
        found += [event_facts(event, gateway="g") for event in step.events]
        if position is None:
            return found


def test_an_export_is_a_plain_database_with_one_row_per_event(tmp_path: Path) -> None:
    """The user looks at it with the sqlite-utils command line."""
    journal = open_journal(tmp_path / "j")
    fill(journal, 1, 500)
    binary = make_events([501])
    binary[0].is_json, binary[0].data, binary[0].expiry_s = False, b"\x00\xff", 60
    write(journal, NewBlock(1, RUN, binary), ledger=[LedgerEntry("cloud", 1, "evicted", RUN, 1, 9, 9, 0, 0)])

    with export_file(tmp_path / "out.db") as target:
        for event in events_of(journal):
            target.write(event)
        assert not (tmp_path / "out.db").exists()
        target.finish(stats_facts(journal)["ledger"])

    connection = sqlite3.connect(tmp_path / "out.db")
    assert connection.execute("SELECT count(*), min(number), max(number) FROM events").fetchone() == (501, 1, 501)
    row = connection.execute("SELECT run, lane, device, topic, data FROM events WHERE number = 7").fetchone()
    assert row[:4] == (f"{RUN:016x}", "normal", "site.a.dev-7", "site/a/dev-7")
    assert json.loads(row[4])["seq"] == 7
    assert connection.execute("SELECT data, expiry_s FROM events WHERE number = 501").fetchone() == (b"\x00\xff", 60)
    assert connection.execute("SELECT uplink, reason, events FROM ledger").fetchall() == [("cloud", "evicted", 9)]
    connection.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["j", "out.db"]


@pytest.mark.parametrize("name", ["out.db", "out.jsonl"])
def test_an_export_that_is_cut_short_leaves_nothing(tmp_path: Path, name: str) -> None:
    """Half an export that looks whole is worse than none."""
    event = event_facts(make_events([1])[0], gateway="g")

    with export_file(tmp_path / name) as target:
        target.write(event)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.db", "out.jsonl"])
def test_what_cannot_be_written_is_one_sentence(tmp_path: Path, name: str) -> None:
    """A full disk, a missing folder, a file that is there: the exporter's own error, whatever library met it."""
    (tmp_path / name).write_text("mine")

    with pytest.raises(ExportError, match="exists; export to a new file"):
        export_file(tmp_path / name)
    with pytest.raises(ExportError, match="no such file or directory"):
        export_file(tmp_path / "no" / name)
    assert (tmp_path / name).read_text() == "mine"


def test_commits_between_the_steps_of_an_export_neither_wait_nor_let_the_log_grow(tmp_path: Path) -> None:
    """Row 27: a reader that keeps a transaction open pins the log until the disk is full."""
    journal = open_journal(tmp_path / "j")
    fill(journal, 1, 20_000, a_block=500)
    position: list[Place] | None = None
    seqs: list[int] = []
    seq, steps, largest = 20_001, 0, 0

    while True:
        step = history_step(journal, query=HistoryQuery(), position=position)
        position = step.position
        seqs += [event.seq for event in step.events]
        steps += 1
        if seq < 40_000:
            fill(journal, seq, 5_000, a_block=500)
            seq += 5_000
        largest = max(largest, wal_file(tmp_path / "j").stat().st_size)
        if position is None:
            break

    assert steps > 5
    assert seqs == list(range(1, seq))
    assert largest < 2 << 20
