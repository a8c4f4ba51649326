"""The journal can be taken elsewhere whole, in bounded steps, while it goes on (row 27)."""

from __future__ import annotations

import io
import json
import sqlite3
from pathlib import Path

from fieldgate.journal.export import Export, JsonLinesTarget
from fieldgate.journal.records import LedgerEntry, NewBlock
from journal_kit import RUN, fill, make_events, open_journal, wal_file, write


def test_an_export_is_a_plain_database_with_one_row_per_event(tmp_path: Path) -> None:
    """The user looks at it with the sqlite-utils command line."""
    journal = open_journal(tmp_path / "j")
    fill(journal, 1, 500)
    binary = make_events([501])
    binary[0].is_json, binary[0].data = False, b"\x00\xff"
    write(journal, NewBlock(1, RUN, binary), ledger=[LedgerEntry("cloud", 1, "evicted", RUN, 1, 9, 9, 0, 0)])
    seen: list[int] = []

    done = journal.export(tmp_path / "out.db", lambda progress: seen.append(progress.events))

    assert (done.blocks, done.events) == (51, 501)
    connection = sqlite3.connect(tmp_path / "out.db")
    assert connection.execute("SELECT count(*), min(seq), max(seq) FROM events").fetchone() == (501, 1, 501)
    row = connection.execute("SELECT run, lane, device, topic, data FROM events WHERE seq = 7").fetchone()
    assert row[:4] == (f"{RUN:016x}", "normal", "site.a.dev-7", "site/a/dev-7")
    assert json.loads(row[4])["seq"] == 7
    assert connection.execute("SELECT data FROM events WHERE seq = 501").fetchone() == (b"\x00\xff",)
    assert connection.execute("SELECT uplink, reason, count FROM ledger").fetchall() == [("cloud", "evicted", 9)]
    connection.close()


def test_json_lines_hold_the_same(tmp_path: Path) -> None:
    """For whatever reads lines."""
    journal = open_journal(tmp_path / "j")
    fill(journal, 1, 30)
    file = io.BytesIO()

    with Export(JsonLinesTarget(file)) as export:
        while export.step(journal):
            pass

    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [line["data"]["seq"] for line in lines] == list(range(1, 31))


def test_commits_between_the_steps_of_an_export_neither_wait_nor_let_the_log_grow(tmp_path: Path) -> None:
    """Row 27: a reader that keeps a transaction open pins the log until the disk is full."""
    journal = open_journal(tmp_path / "j")
    fill(journal, 1, 20_000, a_block=500)
    file = io.BytesIO()
    seq, steps, largest = 20_001, 0, 0

    with Export(JsonLinesTarget(file)) as export:
        while export.step(journal):
            steps += 1
            if seq < 40_000:
                fill(journal, seq, 5_000, a_block=500)
                seq += 5_000
            largest = max(largest, wal_file(tmp_path / "j").stat().st_size)

    seqs = [json.loads(line)["seq"] for line in file.getvalue().splitlines()]
    assert steps > 5
    assert seqs == list(range(1, seq))
    assert largest < 2 << 20
