"""When to commit, and what to give up when the disk is full: decisions only, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fieldgate_devices.event import Lane

__all__ = ["BLOCK_EVENTS", "BlockMeta", "Eviction", "UplinkDemand", "commit_due_s", "plan_eviction", "plan_limits"]

BLOCK_EVENTS = 200  # a block's worth: enough that flash per event hardly falls any further
_FEW_EVENTS = 25
_STRETCHED_DELAY_S = 0.5


def commit_due_s(*, eligible: int, eligible_since_s: float, is_stalled: bool, commit_delay_s: float) -> float:
    """Return when ``eligible`` events, the oldest eligible since ``eligible_since_s``, must be committed.

    At once when a device waits for its PUBACKs or a block's worth is there; else after ``commit_delay_s``,
    stretched to half a second while the commit would hold fewer than 25 events (a page of flash each).
    """
    if is_stalled or eligible >= BLOCK_EVENTS:
        return eligible_since_s
    if eligible < _FEW_EVENTS:
        return eligible_since_s + max(commit_delay_s, _STRETCHED_DELAY_S)
    return eligible_since_s + commit_delay_s


@dataclass(frozen=True, slots=True)
class BlockMeta:
    """What is known of a stored block without reading its body."""

    lane: int
    first_seq: int
    last_seq: int
    size_bytes: int
    age_s: float


@dataclass(frozen=True, slots=True)
class UplinkDemand:
    """What one uplink still wants: per lane everything above its floor."""

    name: str
    floors: tuple[int, ...]
    is_required: bool
    max_size_bytes: int | None = None
    max_age_s: float | None = None


@dataclass(frozen=True, slots=True)
class Eviction:
    """``uplink`` gives up everything of ``lane`` up to ``through_seq``."""

    uplink: str
    lane: int
    through_seq: int
    reason: str


def plan_eviction(
    blocks: Sequence[BlockMeta], uplinks: Sequence[UplinkDemand], *, over_bytes: int
) -> tuple[list[Eviction], dict[int, int]]:
    """Return who gives up what so that ``over_bytes`` become free, and per lane up to where blocks then may go.

    ``blocks`` are the oldest blocks of each lane, oldest first within a lane. First goes what only uplinks that
    are not required still want; then lane ``low``, ``normal``, ``high``, oldest first (DESIGN: drop_oldest).
    """
    freed = 0
    given_up: dict[tuple[str, int], int] = {}

    def wants(uplink: UplinkDemand, block: BlockMeta) -> bool:
        through = max(uplink.floors[block.lane], given_up.get((uplink.name, block.lane), 0))
        return block.last_seq > through

    gone: set[tuple[int, int]] = set()
    for optional_only in (True, False):
        for lane in (Lane.LOW, Lane.NORMAL, Lane.HIGH):
            for block in (block for block in blocks if block.lane == lane):
                if freed >= over_bytes:
                    break
                key = (block.lane, block.last_seq)
                if key in gone:
                    continue
                wanting = [uplink for uplink in uplinks if wants(uplink, block)]
                if optional_only and any(uplink.is_required for uplink in wanting):
                    break  # a lane is given up from its old end only, so what lies behind stays too
                for uplink in wanting:
                    given_up[uplink.name, block.lane] = block.last_seq
                gone.add(key)
                freed += block.size_bytes
    evictions = [Eviction(name, lane, through, "evicted") for (name, lane), through in given_up.items()]
    free_through: dict[int, int] = {}
    for lane_number, last_seq in gone:
        free_through[lane_number] = max(free_through.get(lane_number, 0), last_seq)
    return evictions, free_through


def plan_limits(blocks: Sequence[BlockMeta], uplink: UplinkDemand) -> list[Eviction]:
    """Return what ``uplink`` gives up to keep within its own ``max_size`` and ``max_age``.

    ``blocks`` are all blocks that it may still want, oldest first within a lane.
    """
    wanted = [block for block in blocks if block.last_seq > uplink.floors[block.lane]]
    through: dict[int, tuple[int, str]] = {}
    if uplink.max_age_s is not None:
        for block in wanted:
            if block.age_s > uplink.max_age_s:
                through[block.lane] = (block.last_seq, "expired")
    if uplink.max_size_bytes is not None:
        kept = [block for block in wanted if block.last_seq > through.get(block.lane, (0, ""))[0]]
        over = sum(block.size_bytes for block in kept) - uplink.max_size_bytes
        for lane in (Lane.LOW, Lane.NORMAL, Lane.HIGH):
            for block in (block for block in kept if block.lane == lane):
                if over <= 0:
                    break
                through[block.lane] = (block.last_seq, "evicted")
                over -= block.size_bytes
    return [Eviction(uplink.name, lane, last, reason) for lane, (last, reason) in through.items()]
