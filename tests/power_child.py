"""Processes to be recorded: they use a journal and print what they may promise after each commit.

Arguments: `commit FOLDER SYNCHRONOUS COMMITS` commits so often in each of two starts: blocks in all three lanes, with
each commit an uplink's state (the last sequence number); old blocks are removed, so that pages are used again and the
log is emptied often. `mend FOLDER` opens a damaged journal, reads it to its end and commits some more.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fieldgate.journal.records import Removal
from journal_kit import block, everything, open_journal, write

__all__ = ["KEPT", "LIMIT_BYTES"]

KEPT = 300
"""Removal leaves at least so many events."""
LIMIT_BYTES = 1 << 20


def commit(folder: Path, synchronous: str, commits: int) -> None:
    for run in (1, 2):
        journal = open_journal(folder, run=run, synchronous=synchronous, max_size_bytes=LIMIT_BYTES)
        first = journal.opened.next_seq
        for number in range(commits):
            middle, end = first + 1 + number % 7, first + 12
            lane = number % 3
            write(
                journal,
                block(range(first, middle), lane=lane, run=run),
                block(range(middle, end), lane=(lane + 1) % 3, run=run),
                at_s=100 + number / 10,
                uplink_states={"up": str(end - 1).encode()},
                remove=[Removal(lane, end - 1 - KEPT) for lane in range(3)] if number % 5 == 4 else [],
            )
            first = end
            promise(first - 1)
        journal.close()


def mend(folder: Path) -> None:
    journal = open_journal(folder, run=2)
    everything(journal)
    first = journal.opened.next_seq
    for number in range(6):
        write(journal, block(range(first, first + 10), run=2), at_s=101 + number)
        first += 10
        promise(first - 1)
        everything(journal)
    journal.close()


def promise(seq: int) -> None:
    os.write(1, f"{seq}\n".encode())


if __name__ == "__main__":
    if sys.argv[1] == "commit":
        commit(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        mend(Path(sys.argv[2]))
