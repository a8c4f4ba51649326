"""One uplink's place in one lane: what was handed out, what is acknowledged, and what comes next.

``read_seq`` is the highest sequence number handed out or passed over; the floor is the highest below which
everything is done. Acknowledged out of order above the floor stands in ``done``. Events come from memory, or in
chunks read from disk while ``read_seq`` is below the lane's ``evicted_to``. What another cursor handed out further
ahead (`absorb`) is passed over; until it is acknowledged it holds the floor down from ``ahead``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from fieldgate.forward.uplink import Shipment
from fieldgate.journal.intervals import IntervalSet
from fieldgate.journal.segments import Segment, cut_through, first_seq, last_seq, not_in, parts, stop_at, take_out
from fieldgate.journal.window import Batch, LaneLog, holds_publishes
from fieldgate_devices.event import Event

__all__ = ["Stream"]

_PREFETCH_EVENTS = 1_000  # a further chunk is asked for while fewer are ready


class Stream:
    """A cursor over one lane for the uplink with number ``bit_number``.

    ``limit_seq`` bounds a stream of stored events from above (exclusive) while newer ones go by another stream.
    """

    __slots__ = (
        "_batch",
        "_bit_number",
        "_chunk_index",
        "_chunks",
        "_index",
        "_lane",
        "_passed",
        "_ready_events",
        "_sent_ahead",
        "ahead",
        "done",
        "from_seq",
        "generation",
        "is_reading",
        "limit_seq",
        "outstanding",
        "read_seq",
        "ready_to",
        "sent_to",
    )

    def __init__(self, lane: LaneLog, bit_number: int, *, floor: int, done: IntervalSet | None = None) -> None:
        self._lane = lane
        self._bit_number = bit_number
        self.from_seq = floor + 1
        self.read_seq = floor
        self.ready_to = floor
        self.sent_to = floor
        self.done = done if done is not None else IntervalSet()
        self.limit_seq: int | None = None
        self.outstanding: deque[Segment] = deque()
        self.ahead: deque[Segment] = deque()
        self.is_reading = False
        self.generation = 0
        self._chunks: deque[Batch] = deque()
        self._chunk_index = 0
        self._ready_events = 0
        self._batch: Batch | None = None
        self._index = 0
        self._passed: IntervalSet | None = None
        self._sent_ahead = IntervalSet()

    @property
    def lane(self) -> int:
        """The lane that this is a cursor of."""
        return self._lane.lane

    @property
    def floor(self) -> int:
        """Every event of the lane up to this sequence number (from ``from_seq`` on) is done."""
        floor = self.read_seq
        if self.outstanding:
            floor = min(floor, first_seq(self.outstanding[0]) - 1)
        if self.ahead:
            floor = min(floor, first_seq(self.ahead[0]) - 1)
        return floor

    @property
    def last_seq(self) -> int:
        """The highest sequence number that this stream will ever hand out, as far as known."""
        last = self._lane.last_seq
        return last if self.limit_seq is None else min(last, self.limit_seq - 1)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to hand out and nothing is outstanding."""
        return not self.outstanding and not self.ahead and self.read_seq >= self.last_seq

    @property
    def wants_read(self) -> bool:
        """Whether a chunk should be read now, from ``ready_to`` on."""
        return (
            self.ready_to < self._lane.evicted_to  # mostly not: then that is all there is to ask
            and not self.is_reading
            and self._ready_events < _PREFETCH_EVENTS
            and self.ready_to < self._disk_to()
        )

    def next_seq(self) -> int | None:
        """Return the sequence number that `take` would hand out first; None when none is ready."""
        if self.read_seq < self._disk_to():
            return self._chunks[0].events[self._chunk_index].seq if self._chunks else None
        found = self._seek()
        if found is None:
            return None
        batch, index = found
        for first, _ in batch.runs_wanted_by(self._bit_number, index, len(batch.events)):
            seq = batch.events[first].seq
            return None if self.limit_seq is not None and seq >= self.limit_seq else seq
        return batch.last_seq  # nothing of this batch is wanted, but what follows may be: `take` passes over it

    def take(self, limit: int, *, up_to: int | None, shipments: list[Shipment], mark: bool) -> int:
        """Append up to ``limit`` events with sequence numbers up to ``up_to`` to ``shipments``; return how many.

        With ``mark``, events whose write began before this uplink was first handed them are marked as stored.
        """
        taken = 0
        while taken < limit:
            if self.read_seq < self._disk_to():
                step = self._take_chunk(limit - taken, up_to, shipments, mark)
                if not step:
                    break
                taken += step
                continue
            found = self._seek()
            if found is None:
                break
            batch, index = found
            stop = min(len(batch.events), index + limit - taken)
            last_wanted = up_to if self.limit_seq is None else min(up_to or self.limit_seq - 1, self.limit_seq - 1)
            if last_wanted is not None and batch.events[stop - 1].seq > last_wanted:
                stop = stop_at(batch.events, index, stop, last_wanted)
                if stop == index:
                    break
            runs = batch.runs_wanted_by(self._bit_number, index, stop)
            if self._passed is not None:
                runs = not_in(self._passed, batch, runs)
            for first, end in runs:
                self.outstanding.append([batch, first, end])
                if mark:
                    self._ship_marked(batch, first, end, shipments)
                else:
                    shipments.append(Shipment(batch, batch.events, first, end, False, batch.has_publishes))
                taken += end - first
            self._batch, self._index = batch, stop
            self.read_seq = batch.events[stop - 1].seq
            if self.read_seq > self.sent_to:
                self.sent_to = self.read_seq
        if self.limit_seq is not None:
            self.pass_over()
        return taken

    def pass_over(self) -> bool:
        """Move past what is next in memory, or was, and is not wanted; return whether that was anything."""
        before = self.read_seq
        while before >= self._disk_to():
            found = self._seek()
            if found is None:
                self.read_seq = max(self.read_seq, self.last_seq)
                break
            batch, index = found
            wanted = batch.runs_wanted_by(self._bit_number, index, len(batch.events))
            self._batch, self._index = batch, wanted[0][0] if wanted else len(batch.events)
            next_seq = batch.events[self._index].seq if wanted else batch.last_seq + 1
            self.read_seq = max(self.read_seq, min(next_seq - 1, self.last_seq))
            if wanted or self.read_seq >= self.last_seq:
                break
        return self.read_seq > before

    def delivered(self, batch: Batch, start: int, stop: int) -> bool:
        """Book ``events[start:stop]`` as done; return whether they were outstanding here."""
        outstanding = self.outstanding
        if outstanding and outstanding[0][0] is batch and outstanding[0][1] == start:
            head = outstanding[0]
            end = head[2]
            if stop < end:  # type: ignore[operator]  # a segment is [Batch, int, int]
                head[1] = stop
            else:
                outstanding.popleft()
            if self.ahead:
                self.done.add(batch.events[start].seq, batch.events[stop - 1].seq)
            if len(self.done):
                self._join_done()
            return stop <= end or self.delivered(batch, end, stop)  # type: ignore[operator, arg-type]  # as above
        if not take_out(outstanding, batch, start, stop) and not take_out(self.ahead, batch, start, stop):
            return False
        self.done.add(batch.events[start].seq, batch.events[stop - 1].seq)
        self._join_done()
        return True

    def put_back(self) -> None:
        """Hand out again, oldest first, what was handed out and is not done."""
        floor = self.floor
        self.outstanding.clear()
        self.ahead.clear()
        self._passed = None
        self._chunks.clear()
        self._chunk_index = 0
        self._ready_events = 0
        self.read_seq = self.ready_to = floor
        self._batch = None
        self._index = 0
        self.is_reading = False
        self.generation += 1

    def read_again(self) -> None:
        """Forget what was read ahead: its times are about to be corrected."""
        if self._chunks:
            self._chunks.clear()
            self._chunk_index = 0
            self._ready_events = 0
            self.ready_to = self.read_seq
        self.is_reading = False
        self.generation += 1

    def absorb(self, other: Stream) -> None:
        """Take over what ``other``, the cursor ahead of this one, did and handed out; no limit holds any more."""
        first = other.from_seq
        if other.floor >= first:
            self.done.add(first, other.floor)
        for begin, end in other.done.pairs():
            self.done.add(begin, end)
        if other.sent_to >= first:
            self._sent_ahead.add(first, other.sent_to)
        if other.outstanding and self._passed is None:
            self._passed = IntervalSet()
        for segment in other.outstanding:
            self.ahead.append(segment)
            self._passed.add(first_seq(segment), last_seq(segment))  # type: ignore[union-attr]  # just made
        self.limit_seq = None

    def never_sent(self, after_seq: int) -> list[tuple[int, int]]:
        """Return the ranges above ``after_seq`` that are on disk only and were never handed out by this process."""
        return self._sent_ahead.uncovered(max(self.sent_to, after_seq) + 1, self._disk_to())

    @property
    def pieces(self) -> int:
        """How many intervals it takes to say what is done and passed over above the floor."""
        return len(self.done) + (len(self._passed) if self._passed is not None else 0)

    def wants(self, seq: int) -> bool:
        """Whether an event of the lane is not done yet, as far as this cursor goes."""
        return self.from_seq <= seq and seq > self.floor and seq not in self.done

    def is_untouched(self, first: int, last: int) -> bool:
        """Whether all of ``first`` … ``last`` is still to be read from disk, and none of it is done or handed out."""
        head = self._lane.head
        if self.is_reading or first <= max(self.ready_to, self.read_seq) or (head and last >= head.events[0].seq):
            return False
        if self.limit_seq is not None and last >= self.limit_seq:
            return False
        is_passed = self._passed is not None and self._passed.overlaps(first, last)
        return not is_passed and not self.done.overlaps(first, last)

    def skip_through(self, seq: int) -> None:
        """Pass over everything up to ``seq``: it was removed from the disk and booked in the ledger."""
        cut_through(self.outstanding, seq)
        cut_through(self.ahead, seq)
        while self._chunks and self._chunks[0].last_seq <= seq:
            self._ready_events -= len(self._chunks.popleft().events) - self._chunk_index
            self._chunk_index = 0
        if self._chunks and self.read_seq < seq:
            index = stop_at(self._chunks[0].events, self._chunk_index, len(self._chunks[0].events), seq)
            self._ready_events -= index - self._chunk_index
            self._chunk_index = index
        self.ready_to = max(self.ready_to, seq)
        if self.read_seq < seq:
            self.read_seq = seq
            self._batch = None
            self._index = 0
        if not self._chunks and self.read_seq < self.ready_to:
            self.read_seq = self.ready_to  # that was looked through and nothing of it is wanted
        self._join_done()

    def evicted(self, batch: Batch) -> None:
        """``batch`` left the memory; what was not handed out of it must be read from disk."""
        if self.read_seq < batch.last_seq:
            self._batch = None
            self._index = 0
        if self.ready_to < self.read_seq:
            self.ready_to = self.read_seq

    def chunk_read(
        self,
        events: Sequence[Event],
        *,
        through_seq: int,
        handed: Sequence[tuple[int, int]] = (),
    ) -> list[Event]:
        """Take what this uplink is to get of what was read from disk after ``ready_to``, up to ``through_seq``.

        ``handed`` are the ranges that this uplink was handed before they were written. Return what will be handed out.
        """
        self.is_reading = False
        limit = min(through_seq, self._disk_to())
        floor, done = self.ready_to, self.done
        wanted = [e for e in events if floor < e.seq <= limit and (not len(done) or e.seq not in done)]
        if self._passed is not None:
            passed = self._passed
            wanted = [event for event in wanted if event.seq not in passed]
        for part, was_handed in parts(wanted, handed):
            chunk = Batch(part, b"")
            chunk.has_publishes = holds_publishes(part)
            chunk.handed_out_at_write = {self._bit_number: len(part) if was_handed else 0}
            self._chunks.append(chunk)
        self._ready_events += len(wanted)
        self.ready_to = max(self.ready_to, limit)
        if not self._chunks and self.read_seq < self.ready_to:
            self.read_seq = self.ready_to
            self._batch = None
            self._index = 0
        return wanted

    def _disk_to(self) -> int:
        evicted_to = self._lane.evicted_to
        return evicted_to if self.limit_seq is None else min(evicted_to, self.limit_seq - 1)

    def _seek(self) -> tuple[Batch, int] | None:
        """Return where in memory the next event is."""
        if self.read_seq >= self.last_seq:
            return None
        batch, index = self._batch, self._index
        if batch is not None and index >= len(batch.events):
            batch, index = batch.next, 0
        if batch is None:
            batch, index = self._lane.head, 0
            while batch is not None and batch.last_seq <= self.read_seq:
                batch = batch.next
            if batch is None:
                return None
            if batch.events[0].seq <= self.read_seq:
                index = stop_at(batch.events, 0, len(batch.events), self.read_seq)
        return batch, index

    def _take_chunk(self, limit: int, up_to: int | None, shipments: list[Shipment], mark: bool) -> int:
        if not self._chunks:
            return 0
        chunk = self._chunks[0]
        start = self._chunk_index
        stop = min(len(chunk.events), start + limit)
        if up_to is not None and chunk.events[stop - 1].seq > up_to:
            stop = stop_at(chunk.events, start, stop, up_to)
            if stop == start:
                return 0
        self.outstanding.append([chunk, start, stop])
        if mark:
            self._ship_marked(chunk, start, stop, shipments)
        else:
            shipments.append(Shipment(chunk, chunk.events, start, stop, False, chunk.has_publishes))
        self.read_seq = chunk.events[stop - 1].seq
        self.sent_to = max(self.sent_to, self.read_seq)
        self._chunk_index = stop
        self._ready_events -= stop - start
        if stop == len(chunk.events):
            self._chunks.popleft()
            self._chunk_index = 0
            if not self._chunks:
                self.read_seq = self.ready_to
        return stop - start

    def _ship_marked(self, batch: Batch, start: int, stop: int, shipments: list[Shipment]) -> None:
        """Ship in up to two pieces: what was handed out before its write began, and what is stored."""
        at_write = batch.handed_out_at_write
        border = stop if at_write is None else min(max(at_write.get(self._bit_number, 0), start), stop)
        if start < border:
            shipments.append(Shipment(batch, batch.events, start, border, False, batch.has_publishes))
        if border < stop:
            shipments.append(Shipment(batch, batch.events, border, stop, True, batch.has_publishes))
        if batch.handed_out is None:
            batch.handed_out = {}
        batch.handed_out[self._bit_number] = max(stop, batch.handed_out.get(self._bit_number, 0))

    def _join_done(self) -> None:
        """Let the floor pass what was acknowledged out of order and stands right behind it."""
        floor = self.floor
        self.done.drop_through(floor)
        if self._passed is not None:
            self._passed.drop_through(floor)
            if not len(self._passed):
                self._passed = None
