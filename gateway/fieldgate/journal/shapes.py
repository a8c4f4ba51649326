"""What the journal notes about its own files; the values behind the rows of the book."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from fieldgate.journal.book import Book, Kind
from fieldgate.journal.highwater import LaneMark
from fieldgate.journal.holes import Gone
from fieldgate.journal.records import LaneStats, Loss

__all__ = [
    "DrainRecord",
    "Floor",
    "Meta",
    "NotedLoss",
    "Single",
    "Tail",
    "gone_by_loss",
    "loss_name",
    "noted_losses",
    "sum_stats",
]


class Meta(msgspec.Struct, frozen=True):
    """What a file is. Blocks of this epoch are numbered from ``start_no`` + 1; ``start_crc`` begins their chain.

    A loss at the file's end begins an epoch in the same file: ``lineage`` is the epoch in which the file was made and
    its ordinals began; ``tails`` is what its lanes had been given when this epoch began: [ordinal, events, bytes, seq].
    """

    epoch: int
    epoch_id: int
    lineage: int
    start_no: int
    start_crc: int
    created_wall_ns: int
    gateway: str
    tails: list[tuple[int, int, int, int]] = []


class Floor(msgspec.Struct):
    """Up to where a lane was removed from its old end, and how much that was by reason: [blocks, events].

    ``tail_no`` and ``tail_crc`` are those of the file's newest block at that time, ``tail`` is the lane's
    ([ordinal, events, bytes, top_seq]); those blocks may be gone as well.
    """

    ordinal: int = 0
    events: int = 0
    bytes: int = 0
    top_seq: int = 0
    tail_no: int = 0
    tail_crc: int = 0
    tail: tuple[int, int, int, int] = (0, 0, 0, 0)
    removed: dict[str, tuple[int, int]] = {}


@dataclass(slots=True)
class Tail:
    """What a lane has been given so far, removed or not."""

    ordinal: int = 0
    events: int = 0
    bytes: int = 0
    top_seq: int = 0


class Single(msgspec.Struct):
    """Blocks that were removed from the middle of a lane."""

    lane: int
    reason: str
    first_ordinal: int
    last_ordinal: int
    blocks: int
    events: int
    bytes: int


class NotedLoss(msgspec.Struct):
    """A loss as the book keeps it; booked once its ledger entry is."""

    loss: Loss
    is_booked: bool


class DrainRecord(msgspec.Struct):
    """An older file that still holds blocks, as the newer file's book remembers it.

    ``marks`` is what its lanes are known to have held: exactly where ``is_exact``, else from the high-water file.
    ``removed`` is how far each lane has been removed since: [ordinal, events, top_seq].
    """

    file: str
    epoch: int
    damage: str
    marks: tuple[LaneMark, LaneMark, LaneMark] | None
    is_exact: bool
    removed: list[tuple[int, int, int]] = msgspec.field(default_factory=lambda: [(0, 0, 0)] * 3)
    singles: list[tuple[int, int, int, int]] = []  # lane, first ordinal, last ordinal, events
    is_done: bool = False


def loss_name(loss: Loss) -> str:
    """The name of a loss in the book."""
    return f"{loss.epoch}:{loss.lane}:{loss.first_ordinal}"


def noted_losses(book: Book, epoch: int, lane: int) -> list[tuple[str, NotedLoss]]:
    """The losses noted for a lane of that epoch's file, by name, in order."""
    found = [
        (name, noted)
        for name, noted in book.values(Kind.LOSS, NotedLoss).items()
        if noted.loss.lane == lane and noted.loss.epoch == epoch
    ]
    return sorted(found, key=lambda item: item[1].loss.first_ordinal)


def gone_by_loss(book: Book, epoch: int, lane: int) -> list[Gone]:
    """The same as gaps."""
    return [
        Gone(noted.loss.first_ordinal, noted.loss.last_ordinal, noted.loss.count)
        for _, noted in noted_losses(book, epoch, lane)
    ]


def sum_stats(parts: list[LaneStats]) -> LaneStats:
    """What the parts of a lane hold together; the oldest part comes first."""
    first = next((part for part in parts if part.first_seq is not None), parts[-1])
    return LaneStats(
        lane=first.lane,
        blocks=sum(part.blocks for part in parts),
        events=sum(part.events for part in parts),
        body_bytes=sum(part.body_bytes for part in parts),
        first_seq=first.first_seq,
        last_seq=max([part.last_seq for part in parts if part.last_seq is not None], default=None),
        oldest_s=first.oldest_s,
    )
