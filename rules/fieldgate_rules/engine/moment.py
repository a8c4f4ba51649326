"""The present moment, as rules see it: boot time always, UTC only while it is known (P6)."""

from __future__ import annotations

from typing import Final

import msgspec

from fieldgate_devices.event import Stamp, TimeQuality

__all__ = ["Moment", "moment_of"]

_NS: Final = 1e9


class Moment(msgspec.Struct, frozen=True):
    """``boot_s`` is CLOCK_BOOTTIME in seconds, ``wall_s`` UTC in seconds since 1970 or None."""

    boot_s: float
    wall_s: float | None
    stamp: Stamp


def moment_of(stamp: Stamp) -> Moment:
    """Return the moment of a stamp."""
    wall_s = stamp.wall_ns / _NS if stamp.quality == TimeQuality.SYNCED else None
    return Moment(stamp.boot_ns / _NS, wall_s, stamp)
