"""How long an event may still be sent whose publisher said when it ends (``honour_expiry``; MQTT 5 3.3.2.3.3).

Time passes as the gateway's boot clock counts it. For an event of an earlier OS boot the wall clocks are compared
where both are trusted; else it has waited at least since this boot began, and is only known to be over after that.
"""

from __future__ import annotations

from collections.abc import Callable

from fieldgate.forward.encode import OsBootOf
from fieldgate.forward.uplink import Feed, Shipment
from fieldgate_devices.event import Event, TimeQuality

__all__ = ["Expiry", "unexpired"]


class Expiry:
    """``run`` is this process; ``wall_ns`` answers the wall clock, None while it is not trusted."""

    def __init__(self, *, run: int, os_boot_of: OsBootOf, wall_ns: Callable[[], int | None]) -> None:
        self._run = run
        self._os_boot_of = os_boot_of
        self._wall_ns = wall_ns

    def ends_s(self, event: Event, now_s: float) -> float | None:
        """Return the boot time at which ``event`` ends, which may be past; None for one that never does."""
        if event.expiry_s is None:
            return None
        stamp = event.stamp
        if stamp.run == self._run or self._is_this_boot(stamp.run):
            waited_s = now_s - stamp.boot_ns / 1e9
        else:
            wall_ns = self._wall_ns()
            is_known = wall_ns is not None and stamp.quality != TimeQuality.UNSYNCED
            waited_s = max(now_s, (wall_ns - stamp.wall_ns) / 1e9) if is_known and wall_ns is not None else now_s
        return now_s + event.expiry_s - max(0.0, waited_s)

    def _is_this_boot(self, run: int) -> bool:
        own = self._os_boot_of(self._run)
        return own is not None and self._os_boot_of(run) == own


def unexpired(shipment: Shipment, expiry: Expiry | None, feed: Feed, now_s: float) -> list[tuple[int, int]]:
    """Return the ranges of a run that may be sent; the rest is told to the feed as expired."""
    batch, events, start, stop, _, _ = shipment
    if expiry is None:
        return [(start, stop)]
    ranges: list[tuple[int, int]] = []
    for index in range(start, stop):
        ends_s = expiry.ends_s(events[index], now_s)
        if ends_s is not None and ends_s <= now_s:
            feed.expired(batch, index, index + 1)
        elif ranges and ranges[-1][1] == index:
            ranges[-1] = (ranges[-1][0], index + 1)
        else:
            ranges.append((index, index + 1))
    return ranges
