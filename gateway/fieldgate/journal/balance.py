"""The accounts of one uplink: routed = delivered + pending + ledger, exactly (P4).

What is booked here is told: each loss becomes a hole (`fieldgate.journal.gaps`) and an entry for the ledger. Where
damage took a number of events that nobody can know, nothing is booked until what is left can be counted; such a hole
bears run 0, because the last number of its range need not be that of a lost event, and two gap events must not share
an id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import msgspec

from fieldgate.journal.gaps import GapLine, Hole
from fieldgate.journal.intervals import IntervalSet
from fieldgate.journal.records import ParkedHead
from fieldgate.journal.uplink_state import UplinkState
from fieldgate_devices.event import Event

__all__ = ["Balance"]


class Balance:
    """Books on ``state``; ``booked`` is told of every loss."""

    def __init__(self, state: UplinkState, *, next_seq: int, booked: Callable[[Hole], None]) -> None:
        self.gaps = GapLine(state.gaps)
        self._state = state
        self._booked = booked
        self._uncounted = [IntervalSet(lane.uncounted) for lane in state.lanes]
        self._unseen = [(to + 1, next_seq - 1) for to in state.counted_to]  # lost together with the newest states

    def lost(self, hole: Hole) -> None:
        """Enter a loss in the ledger; the caller has taken it out of what is pending."""
        ledger = self._state.ledger
        ledger[hole.reason] = ledger.get(hole.reason, 0) + hole.count
        self.gaps.add(hole)
        self._booked(hole)

    def moved(self, head: ParkedHead, *, to: str) -> None:
        """A parked event, already taken out of the ledger and told as a gap, is lost for another reason now."""
        ledger = self._state.ledger
        ledger[to] = ledger.get(to, 0) + 1
        self._booked(Hole(head.lane, to, 1, head.run, head.seq, head.seq))

    def found(self, lane: int, events: Sequence[Event], *, through_seq: int) -> None:
        """Count what a new uplink finds on disk, as it is read: nobody counted it when it was accepted."""
        uncounted = self._uncounted[lane]
        if len(uncounted):
            count = sum(1 for event in events if event.seq in uncounted)
            self._state.routed += count
            self._state.pending += count
            uncounted.drop_through(through_seq)
            self._state.lanes[lane].uncounted = uncounted.pairs()

    def gave_up(self, lane: int, events: Sequence[Event], *, through_seq: int, reason: str) -> None:
        """Book ``events``, which are on disk and wanted, as lost."""
        self.found(lane, events, through_seq=through_seq)
        self._state.pending -= len(events)
        for run, group in groupby(events, key=lambda event: event.stamp.run):
            seqs = [event.seq for event in group]
            self.lost(Hole(lane, reason, len(seqs), run, seqs[0], seqs[-1]))

    def damaged(self, hole: Hole, *, wants_all: bool, is_exact: bool) -> bool:
        """Book damage to a range of which this uplink still wanted everything, if ``wants_all``.

        What was counted is booked now if ``hole.count`` ``is_exact``, else when what is left can be counted. What was
        not is booked with the least that is known. Return whether anything changed.
        """
        first, last = hole.first_seq, hole.last_seq
        uncounted = IntervalSet(self._uncounted[hole.lane].pairs())
        begin, end = self._unseen[hole.lane]
        if 0 < begin <= end:
            uncounted.add(begin, end)
        counted = uncounted.uncovered(first, last)
        if wants_all and not counted:
            self._state.routed += hole.count
            self.lost(hole)
        elif wants_all and is_exact and counted == [(first, last)]:
            self._state.pending -= hole.count
            self.lost(hole)
        elif counted:
            self._note(msgspec.structs.replace(hole, count=0, run=0))
        else:
            return False  # nobody can know which of these a new uplink would have got
        return True

    def settle_unsure(self, *, pending: int) -> None:
        """What is pending is known for certain: whatever else is booked so was lost to damage."""
        unsure, state = self._state.unsure, self._state
        lost = state.pending - pending
        if lost > 0:
            state.pending = pending
            self.lost(msgspec.structs.replace(unsure[0], count=lost))
        unsure.clear()

    def _note(self, hole: Hole) -> None:
        unsure = self._state.unsure
        for index, known in enumerate(unsure):
            if known.lane == hole.lane:
                first, last = min(known.first_seq, hole.first_seq), max(known.last_seq, hole.last_seq)
                unsure[index] = Hole(hole.lane, hole.reason, 0, 0, first, last)
                return
        unsure.append(hole)
