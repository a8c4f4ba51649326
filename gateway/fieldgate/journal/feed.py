"""One uplink's view of the outbox: its cursors, its accounts, and the order in which it gets events.

The order is that of its `Cursors`. The accounts of P4: routed = delivered + pending + ledger.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fieldgate.forward.uplink import Shipment
from fieldgate.journal.balance import Balance
from fieldgate.journal.cursors import Cursors
from fieldgate.journal.extras import ExtraBatch, Extras
from fieldgate.journal.feed_host import FeedHost
from fieldgate.journal.gaps import Hole
from fieldgate.journal.intervals import IntervalSet
from fieldgate.journal.parking import ParkedKey
from fieldgate.journal.segments import stop_at
from fieldgate.journal.shelf import Shelf
from fieldgate.journal.stream import Stream
from fieldgate.journal.times import corrected
from fieldgate.journal.uplink_state import LaneState, Route, UplinkState
from fieldgate.journal.window import Batch, LaneLog
from fieldgate_devices.event import LANES, Event, TimeQuality

__all__ = ["UplinkFeed"]


class UplinkFeed:
    """Implements `fieldgate.forward.uplink.Feed` for the uplink with number ``bit_number``.

    While ``is_frozen`` it hands nothing out: its state decides how events are sent after a crash, and is not saved.
    Nor while the parking is behind: what is refused then could not be kept.
    """

    def __init__(
        self,
        route: Route,
        bit_number: int,
        lanes: tuple[LaneLog, ...],
        host: FeedHost,
        state: UplinkState,
        *,
        os_boot: str,
        next_seq: int,
    ) -> None:
        self.route = route
        self.name = route.name
        self.bit_number = bit_number
        self.down = True
        self.state = state
        self._host = host
        self._lanes = lanes
        streams = [
            Stream(lane, bit_number, floor=saved.floor, done=IntervalSet(saved.done))
            for lane, saved in zip(lanes, state.lanes, strict=True)
        ]
        self._cursors = Cursors(lanes, bit_number, streams, marks=route.is_live_first)
        self._balance = Balance(state, next_seq=next_seq, booked=self._booked)
        self.extras = Extras(self._balance.gaps, gateway=host.gateway)
        self.shelf = Shelf(self.name, state, self._balance, self.extras, host.parking)
        floors = [stream.floor for stream in self.streams]
        self.is_frozen = state.times.started(os_boot, [lane.stored_to for lane in lanes], floors)
        self._found_to = [
            lane.stored_to if floor < lane.stored_to else 0 for lane, floor in zip(lanes, floors, strict=True)
        ]
        self.is_dirty = self.is_frozen
        self._thaws_when_saved = False
        self._is_closed = False
        self._to_park: list[tuple[Batch, int, int, str | None]] = []  # with the reason; None: expired

    # -- Feed -------------------------------------------------------------------------------------------------

    def take(self, max_events: int) -> list[Shipment]:
        """Hand out up to ``max_events`` events in the order in which they must be sent."""
        shipments: list[Shipment] = []
        if self.is_frozen or self._host.parking.is_behind:
            return shipments
        left = max_events
        if self.state.gaps:
            left -= self._take_gap(shipments)
        if self.extras.retries:
            left -= self.extras.take_retries(left, shipments)
        if left > 0:
            left -= self._cursors.take(left, shipments)
        if left > 0 and self.extras.replays:
            self.extras.take_replay(left, shipments)
        if any(stream.wants_read for stream in self.streams):
            self._host.changed()
        return shipments

    def joined(self, pieces: Sequence[tuple[object, int, int]]) -> None:
        """What shares a message is delivered event by event all the same."""

    def delivered(self, batch: object, start: int, stop: int) -> None:
        """The far side has ``events[start:stop]`` of ``batch``."""
        assert isinstance(batch, Batch)
        if isinstance(batch, ExtraBatch):
            if batch.is_retry:
                self.shelf.taken(batch)
            self._extra_done(batch, stop - start)
            return
        if not self._cursors.book(batch, start, stop):
            return
        self.state.delivered += stop - start
        self._done_with(batch, start, stop)

    def parked(self, batch: object, start: int, stop: int, reason: str) -> None:
        """The far side will never take these events; they are booked as ``parked`` once they are on disk.

        Else a crash would forget that they ever were, although their device was told that they are safe.
        """
        assert isinstance(batch, Batch)
        if isinstance(batch, ExtraBatch):
            if batch.is_retry:
                gone = self.shelf.refused(batch, reason=reason, wall_ns=self._host.now_stamp().wall_ns)
                self._host.parked_went(gone)
            self._extra_done(batch, stop - start)
        elif batch.waits and not batch.is_written:
            self._to_park.append((batch, start, stop, reason))
        else:
            self._park(batch, start, stop, reason)

    def expired(self, batch: object, start: int, stop: int) -> None:
        """These events ended before they were sent; as `parked`, but nothing is kept."""
        assert isinstance(batch, Batch)
        if isinstance(batch, ExtraBatch):
            if batch.is_retry:
                self.shelf.expired(batch)
            self._extra_done(batch, stop - start)
        elif batch.waits and not batch.is_written:
            self._to_park.append((batch, start, stop, None))
        else:
            self._give_up(batch, start, stop, "expired")

    def put_back(self) -> None:
        """Hand out again, oldest first, everything that is outstanding."""
        self.extras.put_back()
        self._to_park.clear()
        was_live = self._cursors.put_back()
        if was_live and not self.down:
            self._cursors.open_live()
        self._host.changed()

    def is_down(self, down: bool) -> None:
        """Note whether the uplink is known to be down."""
        if down == self.down:
            return
        self.down = down
        if not down:
            if self.route.is_live_first:
                self._cursors.open_live()
            is_synced = self._host.now_stamp().quality == TimeQuality.SYNCED
            if self.state.times.connects(is_synced=is_synced, stored_to=self._found_to):
                self._freeze()
        self._host.uplink_went(down=down)

    # -- what the outbox asks -----------------------------------------------------------------------------------

    @property
    def is_caught_up(self) -> bool:
        """Whether everything there is has been handed out."""
        return self._cursors.is_caught_up

    @property
    def streams(self) -> list[Stream]:
        """The cursor of each lane; with ``live_first``, of what is stored."""
        return self._cursors.streams

    @property
    def wants_save_now(self) -> bool:
        """Whether something waits for the state to be saved."""
        return self.is_frozen or self._balance.gaps.wants_save or self._host.parking.is_behind

    def floor(self, lane: int) -> int:
        """Return the number up to which this uplink wants nothing of a lane."""
        return self._cursors.floor(lane)

    def limit(self, *, max_size_bytes: int | None, max_age_s: float | None) -> None:
        """From now on the backlog is held to this."""
        self.route = msgspec.structs.replace(self.route, max_size_bytes=max_size_bytes, max_age_s=max_age_s)

    def add_routed(self, count: int) -> None:
        """Count events that this uplink is to get."""
        self.state.routed += count

    @property
    def replayed(self) -> int:
        """How many events of replays have arrived."""
        return self.extras.replayed

    @property
    def replay_backlog(self) -> int:
        """How many events of a replay wait here."""
        return self.extras.replay_backlog

    def is_past(self, event: Event) -> bool:
        """Whether this uplink gets such events and does not wait for this stored one (any more)."""
        return self.route.takes(event) and not self._still_wants(event)

    def replay(self, events: Sequence[Event], *, is_stored: bool = False) -> None:
        """Send kept events once more, under their old ids, after everything else; counted apart."""
        corrections = self.state.times.corrections
        self.extras.replay([corrected(event, corrections) for event in events], is_stored=is_stored)
        self._host.changed()

    def have_read(
        self, stream: Stream, events: Sequence[Event], *, through_seq: int, handed: Sequence[tuple[int, int]] = ()
    ) -> None:
        """Take what was read from disk for ``stream``; see `Stream.chunk_read`."""
        if self.state.times.corrections:
            events = [corrected(event, self.state.times.corrections) for event in events]
        wanted = stream.chunk_read(self.route.chosen(events), through_seq=through_seq, handed=handed)
        self._balance.found(stream.lane, wanted, through_seq=stream.ready_to)

    def give_up(self, lane: int, through_seq: int, events: Sequence[Event], *, reason: str) -> None:
        """Never hand out anything of a lane up to ``through_seq``; ``events`` are those that are on disk."""
        lost = [event for event in events if event.seq <= through_seq and self._still_wants(event)]
        self._balance.gave_up(lane, lost, through_seq=through_seq, reason=reason)
        self._forget_through(lane, through_seq)

    def damaged(self, hole: Hole, *, is_exact: bool, may_differ: bool) -> None:
        """What ``hole`` counts (or more, unless ``is_exact``) cannot be read any more.

        Where it is certain how many of them this uplink still wanted, they are booked now; else once its cursor has
        passed and what is pending can be counted. ``may_differ``: a rule may have routed some of them.
        """
        gets_all = self.route.is_wanted is None and not self.route.is_told_only and not may_differ
        wants_all = gets_all and self.streams[hole.lane].is_untouched(hole.first_seq, hole.last_seq)
        if self._balance.damaged(hole, wants_all=wants_all, is_exact=is_exact):
            self._changed()

    def were_written(self) -> None:
        """Batches were written: book those of their events that will never be taken."""
        waiting, self._to_park = self._to_park, []
        for batch, start, stop, reason in waiting:
            if reason is None:
                self.expired(batch, start, stop)
            else:
                self.parked(batch, start, stop, reason)

    def retry_parked(self, events: Sequence[Event]) -> int:
        """Send these parked events again; return how many were not about to be."""
        count = self.shelf.retry(events)
        if count:
            self._changed()
        return count

    def drop_parked(self, keys: Sequence[ParkedKey]) -> int:
        """Give up these parked events; return how many were parked."""
        return self.shelf.drop(keys)

    def evicted(self, batch: Batch) -> None:
        """``batch``, which is on disk, left the memory."""
        self._cursors.evicted(batch, is_down=self.down)

    def time_became_known(self, offset_ns: int) -> None:
        """Correct what this OS boot stored before it knew the time and this uplink was never sent."""
        times = self.state.times
        ranges = [
            (stream.lane, first, last) for stream in self.streams for first, last in stream.never_sent(times.fixed_to)
        ]
        times.became_known(ranges, offset_ns, newest=max(lane.last_seq for lane in self._lanes))
        for stream in self.streams:
            stream.read_again()
        self._freeze()

    def time_became_unknown(self) -> None:
        """What is sent from now on must not be corrected later."""
        if not self.down and self.state.times.connects(is_synced=False, stored_to=self._found_to):
            self._freeze()

    def close(self) -> None:
        """Hand out nothing any more: the gateway stops."""
        self.is_frozen = self._is_closed = True

    def snapshot(self, *, in_memory: int) -> UplinkState:
        """Return the state to be stored.

        ``in_memory`` events of this uplink are not on disk: a crash forgets them, and their devices send them again.
        """
        for stream in self.streams:
            stream.pass_over()
        self._audit()
        self._balance.gaps.saving()
        self._thaws_when_saved = self.is_frozen and not self._is_closed
        cursors, uncounted = self._cursors, [lane.uncounted for lane in self.state.lanes]
        lanes = [LaneState(cursors.floor(lane), cursors.done_above(lane), uncounted[lane]) for lane in LANES]
        state = self.state
        state.times.forget_through(  # what is kept for a replay must look then as it did
            [min(lane.floor, log.removed_to) for lane, log in zip(lanes, self._lanes, strict=True)]
        )
        return UplinkState(
            lanes,
            state.routed - in_memory,
            state.delivered,
            state.pending,
            dict(state.ledger),
            list(state.gaps),
            list(state.unsure),
            state.times.copy(),
            state.filter,
        )

    def saved(self) -> None:
        """What `snapshot` returned last is on disk."""
        self._balance.gaps.saved()
        if self._thaws_when_saved:
            self.is_frozen = self._thaws_when_saved = False

    # -- inside -------------------------------------------------------------------------------------------------

    def _take_gap(self, shipments: list[Shipment]) -> int:
        if self._balance.gaps.close(self._cursors.has_passed, self._host.now_stamp()):
            self._changed()
        return self.extras.take_gap(shipments)

    def _extra_done(self, batch: ExtraBatch, count: int) -> None:
        self.is_dirty |= self.extras.done(batch, count)
        self._host.changed()

    def _park(self, batch: Batch, start: int, stop: int, reason: str) -> None:
        if self._give_up(batch, start, stop, "parked"):
            wall_ns = self._host.now_stamp().wall_ns
            self._host.parked_went(self.shelf.keep(batch.events[start:stop], reason=reason, wall_ns=wall_ns))

    def _give_up(self, batch: Batch, start: int, stop: int, reason: str) -> bool:
        """Book events as lost for ``reason``; return whether they still counted."""
        if not self._cursors.book(batch, start, stop):
            return False
        first, last = batch.events[start], batch.events[stop - 1]
        self._balance.lost(Hole(first.lane, reason, stop - start, first.stamp.run, first.seq, last.seq))
        self._done_with(batch, start, stop)
        return True

    def _done_with(self, batch: Batch, start: int, stop: int) -> None:
        if batch.waits:
            nobody = batch.clear(self.bit_number, start, stop)
            if batch.is_written or batch.is_writing:
                self.state.pending -= stop - start
                self.is_dirty = True
            self._host.acknowledged(batch, start, stop, nobody_wants=nobody)
        else:  # read back from disk
            self.state.pending -= stop - start
            self.is_dirty = True
            self._host.changed()

    def _booked(self, hole: Hole) -> None:
        self._host.booked(self.name, hole)
        self._changed()

    def _changed(self) -> None:
        self.is_dirty = True
        self._host.changed()

    def _still_wants(self, event: Event) -> bool:
        """Whether a stored event is not done yet."""
        return self.route.takes(event) and self._cursors.of(event).wants(event.seq)

    def _forget_through(self, lane: int, seq: int) -> None:
        self._cursors.skip_through(lane, seq)
        for batch in self._lanes[lane]:
            if batch.events[0].seq > seq:
                break
            end = stop_at(batch.events, 0, len(batch.events), seq)
            for start, stop in batch.runs_wanted_by(self.bit_number, 0, end):
                nobody = batch.clear(self.bit_number, start, stop)
                self._host.acknowledged(batch, start, stop, nobody_wants=nobody)
        self.is_dirty = True

    def _audit(self) -> None:
        """Where damage took an unknown number: count what is pending once all of it is in memory."""
        unsure = self.state.unsure
        if not unsure or any(self.floor(lane.lane) < lane.evicted_to for lane in self._lanes):
            return
        if any(self.floor(hole.lane) < min(hole.last_seq, self._lanes[hole.lane].last_seq) for hole in unsure):
            return
        stored = [batch for lane in self._lanes for batch in lane if batch.is_written or batch.is_writing]
        self._balance.settle_unsure(pending=sum(batch.count_wanted_by(self.bit_number) for batch in stored))

    def _freeze(self) -> None:
        """Hand nothing out until the state is saved: what it says decides how events are sent after a crash."""
        self.is_frozen = True
        self._thaws_when_saved = False
        self._changed()
