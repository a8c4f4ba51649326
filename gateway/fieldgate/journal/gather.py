"""Make blocks of what is to be written, and note on each what a reader must know that the events do not say.

The note: which of the events an uplink with ``live_first`` was handed before their write began (decision 0002).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from fieldgate.journal.feed import UplinkFeed
from fieldgate.journal.policy import BLOCK_EVENTS
from fieldgate.journal.records import NewBlock
from fieldgate.journal.window import Batch
from fieldgate.journal.write_queue import WriteJob
from fieldgate_devices.event import Event

__all__ = ["blocks_of", "handed_in"]

_MOST_EVENTS: Final = 5 * BLOCK_EVENTS
_BLOCK_BYTES: Final = 256 << 10

_Note = dict[str, list[tuple[int, int]]]


def blocks_of(job: WriteJob, feeds: Sequence[UplinkFeed]) -> tuple[NewBlock, ...]:
    """Gather each lane's events into blocks of a size that a reader likes."""
    markers = [feed for feed in feeds if feed.route.is_live_first]
    blocks = []
    for lane, entries in sorted(job.lanes.items()):
        batches: list[Batch] = []
        events: list[Event] = []
        size_bytes = 0
        for batch, wanted in entries:
            batches.append(batch)
            events.extend(wanted)
            size_bytes += batch.size_bytes
            if len(events) >= _MOST_EVENTS or size_bytes >= _BLOCK_BYTES:
                blocks.append(NewBlock(lane, events[0].stamp.run, events, _note(batches, markers)))
                batches, events, size_bytes = [], [], 0
        if events:
            blocks.append(NewBlock(lane, events[0].stamp.run, events, _note(batches, markers)))
    return tuple(blocks)


def handed_in(marks: bytes, uplink: str) -> Sequence[tuple[int, int]]:
    """Return the ranges of a block's events that ``uplink`` was handed before their write began."""
    return msgspec.msgpack.decode(marks, type=_Note).get(uplink, ()) if marks else ()


def _note(batches: Sequence[Batch], markers: Sequence[UplinkFeed]) -> bytes:
    note: _Note = {}
    for feed in markers:
        ranges: list[tuple[int, int]] = []
        goes_on = False  # the batch before was handed out to its end
        for batch in batches:
            count = (batch.handed_out_at_write or {}).get(feed.bit_number, 0)
            if count:
                first = ranges.pop()[0] if goes_on else batch.events[0].seq
                ranges.append((first, batch.events[count - 1].seq))
            goes_on = count == len(batch.events)
        if ranges:
            note[feed.name] = ranges
    return msgspec.msgpack.encode(note) if note else b""
