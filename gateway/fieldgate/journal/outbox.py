"""The outbox core: which events may be sent, which must be written, which are settled.

Laws of this file (DESIGN.md sections 2 and 3):

- An event is settled once it is on disk or every uplink that it is routed to has acknowledged it; at level
  ``journal`` once it is on disk. Each settle position is told exactly once (P1).
- Sequence numbers rise by one per event over all lanes; what is handed to an uplink leaves per lane in that order.
- Nothing is forgotten in memory before it is settled and either delivered everywhere or readable from disk.

It does no I/O and reads no clock: `fieldgate.journal.keeper` does what it answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fieldgate.ingest.source import Settler
from fieldgate.journal.feed import UplinkFeed
from fieldgate.journal.policy import UplinkDemand, commit_due_s
from fieldgate.journal.uplink_state import NOBODY_NAME, Route, UplinkState, adopt_states
from fieldgate.journal.window import MAX_UPLINKS, NOBODY, Batch, LaneLog
from fieldgate_devices.event import LANES, Event, Stamp

__all__ = ["Outbox", "WriteJob"]

_MEMORY_BYTES = 8 << 20  # written batches kept for uplinks that are only a little behind
_MAX_UNSETTLED_BYTES = 24 << 20  # over all connections: then reading stops everywhere
_JOB_EVENTS = 2_000
_HISTORY_EVENTS = 1_000  # what is delivered and only kept for replay waits for a large block …
_HISTORY_DELAY_S = 5.0  # … or this long


@dataclass(slots=True)
class WriteJob:
    """Batches on their way to disk, per lane in order; ``events`` are what is to be written of each."""

    lanes: dict[int, list[tuple[Batch, Sequence[Event]]]] = field(default_factory=dict)
    count: int = 0


class Outbox:
    """See the laws above. ``attention`` is called when there is something to do at the next turn of the loop."""

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        gateway: str,
        is_relay: bool,
        keeps_history: bool = False,
        hold_s: float,
        commit_delay_s: float,
        next_seq: int,
        stored_to: Sequence[int],
        states: dict[str, UplinkState],
        attention: Callable[[], None],
        now_stamp: Callable[[], Stamp],
    ) -> None:
        if len(routes) > MAX_UPLINKS:
            raise ValueError(f"at most {MAX_UPLINKS} uplinks, not {len(routes)}")
        self.gateway = gateway
        self.next_seq = next_seq
        self.accepted = 0
        self.unsettled_bytes = 0
        self.is_journal_stuck = False
        self.lanes = tuple(LaneLog(lane, stored_to=stored_to[lane]) for lane in LANES)
        self._is_relay = is_relay
        self._writes_all = not is_relay or keeps_history
        self._hold_s = hold_s
        self._commit_delay_s = commit_delay_s
        self._attention = attention
        self.now_stamp = now_stamp
        nobody = Route(NOBODY_NAME)
        adopted = adopt_states(routes or [nobody], states, stored_to)
        self.feeds = {
            route.name: UplinkFeed(route, number, self.lanes, self, adopted[route.name])
            for number, route in enumerate(routes)
        }
        self._nobody: UplinkFeed | None = None
        if not routes:
            self._nobody = UplinkFeed(nobody, MAX_UPLINKS, self.lanes, self, adopted[NOBODY_NAME])
        for feed in self.all_feeds():
            feed.restored(next_seq=next_seq)
        self._all_bits = sum(1 << number for number in range(len(routes))) or NOBODY
        self._has_filters = any(route.is_wanted is not None for route in routes)
        self._bits_cache: dict[tuple[object, int], int] = {}
        self._unwritten: deque[Batch] = deque()
        self._unwritten_events = 0
        self._is_stalled = False
        self._hurry = self._must_hurry()
        self._touched: dict[Settler, None] = {}
        self._is_attentive = False

    # -- events come in -----------------------------------------------------------------------------------------

    def accept(
        self,
        events: Sequence[Event],
        settler: Settler | None,
        positions: int | list[int],
        *,
        now_s: float,
        size_bytes: int,
    ) -> None:
        """Take events of one lane and read, in order, and number them."""
        seq = self.next_seq
        for event in events:
            event.seq = seq
            seq += 1
        count = seq - self.next_seq
        self.next_seq = seq
        self.accepted += count
        if self._has_filters:
            waits = bytes([self._bits_of(event) for event in events])
        else:
            waits = bytes((self._all_bits,)) * count
        batch = Batch(events, waits, settler=settler, positions=positions, accepted_s=now_s, size_bytes=size_bytes)
        for feed in self.feeds.values():
            feed.add_routed(batch.count_wanted_by(feed.bit_number) if self._has_filters else count)
        if self._nobody is not None:
            self._nobody.add_routed(count)
        self.lanes[events[0].lane].append(batch)
        self._unwritten.append(batch)
        self._unwritten_events += count
        self.unsettled_bytes += size_bytes
        if self._has_filters and self._is_relay:
            for start, stop in batch.runs_unwanted(0, count):
                self._settle(batch, start, stop)
        self.changed()

    def stalled(self) -> None:
        """A device has filled its window: do not let it wait for more events to share the commit."""
        self._is_stalled = True
        self.changed()

    def is_open(self) -> bool:
        """Whether further events fit into memory."""
        return self.unsettled_bytes < _MAX_UNSETTLED_BYTES

    # -- feeds report (FeedHost) ----------------------------------------------------------------------------------

    def acknowledged(self, batch: Batch, start: int, stop: int, *, nobody_wants: bool) -> None:
        """An uplink has a run of a batch in memory; settle what nobody waits for any more (`relay`)."""
        if self._is_relay and not batch.is_settled:
            runs = ((start, stop),) if nobody_wants else batch.runs_unwanted(start, stop)
            for first, end in runs:
                self._settle(batch, first, end)
        if not self._is_attentive:
            self.changed()

    def changed(self) -> None:
        """Ask for a turn."""
        if not self._is_attentive:
            self._is_attentive = True
            self._attention()

    def uplink_went(self, feed: UplinkFeed, *, down: bool) -> None:
        """An uplink went down or came back: the hold may no longer make sense."""
        del feed, down
        self._hurry = self._must_hurry()
        self.changed()

    # -- a turn -----------------------------------------------------------------------------------------------------

    def begin_turn(self) -> None:
        """Drop from memory what is done, and let every settler write its acknowledgements."""
        self._is_attentive = False
        for lane in self.lanes:
            self._trim(lane)
        unwritten = self._unwritten
        while unwritten and not self._writes_all and not unwritten[0].is_wanted():
            self._left_unwritten(unwritten.popleft())
        touched = self._touched
        if touched:
            self._touched = {}
            for settler in touched:
                settler.flush()

    def commit_due_s(self, now_s: float) -> float | None:
        """Return when the next group commit is due; None when nothing waits for one."""
        if not self._unwritten:
            self._is_stalled = False
            return None
        oldest_s = self._unwritten[0].accepted_s
        if self._hurry:
            eligible, since_s = self._unwritten_events, oldest_s
        else:
            since_s = oldest_s + self._hold_s
            if since_s > now_s:
                return since_s
            cutoff_s = now_s - self._hold_s
            eligible = 0
            is_history = self._writes_all and self._is_relay
            for batch in self._unwritten:
                if batch.accepted_s > cutoff_s or eligible >= _JOB_EVENTS:
                    break
                eligible += len(batch.events)
                is_history = is_history and not batch.is_wanted()
            if is_history and eligible < _HISTORY_EVENTS:
                return since_s + _HISTORY_DELAY_S
        return commit_due_s(
            eligible=eligible,
            eligible_since_s=since_s,
            is_stalled=self._is_stalled,
            commit_delay_s=self._commit_delay_s,
        )

    def begin_write(self, now_s: float, *, everything: bool = False) -> WriteJob:
        """Return what must be written now; `written` or `write_failed` must follow before the next call."""
        job = WriteJob()
        cutoff_s = now_s if self._hurry or everything else now_s - self._hold_s
        unwritten = self._unwritten
        while unwritten and (everything or job.count < _JOB_EVENTS) and unwritten[0].accepted_s <= cutoff_s:
            batch = unwritten.popleft()
            events: Sequence[Event] = batch.events
            if not self._writes_all:
                runs = batch.runs_wanted()
                if not runs:
                    self._left_unwritten(batch)
                    continue
                if runs != [(0, len(events))]:
                    events = [event for start, stop in runs for event in events[start:stop]]
            batch.write_begins()
            self.lanes[events[0].lane].writing_to = batch.last_seq
            job.lanes.setdefault(events[0].lane, []).append((batch, events))
            job.count += len(events)
            for feed in self.all_feeds():
                feed.state.pending += batch.count_wanted_by(feed.bit_number)
        if not unwritten or not self._hurry:
            self._is_stalled = False
        return job

    def written(self, job: WriteJob) -> None:
        """``job`` is on disk: everything in it is settled."""
        for lane, entries in job.lanes.items():
            log = self.lanes[lane]
            for batch, _ in entries:
                batch.is_writing = False
                batch.is_written = True
                log.stored_to = batch.last_seq
                self._left_unwritten(batch)
                if not batch.is_settled:
                    runs = batch.runs_wanted() if self._is_relay else [(0, len(batch.events))]
                    for start, stop in runs:
                        self._settle(batch, start, stop)
                    batch.is_settled = True
        for log in self.lanes:
            self._evict_from_memory(log, max_bytes=_MEMORY_BYTES)
        self.changed()

    def write_failed(self, job: WriteJob) -> None:
        """Nothing of ``job`` was written; its batches wait again, in their old order."""
        batches = [batch for entries in job.lanes.values() for batch, _ in entries]
        for log in self.lanes:
            log.writing_to = log.stored_to
        for batch in sorted(batches, key=lambda batch: batch.last_seq, reverse=True):
            batch.is_writing = False
            self._unwritten.appendleft(batch)
            for feed in self.all_feeds():
                feed.state.pending -= batch.count_wanted_by(feed.bit_number)

    def time_became_known(self, offset_ns: int) -> None:
        """Let every uplink correct what it was not sent yet: all that is on disk is read from there."""
        for log in self.lanes:
            self._evict_from_memory(log, max_bytes=0)
        for feed in self.all_feeds():
            feed.time_became_known(offset_ns)

    def states(self) -> dict[str, UplinkState]:
        """Return every uplink's state for the next commit and regard it as saved."""
        saved = {}
        counted_to = [max(log.stored_to, log.writing_to) for log in self.lanes]
        for feed in self.all_feeds():
            state = saved[feed.name] = feed.snapshot()
            state.routed -= self.pending_in_memory(feed)  # a crash forgets those, and their devices send them again
            state.counted_to = counted_to
            feed.is_dirty = False
        return saved

    @property
    def is_dirty(self) -> bool:
        """Whether a state differs from what is on disk in a way that a crash would repeat or forget."""
        return any(feed.is_dirty for feed in self.all_feeds())

    @property
    def has_unwritten(self) -> bool:
        """Whether anything in memory is neither written nor delivered everywhere."""
        return bool(self._unwritten)

    def removable_to(self, lane: int) -> int:
        """Return the sequence number up to which no uplink wants anything of ``lane`` from disk."""
        return min((feed.streams[lane].floor for feed in self.all_feeds()), default=0)

    def all_feeds(self) -> list[UplinkFeed]:
        """Return every uplink's feed; while none is configured, the one that counts for whoever comes first."""
        return list(self.feeds.values()) if self._nobody is None else [self._nobody]

    def pending_in_memory(self, feed: UplinkFeed) -> int:
        """Return how many events this uplink still wants that are not on disk, nor on their way there."""
        return sum(
            batch.count_wanted_by(feed.bit_number)
            for lane in self.lanes
            for batch in lane
            if not batch.is_written and not batch.is_writing
        )

    def demands(self) -> list[UplinkDemand]:
        """Return what each uplink still wants from disk."""
        return [
            UplinkDemand(
                feed.name,
                tuple(stream.floor for stream in feed.streams),
                feed.route.is_required,
                feed.route.max_size_bytes,
                feed.route.max_age_s,
            )
            for feed in self.all_feeds()
        ]

    # -- inside -------------------------------------------------------------------------------------------------------

    def _must_hurry(self) -> bool:
        if not self._is_relay or self._nobody is not None:
            return True
        return any(feed.down and feed.route.is_required for feed in self.feeds.values())

    def _bits_of(self, event: Event) -> int:
        key = (event.address, event.lane)
        bits = self._bits_cache.get(key)
        if bits is None:
            bits = 0
            for feed in self.feeds.values():
                if feed.route.is_wanted is None or feed.route.is_wanted(event):
                    bits |= 1 << feed.bit_number
            if len(self._bits_cache) >= 10_000:
                self._bits_cache.clear()
            self._bits_cache[key] = bits
        return bits

    def _settle(self, batch: Batch, start: int, stop: int) -> None:
        settler = batch.settler
        if settler is None:
            return
        positions = batch.positions
        if isinstance(positions, int):
            settler.settled(positions + start, stop - start)
        else:
            for position in positions[start:stop]:
                settler.settled(position, 1)
        self._touched[settler] = None

    def _left_unwritten(self, batch: Batch) -> None:
        self._unwritten_events -= len(batch.events)
        self.unsettled_bytes -= batch.size_bytes

    def _trim(self, lane: LaneLog) -> None:
        """Drop from the head what is delivered everywhere; at level `journal` only once it is written."""
        head = lane.head
        while (
            head is not None
            and not head.is_writing
            and not head.is_wanted()
            and (not self._writes_all or head.is_written)
        ):
            lane.drop_head()
            head = lane.head

    def _evict_from_memory(self, lane: LaneLog, *, max_bytes: int) -> None:
        while lane.size_bytes > max_bytes and lane.head is not None and lane.head.is_written:
            batch = lane.drop_head()
            lane.evicted_to = batch.last_seq
            for feed in self.all_feeds():
                feed.evicted(batch)
