"""One uplink's place in one lane: what was handed out, what is acknowledged, and what comes next.

``read_seq`` is the highest sequence number handed out or passed over; the floor is the highest below which
everything is done. Acknowledged out of order above the floor stands in ``done``. Events come from memory, or in
chunks read from disk while ``read_seq`` is below the lane's ``evicted_to``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from fieldgate.forward.uplink import Shipment
from fieldgate.journal.intervals import IntervalSet
from fieldgate.journal.window import Batch, LaneLog
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
        "_ready_events",
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
        self.outstanding: deque[list[object]] = deque()
        self.is_reading = False
        self.generation = 0
        self._chunks: deque[Batch] = deque()
        self._chunk_index = 0
        self._ready_events = 0
        self._batch: Batch | None = None
        self._index = 0

    @property
    def lane(self) -> int:
        """The lane that this is a cursor of."""
        return self._lane.lane

    @property
    def floor(self) -> int:
        """Every event of the lane up to this sequence number (from ``from_seq`` on) is done."""
        if self.outstanding:
            batch, start, _ = self.outstanding[0]
            assert isinstance(batch, Batch)
            assert isinstance(start, int)
            return batch.events[start].seq - 1
        return self.read_seq

    @property
    def last_seq(self) -> int:
        """The highest sequence number that this stream will ever hand out, as far as known."""
        last = self._lane.last_seq
        return last if self.limit_seq is None else min(last, self.limit_seq - 1)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to hand out and nothing is outstanding."""
        return not self.outstanding and self.read_seq >= self.last_seq

    @property
    def is_on_disk(self) -> bool:
        """Whether the next event must be read from disk."""
        return self.read_seq < self._disk_to()

    @property
    def is_blocked(self) -> bool:
        """Whether the next event is on disk and not read yet."""
        return not self._chunks and self.read_seq < self._disk_to()

    @property
    def wants_read(self) -> bool:
        """Whether a chunk should be read now, from ``ready_to`` on."""
        return not self.is_reading and self._ready_events < _PREFETCH_EVENTS and self.ready_to < self._disk_to()

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
                stop = _stop_at(batch.events, index, stop, last_wanted)
                if stop == index:
                    break
            for first, end in batch.runs_wanted_by(self._bit_number, index, stop):
                self.outstanding.append([batch, first, end])
                if mark:
                    self._ship_marked(batch, first, end, shipments)
                else:
                    shipments.append(Shipment(batch, batch.events, first, end))
                taken += end - first
            self._batch, self._index = batch, stop
            self.read_seq = batch.events[stop - 1].seq
            if self.read_seq > self.sent_to:
                self.sent_to = self.read_seq
        return taken

    def delivered(self, batch: Batch, start: int, stop: int) -> bool:
        """Book ``events[start:stop]`` as done; return whether they were outstanding here."""
        outstanding = self.outstanding
        if outstanding and outstanding[0][0] is batch and outstanding[0][1] == start:
            head = outstanding[0]
            if stop < head[2]:  # type: ignore[operator]  # a segment is [Batch, int, int]
                head[1] = stop
            else:
                outstanding.popleft()
            if len(self.done):
                self._join_done()
            return True
        for index, (other, first, end) in enumerate(outstanding):
            if other is batch and first <= start and stop <= end:  # type: ignore[operator]  # as above
                pieces: list[list[object]] = [[batch, first, start]] if first < start else []  # type: ignore[operator]
                if stop < end:  # type: ignore[operator]  # as above
                    pieces.append([batch, stop, end])
                del outstanding[index]
                for piece in reversed(pieces):
                    outstanding.insert(index, piece)
                self.done.add(batch.events[start].seq, batch.events[stop - 1].seq)
                self._join_done()
                return True
        return False

    def put_back(self) -> None:
        """Hand out again, oldest first, what was handed out and is not done."""
        floor = self.floor
        self.outstanding.clear()
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

    def skip_through(self, seq: int) -> None:
        """Pass over everything up to ``seq``: it was removed from the disk and booked in the ledger."""
        while self.outstanding:
            batch, start, stop = self.outstanding[0]
            assert isinstance(batch, Batch)
            assert isinstance(start, int)
            assert isinstance(stop, int)
            kept = _stop_at(batch.events, start, stop, seq)
            if kept == start:
                break
            self.outstanding.popleft()
            if kept < stop:
                self.outstanding.appendleft([batch, kept, stop])
                break
        while self._chunks and self._chunks[0].last_seq <= seq:
            self._ready_events -= len(self._chunks.popleft().events) - self._chunk_index
            self._chunk_index = 0
        if self._chunks and self.read_seq < seq:
            index = _stop_at(self._chunks[0].events, self._chunk_index, len(self._chunks[0].events), seq)
            self._ready_events -= index - self._chunk_index
            self._chunk_index = index
        self.done.drop_through(min(seq, self.floor))
        if self.read_seq < seq:
            self.read_seq = seq
            if not self._chunks:
                self._batch = None
                self._index = 0
        self.ready_to = max(self.ready_to, seq)

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
        is_wanted: Callable[[Event], bool] | None,
        sent_to: int = 0,
    ) -> list[Event]:
        """Take what was read from disk after ``ready_to``, which covers everything up to ``through_seq``.

        ``sent_to``: what this uplink was handed before it was written. Return what will be handed out.
        """
        self.is_reading = False
        limit = min(through_seq, self._disk_to())
        floor, done = self.ready_to, self.done
        wanted = [e for e in events if floor < e.seq <= limit and (not len(done) or e.seq not in done)]
        if is_wanted is not None:
            wanted = [event for event in wanted if is_wanted(event)]
        if wanted:
            chunk = Batch(wanted, b"")
            chunk.handed_out_at_write = {self._bit_number: _stop_at(wanted, 0, len(wanted), sent_to)}
            self._chunks.append(chunk)
            self._ready_events += len(wanted)
        self.ready_to = max(self.ready_to, limit)
        if not self._chunks:
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
                index = _stop_at(batch.events, 0, len(batch.events), self.read_seq)
        return batch, index

    def _take_chunk(self, limit: int, up_to: int | None, shipments: list[Shipment], mark: bool) -> int:
        if not self._chunks:
            return 0
        chunk = self._chunks[0]
        start = self._chunk_index
        stop = min(len(chunk.events), start + limit)
        if up_to is not None and chunk.events[stop - 1].seq > up_to:
            stop = _stop_at(chunk.events, start, stop, up_to)
            if stop == start:
                return 0
        self.outstanding.append([chunk, start, stop])
        if mark:
            self._ship_marked(chunk, start, stop, shipments)
        else:
            shipments.append(Shipment(chunk, chunk.events, start, stop))
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
            shipments.append(Shipment(batch, batch.events, start, border))
        if border < stop:
            shipments.append(Shipment(batch, batch.events, border, stop, is_stored=True))
        handed_out = batch.handed_out
        handed_out[self._bit_number] = max(stop, handed_out.get(self._bit_number, 0))

    def _join_done(self) -> None:
        """Let the floor pass what was acknowledged out of order and stands right behind it."""
        if not self.outstanding:
            self.done.drop_through(self.read_seq)
        else:
            self.done.drop_through(self.floor)


def _stop_at(events: Sequence[Event], start: int, stop: int, last_seq: int) -> int:
    """Return the first index in ``[start, stop)`` whose sequence number is above ``last_seq``, or ``stop``."""
    while start < stop:
        middle = (start + stop) // 2
        if events[middle].seq <= last_seq:
            start = middle + 1
        else:
            stop = middle
    return start
