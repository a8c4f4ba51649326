"""What a commit returned for survives a power cut: a real file system, shut down under the writer (row 14)."""

from __future__ import annotations

import fcntl
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import journal_child
from journal_kit import open_journal, read_all, seqs_of

_EXT4_IOC_SHUTDOWN = 0x8004587D
_NO_FLUSH = 2

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root"),
    pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="mkfs.ext4 is not installed"),
]


class Disk:
    """A small ext4 whose power can be cut."""

    def __init__(self, folder: Path) -> None:
        self.image, self.mount = folder / "image", folder / "mount"
        self.mount.mkdir()
        with self.image.open("wb") as image:
            image.truncate(32 << 20)
        subprocess.run(["mkfs.ext4", "-qF", self.image], check=True)
        self.turn_on()

    def turn_on(self) -> None:
        done = subprocess.run(
            ["mount", "-o", "loop", self.image, self.mount], check=False, capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"no loop mounts here: {done.stderr.strip()}")

    def cut(self) -> None:
        fd = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _EXT4_IOC_SHUTDOWN, struct.pack("<I", _NO_FLUSH))
        finally:
            os.close(fd)

    def turn_off(self) -> None:
        subprocess.run(["umount", self.mount], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path)
    yield disk
    subprocess.run(["umount", "-l", disk.mount], check=False, capture_output=True)


def promised_and_kept(disk: Disk, *, synchronous: str, run: int, seconds: float) -> tuple[int, int, int]:
    """Cut the power after some time; answers the last number promised before, the last one found, and what was told."""
    arguments = [str(disk.mount / "j"), str(run), synchronous, "20", "0", "remove"]
    process = subprocess.Popen([sys.executable, journal_child.__file__, *arguments], stdout=subprocess.PIPE)
    lines: list[bytes] = []
    stream = process.stdout
    assert stream is not None
    reader = threading.Thread(target=lambda: lines.extend(iter(stream.readline, b"")))
    reader.start()
    while not lines:
        time.sleep(0.005)
    time.sleep(seconds)  # the moment of the cut, not a synchronisation
    promised = max((int(line) for line in list(lines) if re.fullmatch(rb"\d+\n", line)), default=0)
    disk.cut()
    process.kill()
    reader.join()
    process.wait()
    stream.close()
    disk.turn_off()
    disk.turn_on()
    journal = open_journal(disk.mount / "j", run=run + 1000, max_size_bytes=4 << 20)
    blocks, losses = read_all(journal)
    seqs = seqs_of(blocks)
    told = sum(loss.count for loss in (*journal.opened.losses, *losses))
    assert seqs == list(range(seqs[0], seqs[-1] + 1)) if seqs and not told else True
    journal.close()
    return promised, seqs[-1] if seqs else 0, told


def test_what_was_promised_before_a_power_cut_is_there_after_it(disk: Disk) -> None:
    """P1. Each round goes on with the files of the round before; no cut may cause a false gap either."""
    rng = random.Random(11)
    for run in range(2, 8):
        promised, kept, told = promised_and_kept(disk, synchronous="FULL", run=run, seconds=rng.uniform(0.0, 0.4))
        assert kept >= promised
        assert told == 0


def test_without_a_sync_for_each_commit_promises_are_broken(disk: Disk) -> None:
    """The mutant: a power-cut test that never fails is no evidence."""
    broken = 0
    for run in range(2, 8):
        promised, kept, told = promised_and_kept(disk, synchronous="NORMAL", run=run, seconds=0.3)
        broken += kept < promised or told > 0
    assert broken > 0
