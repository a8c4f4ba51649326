"""What a commit returned for survives a kill at any moment; a device that fails ends the process (P1)."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import journal_child
from journal_kit import crash_copy, data_file, open_journal, read_all, seqs_of

CHILD = Path(journal_child.__file__)
STRACE = shutil.which("strace")
needs_strace = pytest.mark.skipif(STRACE is None, reason="strace is not installed")


def child(folder: Path, *, run: int = 2, synchronous: str = "FULL", a_block: int = 20, commits: int = 0,
          also: str = "", trace: tuple[str, ...] = ()) -> list[str]:  # fmt: skip
    """The command line of a committing process."""
    prefix = [STRACE or "strace", "-f", "-qq", *trace] if trace else []
    arguments = [str(folder), str(run), synchronous, str(a_block), str(commits), also]
    return [*prefix, sys.executable, str(CHILD), *arguments]


def committed(output: bytes) -> int:
    """The last sequence number whose commit returned, from whole lines only."""
    numbers = [int(line) for line in output.decode().splitlines(keepends=True)[1:] if re.fullmatch(r"\d+\n", line)]
    return max(numbers, default=0)


@pytest.mark.parametrize("also", ["", "remove"])
def test_what_was_committed_survives_kills_at_random_moments(tmp_path: Path, also: str) -> None:
    """Row 7. Each round goes on with the files of the round before."""
    rng = random.Random(7)
    for run in range(2, 8):
        process = subprocess.Popen(child(tmp_path, run=run, also=also), stdout=subprocess.PIPE)
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.25))  # the moment of the kill, not a synchronisation
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        last = committed(first + rest) or int(first.split()[1]) - 1

        journal = open_journal(tmp_path, run=99, max_size_bytes=4 << 20)
        blocks, losses = read_all(journal)
        seqs = seqs_of(blocks)
        assert (losses, journal.opened.losses) == ([], ())
        assert seqs == list(range(seqs[0], seqs[-1] + 1)) if seqs else last == 0
        assert not seqs or seqs[-1] >= last
        assert also or not seqs or seqs[0] == 1
        assert journal.verify().is_sound
        journal.close()


@pytest.mark.long
@needs_strace
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync", "fsync", "ftruncate", "unlink", "rename"])
def test_a_kill_at_every_system_call_long(tmp_path: Path, call: str) -> None:
    """Row 6: in the middle of a checkpoint, a removal, the first start."""
    sweep(tmp_path, call, range(1, 200, 3))


@needs_strace
def test_a_kill_at_some_system_calls(tmp_path: Path) -> None:
    """Row 6, in short: during the first start, the first commits, a checkpoint."""
    sweep(tmp_path, "pwrite64", (2, 9, 23, 47))
    sweep(tmp_path, "fdatasync", (1, 4))


def sweep(folder: Path, call: str, numbers: range | tuple[int, ...]) -> None:
    for number in numbers:
        target = folder / f"{call}-{number}"
        inject = ("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}", "-o", "/dev/null")
        output = subprocess.run(
            child(target, a_block=40, commits=60, also="remove", trace=inject), stdout=subprocess.PIPE, check=False
        ).stdout
        journal = open_journal(target, run=99, max_size_bytes=4 << 20)
        blocks, losses = read_all(journal)
        seqs = seqs_of(blocks)
        assert (losses, journal.opened.losses, journal.opened.set_aside) == ([], (), ())
        assert (seqs[-1] if seqs else 0) >= committed(output)
        assert journal.verify().is_sound
        journal.close()


@needs_strace
@pytest.mark.parametrize(("synchronous", "is_safe"), [("FULL", True), ("OFF", False), ("NORMAL", False)])
def test_each_commit_waits_for_the_disk(tmp_path: Path, synchronous: str, is_safe: bool) -> None:
    """P1 rests on one sync before each return; with less (the mutants) this check fails, as a power cut would."""
    log = tmp_path / "log"
    trace = ("-e", "trace=fdatasync,fsync,write", "-y", "-o", str(log))
    subprocess.run(
        child(tmp_path / "j", synchronous=synchronous, commits=30, trace=trace), stdout=subprocess.DEVNULL, check=True
    )

    was_synced, reported, unsafe = False, 0, 0
    for line in log.read_text().splitlines():
        if re.search(r"(fdatasync|fsync)\(.*-wal", line):
            was_synced = True
        elif re.search(r'write\(1.*"\d+\\n"', line):
            reported += 1
            unsafe += not was_synced
            was_synced = False
    assert reported == 30
    assert (unsafe == 0) == is_safe


@needs_strace
@pytest.mark.parametrize("when", ["5", "5+"])
def test_a_failed_sync_ends_it_and_nothing_is_promised_after(tmp_path: Path, when: str) -> None:
    """Row 20: after an EIO SQLite happily commits the next transaction; whoever believes it loses data."""
    open_journal(tmp_path / "j").close()
    inject = ("-e", "trace=fdatasync", "-e", f"inject=fdatasync:error=EIO:when={when}", "-o", "/dev/null")

    done = subprocess.run(child(tmp_path / "j", trace=inject), stdout=subprocess.PIPE, check=False, timeout=20)

    assert done.returncode == 3
    assert b"error" in done.stdout.splitlines()[-1]
    journal = open_journal(tmp_path / "j", run=99)
    assert seqs_of(read_all(journal)[0])[-1] >= committed(done.stdout)


@needs_strace
def test_a_sync_that_takes_long_only_delays(tmp_path: Path) -> None:
    """Row 22: SD cards stall."""
    inject = ("-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_exit=150000:when=6", "-o", "/dev/null")

    done = subprocess.run(child(tmp_path / "j", commits=10, trace=inject), stdout=subprocess.PIPE, check=True)

    assert committed(done.stdout) == 200


@needs_strace
@pytest.mark.parametrize("number", [3, 12, 30])
def test_a_page_that_cannot_be_read_does_not_keep_it_from_starting(tmp_path: Path, number: int) -> None:
    """Row 21: EIO on read is damage like any other."""
    subprocess.run(child(tmp_path / "j", commits=100), stdout=subprocess.DEVNULL, check=True)
    inject = ("-e", "trace=pread64", "-P", str(data_file(tmp_path / "j")),
              "-e", f"inject=pread64:error=EIO:when={number}", "-o", "/dev/null")  # fmt: skip

    done = subprocess.run(
        child(tmp_path / "j", run=3, commits=5, trace=inject), stdout=subprocess.PIPE, check=False, timeout=20
    )

    assert done.returncode == 0
    journal = open_journal(tmp_path / "j", run=99)
    blocks, losses = read_all(journal)
    seqs = seqs_of(blocks)
    assert seqs == sorted(set(seqs))
    told = sum(loss.count for loss in (*journal.opened.losses, *losses))
    assert len(seqs) + told >= 2100
    assert seqs[-1] == committed(done.stdout)


def test_a_kill_during_the_first_start_leaves_a_clean_start(tmp_path: Path) -> None:
    """Row 16: a file appears under its name only when it is whole."""
    (tmp_path / "j").mkdir()
    (tmp_path / "j" / "new-journal-000001.db").write_bytes(b"SQLite format 3\0 half made")
    (tmp_path / "j" / "new-journal-000001.db-journal").write_bytes(b"x")

    journal = open_journal(tmp_path / "j")

    assert (journal.opened.is_new, journal.opened.notes) == (True, ())
    assert [path.name for path in (tmp_path / "j").glob("new-*")] == []


def test_copies_taken_while_committing_open_without_loss(tmp_path: Path) -> None:
    """A copy of data file and log between two commits is what a kill leaves."""
    process = subprocess.Popen(child(tmp_path / "live", also="remove"), stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    for number in range(8):
        process.stdout.readline()
        os.kill(process.pid, signal.SIGSTOP)
        copy = open_journal(crash_copy(tmp_path / "live", tmp_path / str(number)), run=99, max_size_bytes=4 << 20)
        assert read_all(copy)[1] == []
        copy.close()
        os.kill(process.pid, signal.SIGCONT)
    process.kill()
    process.communicate()
