"""Make room: look at the oldest blocks, decide who gives up what, and count exactly what each uplink loses.

The looking happens in the journal's thread and the booking on the loop; what an uplink delivered in between is
taken out again, so that every event is booked once (P4). One plan concerns a bounded number of events: it is read into
memory. Who needs more room asks again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from heapq import merge

from fieldgate import clock
from fieldgate.journal.journal import Journal
from fieldgate.journal.outbox import Outbox
from fieldgate.journal.policy import BlockMeta, Eviction, UplinkDemand, plan_eviction, plan_limits
from fieldgate.journal.records import Loss
from fieldgate_devices.event import LANES, Event

__all__ = ["EvictionPlan", "UplinkLimits", "apply_eviction", "plan_history", "plan_room"]

_PAGE_BLOCKS = 500
_LOOK_BLOCKS = 2_000  # heads looked at for one plan, per lane
_READ_BYTES = 1 << 20
_PLAN_EVENTS = 20_000
_SPARE = 50  # an uplink that is over its limit gives up a fiftieth more, so that it is not looked at all the time


@dataclass(slots=True)
class EvictionPlan:
    """Who gives up what, and the events of each lane that this concerns.

    ``free_through``: up to where nobody needs a lane's blocks then. ``losses`` turned up on the way. ``is_partial``:
    there is more to give up than one plan may concern.
    """

    evictions: list[Eviction] = field(default_factory=list)
    free_through: dict[int, int] = field(default_factory=dict)
    events: dict[int, list[Event]] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)
    is_partial: bool = False


def plan_room(
    journal: Journal, *, demands: Sequence[UplinkDemand], over_bytes: int, may_drop_required: bool
) -> EvictionPlan:
    """Plan to free ``over_bytes``; runs in the journal's thread."""
    metas: list[BlockMeta] = []
    for lane in LANES:
        size_bytes = 0
        for _, meta in _blocks(journal, lane, limit=_LOOK_BLOCKS):
            metas.append(meta)
            size_bytes += meta.size_bytes
            if size_bytes >= over_bytes:
                break
    evictions, free_through = plan_eviction(metas, demands, over_bytes=over_bytes, may_drop_required=may_drop_required)
    return _with_events(journal, EvictionPlan(evictions, free_through), demands)


def plan_history(journal: Journal, *, max_age_s: float | None, max_size_bytes: int | None) -> dict[int, int]:
    """Return per lane up to where the history may go; runs in the journal's thread."""
    over_bytes = 0
    if max_size_bytes is not None:
        over_bytes = sum(lane.body_bytes for lane in journal.stats().lanes) - max_size_bytes
    through: dict[int, int] = {}
    lanes = [(meta for _, meta in _blocks(journal, lane, limit=_LOOK_BLOCKS)) for lane in LANES]
    for meta in merge(*lanes, key=lambda meta: meta.last_seq):
        if over_bytes <= 0 and (max_age_s is None or meta.age_s <= max_age_s):
            break
        through[meta.lane] = meta.last_seq
        over_bytes -= meta.size_bytes
    return through


class UplinkLimits:
    """Holds each uplink to its own ``max_size`` and ``max_age``. Used in the journal's thread only.

    Remembers where each uplink's blocks begin, and how many bytes can be written before its size need be measured
    again, so that a backlog of millions is not looked through every time.
    """

    def __init__(self) -> None:
        self._after_no: dict[tuple[str, int], int] = {}
        self._measure_at_bytes: dict[str, int] = {}

    def plan(self, journal: Journal, *, demands: Sequence[UplinkDemand], written_bytes: int) -> EvictionPlan:
        """Plan who gives up what. ``written_bytes`` is what was ever written since the start."""
        evictions = []
        for demand in demands:
            if demand.max_size_bytes is not None or demand.max_age_s is not None:
                evictions += self._plan_one(journal, demand, written_bytes)
        return _with_events(journal, EvictionPlan(evictions), demands)

    def _plan_one(self, journal: Journal, demand: UplinkDemand, written_bytes: int) -> list[Eviction]:
        held_bytes, max_bytes = 0, demand.max_size_bytes
        if max_bytes is not None and written_bytes >= self._measure_at_bytes.get(demand.name, 0):
            held_bytes = sum(meta.size_bytes for lane in LANES for meta in self._wanted(journal, demand, lane))
            self._measure_at_bytes[demand.name] = written_bytes + max(0, max_bytes - held_bytes)
            if held_bytes > max_bytes:
                held_bytes += max_bytes // _SPARE
        over_bytes = held_bytes - max_bytes if max_bytes is not None else 0
        oldest: list[BlockMeta] = []
        for lane in LANES:
            size_bytes = 0
            for meta in self._wanted(journal, demand, lane):
                is_old = demand.max_age_s is not None and meta.age_s > demand.max_age_s
                if (not is_old and size_bytes >= over_bytes) or len(oldest) >= _LOOK_BLOCKS * (lane + 1):
                    break
                oldest.append(meta)
                size_bytes += meta.size_bytes
        return plan_limits(oldest, demand, held_bytes=held_bytes)

    def _wanted(self, journal: Journal, demand: UplinkDemand, lane: int) -> Iterator[BlockMeta]:
        """The blocks of a lane that the uplink still wants something of, oldest first."""
        key, floor = (demand.name, lane), demand.floors[lane]
        for block_no, meta in _blocks(journal, lane, after_no=self._after_no.get(key, 0)):
            if meta.last_seq > floor:
                yield meta
            else:
                self._after_no[key] = block_no


