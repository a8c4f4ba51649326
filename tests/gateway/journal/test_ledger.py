"""What uplinks will never get is counted exactly, in bounded space (P4)."""

from __future__ import annotations

import random
from pathlib import Path

from fieldgate.journal.journal import Journal
from fieldgate.journal.records import LedgerEntry
from journal_kit import RUN, open_journal, write


def entry(uplink: str, first: int, count: int, *, reason: str = "evicted", joins: bool = False) -> LedgerEntry:
    return LedgerEntry(uplink, 1, reason, RUN, first, first + count - 1, count, 1, 2, joins)


def total(journal: Journal, uplink: str, reason: str) -> int:
    rows = (row.entry for row in journal.ledger())
    return sum(row.count for row in rows if (row.uplink, row.reason) == (uplink, reason))


def test_entries_survive_and_those_that_touch_become_one(tmp_path: Path) -> None:
    """An outage of a month evicts a million times."""
    journal = open_journal(tmp_path)

    first = write(journal, ledger=[entry("cloud", 1, 10)])
    second = write(journal, ledger=[entry("cloud", 11, 5, joins=True), entry("plant", 11, 5)])
    journal.close()

    rows = open_journal(tmp_path).ledger()
    assert second.ledger_ids[0] == first.ledger_ids[0]
    assert [(row.entry.uplink, row.entry.first_seq, row.entry.last_seq, row.entry.count) for row in rows] == [
        ("cloud", 1, 15, 15),
        ("plant", 11, 15, 5),
    ]


def test_reported_rows_are_folded_into_totals(tmp_path: Path) -> None:
    """P4's equation needs the sum for ever, the gap event only once."""
    journal = open_journal(tmp_path)
    ids = [write(journal, ledger=[entry("cloud", n * 100, 10)]).ledger_ids[0] for n in range(20)]

    write(journal, reported=ids[:15])

    rows = journal.ledger()
    assert [row.is_reported for row in rows].count(True) == 1
    assert len(rows) == 6
    assert total(journal, "cloud", "evicted") == 200
    write(journal, reported=ids)
    assert len(journal.ledger()) == 1


def test_the_ledger_is_bounded_and_its_counts_stay_exact(tmp_path: Path) -> None:
    """Parked events lie apart from each other; their number is bounded by nothing else."""
    journal = open_journal(tmp_path)
    entries = [entry("cloud", 10 * n, 1, reason="parked") for n in range(2000)]

    write(journal, ledger=entries)

    assert len(journal.ledger()) <= 256
    assert total(journal, "cloud", "parked") == 2000
    assert max(row.entry.last_seq for row in journal.ledger()) == 19990


def test_any_mix_of_entries_and_reports_adds_up(tmp_path: Path) -> None:
    """The sum per uplink and reason is what P4 is checked with."""
    rng = random.Random(3)
    journal = open_journal(tmp_path)
    expected: dict[tuple[str, str], int] = {}
    for n in range(200):
        uplink, reason = rng.choice(["a", "b"]), rng.choice(["evicted", "expired", "corrupt"])
        done = write(journal, ledger=[entry(uplink, n * 10, 7, reason=reason, joins=rng.random() < 0.5)])
        expected[uplink, reason] = expected.get((uplink, reason), 0) + 7
        if rng.random() < 0.3:
            write(journal, reported=done.ledger_ids)
    journal.close()
    journal = open_journal(tmp_path)

    assert {key: total(journal, *key) for key in expected} == expected
