"""The journal stays within its byte limit, and a full disk stops nothing for good (P4, row 17)."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldgate.journal.journal import Journal
from fieldgate.journal.records import JournalFull, Removal
from fieldgate_devices.event import Lane
from journal_kit import block, data_file, fill, flip, open_journal, read_all, seqs_of, write

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")


def on_disk_bytes(folder: Path) -> int:
    """What the limit is about: data files and logs, as the file system has them."""
    return sum(path.stat().st_size for path in folder.glob("journal-*"))


def fill_up(journal: Journal, folder: Path, first: int, limit_bytes: int, *, a_block: int = 200) -> int:
    """Write until the journal is full, watching the limit; answers the last sequence number written."""
    last, full = write_until_full(journal, first, a_block=a_block, folder=folder, limit_bytes=limit_bytes)
    assert full.cause == "limit"
    return last


def write_until_full(
    journal: Journal, first: int, *, a_block: int = 50, folder: Path | None = None, limit_bytes: int = 0
) -> tuple[int, JournalFull]:
    """Write until a commit is refused; answers the last sequence number written, and the refusal."""
    seq = first
    while True:
        try:
            write(journal, block(range(seq, seq + a_block)))
        except JournalFull as full:
            return seq - 1, full
        seq += a_block
        if folder is not None:
            assert on_disk_bytes(folder) <= limit_bytes


@pytest.mark.parametrize("limit_bytes", [1 << 20, 3_000_000])
def test_the_limit_is_never_passed_and_removing_makes_room(tmp_path: Path, limit_bytes: int) -> None:
    """Data file and log together, at every moment, over many rounds of eviction."""
    journal = open_journal(tmp_path, max_size_bytes=limit_bytes)

    last = fill_up(journal, tmp_path, 1, limit_bytes)
    assert on_disk_bytes(tmp_path) > limit_bytes * 0.6
    for _ in range(3):
        oldest = journal.stats().lanes[1].first_seq or 0
        middle = oldest + (last - oldest) // 2
        write(journal, remove=[Removal(Lane.NORMAL, middle, "evicted")])
        assert on_disk_bytes(tmp_path) <= limit_bytes
        before, last = last, fill_up(journal, tmp_path, last + 1, limit_bytes)
        assert last - before > (middle - oldest) * 0.8

    blocks, losses = read_all(journal)
    assert losses == []
    assert seqs_of(blocks)[-1] == last
    assert journal.verify().is_sound


def test_a_commit_that_did_not_fit_leaves_no_trace_and_may_be_tried_again(tmp_path: Path) -> None:
    """The outbox evicts and tries the same commit again."""
    journal = open_journal(tmp_path, max_size_bytes=1 << 20)
    last = fill_up(journal, tmp_path, 1, 1 << 20)
    stats = journal.stats()
    again = block(range(last + 1, last + 201))

    with pytest.raises(JournalFull):
        write(journal, again, uplink_states={"cloud": b"x"})
    assert journal.stats().last_block_no == stats.last_block_no
    write(journal, remove=[Removal(Lane.NORMAL, last // 2, "evicted")])
    write(journal, again)

    assert seqs_of(read_all(journal)[0])[-200:] == list(range(last + 1, last + 201))


def test_a_file_being_drained_counts_until_its_events_are_removed(tmp_path: Path) -> None:
    """Damage must not double what the journal takes."""
    limit_bytes = 2 << 20
    journal = open_journal(tmp_path, max_size_bytes=limit_bytes)
    last = fill_up(journal, tmp_path, 1, limit_bytes)
    journal.close()
    flip(data_file(tmp_path), 5)
    journal = open_journal(tmp_path, run=2, max_size_bytes=limit_bytes)
    assert journal.opened.set_aside

    newest, _ = write_until_full(journal, last + 1)
    write(journal, remove=[Removal(Lane.NORMAL, last, "evicted")])

    fill(journal, newest + 1, 500, a_block=50)
    assert journal.size_bytes <= limit_bytes


def test_without_the_check_before_writing_the_limit_would_be_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: SQLite's own limit on pages knows nothing of the log."""
    monkeypatch.setattr("fieldgate.journal.active.ActiveFile._make_room", lambda self, rows: None)
    journal = open_journal(tmp_path, max_size_bytes=1 << 20)

    with pytest.raises(AssertionError):
        fill_up(journal, tmp_path, 1, 1 << 20)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", mount], check=True)
    yield mount
    subprocess.run(["umount", "-l", mount], check=True)


@pytest.mark.root
@needs_root
def test_a_full_disk_refuses_blocks_lets_removals_through_and_resumes_by_itself(small_disk: Path) -> None:
    """Row 17: at ENOSPC a WAL DELETE fails too; the ballast is what makes it pass."""
    journal = open_journal(small_disk)
    last, full = write_until_full(journal, 1)
    seq = last + 1
    assert full.cause == "disk"
    assert seqs_of(read_all(journal)[0]) == list(range(1, seq))

    write(journal, remove=[Removal(Lane.NORMAL, seq // 2, "evicted")])
    for number in range(5):
        write(journal, block(range(seq + number * 50, seq + number * 50 + 50)), at_s=200 + number)

    seqs = seqs_of(read_all(journal)[0])
    assert seqs == list(range(seqs[0], seq + 250))
    assert seqs[0] <= seq // 2 + 1
    journal.close()
    assert seqs_of(read_all(open_journal(small_disk, run=2))[0]) == seqs


@pytest.mark.root
@needs_root
def test_a_start_on_a_full_disk_opens_what_is_there(small_disk: Path) -> None:
    """Forwarding frees the space, so the gateway must come up to do it."""
    journal = open_journal(small_disk)
    fill(journal, 1, 500, a_block=50)
    journal.close()
    with (small_disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(b"x" * 4096):
            pass

    again = open_journal(small_disk, run=2)

    assert seqs_of(read_all(again)[0]) == list(range(1, 501))
    write(again, remove=[Removal(Lane.NORMAL, 500)])
    assert again.stats().lanes[1].events == 0
