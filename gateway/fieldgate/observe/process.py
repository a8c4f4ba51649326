"""What the kernel says of this process: CPU, memory, open files, and what it has had written to disks.

What cannot be read (a hardened unit may hide it) is left out, and nothing else with it.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Final

from fieldgate import clock

__all__ = ["process_facts", "storage_bytes"]

_SELF: Final = Path("/proc/self")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


def process_facts() -> dict[str, float]:
    """Return what is known: ``cpu_s``, ``resident_bytes``, ``virtual_bytes``, ``started_at_s``, ``fds``, ``max_fds``.

    ``started_at_s`` is UTC by the clock as it is now: a clock that was set since changes it.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    facts = {"cpu_s": usage.ru_utime + usage.ru_stime, "max_fds": float(resource.getrlimit(resource.RLIMIT_NOFILE)[0])}
    try:
        fields = (_SELF / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
        facts["started_at_s"] = (clock.wall_ns() - clock.boot_ns()) / 1e9 + int(fields[19]) / _TICKS
        facts["virtual_bytes"] = float(fields[20])
        facts["resident_bytes"] = float(int(fields[21]) * _PAGE_BYTES)
        facts["fds"] = float(len(os.listdir(_SELF / "fd")) - 1)  # noqa: PTH208 - names only; without its own
    except (OSError, ValueError, IndexError):
        return facts
    return facts


def storage_bytes() -> int | None:
    """Return what this process has had written to disks, as the kernel counts it; None: it does not say.

    What was deleted or truncated before it was written back does not count.
    """
    try:
        lines = (_SELF / "io").read_text("ascii").splitlines()
        counts = {name: int(value) for name, _, value in (line.partition(": ") for line in lines)}
        return max(0, counts["write_bytes"] - counts["cancelled_write_bytes"])
    except (OSError, ValueError, KeyError):
        return None
