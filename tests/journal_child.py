"""A process that commits until it is killed: prints each sequence number once its commit has returned.

Arguments: folder, run, synchronous, events per commit, how many commits (0: for ever), what else ("remove": also
removes old blocks, so that pages are reused and the log is emptied often).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fieldgate.errors import JournalError
from fieldgate.journal.records import Removal
from journal_kit import block, open_journal, write


def main() -> int:
    folder, run, synchronous, a_block, commits, also = sys.argv[1:]
    journal = open_journal(Path(folder), run=int(run), synchronous=synchronous, max_size_bytes=4 << 20)
    seq = journal.opened.next_seq
    os.write(1, f"open {seq}\n".encode())
    done = 0
    while done < int(commits) or commits == "0":
        removals = [Removal(1, seq - 2000)] if also == "remove" and done % 10 == 9 else []
        try:
            write(journal, block(range(seq, seq + int(a_block)), run=int(run)), at_s=100 + done / 10, remove=removals)
        except JournalError as error:
            os.write(1, f"error {error}\n".encode())
            return 3
        seq += int(a_block)
        done += 1
        os.write(1, f"{seq - 1}\n".encode())
    journal.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
