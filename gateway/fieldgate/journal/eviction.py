"""Make room: look at the oldest blocks, decide who gives up what, and count exactly what each uplink loses.

The looking happens in the journal's thread and the booking on the loop; what an uplink delivered in between is
taken out again, so that every event is booked once (P4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from fieldgate import clock
from fieldgate.journal.feed import UplinkFeed
from fieldgate.journal.gaps import Hole
from fieldgate.journal.journal import Journal
from fieldgate.journal.outbox import Outbox
from fieldgate.journal.policy import BlockMeta, Eviction, UplinkDemand, plan_eviction, plan_limits
from fieldgate_devices.event import LANES, Event

__all__ = ["EvictionPlan", "apply_eviction", "plan_history", "plan_room", "plan_uplink_limits"]

_LOOK_BLOCKS = 2_000
_READ_BYTES = 1 << 20


@dataclass(slots=True)
class EvictionPlan:
    """Who gives up what, the events of each lane that this concerns, and up to where nobody needs a lane's blocks."""

    evictions: list[Eviction] = field(default_factory=list)
    events: dict[int, list[Event]] = field(default_factory=dict)
    free_through: dict[int, int] = field(default_factory=dict)


def plan_room(journal: Journal, *, demands: Sequence[UplinkDemand], over_bytes: int) -> EvictionPlan:
    """Plan to free ``over_bytes``; runs in the journal's thread."""
    metas = _metas(journal, over_bytes)
    evictions, free_through = plan_eviction(metas, demands, over_bytes=over_bytes)
    plan = _with_events(journal, evictions, demands)
    plan.free_through = free_through
    return plan


def plan_history(journal: Journal, *, max_age_s: float | None, max_size_bytes: int | None) -> dict[int, int]:
    """Return per lane up to where the history may go; runs in the journal's thread."""
    over_bytes = 0
    if max_size_bytes is not None:
        over_bytes = sum(lane.body_bytes for lane in journal.stats().lanes) - max_size_bytes
    through: dict[int, int] = {}
    for meta in _metas(journal, 1 << 60):
        is_old = max_age_s is not None and meta.age_s > max_age_s
        if is_old or over_bytes > 0:
            through[meta.lane] = meta.last_seq
            over_bytes -= meta.size_bytes
    return through


def plan_uplink_limits(journal: Journal, *, demands: Sequence[UplinkDemand]) -> EvictionPlan:
    """Plan to hold each uplink to its own limits; runs in the journal's thread."""
    metas = _metas(journal, 1 << 62)
    evictions = [eviction for demand in demands for eviction in plan_limits(metas, demand)]
    return _with_events(journal, evictions, demands)


def apply_eviction(plan: EvictionPlan, outbox: Outbox) -> list[tuple[UplinkFeed, Hole]]:
    """Book the plan and move the cursors; return what each uplink lost. Runs on the loop."""
    booked = []
    feeds = {feed.name: feed for feed in outbox.all_feeds()}
    for eviction in plan.evictions:
        feed = feeds[eviction.uplink]
        lost = [
            event
            for event in plan.events.get(eviction.lane, ())
            if event.seq <= eviction.through_seq and feed.still_wants(event)
        ]
        for run, group in groupby(lost, key=lambda event: event.stamp.run):
            events = list(group)
            hole = Hole(eviction.lane, eviction.reason, len(events), run, events[0].seq, events[-1].seq)
            feed.add_hole(hole)
            feed.state.count_lost(eviction.lane, [event.seq for event in events])
            booked.append((feed, hole))
        feed.forget_through(eviction.lane, eviction.through_seq)
    return booked


def _metas(journal: Journal, enough_bytes: int) -> list[BlockMeta]:
    metas = []
    now_s = journal.journal_s(clock.boot_ns())
    for lane in LANES:
        size_bytes = 0
        for info in journal.oldest_blocks(lane, limit=_LOOK_BLOCKS if enough_bytes < 1 << 61 else 1 << 31):
            age_s = now_s - info.heard_s
            metas.append(BlockMeta(lane, info.first_seq, info.last_seq, info.size_bytes, age_s))
            size_bytes += info.size_bytes
            if size_bytes >= enough_bytes:
                break
    return metas


def _with_events(journal: Journal, evictions: list[Eviction], demands: Sequence[UplinkDemand]) -> EvictionPlan:
    plan = EvictionPlan(evictions)
    floors = {demand.name: demand.floors for demand in demands}
    for lane in {eviction.lane for eviction in evictions}:
        through = max(eviction.through_seq for eviction in evictions if eviction.lane == lane)
        after = min(floors[eviction.uplink][lane] for eviction in evictions if eviction.lane == lane)
        events = plan.events.setdefault(lane, [])
        hint = None
        while after < through:
            result = journal.read(lane, after, max_bytes=_READ_BYTES, hint=hint)
            hint = result.hint
            for block in result.blocks:
                events.extend(event for event in block.events if after < event.seq <= through)
            if not result.blocks or not result.more:
                break
            after = result.blocks[-1].info.last_seq
    return plan
