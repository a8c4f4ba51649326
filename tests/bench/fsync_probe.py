"""Measure what a durable write costs on this disk: the floor under every group commit.

    python tests/bench/fsync_probe.py [FOLDER] [--size BYTES …] [--count N]

Appends a record to a file and calls fdatasync, again and again, pinned to one core so that the scheduler does not
blur the figure. Two shapes, as SQLite writes them: a file that grows (the first WAL after a start; the file system must
log the new size) and one that is overwritten in place (a WAL after its first checkpoint).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script: make `bench` importable

from bench.machine import device_bytes_written
from bench.report import table

DEFAULT_SIZES = (4_096, 16_384, 65_536)
WARM_UP = 20


def probe(folder: Path, *, size_bytes: int, count: int, is_growing: bool) -> tuple[list[float], float | None]:
    """Return the sorted times in ms of ``count`` write-and-fdatasync calls, and the device's bytes for each."""
    record = os.urandom(size_bytes)
    times_ms = []
    with tempfile.NamedTemporaryFile(dir=folder, prefix="fsync-probe-") as file:
        fd = file.fileno()
        if not is_growing:
            os.pwrite(fd, bytes(size_bytes * (count + WARM_UP)), 0)
            os.fsync(fd)
        before = device_bytes_written(folder)
        for number in range(count + WARM_UP):
            begun = time.perf_counter_ns()
            os.pwrite(fd, record, number * size_bytes)
            os.fdatasync(fd)
            times_ms.append((time.perf_counter_ns() - begun) / 1e6)
        after = device_bytes_written(folder)
    device_bytes = None if before is None or after is None else (after - before) / (count + WARM_UP)
    return sorted(times_ms[WARM_UP:]), device_bytes


def quantile(sorted_values: Sequence[float], at: float) -> float:
    """Return the value below which the share ``at`` of the values lies."""
    return sorted_values[min(len(sorted_values) - 1, int(at * len(sorted_values)))]


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parent
    parser.add_argument("folder", nargs="?", type=Path, default=here, help="where the journal would be")
    parser.add_argument("--size", type=int, nargs="+", default=DEFAULT_SIZES, help="bytes per write")
    parser.add_argument("--count", type=int, default=500, help="writes per line")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rows = []
    for is_growing in (True, False):
        for size_bytes in options.size:
            times, written = probe(options.folder, size_bytes=size_bytes, count=options.count, is_growing=is_growing)
            figures = [f"{quantile(times, at):.2f}" for at in (0.5, 0.95, 0.99, 1.0)]
            on_device = "–" if written is None else f"{written:,.0f}"
            rows.append(["growing" if is_growing else "in place", f"{size_bytes:,}", *figures, on_device])
    header = ["file", "bytes per write", "p50, ms", "p95, ms", "p99, ms", "max, ms", "device bytes per write"]
    sys.stdout.write(table(header, rows) + "\n")


if __name__ == "__main__":
    main()
