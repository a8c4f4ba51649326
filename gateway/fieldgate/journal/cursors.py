"""Where one uplink stands in each lane, and in which order it gets what comes next.

Order (P3): lane ``high`` first, then ``normal`` and ``low`` together by sequence number. With ``live_first`` a
second set of cursors, ``live``, carries what came after the last reconnect (or after the uplink fell too far behind),
and what was stored before, ``streams``, follows in the time that is left.
"""

from __future__ import annotations

from typing import Final

from fieldgate.forward.uplink import Shipment
from fieldgate.journal.gaps import Hole
from fieldgate.journal.intervals import IntervalSet
from fieldgate.journal.stream import Stream
from fieldgate.journal.window import Batch, LaneLog
from fieldgate_devices.event import LANES, Event, Lane

__all__ = ["Cursors"]

_MAX_PIECES: Final = 1_000  # intervals above the floors; beyond that new events do not pass stored ones any more


class Cursors:
    """The cursors of the uplink with number ``bit_number``; ``live`` is None while one set is enough."""

    def __init__(self, lanes: tuple[LaneLog, ...], bit_number: int, streams: list[Stream], *, marks: bool) -> None:
        self.streams = streams
        self.live: list[Stream] | None = None
        self._lanes = lanes
        self._bit_number = bit_number
        self._marks = marks  # whether what is stored is marked, because newer events pass it

    @property
    def is_caught_up(self) -> bool:
        """Whether everything there is has been handed out."""
        return all(stream.read_seq >= stream.last_seq for stream in self.streams)

    def floor(self, lane: int) -> int:
        """Return the number up to which nothing of a lane is wanted."""
        stream = self.streams[lane]
        return self.live[lane].floor if self.live is not None and stream.is_idle else stream.floor

    def of(self, event: Event) -> Stream:
        """Return the cursor whose part of its lane holds ``event``."""
        live = self.live[event.lane] if self.live is not None else None
        return live if live is not None and event.seq >= live.from_seq else self.streams[event.lane]

    def has_passed(self, hole: Hole) -> bool:
        """Whether everything before the end of ``hole`` was handed out."""
        stream = self.streams[hole.lane]
        if self.live is not None and hole.first_seq >= self.live[hole.lane].from_seq:
            stream = self.live[hole.lane]
        return stream.read_seq >= min(hole.last_seq, stream.last_seq)

    def done_above(self, lane: int) -> list[tuple[int, int]]:
        """Return what of a lane is done above its floor."""
        done = IntervalSet(self.streams[lane].done.pairs())
        if self.live is not None:
            live = self.live[lane]
            for first, last in live.done.pairs():
                done.add(first, last)
            if live.floor >= live.from_seq:
                done.add(live.from_seq, live.floor)
        done.drop_through(self.floor(lane))
        return done.pairs()

    # -- handing out ------------------------------------------------------------------------------------------

    def take(self, limit: int, shipments: list[Shipment]) -> int:
        """Append up to ``limit`` events in their order; return how many."""
        taken = 0
        if self.live is not None:
            taken = _take(self.live, limit, shipments, mark=self._marks)
        if taken < limit:
            taken += _take(self.streams, limit - taken, shipments, mark=self._marks)
            if self.live is not None and all(stream.is_idle for stream in self.streams):
                self.streams, self.live = self.live, None  # everything stored is done
        return taken

    def book(self, batch: Batch, start: int, stop: int) -> bool:
        """``events[start:stop]`` of a batch are done; return whether they were outstanding."""
        lane = batch.events[0].lane
        if self.streams[lane].delivered(batch, start, stop):
            return True
        return self.live is not None and self.live[lane].delivered(batch, start, stop)

    def put_back(self) -> bool:
        """Hand out again everything that is outstanding; return whether there were live cursors, now given up."""
        was_live = self.live is not None
        if was_live:
            self.fold_live()
        for stream in self.streams:
            stream.put_back()
        return was_live

    def skip_through(self, lane: int, seq: int) -> None:
        """Hand out nothing of a lane up to ``seq`` any more."""
        self.streams[lane].skip_through(seq)
        if self.live is not None:
            self.live[lane].skip_through(seq)

    # -- live first -------------------------------------------------------------------------------------------

    def evicted(self, batch: Batch, *, is_down: bool) -> None:
        """``batch``, which is on disk, left the memory."""
        lane = batch.events[0].lane
        self.streams[lane].evicted(batch)
        if self.live is not None and self.live[lane].read_seq >= batch.last_seq:
            self.live[lane].evicted(batch)
        elif self._marks and self.streams[lane].read_seq < batch.last_seq:
            if not is_down:
                self.open_live()
            elif self.live is not None:
                self.fold_live()

    def open_live(self) -> None:
        """Let new events pass what waits now."""
        if self.live is not None:
            self.fold_live()
        if self.is_caught_up or sum(stream.pieces for stream in self.streams) >= _MAX_PIECES:
            return
        self.live = []
        for lane in LANES:
            stream, log = self.streams[lane], self._lanes[lane]
            bound = max(log.last_seq, stream.read_seq)
            stream.limit_seq = bound + 1
            self.live.append(Stream(log, self._bit_number, floor=bound))

    def fold_live(self) -> None:
        """Give up the live cursors: what they did stands, the rest follows in the stored ones."""
        assert self.live is not None
        for stream, live in zip(self.streams, self.live, strict=True):
            stream.absorb(live)
        self.live = None


def _take(streams: list[Stream], limit: int, shipments: list[Shipment], *, mark: bool) -> int:
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
