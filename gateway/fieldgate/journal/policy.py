"""When to commit, and what to give up when the disk is full: decisions only, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fieldgate_devices.event import Lane

__all__ = ["BLOCK_EVENTS", "BlockMeta", "Eviction", "UplinkDemand", "commit_due_s", "plan_eviction", "plan_limits"]

BLOCK_EVENTS = 200  # a block's worth: enough that flash per event hardly falls any further
_FEW_EVENTS = 25
_STRETCHED_DELAY_S = 0.5
_LOW_FIRST = (Lane.LOW, Lane.NORMAL, Lane.HIGH)


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
    blocks: Sequence[BlockMeta], uplinks: Sequence[UplinkDemand], *, over_bytes: int, may_drop_required: bool = True
) -> tuple[list[Eviction], dict[int, int]]:
    """Return who gives up what so that ``over_bytes`` become free, and per lane up to where blocks then may go.

    ``blocks`` are the oldest blocks of each lane, oldest first within a lane. First goes what nobody wants and was
    only kept for replay, then what only uplinks that are not required want, then, unless the devices are to wait
    instead, the rest; each time ``low`` before ``normal`` before ``high``, and a lane from its old end only.
    """
    freed = 0
    free_through: dict[int, int] = {}
    for may_go in (_is_nobodys, _is_optional, _is_any)[: 3 if may_drop_required else 2]:
        for lane in _LOW_FIRST:
            for block in blocks:
                if block.lane != lane or block.last_seq <= free_through.get(lane, 0):
                    continue
                if freed >= over_bytes or not may_go([one for one in uplinks if _wants(one, block)]):
                    break
                free_through[lane] = block.last_seq
                freed += block.size_bytes
    evictions = [
        Eviction(uplink.name, lane, through, "evicted")
        for lane, through in free_through.items()
        for uplink in uplinks
        if uplink.floors[lane] < through
    ]
    return evictions, free_through


def plan_limits(oldest: Sequence[BlockMeta], uplink: UplinkDemand, *, held_bytes: int) -> list[Eviction]:
    """Return what ``uplink`` gives up to keep within its own ``max_size`` and ``max_age``.

    ``oldest`` are blocks that it still wants, oldest first within a lane, as many as may have to go; ``held_bytes`` is
    the size of all that it still wants.
    """
    expired: dict[int, int] = {}
    evicted: dict[int, int] = {}
    over_bytes = held_bytes - uplink.max_size_bytes if uplink.max_size_bytes is not None else 0
    for block in oldest:
        if uplink.max_age_s is not None and block.age_s > uplink.max_age_s:
            expired[block.lane] = block.last_seq
            over_bytes -= block.size_bytes
    for lane in _LOW_FIRST:
        for block in oldest:
            if over_bytes <= 0:
                break
            if block.lane == lane and block.last_seq > expired.get(lane, 0):
                evicted[lane] = block.last_seq
                over_bytes -= block.size_bytes
    given_up = [Eviction(uplink.name, lane, last, "expired") for lane, last in expired.items()]
    return given_up + [Eviction(uplink.name, lane, last, "evicted") for lane, last in evicted.items()]


def _wants(uplink: UplinkDemand, block: BlockMeta) -> bool:
    return block.last_seq > uplink.floors[block.lane]


def _is_nobodys(wanting: Sequence[UplinkDemand]) -> bool:
    return not wanting


def _is_optional(wanting: Sequence[UplinkDemand]) -> bool:
    return not any(uplink.is_required for uplink in wanting)


def _is_any(wanting: Sequence[UplinkDemand]) -> bool:
    del wanting
    return True
