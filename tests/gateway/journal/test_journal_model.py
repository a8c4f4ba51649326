"""Random work, crashes and damage against a model: nothing that was committed vanishes without a word."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from fieldgate.journal.journal import Journal
from fieldgate.journal.records import Loss, Removal
from journal_kit import block, crash_copy, data_file, flip, open_journal, read_all, seqs_of, wal_file, write

DAMAGE = ("none", "none", "none", "log gone", "log flipped", "log cut", "flipped", "cut", "page", "gone", "mark gone",
          "emptied", "header")  # fmt: skip
# of these, what is younger than the high-water mark may go without a word
LOSES_THE_END = {"log gone", "log flipped", "log cut", "gone", "emptied", "cut"}
LOSES_A_PAGE = {"flipped", "page", "header"}


def damage(rng: random.Random, folder: Path) -> str:
    """Do one thing to the files of a stopped journal."""
    kind = rng.choice(DAMAGE)
    path, log = data_file(folder), wal_file(folder)
    content = path.read_bytes()
    if kind.startswith("log") and not (log.exists() and log.stat().st_size > 100):
        return "none"
    match kind:
        case "log gone":
            log.unlink()
        case "log flipped":
            flip(log, rng.randrange(log.stat().st_size), bit=rng.randrange(8))
        case "log cut":
            log.write_bytes(log.read_bytes()[: rng.randrange(log.stat().st_size)])
        case "flipped":
            flip(path, rng.randrange(len(content)), bit=rng.randrange(8))
        case "cut":
            path.write_bytes(content[: rng.randrange(len(content))])
        case "page":
            at = rng.randrange(len(content) // 1024) * 1024
            path.write_bytes(content[:at] + rng.randbytes(1024) + content[at + 1024 :])
        case "gone":
            path.unlink()
            log.unlink(missing_ok=True)
        case "mark gone":
            (folder / "highwater").unlink()
        case "emptied":
            path.write_bytes(b"")
        case "header":
            path.write_bytes(bytes(100) + content[100:])
    return kind


class Model:
    """What was committed and neither removed nor lost, per lane; and every loss that was told."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.folder = folder
        self.generation = 0
        self.run = 1
        self.now_s = 100.0
        self.seq = 1
        self.stored: list[set[int]] = [set(), set(), set()]
        self.told: list[tuple[int, int, int]] = []
        self.was_damaged = False
        self.may_look_like_a_crash = False
        self.journal = open_journal(self._place(), run=1)

    def _place(self) -> Path:
        return self.folder / str(self.generation)

    def _tell(self, losses: Iterable[Loss]) -> None:
        self.told += [(loss.lane, loss.first_seq, loss.last_seq) for loss in losses]

    def read(self, lane: int) -> list[int]:
        blocks, losses = read_all(self.journal, lane)
        self._tell(losses)
        return seqs_of(blocks)

    def commit(self) -> None:
        blocks = []
        for _ in range(self.rng.randrange(1, 4)):
            lane, seqs = self.rng.randrange(3), []
            for _ in range(self.rng.choice([1, 3, 20, 150])):
                seqs.append(self.seq)
                self.seq += self.rng.choice([1, 1, 1, 3])
            self.stored[lane].update(seqs)
            blocks.append(block(seqs, lane=lane, run=self.run))
        self._tell(write(self.journal, *blocks, at_s=self.now_s, uplink_states={"cloud": b"%d" % self.seq}).losses)

    def remove(self) -> None:
        lane = self.rng.randrange(3)
        infos = self.journal.oldest_blocks(lane, 50)
        if not infos:
            return
        info = self.rng.choice(infos)
        before = set(self.read(lane))
        if self.rng.random() < 0.5:
            removal = Removal(lane, info.last_seq)
        else:
            removal = Removal(lane, block_nos=(info.block_no,), reason="evicted")
        self._tell(write(self.journal, at_s=self.now_s, remove=[removal]).losses)
        gone = before - set(self.read(lane))
        assert all(seq <= info.last_seq for seq in gone)
        self.stored[lane] -= gone

    def restart(self) -> None:
        """Stop or crash, perhaps damage the files, and start."""
        old, self.generation = self._place(), self.generation + 1
        was_closed = self.rng.random() < 0.5
        if was_closed:
            self.journal.close()
        crash_copy(old, self._place())
        self.journal.close()
        shutil.rmtree(old)
        kind = damage(self.rng, self._place())
        self.may_look_like_a_crash = kind in LOSES_THE_END or (kind in LOSES_A_PAGE and not was_closed)
        self.was_damaged |= kind != "none"
        self.run += 1
        self.journal: Journal = open_journal(self._place(), run=self.run, boot_s=self.now_s)
        self._tell(self.journal.opened.losses)
        self.seq = max(self.seq, self.journal.opened.next_seq)
        assert self.journal.opened.next_seq > max((seq for lane in range(3) for seq in self.read(lane)), default=0)
        self.check()
        self.may_look_like_a_crash = False

    def check(self) -> None:
        """What can be read is in order and once; what is missing was told, or may look like a crash."""
        for lane in range(3):
            seqs = self.read(lane)
            assert seqs == sorted(set(seqs))
            assert self.was_damaged or set(seqs) == self.stored[lane]
            told = [range(first, last + 1) for of_lane, first, last in self.told if of_lane == lane]
            unsaid = [seq for seq in self.stored[lane].difference(seqs) if not any(seq in gap for gap in told)]
            assert not unsaid or self.may_look_like_a_crash, (lane, unsaid[:5])
            self.stored[lane] = set(seqs)
        assert self.was_damaged or self.journal.verify().is_sound


def work(folder: Path, seed: int) -> None:
    model = Model(folder, seed)
    for _ in range(model.rng.randrange(5, 40)):
        model.now_s += model.rng.choice([0.1, 1, 11])
        match model.rng.choice(["commit", "commit", "commit", "remove", "remove", "restart", "check"]):
            case "commit":
                model.commit()
            case "remove":
                model.remove()
            case "restart":
                model.restart()
            case _:
                model.check()
    model.check()
    model.journal.close()


@pytest.mark.parametrize("seed", range(12))
def test_nothing_vanishes_without_a_word(tmp_path: Path, seed: int) -> None:
    """P1, P3, P4, P5 together, over crashes and every kind of damage of rows 23, 24, 26 and 30."""
    work(tmp_path, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 500))
def test_nothing_vanishes_without_a_word_long(tmp_path: Path, seed: int) -> None:
    """The same with many seeds."""
    work(tmp_path, seed)
