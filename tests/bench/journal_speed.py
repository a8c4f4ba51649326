"""How fast the journal is and what it costs the flash: CPU, fsync and written bytes per event, and start times.

Run it by itself: ``python tests/bench/journal_speed.py [--folder DIR] [--backlog EVENTS]``. Written bytes are those
of /proc/self/io (pages that the kernel writes to the device); DIR must not be on a tmpfs.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import zstandard

from fieldgate.journal.blocks import decode_body, encode_body, new_compressor
from fieldgate.journal.journal import Journal
from fieldgate.journal.records import Commit, NewBlock, Removal
from fieldgate_devices.event import Address, Event, Stamp

RUN = 0x9C3F_5A11_2233_4455
SECOND = 1_000_000_000
ADDRESSES = [Address(f"site.a.dev-{n}", "message", f"site/a/dev-{n}") for n in range(50)]


def say(line: str) -> None:
    """Print a line of the report."""
    sys.stdout.write(line + "\n")


def make_events(count: int, *, a_read: int = 8) -> list[Event]:
    """JSON of 120 bytes with noise in it, from 50 devices, ``a_read`` events per stamp."""
    rng = random.Random(1)
    events: list[Event] = []
    stamp = Stamp(RUN, 0, 0)
    for seq in range(count):
        if seq % a_read == 0:
            at_ns = seq * 1_000_000 + rng.randrange(1_000_000)
            stamp = Stamp(RUN, 1_800_000_000 * SECOND + at_ns, 5_000 * SECOND + at_ns)
        fields = {
            "seq": 10_000_000 + seq,
            "ts": 1_800_000_000 + seq / 1000,
            "temperature": round(rng.gauss(20, 5), 2),
            "humidity": round(rng.random() * 100, 1),
            "state": rng.choice(["idle", "heating"]),
            "pad": "",
        }
        fields["pad"] = "x" * (120 - len(json.dumps(fields)))
        data = json.dumps(fields).encode()
        events.append(Event(ADDRESSES[rng.randrange(50)], stamp, data, True, rng.getrandbits(64), 1, seq + 1))
    return events


def written_bytes() -> int:
    """What this process has had written to the device."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("write_bytes")))


def open_journal(folder: Path, *, max_size_bytes: int = 4 << 30) -> Journal:
    """Open the journal that is measured."""
    return Journal.open(
        folder,
        run=RUN,
        os_boot="boot",
        gateway="bench",
        boot_ns=5_000 * SECOND,
        wall_ns=0,
        max_size_bytes=max_size_bytes,
    )


def numbered(events: list[Event], first: int) -> list[Event]:
    """The same events under the next sequence numbers."""
    for seq, event in enumerate(events, start=first):
        event.seq = seq
    return events


def measure_codec(a_block: int) -> str:
    """Encode and decode one block over and over."""
    events = make_events(a_block)
    seqs = range(1, a_block + 1)
    body = encode_body(events, run=RUN)
    compressor, decompressor = new_compressor(), zstandard.ZstdDecompressor()
    rounds = 40_000 // a_block
    start = time.process_time()
    for _ in range(rounds):
        encode_body(events, run=RUN, compressor=compressor)
    middle = time.process_time()
    for _ in range(rounds):
        decode_body(body, run=RUN, lane=1, seqs=seqs, decompressor=decompressor)
    end = time.process_time()
    encode_us, decode_us = ((b - a) / rounds / a_block * 1e6 for a, b in ((start, middle), (middle, end)))
    return f"{a_block:6} | {encode_us:9.2f} | {decode_us:9.2f} | {len(body) / a_block:10.1f}"


def measure_commits(folder: Path, a_commit: int, commits: int, *, removes: bool) -> str:
    """Commit blocks of ``a_commit`` events; with ``removes``, as a drain at the same rate would."""
    journal = open_journal(folder)
    pool = make_events(a_commit * 16)
    before_bytes, before_cpu, before = written_bytes(), time.process_time(), time.perf_counter()
    for n in range(commits):
        chunk = numbered(pool[n % 16 * a_commit : (n % 16 + 1) * a_commit], n * a_commit + 1)
        done = [Removal(1, (n - 20) * a_commit)] if removes and n % 10 == 0 else []
        states = {"cloud": b"x" * 200} if removes else {}
        now_ns = int((5_000 + n * 0.5) * SECOND)
        journal.commit(Commit(now_ns, [NewBlock(1, RUN, chunk)], remove=done, uplink_states=states))
    wall_s, cpu_s = time.perf_counter() - before, time.process_time() - before_cpu
    journal.close()
    flash = written_bytes() - before_bytes
    events = commits * a_commit
    kind = "commit + drain" if removes else "commit"
    return (
        f"{kind:14} | {a_commit:6} | {flash / events:8.0f} | {flash / commits:9.0f} | {cpu_s / commits * 1e3:7.2f} | "
        f"{wall_s / commits * 1e3:7.2f} | {cpu_s / events * 1e6:6.2f}"
    )


def rss_mb() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_backlog(folder: Path, events: int, a_block: int = 200) -> None:
    """Store a backlog; then time a start, the first read and a walk over all of it."""
    journal = open_journal(folder)
    pool = make_events(a_block * 16)
    before = time.perf_counter()
    for n in range(events // a_block // 16):
        blocks = [
            NewBlock(1, RUN, numbered(pool[k % 16 * a_block :][:a_block], (n * 16 + k) * a_block + 1))
            for k in range(16)
        ]
        journal.commit(Commit(5_000 * SECOND + n, blocks))
    say(f"stored {journal.stats().lanes[1].events:,} events in {time.perf_counter() - before:.1f} s")
    journal.close()
    size = sum(path.stat().st_size for path in folder.iterdir())
    before_mb, start = rss_mb(), time.perf_counter()
    journal = open_journal(folder)
    opened = time.perf_counter()
    half = events // 2
    result = journal.read(1, half, max_bytes=1 << 20)
    read = time.perf_counter()
    read_ms = (read - opened) * 1e3
    say(f"{size / 1e6:.0f} MB; open {(opened - start) * 1e3:.0f} ms; first read from the middle {read_ms:.1f} ms")
    count, after, hint = 0, 0, None
    start = time.perf_counter()
    while True:
        result = journal.read(1, after, max_bytes=1 << 20, hint=hint)
        count += sum(block.info.count for block in result.blocks)
        hint = result.hint
        if not result.more:
            break
    took = time.perf_counter() - start
    say(f"read {count:,} events at {count / took:,.0f}/s; memory grew by {rss_mb() - before_mb:.1f} MB")
    journal.close()


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--backlog", type=int, default=0, help="also store this many events and start on them")
    arguments = parser.parse_args()
    say(" block | encode µs | decode µs | bytes/event")
    for a_block in (25, 200, 1000):
        say(measure_codec(a_block))
    say("\nwhat           | events | flash/ev | flash/com | cpu ms  | wall ms | cpu µs/event")
    for removes in (False, True):
        for a_commit, commits in ((3, 2000), (10, 2000), (25, 1500), (50, 1000), (200, 600), (1000, 150)):
            folder = Path(tempfile.mkdtemp(dir=arguments.folder, prefix="journal-speed-"))
            say(measure_commits(folder, a_commit, commits, removes=removes))
            shutil.rmtree(folder)
    if arguments.backlog:
        folder = Path(tempfile.mkdtemp(dir=arguments.folder, prefix="journal-speed-"))
        measure_backlog(folder, arguments.backlog)
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
