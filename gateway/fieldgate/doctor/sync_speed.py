"""How long the disk takes to make something safe: the time that every acknowledged event waits for at most once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fieldgate import clock

__all__ = ["SyncTimes", "measure_syncs"]

_BLOCK: Final = b"\x5a" * 4096
_AT_LEAST: Final = 5


@dataclass(frozen=True, slots=True)
class SyncTimes:
    """Of ``count`` writes of 4 KiB, each followed by fdatasync, in milliseconds."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


def measure_syncs(
    folder: Path, *, count: int = 100, most_s: float = 5.0, tell: Callable[[str], None] = lambda _text: None
) -> SyncTimes:
    """Measure in ``folder``, in a file without a name of which nothing stays, for ``most_s`` seconds at most.

    As the journal's log does it appends, so that the length of the file is synced too.

    Raises:
        OSError: nothing can be written there.
    """
    times_ms: list[float] = []
    with tempfile.TemporaryFile(dir=folder, prefix="doctor-") as file:
        fd = file.fileno()
        began_ns = clock.boot_ns()
        while len(times_ms) < count:
            before_ns = clock.boot_ns()
            if len(times_ms) >= _AT_LEAST and before_ns - began_ns > most_s * 1e9:
                break
            os.write(fd, _BLOCK)
            os.fdatasync(fd)
            times_ms.append((clock.boot_ns() - before_ns) / 1e6)
            tell(f"storage: {len(times_ms)} of {count} writes made safe")
    ordered = sorted(times_ms)
    p50, p95, p99 = (round(_quantile(ordered, part), 2) for part in (0.5, 0.95, 0.99))
    return SyncTimes(len(ordered), p50, p95, p99, round(ordered[-1], 2))


def _quantile(ordered: list[float], part: float) -> float:
    """The smallest value that ``part`` of all do not exceed."""
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * int(part * 100) // 100) - 1))]
