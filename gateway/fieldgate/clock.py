"""The only reader of clocks.

Order, retention and timers use `boot_s`; wall-clock time only labels events (P6).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

__all__ = ["EARLIEST_PLAUSIBLE_NS", "boot_ns", "boot_s", "is_synced", "monotonic_ns", "os_boot_id", "wall_ns"]

EARLIEST_PLAUSIBLE_NS: Final = 1_735_689_600 * 10**9  # 2025-01-01: older than this code, so the clock was never set


def boot_ns() -> int:
    """CLOCK_BOOTTIME in ns: never steps back, counts suspended time."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def boot_s() -> float:
    """CLOCK_BOOTTIME in seconds; the ``now_s`` that cores are given."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC in ns: only for whoever counts by it, as systemd does; suspended time does not count."""
    return time.monotonic_ns()


def wall_ns() -> int:
    """UTC in ns since 1970, as the OS has it; may be wrong and may step."""
    return time.time_ns()


def os_boot_id() -> str:
    """The kernel's random id of this OS boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def is_synced() -> bool:
    """Whether wall-clock time can be trusted: it is plausible and nothing says it is still to be set.

    A plain container or a host with a battery-backed clock has no time daemon to ask; a plausible time is
    believed there. Under systemd-timesyncd its own flag decides while the daemon has never synchronised.
    """
    if wall_ns() < EARLIEST_PLAUSIBLE_NS:
        return False
    timesync = Path("/run/systemd/timesync")
    return not timesync.is_dir() or (timesync / "synchronized").exists()
