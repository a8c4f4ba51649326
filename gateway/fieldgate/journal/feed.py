"""One uplink's view of the outbox: its cursors, its accounts, and the order in which it gets events.

Order (P3): lane ``high`` first, then ``normal`` and ``low`` together by sequence number. With ``live_first`` a
second set of cursors carries what came after the last reconnect (or after the uplink fell too far behind), and what
was stored before follows in the time that is left. The accounts of P4: routed = delivered + pending + ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from fieldgate.forward.uplink import Shipment
from fieldgate.journal.balance import Balance
from fieldgate.journal.extras import ExtraBatch, Extras
from fieldgate.journal.gaps import Hole
from fieldgate.journal.intervals import IntervalSet
from fieldgate.journal.parking import ParkedKey, Parking
from fieldgate.journal.records import ParkedHead
from fieldgate.journal.segments import stop_at
from fieldgate.journal.shelf import Shelf
from fieldgate.journal.stream import Stream
from fieldgate.journal.times import corrected
from fieldgate.journal.uplink_state import LaneState, Route, UplinkState
from fieldgate.journal.window import Batch, LaneLog
from fieldgate_devices.event import LANES, Event, Lane, Stamp, TimeQuality

__all__ = ["FeedHost", "UplinkFeed"]

_MAX_PIECES: Final = 1_000  # intervals above the floors; beyond that new events do not pass stored ones any more


class FeedHost(Protocol):
    """What a feed asks of its outbox."""

    gateway: str
    parking: Parking

    def acknowledged(self, batch: Batch, start: int, stop: int, *, nobody_wants: bool) -> None:
        """An uplink has ``events[start:stop]`` of a batch that is in memory."""

    def changed(self) -> None:
        """Something is to be done at the next turn: a read, a save, a commit."""

    def now_stamp(self) -> Stamp:
        """Return a stamp of now."""

    def uplink_went(self, feed: UplinkFeed, *, down: bool) -> None:
        """The uplink's state changed."""

    def booked(self, feed: UplinkFeed, hole: Hole) -> None:
        """An uplink never gets some events; to be entered in the ledger with the next commit."""

    def parked_went(self, heads: Sequence[ParkedHead]) -> None:
        """Parked events, of any uplink, had to go for newer ones."""


