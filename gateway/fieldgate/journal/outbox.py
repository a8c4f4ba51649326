"""The outbox core: which events may be sent, which must be written, which are settled.

Laws of this file (DESIGN.md sections 2 and 3):

- An event is settled once it is on disk or every uplink that it is routed to has acknowledged it; at level
  ``journal`` once it is on disk. Each settle position is told exactly once (P1).
- Sequence numbers rise by one per event over all lanes; what is handed to an uplink leaves per lane in that order.
- Nothing is forgotten in memory before it is settled and either delivered everywhere or readable from disk.

It does no I/O and reads no clock: `fieldgate.journal.keeper` does what it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fieldgate.ingest.source import Settler
from fieldgate.journal.feed import UplinkFeed
from fieldgate.journal.gaps import Hole
from fieldgate.journal.parking import Parking
from fieldgate.journal.policy import UplinkDemand
from fieldgate.journal.records import ParkedHead
from fieldgate.journal.routing import Routing
from fieldgate.journal.settle_times import SettleTimes
from fieldgate.journal.uplink_state import NOBODY_NAME, Route, UplinkState, starting_state
from fieldgate.journal.window import MAX_UPLINKS, Batch, LaneLog
from fieldgate.journal.write_queue import WriteJob, WriteQueue
from fieldgate_devices.event import LANES, Event, Stamp

__all__ = ["Outbox", "WriteJob"]

_MEMORY_BYTES = 8 << 20  # written batches kept for uplinks that are only a little behind
_MAX_UNSETTLED_BYTES = 24 << 20  # over all connections: then reading stops everywhere
_FAR = 1 << 62
_EVENT_BYTES = 320  # what an event takes in memory besides its text …
_BATCH_BYTES = 330  # … and a batch besides its events


class Outbox:
    """See the laws above. ``attention`` is called when there is something to do at the next turn of the loop.

    ``os_boot`` is the kernel's boot id now, ``stored_boot`` that of everything stored (empty where there were several),
    ``job_bytes`` about how much one commit may write, ``parking`` what is parked (nothing, and no bound of its own).
    """

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
        os_boot: str = "",
        stored_boot: str = "",
        job_bytes: int = _FAR,
        parking: Parking | None = None,
        attention: Callable[[], None],
        now_stamp: Callable[[], Stamp],
    ) -> None:
        if len(routes) > MAX_UPLINKS:
            raise ValueError(f"at most {MAX_UPLINKS} uplinks, not {len(routes)}")
        self.gateway = gateway
        self.next_seq = next_seq
        self.accepted = 0
        self.losses: list[tuple[str, Hole]] = []
        self.parking = parking or Parking(())
        self.history_to = [_FAR for _ in LANES]
        self.lanes = tuple(LaneLog(lane, stored_to=stored_to[lane]) for lane in LANES)
        self._is_relay = is_relay
        self._keeps_delivered = not is_relay or keeps_history
        self._queue = WriteQueue(
            is_relay=is_relay,
            hold_s=hold_s,
            commit_delay_s=commit_delay_s,
            keeps_delivered=self._keeps_delivered,
            job_bytes=job_bytes,
        )
        self._attention = attention
        self.now_stamp = now_stamp
        routes = routes or [Route(NOBODY_NAME)]
        self._feeds = [
            UplinkFeed(
                route,
                number,
                self.lanes,
                self,
                starting_state(route, states, stored_to=stored_to, stored_boot=stored_boot),
                os_boot=os_boot,
                next_seq=next_seq,
            )
            for number, route in enumerate(routes)
        ]
        self.feeds = {feed.name: feed for feed in self._feeds if feed.name != NOBODY_NAME}
        known = dict.fromkeys((*states, *self.parking.uplinks()))
        self.forgotten = [name for name in known if self.feeds and name not in self.feeds]
        for name in self.forgotten:
            self.parking.forget_uplink(name)
        for feed in self._feeds:
            feed.is_dirty |= bool(self.forgotten)  # what they took over is stored with what is forgotten
        self.routing = Routing(routes, states.values())
        self.settle_times = SettleTimes()
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
        is_bound: bool = False,
        is_routed: bool = False,
    ) -> None:
        """Take events of one lane and read, in order, and number them; ``is_bound``: see `Batch`.

        ``is_routed``: a rule has said of some where they go (`Extra.uplinks`, ``notify``, ``publish``).
        """
        seq = self.next_seq
        for event in events:
            event.seq = seq
            seq += 1
        count = seq - self.next_seq
        size_bytes += _BATCH_BYTES + _EVENT_BYTES * count
        self.next_seq = seq
        self.accepted += count
        routing = self.routing
        batch = Batch(
            events,
            routing.waits(events, is_routed=is_routed),
            settler=settler,
            positions=positions,
            accepted_s=now_s,
            size_bytes=size_bytes,
            is_bound=is_bound,
        )
        is_even = routing.is_even and not is_routed
        if is_routed:
            routing.note(batch)
        for feed in self._feeds:
            feed.add_routed(count if is_even else batch.count_wanted_by(feed.bit_number))
        self.lanes[events[0].lane].append(batch)
        self._queue.append(batch)
        if not is_even and self._is_relay:
            for start, stop in batch.runs_unwanted(0, count):
                self._settle(batch, start, stop)
        self.changed()

    def settle(self, settler: Settler, position: int) -> None:
        """Settle a message of which nothing is left: rules have absorbed all that came of it."""
        settler.settled(position, 1)
        self._touched[settler] = None
        self.changed()

    def stalled(self, *, is_far: bool = False) -> None:
        """A device has filled its window: do not let it wait for more events to share the commit. See `Intake`."""
        self._queue.stalled(self.next_seq, is_far=is_far)
        self.changed()

    @property
    def unsettled_bytes(self) -> int:
        """What is held in memory because it is neither written nor delivered everywhere."""
        return self._queue.size_bytes

    def is_open(self) -> bool:
        """Whether further events fit into memory."""
        return self._queue.size_bytes < _MAX_UNSETTLED_BYTES

    # -- feeds report (FeedHost) ----------------------------------------------------------------------------------

    def acknowledged(self, batch: Batch, start: int, stop: int, *, nobody_wants: bool) -> None:
        """An uplink has a run of a batch in memory; settle what nobody waits for any more (`relay`)."""
        self._queue.acknowledged(batch)
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

    def uplink_went(self, *, down: bool) -> None:
        """An uplink went down or came back (``down``): the hold may no longer make sense."""
        self._queue.hurries = self._hurries()
        self.changed()

    def booked(self, uplink: str, hole: Hole) -> None:
        """An uplink never gets some events: ``losses`` holds it for the ledger."""
        self.losses.append((uplink, hole))

    def parked_went(self, heads: Sequence[ParkedHead]) -> None:
        """Parked events had to go for newer ones: their uplinks never get them."""
        for head in heads:
            self.feeds[head.uplink].shelf.move(head, to="evicted")

    # -- a turn -----------------------------------------------------------------------------------------------------

    def begin_turn(self) -> None:
        """Drop from memory what is done, and let every settler write its acknowledgements."""
        self._is_attentive = False
        for lane in self.lanes:
            if lane.head is not None:
                self._trim(lane)
        self._queue.drop_delivered()
        if self._touched:
            touched, self._touched = self._touched, {}
            self.settle_times.turn_ends(self.now_stamp().boot_ns / 1e9)
            for settler in touched:
                settler.flush()

    def commit_due_s(self, now_s: float) -> float | None:
        """Return when the next group commit is due; None when nothing waits for one."""
        return self._queue.due_s(now_s)

    def begin_write(self, now_s: float, *, everything: bool = False) -> WriteJob:
        """Return what must be written now; `written` or `write_failed` must follow before the next call."""
        job = self._queue.take(now_s, everything=everything)
        for lane, entries in job.lanes.items():
            self.lanes[lane].writing_to = entries[-1][0].last_seq
            for batch, _ in entries:
                batch.write_begins()
                for feed in self._feeds:
                    feed.state.pending += batch.count_wanted_by(feed.bit_number)
        return job

    def written(self, job: WriteJob) -> None:
        """``job`` is on disk: everything in it is settled."""
        self._queue.write_ends()
        for lane, entries in job.lanes.items():
            log = self.lanes[lane]
            for batch, _ in entries:
                batch.is_writing = False
                batch.is_written = True
                log.stored_to = batch.last_seq
                self._queue.left(batch)
                if not batch.is_settled:
                    runs = batch.runs_wanted() if self._is_relay else [(0, len(batch.events))]
                    for start, stop in runs:
                        self._settle(batch, start, stop)
                    batch.is_settled = True
        for feed in self._feeds:
            feed.were_written()
        for log in self.lanes:
            self._evict_from_memory(log, max_bytes=_MEMORY_BYTES)
        self.changed()

    def write_failed(self, job: WriteJob) -> None:
        """Nothing of ``job`` was written; its batches wait again, in their old order."""
        for log in self.lanes:
            log.writing_to = log.stored_to
        for batch in job.batches:
            batch.is_writing = False
            for feed in self._feeds:
                feed.state.pending -= batch.count_wanted_by(feed.bit_number)
        self._queue.put_back(job)

    def journal_is_stuck(self, is_stuck: bool) -> None:
        """Nothing can be written for now: at level `relay` what is delivered is not kept for replay meanwhile."""
        self._queue.keeps_delivered = self._keeps_delivered and not (is_stuck and self._is_relay)

    def states(self) -> dict[str, UplinkState]:
        """Return every uplink's state for the next commit; `states_saved` must follow if that succeeds."""
        saved = {}
        counted_to = [log.writing_to for log in self.lanes]
        self.routing.forget_through([min(feed.floor(lane) for feed in self._feeds) for lane in LANES])
        for feed in self._feeds:
            state = saved[feed.name] = feed.snapshot(in_memory=self.pending_in_memory(feed))
            state.counted_to, state.chosen = counted_to, list(self.routing.chosen)
            feed.is_dirty = False
        return saved

    def states_saved(self) -> None:
        """What `states` returned last is on disk."""
        for feed in self._feeds:
            feed.saved()
        self.forgotten.clear()

    def states_not_saved(self) -> None:
        """It is not."""
        for feed in self._feeds:
            feed.is_dirty = True

    def close(self) -> None:
        """Hand out nothing any more."""
        for feed in self._feeds:
            feed.close()

    def damaged(self, lane: int, first_seq: int, last_seq: int, *, count: int, is_exact: bool = True, run: int) -> None:
        """Stored events cannot be read any more; see `UplinkFeed.damaged`."""
        hole = Hole(lane, "corrupt", count, run, first_seq, last_seq)
        may_differ = self.routing.may_hold_routed(lane, first_seq, last_seq)
        for feed in self._feeds:
            feed.damaged(hole, is_exact=is_exact, may_differ=may_differ)

    def time_became_unknown(self) -> None:
        """From now on events are unsynced again."""
        for feed in self._feeds:
            feed.time_became_unknown()

    def time_became_known(self, offset_ns: int) -> None:
        """UTC is boot time plus ``offset_ns``: let every uplink correct what it was not sent yet.

        What is on disk is read from there.
        """
        for log in self.lanes:
            self._evict_from_memory(log, max_bytes=0)
        for feed in self._feeds:
            feed.time_became_known(offset_ns)

    @property
    def is_dirty(self) -> bool:
        """Whether a state differs from what is on disk in a way that a crash would repeat or forget."""
        return any(feed.is_dirty for feed in self._feeds)

    @property
    def wants_save_now(self) -> bool:
        """Whether an uplink can hand out nothing, or not all, before its state is saved."""
        return any(feed.wants_save_now for feed in self._feeds)

    @property
    def has_unwritten(self) -> bool:
        """Whether anything in memory is neither written nor delivered everywhere."""
        return len(self._queue) > 0

    def removable_to(self, lane: int) -> int:
        """Return the sequence number up to which nobody wants anything of ``lane`` from disk, history included."""
        floors = [feed.floor(lane) for feed in self._feeds]
        return min(*floors, self.lanes[lane].stored_to, self.history_to[lane])

    def all_feeds(self) -> list[UplinkFeed]:
        """Return every uplink's feed; while none is configured, the one that counts for whoever comes first."""
        return self._feeds

    def pending_in_memory(self, feed: UplinkFeed) -> int:
        """Return how many events this uplink still wants that are not on disk, nor on their way there."""
        return self._queue.count_wanted_by(feed.bit_number)

    def demands(self) -> list[UplinkDemand]:
        """Return what each uplink still wants from disk."""
        return [
            UplinkDemand(
                feed.name,
                tuple(feed.floor(lane) for lane in LANES),
                feed.route.is_required,
                feed.route.max_size_bytes,
                feed.route.max_age_s,
            )
            for feed in self._feeds
        ]

    # -- inside -------------------------------------------------------------------------------------------------------

    def _hurries(self) -> bool:
        """Whether an event that is not delivered yet will hardly be in time: while an uplink is known to be down."""
        return not self._is_relay or any(feed.down for feed in self._feeds if not feed.route.is_told_only)

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
        self.settle_times.noted.append((batch.accepted_s, stop - start))
        self._touched[settler] = None

    def _trim(self, lane: LaneLog) -> None:
        """Drop from the head what is delivered everywhere; at level `journal` only once it is written."""
        head = lane.head
        while (
            head is not None
            and not head.is_writing
            and not head.is_wanted()
            and (not self._queue.keeps_delivered or head.is_written)
        ):
            lane.drop_head()
            head = lane.head

    def _evict_from_memory(self, lane: LaneLog, *, max_bytes: int) -> None:
        while lane.size_bytes > max_bytes and lane.head is not None and lane.head.is_written:
            batch = lane.drop_head()
            lane.evicted_to = batch.last_seq
            for feed in self._feeds:
                feed.evicted(batch)
