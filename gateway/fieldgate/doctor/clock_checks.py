"""Whether the time can be believed, now and after the next power cut."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from fieldgate.doctor.clock_facts import ClockFacts
from fieldgate.doctor.finding import Finding

__all__ = ["clock_findings"]

_RTC_OFF_S: Final = 120.0
_FAR_FUTURE_S: Final = 20 * 365.25 * 86_400


def clock_findings(facts: ClockFacts, *, earliest_s: float) -> Iterator[Finding]:
    """Judge the clock. ``earliest_s``: this code is not older than that, so no right clock shows less."""
    now = _time(facts.wall_s)
    if facts.wall_s < earliest_s:
        yield Finding(
            "clock.before_build",
            f"the clock says {now}, which is before this version of Fieldgate was made: it was never set",
            "let the machine reach a time server ('timedatectl set-ntp true', UDP port 123), or set the clock by hand; "
            "events are marked unsynced meanwhile, and TLS certificates look not yet valid",
            figures={"wall": now},
        )
    elif facts.wall_s > earliest_s + _FAR_FUTURE_S:
        yield Finding(
            "clock.far_future",
            f"the clock says {now}, more than 20 years after this version of Fieldgate was made",
            "set the clock, and look at the battery of the real-time clock",
            figures={"wall": now},
        )
    else:
        yield _synced(facts, now)
    yield from _rtc(facts)


def _synced(facts: ClockFacts, now: str) -> Finding:
    figures = {"wall": now, "synced": _is_synced(facts), "error_s": facts.error_s, "daemon": facts.daemon or None}
    by = f" by {facts.daemon}" if facts.daemon else ""
    if facts.is_kernel_synced:
        error = f", off by {facts.error_s:.3f} s at most" if facts.error_s is not None else ""
        return Finding("clock.synced", f"the clock is set{by} and says {now}{error}", figures=figures)
    if facts.is_kernel_synced is None and not facts.daemon and facts.has_timesync_flag is None:
        return Finding(
            "clock.unknown",
            f"the clock says {now}; in here the system does not say whether it is set",
            "in a container this is as it should be: see that the host's clock is set",
            figures=figures,
        )
    if facts.daemon:
        return Finding(
            "clock.not_synced",
            f"{facts.daemon} runs and has not set the clock yet; it says {now}",
            "see 'timedatectl timesync-status' or 'chronyc sources': is UDP port 123 to the time server open, and its "
            "name looked up?",
            figures=figures,
        )
    return Finding(
        "clock.no_ntp",
        f"nothing sets the clock: no time daemon runs, and the kernel says that it is not synchronised; it says {now}",
        "start one: 'timedatectl set-ntp true', or install chrony; a clock that nobody sets is off by a minute a month",
        figures=figures,
    )


def _is_synced(facts: ClockFacts) -> bool | None:
    return facts.is_kernel_synced if facts.is_kernel_synced is not None else facts.has_timesync_flag


def _rtc(facts: ClockFacts) -> Iterator[Finding]:
    if not facts.rtc:
        yield Finding(
            "clock.no_rtc",
            "this machine has no battery-backed clock: after a power cut it does not know the time until a time server "
            "tells it",
            "nothing, where a time server is always in reach: events of that time are marked; else add a real-time "
            "clock (on a Raspberry Pi 5 a battery)",
        )
    elif facts.rtc_s is None:
        yield Finding(
            "clock.rtc_unreadable",
            f"the battery-backed clock {facts.rtc} does not give a time",
            "its battery may be empty: replace it, then 'hwclock --systohc'",
            figures={"rtc": facts.rtc},
        )
    elif abs(facts.rtc_s - facts.wall_s) > _RTC_OFF_S:
        off_s = facts.rtc_s - facts.wall_s
        yield Finding(
            "clock.rtc_off",
            f"the battery-backed clock {facts.rtc} says {_time(facts.rtc_s)}, {abs(off_s):,.0f} s "
            f"{'ahead of' if off_s > 0 else 'behind'} the system's",
            "write the right time to it with 'hwclock --systohc' ('--utc' if it runs in local time); it is the time "
            "that the next start begins with",
            figures={"rtc": facts.rtc, "off_s": round(off_s, 1)},
        )
    else:
        yield Finding("clock.rtc_right", f"the battery-backed clock {facts.rtc} agrees with the system's", figures={
            "rtc": facts.rtc, "off_s": round(facts.rtc_s - facts.wall_s, 1)})  # fmt: skip


def _time(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
