"""What becomes of the times of events that were received before the clock was set (P6).

They go out marked ``unsynced``. Once the time is known, what is still stored and was never sent to an uplink is
corrected for it; what may have been sent stays as it was, because an envelope never changes (P2). Of an OS boot
that never learned the time, the rest becomes ``estimated`` at the next boot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from fieldgate.journal.records import BootRecord, RunRecord
from fieldgate_devices.event import Event, Stamp, TimeQuality

__all__ = ["BootClock", "Correction", "corrected"]

_STEP_NS: Final = 60 * 10**9  # no clock that was set drifts by so much within one OS boot


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


class BootClock:
    """Whether the time of this OS boot is known, and whether its `clock` event was sent: once per OS boot.

    ``runs`` and ``boots`` are what the journal knows of earlier starts; ``offset_ns`` is wall time less boot time now.
    """

    def __init__(
        self,
        os_boot: str,
        *,
        runs: Sequence[RunRecord],
        boots: Sequence[BootRecord],
        is_synced: bool,
        offset_ns: int,
    ) -> None:
        self.quality = TimeQuality.SYNCED if is_synced else TimeQuality.UNSYNCED
        offsets = {boot.os_boot: boot.offset_ns for boot in boots}
        self.is_told = offsets.get(os_boot) is not None
        starts = [run.started_wall_ns - run.started_boot_ns for run in runs if run.os_boot == os_boot]
        has_stepped = any(abs(start_ns - offset_ns) > _STEP_NS for start_ns in starts)
        self._is_owed = is_synced and has_stepped and not self.is_told  # the process ended in the very moment
        before = [run for run in runs if run.os_boot != os_boot]
        self.is_first_run = not starts
        self.last_boot_never_knew = bool(before) and self.is_first_run and offsets.get(before[-1].os_boot) is None

    def look(self, *, is_synced: bool) -> Literal["known", "lost"] | None:
        """Return what has become of the time since the last look. ``known`` may come again after ``lost``."""
        if self._is_owed or (is_synced and self.quality != TimeQuality.SYNCED):
            self._is_owed = False
            self.quality = TimeQuality.SYNCED
            return "known"
        if not is_synced and self.quality == TimeQuality.SYNCED:
            self.quality = TimeQuality.UNSYNCED
            return "lost"
        return None
