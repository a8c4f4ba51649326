"""What is in memory and neither written nor delivered everywhere: when it must be written, and what then.

Batches stand in the order in which they were accepted and leave it from the old end only, so that each lane is
written in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from fieldgate.journal.policy import BLOCK_EVENTS, commit_due_s
from fieldgate.journal.window import Batch
from fieldgate_devices.event import Event

__all__ = ["WriteJob", "WriteQueue"]

_JOB_EVENTS = 2_000
_JOB_BYTES = 4 << 20
_REFILL_S = 0.001
_COMMIT_S = 0.005  # about what a commit takes: an uplink that is quicker than that is waited for
_SAMPLES = 8  # acknowledgements over which the uplinks' time is averaged, about
_HISTORY_EVENTS = 1_000  # what is delivered and only kept for replay waits for a large block …
_HISTORY_DELAY_S = 5.0  # … or this long


@dataclass(slots=True)
class WriteJob:
    """Batches on their way to disk, per lane in order; ``events`` are what is to be written of each."""

    lanes: dict[int, list[tuple[Batch, Sequence[Event]]]] = field(default_factory=dict)
    count: int = 0
    size_bytes: int = 0

    @property
    def batches(self) -> list[Batch]:
        """All batches, in the order in which they were accepted."""
        batches = [batch for entries in self.lanes.values() for batch, _ in entries]
        return sorted(batches, key=lambda batch: batch.last_seq)


class WriteQueue:
    """``hurries``: it makes no sense to wait for ``hold_s``. ``keeps_delivered``: what everybody has is written too."""

    def __init__(
        self,
        *,
        is_relay: bool,
        hold_s: float,
        commit_delay_s: float,
        keeps_delivered: bool,
        job_bytes: int = _JOB_BYTES,
    ) -> None:
        self.hurries = True
        self.keeps_delivered = keeps_delivered
        self.size_bytes = 0
        self._is_relay = is_relay
        self._hold_s = hold_s
        self._commit_delay_s = commit_delay_s
        self._job_bytes = min(job_bytes, _JOB_BYTES)
        self._batches: deque[Batch] = deque()
        self._events = 0
        self._stalled_to = 0
        self._urgent_to = 0
        self._uplink_s = 0.0  # how long an acknowledgement from upstream takes, on average
        self._acknowledged_s: float | None = None
        self._refill_events = 0
        self._refill_to_s: float | None = 0.0

    def __len__(self) -> int:
        return len(self._batches)

    def append(self, batch: Batch) -> None:
        """Add the newest batch."""
        self._batches.append(batch)
        self._events += len(batch.events)
        self.size_bytes += batch.size_bytes

    def left(self, batch: Batch) -> None:
        """A batch that is not in the queue any more is done with: written, or delivered everywhere."""
        self._events -= len(batch.events)
        self.size_bytes -= batch.size_bytes

    def stalled(self, next_seq: int, *, is_far: bool = False) -> None:
        """A device waits for something that was accepted before the event with number ``next_seq``.

        Where it is ``is_far`` away that costs a round trip each time. So not even ``hold_s`` is waited, unless the
        uplinks acknowledge sooner than a commit would end.
        """
        self._stalled_to = next_seq
        if is_far:
            self._urgent_to = next_seq

    def acknowledged(self, batch: Batch) -> None:
        """An uplink has acknowledged something of ``batch``; `due_s`, which knows the time, follows at once."""
        self._acknowledged_s = batch.accepted_s

    def _look_at_uplinks(self, now_s: float) -> None:
        if self._acknowledged_s is not None:
            took_s = now_s - self._acknowledged_s
            self._uplink_s += (took_s - self._uplink_s) / _SAMPLES
            self._acknowledged_s = None

    def _hold_of(self, batch: Batch) -> float:
        if self.hurries or (batch.last_seq < self._urgent_to and self._uplink_s > _COMMIT_S):
            return 0.0
        return self._hold_s

    def write_ends(self) -> None:
        """A commit has ended: devices that get their acknowledgements now fill their windows again.

        Waiting a moment for them lets all share the next commit; else they fall into groups that take turns, and
        each commit costs as much for half as many.
        """
        self._refill_events = min(self._events, _JOB_EVENTS)
        self._refill_to_s = None

    def drop_delivered(self) -> None:
        """Drop from the old end what everybody has."""
        batches = self._batches
        while batches and not self.keeps_delivered and not batches[0].is_wanted():
            self.left(batches.popleft())

    def count_wanted_by(self, bit_number: int) -> int:
        """Return how many events uplink ``bit_number`` still wants."""
        return sum([batch.count_wanted_by(bit_number) for batch in self._batches])

    def due_s(self, now_s: float) -> float | None:
        """Return when the next group commit is due; None when nothing waits for one."""
        self._look_at_uplinks(now_s)
        if self._refill_to_s is None:
            self._refill_to_s = now_s + _REFILL_S
        if not self._batches:
            return None
        oldest = self._batches[0]
        if self.hurries:
            eligible, since_s = self._events, oldest.accepted_s
        else:
            since_s = oldest.accepted_s + self._hold_of(oldest)
            if since_s > now_s:
                return since_s
            eligible, is_wanted = self._eligible(now_s)
            if not is_wanted and eligible < _HISTORY_EVENTS:
                return since_s + _HISTORY_DELAY_S
        due_s = commit_due_s(
            eligible=eligible,
            eligible_since_s=since_s,
            is_stalled=oldest.last_seq < self._stalled_to,
            commit_delay_s=self._commit_delay_s,
        )
        return due_s if self._events >= self._refill_events else max(due_s, self._refill_to_s)

    def _eligible(self, now_s: float) -> tuple[int, bool]:
        """Return how many events have waited for ``hold`` (counted up to what matters), and whether any is wanted."""
        is_wanted = not (self.keeps_delivered and self._is_relay)
        enough = BLOCK_EVENTS if is_wanted else _HISTORY_EVENTS
        count = 0
        for batch in self._batches:
            if batch.accepted_s + self._hold_of(batch) > now_s or count >= enough:
                break
            count += len(batch.events)
            is_wanted = is_wanted or batch.is_wanted()
        return count, is_wanted

    def take(self, now_s: float, *, everything: bool) -> WriteJob:
        """Take out what must be written now, or ``everything`` whether due or not; no more than one commit takes.

        Batches that are bound to each other are never divided: what must be on disk together may be more than that.
        """
        job = WriteJob()
        batches = self._batches
        has_begun = False
        while batches:
            batch = batches[0]
            if not (has_begun and batch.is_bound):
                if job.count >= _JOB_EVENTS or job.size_bytes >= self._job_bytes:
                    break
                if not everything and batch.accepted_s + self._hold_of(batch) > now_s:
                    break
            has_begun = True
            batches.popleft()
            events: Sequence[Event] = batch.events
            if not self.keeps_delivered:
                runs = batch.runs_wanted()
                if not runs:
                    self.left(batch)
                    continue
                if runs != [(0, len(events))]:
                    events = [event for start, stop in runs for event in events[start:stop]]
            job.lanes.setdefault(events[0].lane, []).append((batch, events))
            job.count += len(events)
            job.size_bytes += sum([len(event.data) for event in events])
        return job

    def put_back(self, job: WriteJob) -> None:
        """Nothing of ``job`` was written: it waits again, at its old place."""
        self._batches.extendleft(reversed(job.batches))
