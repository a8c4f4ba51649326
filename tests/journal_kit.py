"""Journals for tests: made in a folder, filled with events, copied as a crash would leave them, damaged."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from fieldgate.journal.journal import Journal
from fieldgate.journal.records import Commit, Committed, Loss, NewBlock, StoredBlock
from fieldgate_devices.event import Address, Event, Lane, Stamp

RUN = 0x9C3F_5A11_2233_4455
SECOND = 1_000_000_000
BIG = 64 << 20
ADDRESSES = [Address(f"site.a.dev-{n}", "message", f"site/a/dev-{n}") for n in range(8)]


def make_events(seqs: Iterable[int], *, run: int = RUN, lane: int = Lane.NORMAL, boot_s: float = 100.0) -> list[Event]:
    """Events of about 120 bytes, a few addresses, one stamp."""
    stamp = Stamp(run, 1_800_000_000 * SECOND, int(boot_s * SECOND), 0)
    return [Event(ADDRESSES[n % 8], stamp, _data(n), True, n * 0x9E3779B97F4A7C15 % (1 << 64), lane, n) for n in seqs]


def _data(seq: int) -> bytes:
    return b'{"seq":%d,"temperature":%d.5,"pad":"%080x"}' % (seq, seq % 40, pow(3, seq + 10**6, 1 << 320))


def block(seqs: Iterable[int], *, lane: int = Lane.NORMAL, run: int = RUN, marks: bytes = b"") -> NewBlock:
    """A block of such events."""
    return NewBlock(lane, run, make_events(seqs, run=run, lane=lane), marks)


def open_journal(
    folder: Path, *, run: int = RUN, os_boot: str = "boot-a", boot_s: float = 100.0, max_size_bytes: int = BIG,
    synchronous: str = "FULL",
) -> Journal:  # fmt: skip
    """Open the journal in ``folder``."""
    return Journal.open(
        folder, run=run, os_boot=os_boot, gateway="plant-7", boot_ns=int(boot_s * SECOND),
        wall_ns=1_800_000_000 * SECOND, max_size_bytes=max_size_bytes, synchronous=synchronous,
    )  # fmt: skip


def write(journal: Journal, *blocks: NewBlock, at_s: float = 100.0, **also: object) -> Committed:
    """Commit these blocks."""
    return journal.commit(Commit(now_boot_ns=int(at_s * SECOND), blocks=blocks, **also))  # type: ignore[arg-type]


def fill(journal: Journal, first: int, count: int, *, a_block: int = 10, at_s: float = 100.0, lane: int = 1) -> None:
    """Commit ``count`` events from seq ``first`` on, ``a_block`` at a time."""
    for seq in range(first, first + count, a_block):
        write(journal, block(range(seq, min(seq + a_block, first + count)), lane=lane), at_s=at_s)


def read_all(journal: Journal, lane: int = Lane.NORMAL, after_seq: int = 0) -> tuple[list[StoredBlock], list[Loss]]:
    """Read a lane to its end, as a pump does."""
    blocks: list[StoredBlock] = []
    losses: list[Loss] = []
    hint = None
    for _ in range(100_000):
        result = journal.read(lane, after_seq, max_bytes=4096, hint=hint)
        blocks += result.blocks
        losses += result.losses
        hint = result.hint
        if not result.more:
            return blocks, losses
    raise AssertionError("the read does not end")


def seqs_of(blocks: Sequence[StoredBlock]) -> list[int]:
    """The sequence numbers of these blocks, in order."""
    return [event.seq for stored in blocks for event in stored.events]


def crash_copy(folder: Path, target: Path) -> Path:
    """What a kill at this moment leaves: the folder's files as they are, without the lock."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("lock", "*-shm"))
    return target


def data_file(folder: Path) -> Path:
    """The newest data file."""
    return max(folder.glob("journal-*.db"))


def wal_file(folder: Path) -> Path:
    """Its write-ahead log."""
    path = data_file(folder)
    return path.with_name(path.name + "-wal")


def flip(path: Path, offset: int, *, bit: int = 3) -> None:
    """Flip one bit."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 1 << bit
    path.write_bytes(content)


EVENTS = 400


def filled(folder: Path, events: int = EVENTS, *, checkpoint_at: int | None = None) -> Path:
    """A folder as a kill leaves it: ``events`` in blocks of 10, the first ``checkpoint_at`` of them in the database."""
    journal = open_journal(folder / "live")
    if checkpoint_at:
        fill(journal, 1, checkpoint_at)
        journal._active.checkpoint("PASSIVE")
    fill(journal, (checkpoint_at or 0) + 1, events - (checkpoint_at or 0))
    crash_copy(folder / "live", folder / "crash")
    journal.close()
    return folder / "crash"


def closed(folder: Path, events: int = EVENTS) -> Path:
    """A folder as a clean stop leaves it."""
    journal = open_journal(folder / "closed")
    fill(journal, 1, events)
    journal.close()
    return folder / "closed"


def everything(journal: Journal) -> tuple[list[int], list[Loss]]:
    """What can be read, and every loss that was told, at the start or on the way."""
    blocks, losses = read_all(journal)
    return seqs_of(blocks), [*journal.opened.losses, *losses]


def assert_accounted(journal: Journal, events: int = EVENTS) -> tuple[list[int], list[Loss]]:
    """Each event is read once, in order, or lies in a stated loss; the counts of the losses add up."""
    seqs, losses = everything(journal)
    assert seqs == sorted(set(seqs))
    missing = set(range(1, events + 1)) - set(seqs)
    covered = {seq for loss in losses for seq in range(loss.first_seq, loss.last_seq + 1)}
    assert missing <= covered
    assert sum(loss.count for loss in losses) == len(missing)
    return seqs, losses
