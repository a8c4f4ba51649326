"""What becomes of the times of events that were received before the clock was set (P6).

They go out marked ``unsynced``. Once the time is known, what is still stored and was never sent to an uplink is
corrected for it; what may have been sent stays as it was, because an envelope never changes (P2). Of an OS boot
that never learned the time, the rest becomes ``estimated`` at the next boot.

`TimeRules` are those of one uplink. ``fixed_to`` is the sequence number up to which no event's time changes any more
but by the corrections that are listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from fieldgate.journal.records import BootRecord, RunRecord
from fieldgate_devices.event import Event, Stamp, TimeQuality

__all__ = ["BootClock", "Correction", "TimeRules", "corrected"]

_STEP_NS: Final = 60 * 10**9  # no clock that was set drifts by so much within one OS boot
_MAX_CORRECTIONS: Final = 300  # a gateway without a clock that boots daily while an uplink is away for a year


class Correction(msgspec.Struct, array_like=True, frozen=True):
    """Unsynced events of ``lane`` from ``first_seq`` to ``last_seq``: UTC is their boot time plus ``offset_ns``.

    None: the time never became known; the device's guess stands, as ``estimated``.
    """

    lane: int
    first_seq: int
    last_seq: int
    offset_ns: int | None


class TimeRules(msgspec.Struct):
    """As stored. ``may_have_sent_unsynced``: the uplink was connected while this OS boot did not know the time."""

    os_boot: str = ""
    fixed_to: int = 0
    may_have_sent_unsynced: bool = False
    corrections: list[Correction] = []

    def started(self, os_boot: str, stored_to: Sequence[int], floors: Sequence[int]) -> bool:
        """A process begins; return whether that changes times, so that it must be saved before anything is sent.

        What an earlier OS boot stored without ever knowing the time, and never sent, becomes ``estimated``. What a
        process of this boot may have sent as unsynced stays so.
        """
        is_changed = False
        newest = max(stored_to)
        if self.os_boot != os_boot:
            if not self.may_have_sent_unsynced:
                for lane, (last, floor) in enumerate(zip(stored_to, floors, strict=True)):
                    is_changed |= self._correct(lane, max(floor, self.fixed_to) + 1, last, None)
            self.os_boot = os_boot
            self.may_have_sent_unsynced = False
            self.fixed_to = max(self.fixed_to, newest)
        elif self.may_have_sent_unsynced:
            self.fixed_to = max(self.fixed_to, newest)
        return is_changed

    def connects(self, *, is_synced: bool, stored_to: Sequence[int]) -> bool:
        """The uplink is up; return whether that must be saved before anything is sent.

        While the time is unknown, whatever is sent must not be corrected later. Once it is known, what earlier
        processes stored and nobody corrected by now is sent as it is.
        """
        if not is_synced:
            is_news, self.may_have_sent_unsynced = not self.may_have_sent_unsynced, True
            return is_news
        is_news, self.fixed_to = max(stored_to) > self.fixed_to, max(self.fixed_to, *stored_to)
        return is_news

    def became_known(self, ranges: Iterable[tuple[int, int, int]], offset_ns: int, *, newest: int) -> None:
        """The time is known: correct these ``(lane, first, last)``, which were never sent, and nothing else ever."""
        for lane, first, last in ranges:
            self._correct(lane, first, last, offset_ns)
        self.may_have_sent_unsynced = False
        self.fixed_to = max(self.fixed_to, newest)

    def forget_through(self, floors: Sequence[int]) -> None:
        """Drop what concerns nothing above these sequence numbers, one per lane."""
        self.corrections = [one for one in self.corrections if one.last_seq > floors[one.lane]]

    def copy(self) -> TimeRules:
        """Return a copy that later changes do not reach."""
        return msgspec.structs.replace(self, corrections=list(self.corrections))

    def _correct(self, lane: int, first: int, last: int, offset_ns: int | None) -> bool:
        if first > last:
            return False
        for index, one in enumerate(self.corrections):
            if (one.lane, one.offset_ns, one.last_seq + 1) == (lane, offset_ns, first):
                self.corrections[index] = Correction(lane, one.first_seq, last, offset_ns)
                return True
        if len(self.corrections) >= _MAX_CORRECTIONS:
            return False  # it stays unsynced, and says so
        self.corrections.append(Correction(lane, first, last, offset_ns))
        return True


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
            return msgspec.structs.replace(event, stamp=stamp)
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