class UplinkFeed:
    """Implements `fieldgate.forward.uplink.Feed` for the uplink with number ``bit_number``.

    While ``is_frozen`` it hands nothing out: its state decides how events are sent after a crash, and is not saved.
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
        self.streams = [
            Stream(lane, bit_number, floor=saved.floor, done=IntervalSet(saved.done))
            for lane, saved in zip(lanes, state.lanes, strict=True)
        ]
        self.live: list[Stream] | None = None
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
        if self.is_frozen:
            return shipments
        left = max_events
        if self.state.gaps:
            left -= self._take_gap(shipments)
        if self.extras.retries:
            left -= self.extras.take_retries(left, shipments)
        mark = self.route.is_live_first
        if self.live is not None:
            left -= self._take_group(self.live, left, shipments, mark=mark)
        if left > 0:
            left -= self._take_group(self.streams, left, shipments, mark=mark)
            if self.live is not None:
                self._merge_live()
        if left > 0 and self.extras.replays:
            self.extras.take_replay(left, shipments)
        if any(stream.wants_read for stream in self.streams):
            self._host.changed()
        return shipments

    def delivered(self, batch: object, start: int, stop: int) -> None:
        """The far side has ``events[start:stop]`` of ``batch``."""
        assert isinstance(batch, Batch)
        if isinstance(batch, ExtraBatch):
            if batch.is_retry:
                self.shelf.taken(batch)
            self._extra_done(batch, stop - start)
            return
        if not self._book(batch, start, stop):
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
        was_live = self.live is not None
        if self.live is not None:
            self._fold_live()
        for stream in self.streams:
            stream.put_back()
        if was_live and not self.down:
            self._open_live()
        self._host.changed()

    def is_down(self, down: bool) -> None:
        """Note whether the uplink is known to be down."""
        if down == self.down:
            return
        self.down = down
        if not down:
            if self.route.is_live_first:
                self._open_live()
            is_synced = self._host.now_stamp().quality == TimeQuality.SYNCED
            if self.state.times.connects(is_synced=is_synced, stored_to=self._found_to):
                self._freeze()
        self._host.uplink_went(self, down=down)

    # -- what the outbox asks -----------------------------------------------------------------------------------

    @property
    def is_caught_up(self) -> bool:
        """Whether everything there is has been handed out."""
        return all(stream.read_seq >= stream.last_seq for stream in self.streams)

    @property
    def wants_save_now(self) -> bool:
        """Whether something waits for the state to be saved."""
        return self.is_frozen or self._balance.gaps.wants_save

    def floor(self, lane: int) -> int:
        """Return the number up to which this uplink wants nothing of a lane."""
        stream = self.streams[lane]
        return self.live[lane].floor if self.live is not None and stream.is_idle else stream.floor

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
        is_wanted = self.route.is_wanted
        return (is_wanted is None or is_wanted(event)) and not self._still_wants(event)

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
        wanted = stream.chunk_read(events, through_seq=through_seq, is_wanted=self.route.is_wanted, handed=handed)
        self._balance.found(stream.lane, wanted, through_seq=stream.ready_to)

    def give_up(self, lane: int, through_seq: int, events: Sequence[Event], *, reason: str) -> None:
        """Never hand out anything of a lane up to ``through_seq``; ``events`` are those that are on disk."""
        lost = [event for event in events if event.seq <= through_seq and self._still_wants(event)]
        self._balance.gave_up(lane, lost, through_seq=through_seq, reason=reason)
        self._forget_through(lane, through_seq)

    def damaged(self, lane: int, first_seq: int, last_seq: int, *, count: int, is_exact: bool, run: int) -> None:
        """``count`` events of that range (or more, unless ``is_exact``) cannot be read any more.

        Where it is certain how many of them this uplink still wanted, they are booked now; else once its cursor has
        passed and what is pending can be counted.
        """
        wants_all = self.route.is_wanted is None and self.streams[lane].is_untouched(first_seq, last_seq)
        hole = Hole(lane, "corrupt", count, run, first_seq, last_seq)
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
        lane = batch.events[0].lane
        self.streams[lane].evicted(batch)
        if self.live is not None and self.live[lane].read_seq >= batch.last_seq:
            self.live[lane].evicted(batch)
        elif self.route.is_live_first and self.streams[lane].read_seq < batch.last_seq:
            if not self.down:
                self._open_live()
            elif self.live is not None:
                self._fold_live()

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
        lanes = [self._lane_state(lane) for lane in LANES]
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

    def _take_group(self, streams: list[Stream], limit: int, shipments: list[Shipment], *, mark: bool) -> int:
        taken = streams[Lane.HIGH].take(limit, up_to=None, shipments=shipments, mark=mark)
        normal, low = streams[Lane.NORMAL], streams[Lane.LOW]
        while taken < limit:
            if low.read_seq >= low.last_seq:
                return taken + normal.take(limit - taken, up_to=None, shipments=shipments, mark=mark)
            if normal.read_seq >= normal.last_seq:
                return taken + low.take(limit - taken, up_to=None, shipments=shipments, mark=mark)
            next_normal, next_low = normal.next_seq(), low.next_seq()
            if next_normal is None or next_low is None:
                if normal.pass_over() or low.pass_over():
                    continue
                return taken  # the smaller of the two is not known before the disk has answered
            first, bound = (normal, next_low) if next_normal < next_low else (low, next_normal)
            before = first.read_seq
            taken += first.take(limit - taken, up_to=bound, shipments=shipments, mark=mark)
            if first.read_seq == before:
                return taken
        return taken

    def _take_gap(self, shipments: list[Shipment]) -> int:
        if self._balance.gaps.close(self._has_passed, self._host.now_stamp()):
            self._changed()
        return self.extras.take_gap(shipments)

    def _has_passed(self, hole: Hole) -> bool:
        stream = self.streams[hole.lane]
        if self.live is not None and hole.first_seq >= self.live[hole.lane].from_seq:
            stream = self.live[hole.lane]
        return stream.read_seq >= min(hole.last_seq, stream.last_seq)

    def _extra_done(self, batch: ExtraBatch, count: int) -> None:
        self.is_dirty |= self.extras.done(batch, count)
        self._host.changed()

    def _book(self, batch: Batch, start: int, stop: int) -> bool:
        lane = batch.events[0].lane
        if self.streams[lane].delivered(batch, start, stop):
            return True
        return self.live is not None and self.live[lane].delivered(batch, start, stop)

    def _park(self, batch: Batch, start: int, stop: int, reason: str) -> None:
        if self._give_up(batch, start, stop, "parked"):
            wall_ns = self._host.now_stamp().wall_ns
            self._host.parked_went(self.shelf.keep(batch.events[start:stop], reason=reason, wall_ns=wall_ns))

    def _give_up(self, batch: Batch, start: int, stop: int, reason: str) -> bool:
        """Book events as lost for ``reason``; return whether they still counted."""
        if not self._book(batch, start, stop):
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
        self._host.booked(self, hole)
        self._changed()

    def _changed(self) -> None:
        self.is_dirty = True
        self._host.changed()

    def _still_wants(self, event: Event) -> bool:
        """Whether a stored event is not done yet."""
        if self.route.is_wanted is not None and not self.route.is_wanted(event):
            return False
        return self._cursor(event).wants(event.seq)

    def _cursor(self, event: Event) -> Stream:
        live = self.live[event.lane] if self.live is not None else None
        return live if live is not None and event.seq >= live.from_seq else self.streams[event.lane]

    def _forget_through(self, lane: int, seq: int) -> None:
        self.streams[lane].skip_through(seq)
        if self.live is not None:
            self.live[lane].skip_through(seq)
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

    def _lane_state(self, lane: int) -> LaneState:
        done = IntervalSet(self.streams[lane].done.pairs())
        if self.live is not None:
            live = self.live[lane]
            for first, last in live.done.pairs():
                done.add(first, last)
            if live.floor >= live.from_seq:
                done.add(live.from_seq, live.floor)
        floor = self.floor(lane)
        done.drop_through(floor)
        return LaneState(floor, done.pairs(), self.state.lanes[lane].uncounted)

    def _open_live(self) -> None:
        """Let new events pass what waits now."""
        if self.live is not None:
            self._fold_live()
        if self.is_caught_up or sum(stream.pieces for stream in self.streams) >= _MAX_PIECES:
            return
        self.live = []
        for stream, lane in zip(self.streams, self._lanes, strict=True):
            bound = max(lane.last_seq, stream.read_seq)
            stream.limit_seq = bound + 1
            self.live.append(Stream(lane, self.bit_number, floor=bound))

    def _fold_live(self) -> None:
        """Give up the live cursors: what they did stands, the rest follows in the stored ones."""
        assert self.live is not None
        for stream, live in zip(self.streams, self.live, strict=True):
            stream.absorb(live)
        self.live = None

    def _merge_live(self) -> None:
        """Once everything stored is done, the live cursors are the only ones."""
        assert self.live is not None
        if all(stream.is_idle for stream in self.streams):
            self.streams, self.live = self.live, None
