"""One uplink's view of the outbox: its cursors, its accounts, and the order in which it gets events.

Order (P3): lane ``high`` first, then ``normal`` and ``low`` together by sequence number. With ``live_first`` a
second set of cursors carries what came after the last reconnect, and what was stored before follows in the time
that is left. The accounts of P4: routed = delivered + pending + ledger.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from fieldgate.forward.uplink import Shipment
from fieldgate.journal.gaps import Hole, gap_event, join_holes
from fieldgate.journal.intervals import IntervalSet
from fieldgate.journal.stream import Stream
from fieldgate.journal.times import Correction
from fieldgate.journal.uplink_state import LaneState, Route, UplinkState
from fieldgate.journal.window import Batch, LaneLog
from fieldgate_devices.event import LANES, Event, Lane, Stamp, TimeQuality

__all__ = ["FeedHost", "UplinkFeed"]


class FeedHost(Protocol):
    """What a feed asks of its outbox."""

    gateway: str

    def acknowledged(self, batch: Batch, start: int, stop: int, *, nobody_wants: bool) -> None:
        """An uplink has ``events[start:stop]`` of a batch that is in memory."""

    def changed(self) -> None:
        """Something is to be done at the next turn: a read, a save, a commit."""

    def now_stamp(self) -> Stamp:
        """Return a stamp of now."""

    def uplink_went(self, feed: UplinkFeed, *, down: bool) -> None:
        """The uplink's state changed."""


class _GapBatch(Batch):
    """The one gap event that is on its way."""

    __slots__ = ("hole",)

    def __init__(self, event: Event, hole: Hole) -> None:
        super().__init__([event], b"")
        self.hole = hole


class _ReplayBatch(Batch):
    """Kept events that are sent once more because a person asked; they stand in no account of P4."""

    __slots__ = ("done", "given")

    def __init__(self, events: list[Event]) -> None:
        super().__init__(events, b"")
        self.given = 0
        self.done = 0