def apply_eviction(plan: EvictionPlan, outbox: Outbox) -> None:
    """Book the plan and move the cursors. Runs on the loop."""
    feeds = {feed.name: feed for feed in outbox.all_feeds()}
    for eviction in plan.evictions:
        events = plan.events.get(eviction.lane, ())
        feeds[eviction.uplink].give_up(eviction.lane, eviction.through_seq, events, reason=eviction.reason)


def _blocks(
    journal: Journal, lane: int, *, after_no: int = 0, limit: int | None = None
) -> Iterator[tuple[int, BlockMeta]]:
    """Look at the heads of a lane's blocks, oldest first, a page at a time; with each its number."""
    now_s = journal.journal_s(clock.boot_ns())
    left = limit
    while left is None or left > 0:
        page = journal.oldest_blocks(lane, _PAGE_BLOCKS if left is None else min(_PAGE_BLOCKS, left), after_no=after_no)
        for info in page:
            yield info.block_no, BlockMeta(lane, info.first_seq, info.last_seq, info.size_bytes, now_s - info.heard_s)
            after_no = info.block_no
        if not page:
            return
        left = None if left is None else left - len(page)


def _with_events(journal: Journal, plan: EvictionPlan, demands: Sequence[UplinkDemand]) -> EvictionPlan:
    """Read what the plan concerns, lane ``low`` first, and cut it where that becomes too much."""
    floors = {demand.name: demand.floors for demand in demands}
    left = _PLAN_EVENTS
    for lane in sorted({eviction.lane for eviction in plan.evictions}, reverse=True):
        concerned = [eviction for eviction in plan.evictions if eviction.lane == lane]
        after = min(floors[eviction.uplink][lane] for eviction in concerned)
        through = max(eviction.through_seq for eviction in concerned)
        read_to = _read_events(journal, plan, lane, after, through, at_most=left)
        left -= len(plan.events[lane])
        if read_to < through:
            plan.is_partial = True
            others = [eviction for eviction in plan.evictions if eviction.lane != lane]
            plan.evictions = others + [
                replace(eviction, through_seq=min(eviction.through_seq, read_to)) for eviction in concerned
            ]
            if lane in plan.free_through:
                plan.free_through[lane] = min(plan.free_through[lane], read_to)
    return plan


def _read_events(journal: Journal, plan: EvictionPlan, lane: int, after: int, through: int, *, at_most: int) -> int:
    """Read the events of a lane above ``after`` up to ``through`` into the plan; return up to where they were read."""
    events = plan.events.setdefault(lane, [])
    hint = None
    while after < through and len(events) < at_most:
        result = journal.read(lane, after, max_bytes=_READ_BYTES, hint=hint)
        hint = result.hint
        plan.losses += result.losses
        for block in result.blocks:
            events.extend(event for event in block.events if after < event.seq <= through)
            after = max(after, block.info.last_seq)
        for loss in result.losses:
            after = max(after, loss.last_seq)
        if not result.more:
            return through
        if not result.blocks and not result.losses:
            break  # a damaged file is still being looked through
    return min(after, through)
