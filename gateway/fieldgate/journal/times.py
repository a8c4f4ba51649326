"""What becomes of the times of events that were received before the clock was set (P6).

They go out marked ``unsynced``. Once the time is known, what is still stored and was never sent to an uplink is
corrected for it; what may have been sent stays as it was, because an envelope never changes (P2). Of an OS boot
that never learned the time, the rest becomes ``estimated`` at the next boot.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from fieldgate_devices.event import Event, Stamp, TimeQuality

__all__ = ["Correction", "corrected"]


class Correction(msgspec.Struct, array_like=True, frozen=True):
    """Unsynced events of ``lane`` from ``first_seq`` to ``last_seq``: UTC is their boot time plus ``offset_ns``.

    None: the time never became known; the device's guess stands, as ``estimated``.
    """

    lane: int
    first_seq: int
    last_seq: int
    offset_ns: int | None


def corrected(event: Event, corrections: Iterable[Correction]) -> Event:
    """Return ``event`` with the time that the first correction that covers it gives."""
    stamp = event.stamp
    if stamp.quality != TimeQuality.UNSYNCED:
        return event
    for correction in corrections:
        if correction.lane == event.lane and correction.first_seq <= event.seq <= correction.last_seq:
            if correction.offset_ns is None:
                stamp = Stamp(stamp.run, stamp.wall_ns, stamp.boot_ns, TimeQuality.ESTIMATED)
            else:
                stamp = Stamp(stamp.run, stamp.boot_ns + correction.offset_ns, stamp.boot_ns, TimeQuality.SYNCED)
            return Event(
                event.address, stamp, event.data, event.is_json, event.content_id, event.lane, event.seq, event.raw
            )
    return event
