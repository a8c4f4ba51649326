"""What the journal is given and what it answers; plain values, no I/O.

Lanes are ints (`fieldgate_devices.event.Lane`). ``seq`` rises over all lanes and from run to run within a
journal. ``block_no`` counts all blocks ever written, over lanes, files and restarts; the ordinal counts the
blocks of one lane. Times in ``_ns`` named boot are CLOCK_BOOTTIME of the OS boot named beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from fieldgate.errors import FieldgateError, JournalError
from fieldgate.observe.histogram import Spread
from fieldgate_devices.event import Event

__all__ = [
    "BlockInfo",
    "BootRecord",
    "Commit",
    "Committed",
    "JournalBusy",
    "JournalFull",
    "JournalRefused",
    "JournalStats",
    "LaneStats",
    "LedgerEntry",
    "LedgerRow",
    "Loss",
    "NewBlock",
    "OpenReport",
    "ParkedEvent",
    "ParkedHead",
    "ParkingChange",
    "ReadHint",
    "ReadResult",
    "Removal",
    "RetryMark",
    "RunRecord",
    "ScanResult",
    "StoredBlock",
    "Unparked",
    "VerifyReport",
]


class JournalBusy(JournalError):
    """Another gateway holds this journal. ``pid`` is None where the holder did not say."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(f"{folder}: the journal is in use by {holder}; stop it or choose another journal.path")
        self.folder = folder
        self.pid = pid


class JournalRefused(JournalError):
    """The journal cannot be opened and retrying will not help: permissions, or written by a newer version."""


class JournalFull(FieldgateError):
    """Nothing was written and nothing was lost; the same commit may be tried again later.

    ``limit``: the byte limit is reached, remove something. ``disk``: the file system has no space.
    ``read_only``: the file system takes no writes now.
    """

    def __init__(self, cause: Literal["limit", "disk", "read_only"], detail: str) -> None:
        super().__init__(detail)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class NewBlock:
    """Events of one lane and one run for one row, by ascending ``seq``; at least one.

    Keep blocks at about 200 events or 256 KiB of data: a block is read, written and evicted as a whole.
    ``marks`` is a small opaque note of the caller (routes, counts …) that comes back without decoding events.
    """

    lane: int
    run: int
    events: Sequence[Event]
    marks: bytes = b""


@dataclass(frozen=True, slots=True)
class Removal:
    """Blocks to delete in one lane: from the oldest on, all whose seqs (and those before them) are <= ``last_seq``.

    ``block_nos`` instead names single blocks anywhere in the lane (eviction of what only some uplinks want).
    """

    lane: int
    last_seq: int = 0
    reason: str = "delivered"
    block_nos: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """Events that an uplink will never get, and why (evicted, expired, parked, corrupt, missing …).

    ``joins`` says that no surviving event of this lane lies between the newest entry of the same uplink, lane,
    reason and run and this one: they become one row. ``run`` is None where damage hid it.
    """

    uplink: str
    lane: int
    reason: str
    run: int | None
    first_seq: int
    last_seq: int
    count: int
    wall_ns: int
    boot_ns: int
    joins: bool = False


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A ledger entry as kept. Rows reported upstream are folded into one total per uplink, lane and reason."""

    row_id: int
    entry: LedgerEntry
    is_reported: bool


@dataclass(frozen=True, slots=True)
class BootRecord:
    """What is known of one OS boot's clock: UTC = boot time + ``offset_ns``; None while the time is unknown.

    ``quality`` is a `fieldgate_devices.event.TimeQuality`.
    """

    os_boot: str
    offset_ns: int | None
    quality: int


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One start of the gateway."""

    run: int
    gateway: str
    os_boot: str
    started_wall_ns: int
    started_boot_ns: int


