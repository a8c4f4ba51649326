"""What goes into a commit besides its events: states, ledger, losses, clocks, and what may be removed.

All of it belongs to the same moment: what is removed is what the states that are saved with it do not want any more.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fieldgate.journal.gaps import Hole
from fieldgate.journal.gather import blocks_of
from fieldgate.journal.outbox import Outbox, WriteJob
from fieldgate.journal.records import BootRecord, Commit, Committed, LedgerEntry, Loss, Removal
from fieldgate.journal.uplink_state import encode_states
from fieldgate_devices.event import LANES, Stamp

__all__ = ["Commits"]


@dataclass(slots=True)
class _Notes:
    ledger: list[LedgerEntry] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    boots: list[BootRecord] = field(default_factory=list)


class Commits:
    """Makes commits for ``outbox``, one at a time: `taken` or `not_taken` must follow each `make`."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._notes = _Notes()

    def make(self, job: WriteJob) -> Commit:
        """Return the commit that writes ``job`` (which may be empty) and saves everything else."""
        outbox = self._outbox
        now = outbox.now_stamp()
        states = encode_states(outbox.states())
        self._notes.ledger += _entries(outbox.losses, now)
        outbox.losses = []
        notes, self._notes = self._notes, _Notes()
        return Commit(
            now_boot_ns=now.boot_ns,
            blocks=blocks_of(job, outbox.all_feeds()),
            uplink_states=states,
            ledger=tuple(notes.ledger),
            losses=tuple(notes.losses),
            remove=self.removals(),
            boots=tuple(notes.boots),
            forget_uplinks=tuple(outbox.forgotten),
            parking=outbox.parking.take_changes(),
        )

    def removals(self) -> tuple[Removal, ...]:
        """Return what nobody wants from disk any more and is still there."""
        removals = []
        for lane in LANES:
            through = self._outbox.removable_to(lane)
            if through > self._outbox.lanes[lane].removed_to:
                removals.append(Removal(lane, through))
        return tuple(removals)

    def taken(self, job: WriteJob, commit: Commit, done: Committed) -> None:
        """The commit is on disk."""
        for removal in commit.remove:
            self._outbox.lanes[removal.lane].removed_to = removal.last_seq
        self._outbox.states_saved()
        self._outbox.written(job)
        for loss in done.losses:
            self.lost(loss)

    def not_taken(self, job: WriteJob, commit: Commit) -> None:
        """Nothing of it was written: all of it goes with a later one."""
        self._outbox.write_failed(job)
        self._outbox.states_not_saved()
        self._outbox.parking.give_back(commit.parking)
        notes = self._notes
        notes.ledger[:0], notes.losses[:0], notes.boots[:0] = commit.ledger, commit.losses, commit.boots

    def lost(self, loss: Loss) -> None:
        """Damage took stored events: book it for every uplink that still wanted them."""
        self._outbox.damaged(
            loss.lane, loss.first_seq, loss.last_seq, count=loss.count, is_exact=loss.is_exact, run=loss.run or 0
        )
        self._notes.losses.append(loss)

    def time_became_known(self, boot: BootRecord) -> None:
        """This OS boot's clock is known: let every uplink correct what it was not sent yet."""
        self._notes.boots.append(boot)
        self._outbox.time_became_known(boot.offset_ns or 0)


def _entries(losses: list[tuple[str, Hole]], now: Stamp) -> list[LedgerEntry]:
    """Make ledger entries of what was booked since the last commit, one for all that are alike."""
    joined: dict[tuple[str, int, str, int], Hole] = {}
    for uplink, hole in losses:
        key = (uplink, hole.lane, hole.reason, hole.run)
        joined[key] = joined[key].joined(hole) if key in joined else hole
    return [
        LedgerEntry(
            uplink=uplink,
            lane=hole.lane,
            reason=hole.reason,
            run=hole.run or None,
            first_seq=hole.first_seq,
            last_seq=hole.last_seq,
            count=hole.count,
            wall_ns=now.wall_ns,
            boot_ns=now.boot_ns,
        )
        for (uplink, _, _, _), hole in joined.items()
    ]
