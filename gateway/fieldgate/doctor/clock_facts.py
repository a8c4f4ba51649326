"""What the kernel, the time daemon and the battery-backed clock say of the time. Reads; judges nothing."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fieldgate import clock

__all__ = ["ClockFacts", "read_clock"]

_DAEMONS: Final = ("systemd-timesyn", "chronyd", "ntpd", "ntpsec", "openntpd", "ptp4l", "phc2sys")  # as /proc cuts them
_STA_UNSYNC: Final = 0x0040
_TIMEX_LONGS: Final = 32  # more than struct timex has on any ABI


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """``is_kernel_synced`` and ``error_s`` are None where the kernel does not say (adjtimex is forbidden)."""

    wall_s: float
    is_kernel_synced: bool | None
    error_s: float | None
    daemon: str
    has_timesync_flag: bool | None
    rtc: str
    rtc_s: float | None


def read_clock(root: Path = Path("/")) -> ClockFacts:
    """Read all of it; ``root`` is where /proc, /sys and /run are."""
    synced, error_s = _adjtimex()
    rtc, rtc_s = _battery_clock(root)
    timesync = root / "run/systemd/timesync"
    return ClockFacts(
        wall_s=clock.wall_ns() / 1e9,
        is_kernel_synced=synced,
        error_s=error_s,
        daemon=_daemon(root),
        has_timesync_flag=(timesync / "synchronized").exists() if timesync.is_dir() else None,
        rtc=rtc,
        rtc_s=rtc_s,
    )


def _adjtimex() -> tuple[bool | None, float | None]:
    """Ask the kernel whether something disciplines its clock, and how wrong it may be; changes nothing (modes is 0).

    struct timex: modes (int, padded to a long), offset, freq, maxerror (us), esterror, status (int).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    timex = (ctypes.c_long * _TIMEX_LONGS)()
    if not hasattr(libc, "adjtimex") or libc.adjtimex(ctypes.byref(timex)) < 0:
        return None, None
    status = ctypes.cast(ctypes.byref(timex, 5 * ctypes.sizeof(ctypes.c_long)), ctypes.POINTER(ctypes.c_int))[0]
    return not status & _STA_UNSYNC, timex[3] / 1e6


def _daemon(root: Path) -> str:
    """The name of a program that sets the clock, if one runs."""
    for folder in (root / "proc").glob("[0-9]*"):
        with suppress(OSError):
            name = (folder / "comm").read_text(encoding="utf-8", errors="replace").strip()
            if name in _DAEMONS:
                return "systemd-timesyncd" if name == _DAEMONS[0] else name
    return ""


def _battery_clock(root: Path) -> tuple[str, float | None]:
    """The name of the battery-backed clock and its time; a time of None: it cannot be read."""
    for folder in sorted((root / "sys/class/rtc").glob("rtc*")):
        with suppress(OSError, ValueError):
            name = (folder / "name").read_text(encoding="ascii").strip()
            try:
                return name, float((folder / "since_epoch").read_text(encoding="ascii"))
            except (OSError, ValueError):
                return name, None
    return "", None
