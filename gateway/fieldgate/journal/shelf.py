"""What one uplink has parked: its part of the accounts, and what of it is on its way once more.

An event that is sent again stays in ``ledger["parked"]`` until the far side has it; then, in one step, it is
delivered. So routed = delivered + pending + ledger holds at every moment, and a crash in between only repeats it.
"""

from __future__ import annotations

from collections.abc import Sequence

from fieldgate.journal.balance import Balance
from fieldgate.journal.extras import ExtraBatch, Extras
from fieldgate.journal.parking import ParkedKey, Parking
from fieldgate.journal.records import ParkedHead
from fieldgate.journal.uplink_state import UplinkState
from fieldgate_devices.event import Event

__all__ = ["Shelf"]


class Shelf:
    """The parked events of ``uplink`` within ``parking``, which all uplinks share."""

    def __init__(self, uplink: str, state: UplinkState, balance: Balance, extras: Extras, parking: Parking) -> None:
        self._uplink = uplink
        self._state = state
        self._balance = balance
        self._extras = extras
        self._parking = parking
        uncounted = len(parking.of(uplink)) - state.ledger.get("parked", 0)
        if uncounted > 0:  # the state was lost and began again
            state.ledger["parked"] = state.ledger.get("parked", 0) + uncounted
            state.routed += uncounted

    def keep(self, events: Sequence[Event], *, reason: str, wall_ns: int) -> list[ParkedHead]:
        """Keep events that are booked as parked; return what has to go for them, of any uplink: see `move`."""
        gone: list[ParkedHead] = []
        for event in events:
            gone += self._parking.park(self._uplink, event, reason=reason, wall_ns=wall_ns)
        return gone

    def retry(self, events: Sequence[Event]) -> int:
        """Send parked events again, marked as passed by newer ones (P3); return how many were not about to be."""
        chosen = [event for event in events if self._parking.retries(self._key(event))]
        self._extras.retry(chosen)
        return len(chosen)

    def go_on(self, events: Sequence[Event]) -> None:
        """Send what an earlier process was told to send again."""
        self._extras.retry([event for event in events if self._parking.holds(self._key(event))])

    def taken(self, batch: ExtraBatch) -> None:
        """The far side has an event that was sent again."""
        if self._parking.leaves(self._key(batch.events[0])) is not None:
            self._take_out()
            self._state.delivered += 1

    def refused(self, batch: ExtraBatch, *, reason: str, wall_ns: int) -> list[ParkedHead]:
        """The far side refuses it again; as `keep`."""
        held = [event for event in batch.events if self._parking.holds(self._key(event))]
        return self.keep(held, reason=reason, wall_ns=wall_ns)

    def expired(self, batch: ExtraBatch) -> None:
        """An event that was to be sent again has ended."""
        head = self._parking.leaves(self._key(batch.events[0]))
        if head is not None:
            self.move(head, to="expired")

    def drop(self, keys: Sequence[ParkedKey]) -> int:
        """Give up parked events; return how many were parked."""
        heads = [head for key in keys if (head := self._parking.leaves(key)) is not None]
        for head in heads:
            self.move(head, to="dropped")
        return len(heads)

    def move(self, head: ParkedHead, *, to: str) -> None:
        """An event left the parking for good: it is lost for another reason now, and that is not told once more."""
        self._take_out()
        self._extras.cancel_retry(head.run, head.seq)
        self._balance.moved(head, to=to)

    def _key(self, event: Event) -> ParkedKey:
        return ParkedKey(self._uplink, event.stamp.run, event.seq)

    def _take_out(self) -> None:
        ledger = self._state.ledger
        ledger["parked"] = ledger.get("parked", 0) - 1
        if ledger["parked"] <= 0:
            del ledger["parked"]