@dataclass(frozen=True, slots=True)
class Loss:
    """Stored events that cannot be read any more. Told until booked with `Commit.losses`, then never again.

    ``first_seq … last_seq`` encloses the lost events of that lane; ``count`` is exact where ``is_exact``, else the
    least that is known. ``marks`` is the caller's note where the block's head survived.
    """

    epoch: int
    lane: int
    first_ordinal: int
    last_ordinal: int
    first_seq: int
    last_seq: int
    count: int
    reason: str
    run: int | None = None
    block_no: int | None = None
    marks: bytes | None = None
    is_exact: bool = True


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that ``uplink``'s far side refused for ``reason``, kept as it was sent.

    ``wall_ns`` is when that was, ``parked_s`` since when it is parked on the journal's own clock (filled in by the
    journal), ``is_retrying`` whether it is on its way once more.
    """

    uplink: str
    reason: str
    event: Event
    wall_ns: int
    parked_s: int = 0
    is_retrying: bool = False


class ParkedHead(NamedTuple):
    """A parked event without its content; ``size_bytes`` is what counts against the limit."""

    uplink: str
    lane: int
    run: int
    seq: int
    size_bytes: int
    is_retrying: bool


@dataclass(frozen=True, slots=True)
class RetryMark:
    """A parked event is to be sent again, also after a restart."""

    uplink: str
    run: int
    seq: int


@dataclass(frozen=True, slots=True)
class Unparked:
    """An event is parked no more: it was taken after all, dropped by a person, or had to go."""

    uplink: str
    lane: int
    run: int
    seq: int


ParkingChange = ParkedEvent | RetryMark | Unparked


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything that becomes durable together: one transaction, one fsync."""

    now_boot_ns: int
    blocks: Sequence[NewBlock] = ()
    uplink_states: dict[str, bytes] = field(default_factory=dict)
    forget_uplinks: Sequence[str] = ()
    ledger: Sequence[LedgerEntry] = ()
    reported: Sequence[int] = ()
    remove: Sequence[Removal] = ()
    losses: Sequence[Loss] = ()
    boots: Sequence[BootRecord] = ()
    parking: Sequence[ParkingChange] = ()


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit did. ``block_nos`` and ``sizes_bytes`` go with `Commit.blocks`, ``ledger_ids`` with its ledger.

    ``losses`` are to be booked: what a file that broke on the way had held (``moved_to`` names the new epoch then),
    and what was told by a read some commits ago and not booked since.
    """

    block_nos: tuple[int, ...]
    sizes_bytes: tuple[int, ...]
    ledger_ids: tuple[int, ...]
    removed_blocks: int
    losses: tuple[Loss, ...] = ()
    moved_to: int | None = None


@dataclass(frozen=True, slots=True)
class BlockInfo:
    """A block's head, read without its events. ``heard_s`` is on the journal's own clock (`Journal.journal_s`)."""

    block_no: int
    lane: int
    run: int
    first_seq: int
    last_seq: int
    count: int
    size_bytes: int
    heard_s: int
    boot_ns: int
    marks: bytes
    ordinal: int
    epoch: int


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A block with its events: ``seq``, ``lane`` and ``stamp.run`` filled in, by ascending ``seq``."""

    info: BlockInfo
    events: list[Event]

    @property
    def block_no(self) -> int:
        """The block's number over lanes, files and restarts."""
        return self.info.block_no

    @property
    def lane(self) -> int:
        """The lane that all its events share."""
        return self.info.lane

    @property
    def run(self) -> int:
        """The run that accepted all its events."""
        return self.info.run


@dataclass(frozen=True, slots=True)
class ReadHint:
    """Where a forward read of one lane stands; opaque to the caller, valid while the journal is open."""

    epoch: int
    block_no: int
    ordinal: int
    events_before: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class ReadResult:
    """One step of a forward read. ``more``: call again, there is or may be more (or a salvage is still under way)."""

    blocks: list[StoredBlock]
    losses: list[Loss]
    hint: ReadHint | None
    more: bool


@dataclass(frozen=True, slots=True)
class ScanResult:
    """One step of a walk over all lanes. Go on after ``last_no`` while ``more``."""

    blocks: list[StoredBlock]
    losses: list[Loss]
    last_no: int
    more: bool


@dataclass(frozen=True, slots=True)
class OpenReport:
    """What `Journal.open` found. ``losses`` holds every loss not booked yet, also those of an earlier start.

    ``set_aside`` are files renamed because they were damaged or foreign. ``notes`` are sentences for the log.
    """

    epoch: int
    is_new: bool
    next_seq: int
    uplink_states: dict[str, bytes]
    runs: tuple[RunRecord, ...]
    boots: tuple[BootRecord, ...]
    losses: tuple[Loss, ...]
    set_aside: tuple[Path, ...]
    notes: tuple[str, ...]
    parked: tuple[ParkedHead, ...] = ()


@dataclass(frozen=True, slots=True)
class LaneStats:
    """What one lane holds now, over all files. ``oldest_s`` is on the journal's own clock; None when empty."""

    lane: int
    blocks: int
    events: int
    body_bytes: int
    first_seq: int | None
    last_seq: int | None
    oldest_s: int | None


@dataclass(frozen=True, slots=True)
class JournalStats:
    """Sizes and counts, all known without a scan. ``size_bytes`` is what counts against the limit.

    ``sync_times`` is how long commits took to become durable, None where nothing is committed.
    """

    epoch: int
    size_bytes: int
    used_bytes: int
    wal_bytes: int
    set_aside_bytes: int
    max_size_bytes: int
    last_block_no: int
    lanes: tuple[LaneStats, ...]
    sync_times: Spread | None = None


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """A walk over every block. ``problems`` is empty when the chain, every checksum and every count hold."""

    blocks: int
    events: int
    body_bytes: int
    removed_blocks: int
    booked_losses: int
    problems: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems
