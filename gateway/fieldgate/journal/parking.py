"""Which events are parked, over all uplinks: what the far side would not take, kept for a person to decide about.

Core: it knows the heads of what is kept and gathers what the next commit must write of it. An event is kept from the
commit that books it as ``parked`` until the far side takes it after all, a person drops it, or the bounds make it go,
the oldest first; each of these moves it in the accounts, so that ``ledger["parked"]`` counts what is kept. (A ledger
of an older version may count more: of those nothing was kept.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from fieldgate.journal.records import ParkedEvent, ParkedHead, ParkingChange, RetryMark, Unparked
from fieldgate_devices.event import Event

__all__ = ["ParkedKey", "Parking", "parked_limit_bytes"]

_MAX_EVENTS: Final = 1_000
_MAX_BYTES: Final = 4 << 20  # what is kept is also in memory
_SHARE: Final = 32
_OVERHEAD_BYTES: Final = 300


class ParkedKey(NamedTuple):
    """One event of one uplink."""

    uplink: str
    run: int
    seq: int


def parked_limit_bytes(max_size_bytes: int) -> int:
    """Return how many bytes of a journal of that size may be parked events."""
    return min(_MAX_BYTES, max_size_bytes // _SHARE)


def _key(head: ParkedHead) -> ParkedKey:
    return ParkedKey(head.uplink, head.run, head.seq)


class Parking:
    """``kept`` are the heads of what is on disk, the oldest first."""

    def __init__(self, kept: Iterable[ParkedHead], *, max_bytes: int = _MAX_BYTES) -> None:
        self._kept = {_key(head): head for head in kept}
        self._max_bytes = max_bytes
        self._size_bytes = sum(head.size_bytes for head in self._kept.values())
        self._changes: list[ParkingChange] = []
        self._unsaved_bytes = 0

    @property
    def is_behind(self) -> bool:
        """Whether so much waits for the next commit, a full disk's for example, that no more may come before it."""
        return self._unsaved_bytes > self._max_bytes

    def park(self, uplink: str, event: Event, *, reason: str, wall_ns: int) -> list[ParkedHead]:
        """Keep an event, or note why it was refused again; return what has to go for it.

        The caller moves those in the accounts: they were taken out here.
        """
        head = ParkedHead(uplink, event.lane, event.stamp.run, event.seq, _size_bytes(event), is_retrying=False)
        self._forget(_key(head))
        self._kept[_key(head)] = head
        self._size_bytes += head.size_bytes
        self._note(ParkedEvent(uplink, reason, event, wall_ns))
        gone: list[ParkedHead] = []
        while len(self._kept) > _MAX_EVENTS or self._size_bytes > self._max_bytes:
            oldest = next(iter(self._kept))
            gone.append(self._kept[oldest])
            self.leaves(oldest)
        return gone

    def leaves(self, key: ParkedKey) -> ParkedHead | None:
        """An event is parked no more; return its head, None if it was not parked."""
        head = self._forget(key)
        if head is not None:
            self._note(Unparked(head.uplink, head.lane, head.run, head.seq))
        return head

    def retries(self, key: ParkedKey) -> bool:
        """Note that an event is to be sent again; return whether it is parked and was not about to be."""
        head = self._kept.get(key)
        if head is None or head.is_retrying:
            return False
        self._kept[key] = head._replace(is_retrying=True)
        self._note(RetryMark(head.uplink, head.run, head.seq))
        return True

    def holds(self, key: ParkedKey) -> bool:
        """Whether this event is parked."""
        return key in self._kept

    def of(self, uplink: str) -> list[ParkedHead]:
        """Return what is parked for an uplink, the oldest first."""
        return [head for head in self._kept.values() if head.uplink == uplink]

    def uplinks(self) -> set[str]:
        """Return for whom anything is parked."""
        return {key.uplink for key in self._kept}

    def forget_uplink(self, uplink: str) -> None:
        """Nothing is kept for it any more; the journal forgets it together with the uplink's state."""
        for head in self.of(uplink):
            self._forget(_key(head))

    def take_changes(self) -> Sequence[ParkingChange]:
        """Take what the next commit must write, in order."""
        changes, self._changes = self._changes, []
        self._unsaved_bytes = 0
        return changes

    def give_back(self, changes: Sequence[ParkingChange]) -> None:
        """A commit with these was not written."""
        self._changes[:0] = changes
        self._unsaved_bytes += sum(map(_change_bytes, changes))

    def _note(self, change: ParkingChange) -> None:
        self._changes.append(change)
        self._unsaved_bytes += _change_bytes(change)

    def _forget(self, key: ParkedKey) -> ParkedHead | None:
        head = self._kept.pop(key, None)
        if head is not None:
            self._size_bytes -= head.size_bytes
        return head


def _change_bytes(change: ParkingChange) -> int:
    return _size_bytes(change.event) if isinstance(change, ParkedEvent) else _OVERHEAD_BYTES


def _size_bytes(event: Event) -> int:
    """What a parked event takes, near enough for limits."""
    raw = 0 if event.raw is None else len(event.raw)
    address = event.address
    return _OVERHEAD_BYTES + len(event.data) + raw + 2 * len(address.device) + len(address.topic)