class UplinkFeed:
    """Implements `fieldgate.forward.uplink.Feed` for the uplink with number ``bit_number``."""

    def __init__(
        self, route: Route, bit_number: int, lanes: tuple[LaneLog, ...], host: FeedHost, state: UplinkState
    ) -> None:
        self.route = route
        self.name = route.name
        self.bit_number = bit_number
        self.down = True
        self.state = state
        self.is_dirty = False
        self.is_frozen = False
        self._uncounted_losses = [range(0) for _ in LANES]
        self._unsynced_before_seq = max(lane.last_seq for lane in lanes) if self.state.may_have_sent_unsynced else 0
        self._host = host
        self._lanes = lanes
        self.streams = [
            Stream(lane, bit_number, floor=saved.floor, done=IntervalSet(saved.done))
            for lane, saved in zip(lanes, self.state.lanes, strict=True)
        ]
        self.live: list[Stream] | None = None
        self.replayed = 0
        self._gap_out: _GapBatch | None = None
        self._replay: deque[_ReplayBatch] = deque()

    # -- Feed -------------------------------------------------------------------------------------------------

    def take(self, max_events: int) -> list[Shipment]:
        """Hand out up to ``max_events`` events in the order in which they must be sent."""
        shipments: list[Shipment] = []
        if self.is_frozen:
            return shipments
        left = max_events
        if self.state.gaps:
            left -= self._take_gap(shipments)
        mark = self.route.is_live_first
        if self.live is not None:
            left -= self._take_group(self.live, left, shipments, mark=mark)
        if left > 0:
            left -= self._take_group(self.streams, left, shipments, mark=mark)
            if self.live is not None:
                self._merge_live()
        if left > 0 and self._replay:
            self._take_replay(left, shipments)
        if any(stream.wants_read for stream in self.streams):
            self._host.changed()
        return shipments

    def delivered(self, batch: object, start: int, stop: int) -> None:
        """The far side has ``events[start:stop]`` of ``batch``."""
        assert isinstance(batch, Batch)
        if isinstance(batch, _GapBatch | _ReplayBatch):
            self._extra_done(batch, stop - start)
            return
        if not self._book(batch, start, stop):
            return
        self.state.delivered += stop - start
        self._done_with(batch, start, stop)

    def parked(self, batch: object, start: int, stop: int, reason: str) -> None:
        """The far side will never take these events; they are booked as ``parked``."""
        assert isinstance(batch, Batch)
        if isinstance(batch, _GapBatch | _ReplayBatch):
            self._extra_done(batch, stop - start)
            return
        if not self._book(batch, start, stop):
            return
        first, last = batch.events[start], batch.events[stop - 1]
        self.add_hole(Hole(first.lane, "parked", stop - start, first.stamp.run, first.seq, last.seq))
        self._done_with(batch, start, stop)

    def put_back(self) -> None:
        """Hand out again, oldest first, everything that is outstanding."""
        self._gap_out = None
        for batch in self._replay:
            batch.given = batch.done = 0
        if self.live is not None:
            self._close_live()
        for stream in self.streams:
            stream.put_back()
        self._host.changed()

    def is_down(self, down: bool) -> None:
        """Note whether the uplink is known to be down."""
        if down == self.down:
            return
        self.down = down
        if not down and self.route.is_live_first and self.live is None and not self.is_caught_up:
            self._open_live()
        if not down and self._host.now_stamp().quality != TimeQuality.SYNCED and not self.state.may_have_sent_unsynced:
            self.state.may_have_sent_unsynced = True
            self._freeze()
        self._host.uplink_went(self, down=down)

    # -- what the outbox asks -----------------------------------------------------------------------------------

    @property
    def is_caught_up(self) -> bool:
        """Whether everything there is has been handed out."""
        return all(stream.read_seq >= stream.last_seq for stream in self.streams)

    @property
    def replay_backlog(self) -> int:
        """How many events of a replay wait here."""
        return sum(len(batch.events) - batch.done for batch in self._replay)

    def replay(self, events: list[Event]) -> None:
        """Send kept events once more, under their old ids, after everything else; counted in ``replayed``."""
        self._replay.append(_ReplayBatch(events))
        self._host.changed()

    def add_routed(self, count: int) -> None:
        """Count events that this uplink is to get."""
        self.state.routed += count

    def add_hole(self, hole: Hole) -> None:
        """Book events that this uplink never gets, and tell it so when its cursor has passed them."""
        ledger = self.state.ledger
        ledger[hole.reason] = ledger.get(hole.reason, 0) + hole.count
        join_holes(self.state.gaps, hole)
        self.is_dirty = True
        self._host.changed()

    def still_wants(self, event: Event) -> bool:
        """Whether a stored event is not done yet, as far as this uplink goes."""
        if self.route.is_wanted is not None and not self.route.is_wanted(event):
            return False
        stream = self.streams[event.lane]
        if event.seq <= stream.floor or event.seq in stream.done:
            return False
        live = self.live[event.lane] if self.live is not None else None
        return live is None or not (live.from_seq <= event.seq <= live.floor or event.seq in live.done)

    def is_past(self, event: Event) -> bool:
        """Whether this uplink gets such events and does not wait for this stored one (any more)."""
        is_wanted = self.route.is_wanted
        return (is_wanted is None or is_wanted(event)) and not self.still_wants(event)

    def restored(self, *, next_seq: int) -> None:
        """Numbers from ``next_seq`` on are given from now on: what the state did not see is below."""
        self._uncounted_losses = [range(to + 1, next_seq) if to >= 0 else range(0) for to in self.state.counted_to]

    def add_loss(self, hole: Hole) -> None:
        """Book stored events that damage took: they were counted as pending, unless it took the count as well."""
        self.add_hole(hole)
        if hole.first_seq in self._uncounted_losses[hole.lane]:
            self.add_routed(hole.count)
        else:
            self.state.count_lost(hole.lane, [hole.first_seq] * hole.count)  # all counted, or none of it

    def forget_through(self, lane: int, seq: int) -> None:
        """What the lane had up to ``seq`` was removed or is not wanted; `add_hole` has booked it."""
        self.streams[lane].skip_through(seq)
        if self.live is not None:
            self.live[lane].skip_through(seq)
        for batch in self._lanes[lane]:
            if batch.events[0].seq > seq:
                break
            stop = sum(1 for event in batch.events if event.seq <= seq)
            nobody = batch.clear(self.bit_number, 0, stop)
            self._host.acknowledged(batch, 0, stop, nobody_wants=nobody)
        self.is_dirty = True

    def evicted(self, batch: Batch) -> None:
        """``batch``, which is on disk, left the memory."""
        lane = batch.events[0].lane
        self.streams[lane].evicted(batch)
        if self.live is not None and self.live[lane].read_seq < batch.last_seq:
            self._close_live()

    def time_became_known(self, offset_ns: int) -> None:
        """Correct what this OS boot stored before it knew the time and this uplink was never sent."""
        for stream in self.streams:
            lane = self._lanes[stream.lane]
            first = max(stream.sent_to, self._unsynced_before_seq) + 1
            last = lane.evicted_to if stream.limit_seq is None else min(lane.evicted_to, stream.limit_seq - 1)
            if first <= last:
                self.state.corrections.append(Correction(stream.lane, first, last, offset_ns))
                stream.read_again()
        self._unsynced_before_seq = 0
        self.state.may_have_sent_unsynced = False
        self._freeze()

    def os_booted(self) -> None:
        """What an earlier OS boot stored without ever knowing the time, and never sent, becomes ``estimated``."""
        if not self.state.may_have_sent_unsynced:
            for stream in self.streams:
                lane = self._lanes[stream.lane]
                if stream.floor < lane.stored_to:
                    self.state.corrections.append(Correction(stream.lane, stream.floor + 1, lane.stored_to, None))
        self._unsynced_before_seq = 0
        self.state.may_have_sent_unsynced = False
        self._freeze()

    def _freeze(self) -> None:
        """Hand nothing out until the state is saved: what it says decides how events are sent after a crash."""
        self.is_frozen = True
        self.is_dirty = True
        self._host.changed()

    def snapshot(self) -> UplinkState:
        """Return the state to be stored."""
        lanes = []
        for lane in LANES:
            stream = self.streams[lane]
            done = IntervalSet(stream.done.pairs())
            if self.live is not None:
                live = self.live[lane]
                if live.floor >= live.from_seq:
                    done.add(live.from_seq, live.floor)
                for first, last in live.done.pairs():
                    done.add(first, last)
            lanes.append(LaneState(stream.floor, done.pairs()))
        state = self.state
        removed_to = [min(log.removed_to, saved.floor) for log, saved in zip(self._lanes, lanes, strict=True)]
        state.corrections = [one for one in state.corrections if one.last_seq > removed_to[one.lane]]  # for a replay
        return UplinkState(
            lanes,
            state.routed,
            state.delivered,
            state.pending,
            dict(state.ledger),
            list(state.gaps),
            list(state.corrections),
            state.may_have_sent_unsynced,
            list(state.uncounted),
            state.filter,
        )

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
                return taken  # the smaller of the two is not known before the disk has answered
            first, bound = (normal, next_low) if next_normal < next_low else (low, next_normal)
            before = first.read_seq
            taken += first.take(limit - taken, up_to=bound, shipments=shipments, mark=mark)
            if first.read_seq == before:
                return taken
        return taken

    def _take_gap(self, shipments: list[Shipment]) -> int:
        if self._gap_out is not None:
            return 0
        hole = self.state.gaps[0]
        stream = self.streams[hole.lane]
        if stream.read_seq < min(hole.first_seq, stream.last_seq):  # something before it is yet to be sent
            return 0
        batch = _GapBatch(gap_event(hole, gateway=self._host.gateway, stamp=self._host.now_stamp()), hole)
        self._gap_out = batch
        shipments.append(Shipment(batch, batch.events, 0, 1))
        return 1

    def _take_replay(self, limit: int, shipments: list[Shipment]) -> None:
        for batch in self._replay:
            if limit <= 0:
                break
            start, stop = batch.given, min(len(batch.events), batch.given + limit)
            if start < stop:
                shipments.append(Shipment(batch, batch.events, start, stop))
                batch.given = stop
                limit -= stop - start

    def _extra_done(self, batch: _GapBatch | _ReplayBatch, count: int) -> None:
        """An event that is in no account has arrived, or is refused for good."""
        if batch is self._gap_out:
            self._gap_delivered()
        elif isinstance(batch, _ReplayBatch):
            batch.done += count
            self.replayed += count
            while self._replay and self._replay[0].done >= len(self._replay[0].events):
                self._replay.popleft()
            self._host.changed()

    def _gap_delivered(self) -> None:
        assert self._gap_out is not None
        gaps, sent = self.state.gaps, self._gap_out.hole
        if gaps and gaps[0] == sent:
            gaps.pop(0)
        elif gaps:  # it has grown since: what is left is told next
            now = gaps[0]
            gaps[0] = Hole(now.lane, now.reason, now.count - sent.count, now.run, sent.last_seq + 1, now.last_seq)
        self._gap_out = None
        self.is_dirty = True
        self._host.changed()

    def _book(self, batch: Batch, start: int, stop: int) -> bool:
        lane = batch.events[0].lane
        if self.streams[lane].delivered(batch, start, stop):
            return True
        return self.live is not None and self.live[lane].delivered(batch, start, stop)

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

    def _open_live(self) -> None:
        bound = max(lane.last_seq for lane in self._lanes)
        self.live = [Stream(lane, self.bit_number, floor=bound) for lane in self._lanes]
        for stream in self.streams:
            stream.limit_seq = bound + 1

    def _close_live(self) -> None:
        """Give up the live cursors: what they delivered stands as done, the rest follows in the stored ones."""
        assert self.live is not None
        for stream, live in zip(self.streams, self.live, strict=True):
            if live.floor >= live.from_seq:
                stream.done.add(live.from_seq, live.floor)
            for first, last in live.done.pairs():
                stream.done.add(first, last)
            stream.limit_seq = None
        self.live = None
        if not self.down:
            self._open_live()

    def _merge_live(self) -> None:
        """Once everything stored is done, the live cursors are the only ones."""
        assert self.live is not None
        if all(stream.is_idle for stream in self.streams):
            self.streams, self.live = self.live, None
