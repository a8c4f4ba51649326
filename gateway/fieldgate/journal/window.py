"""What the outbox holds in memory: batches of one lane, oldest first, linked so that cursors can stand in them.

A batch is everything of one read (or of one block read back) in one lane. For each of its events it knows which
uplinks still want it, as one byte of bits, so that marking a run of events is one C call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from fieldgate.ingest.source import Settler
from fieldgate_devices.event import Event

__all__ = ["MAX_UPLINKS", "Batch", "LaneLog", "holds_publishes"]

MAX_UPLINKS: Final = 8
_CLEAR: Final = tuple(bytes(value & ~(1 << bit) & 0xFF for value in range(256)) for bit in range(8))
_ANY: Final = bytes(1 if value else 0 for value in range(256))
_HAS: Final = tuple(bytes(1 if value >> bit & 1 else 0 for value in range(256)) for bit in range(8))
_NOTHING: Final[dict[int, int]] = {}


class Batch:
    """Consecutive events of one lane, their settle positions, and who still wants which.

    ``waits[i]`` has bit ``u`` set while uplink number ``u`` has not acknowledged ``events[i]``.
    ``positions`` is the settler's position of the first event when they are consecutive, else a list. ``size_bytes``
    is what the batch takes in memory. ``is_bound``: it is written in the same commit as the batch accepted before it.
    ``has_publishes``: see `Shipment`.
    """

    __slots__ = (
        "accepted_s",
        "events",
        "handed_out",
        "handed_out_at_write",
        "has_publishes",
        "is_bound",
        "is_settled",
        "is_writing",
        "is_written",
        "next",
        "positions",
        "settler",
        "size_bytes",
        "waits",
    )

    def __init__(
        self,
        events: Sequence[Event],
        waits: bytes,
        *,
        settler: Settler | None = None,
        positions: int | list[int] = 0,
        accepted_s: float = 0.0,
        size_bytes: int = 0,
        is_bound: bool = False,
    ) -> None:
        self.events = events
        self.waits = bytearray(waits)
        self.settler = settler
        self.positions = positions
        self.accepted_s = accepted_s
        self.size_bytes = size_bytes
        self.is_bound = is_bound
        self.is_written = False
        self.is_writing = False
        self.is_settled = settler is None
        self.has_publishes = False
        self.next: Batch | None = None
        self.handed_out: dict[int, int] | None = None  # by uplinks that mark what was stored first: events handed out
        self.handed_out_at_write: dict[int, int] | None = None  # the same when the first write began

    @property
    def last_seq(self) -> int:
        """Sequence number of the newest event."""
        return self.events[-1].seq

    def clear(self, bit_number: int, start: int, stop: int) -> bool:
        """Uplink ``bit_number`` has ``events[start:stop]``; return whether now nobody wants any of that run."""
        if start == 0 and stop == len(self.waits):
            self.waits = part = self.waits.translate(_CLEAR[bit_number])
        else:
            part = self.waits[start:stop].translate(_CLEAR[bit_number])
            self.waits[start:stop] = part
        return not any(part)

    def is_wanted(self) -> bool:
        """Whether any uplink still wants any event."""
        return any(self.waits)

    def runs_wanted_by(self, bit_number: int, start: int, stop: int) -> list[tuple[int, int]]:
        """Return the runs ``(first, end)`` within ``[start, stop)`` whose events uplink ``bit_number`` wants."""
        return _runs(self.waits[start:stop].translate(_HAS[bit_number]), 1, start)

    def write_begins(self) -> None:
        """From now on this is a stored batch; what an uplink was handed before that is not marked for it, ever."""
        self.is_writing = True
        if self.handed_out_at_write is None:
            self.handed_out_at_write = dict(self.handed_out) if self.handed_out else _NOTHING

    def runs_wanted(self) -> list[tuple[int, int]]:
        """Return the runs that anybody still wants."""
        return _runs(self.waits.translate(_ANY), 1, 0)

    def runs_unwanted(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Return the runs within ``[start, stop)`` that nobody wants any more."""
        return _runs(self.waits[start:stop].translate(_ANY), 0, start)

    def count_wanted_by(self, bit_number: int) -> int:
        """Return how many events uplink ``bit_number`` still wants."""
        return self.waits.translate(_HAS[bit_number]).count(1)


def holds_publishes(events: Sequence[Event]) -> bool:
    """Whether some of these are messages that a rule sends as they are (`Extra.publish`)."""
    return any(event.extra is not None and event.extra.publish is not None for event in events)


def _runs(flags: bytearray, value: int, offset: int) -> list[tuple[int, int]]:
    """Return the runs of bytes equal to ``value`` (0 or 1) in ``flags``, moved by ``offset``; all-equal is one call."""
    size = len(flags)
    if flags.count(value) == size:
        return [(offset, offset + size)] if size else []
    runs = []
    start = flags.find(value)
    while start >= 0:
        stop = flags.find(1 - value, start)
        if stop < 0:
            stop = size
        runs.append((offset + start, offset + stop))
        start = flags.find(value, stop)
    return runs


class LaneLog:
    """The batches of one lane that are in memory, oldest first, and what lies on disk before them.

    Every event of the lane with a sequence number up to ``evicted_to`` that anybody still wants is on disk and
    must be read from there; everything later is in memory.
    """

    __slots__ = (
        "evicted_to",
        "head",
        "lane",
        "last_seq",
        "removed_to",
        "size_bytes",
        "stored_to",
        "tail",
        "writing_to",
    )

    def __init__(self, lane: int, *, stored_to: int = 0) -> None:
        self.lane = lane
        self.head: Batch | None = None
        self.tail: Batch | None = None
        self.evicted_to = stored_to
        self.stored_to = self.writing_to = stored_to
        self.last_seq = stored_to
        self.removed_to = 0  # from the disk, in this process
        self.size_bytes = 0

    def append(self, batch: Batch) -> None:
        """Add the newest batch."""
        if self.tail is None:
            self.head = batch
        else:
            self.tail.next = batch
        self.tail = batch
        self.last_seq = batch.last_seq
        self.size_bytes += batch.size_bytes

    def drop_head(self) -> Batch:
        """Forget the oldest batch, which nobody needs in memory any more."""
        batch = self.head
        assert batch is not None
        self.head = batch.next
        if self.head is None:
            self.tail = None
        self.size_bytes -= batch.size_bytes
        batch.next = None  # a cursor that stands in it must not keep all that came later in memory
        return batch

    def __iter__(self) -> Iterator[Batch]:
        batch = self.head
        while batch is not None:
            yield batch
            batch = batch.next
