"""What the running gateway answers on its control socket: status, and looking into the journal.

Reading the journal goes through the writer's thread a piece at a time, so that a slow reader neither holds up a
commit nor pins the write-ahead log.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from typing import Any

from fieldgate import clock
from fieldgate.control import Answer, ControlError, Handler
from fieldgate.journal.history import HistoryQuery, event_facts, history_step, stats_facts, verify_facts
from fieldgate.journal.journal import Journal
from fieldgate.observe.health import check_accounts
from fieldgate.pipeline import Pipeline
from fieldgate_devices.event import Event, TimeQuality

__all__ = ["handlers"]

_REPLAY_AHEAD = 2_000


def handlers(pipeline: Pipeline) -> dict[str, Handler]:
    """Return the answer to every request by its name."""
    return {
        "status": partial(_status, pipeline),
        "journal.stats": partial(_stats, pipeline),
        "journal.tail": partial(_tail, pipeline),
        "journal.read": partial(_read, pipeline),
        "journal.verify": partial(_verify, pipeline),
        "journal.replay": partial(_replay, pipeline),
    }


async def _status(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    del request
    outbox, config = pipeline.outbox, pipeline.config
    stats = await pipeline.keeper.call(Journal.stats)
    yield {
        "gateway": config.gateway.id,
        "version": version("fieldgate"),
        "pid": os.getpid(),
        "run": f"{pipeline.run_id:016x}",
        "uptime_s": round(clock.boot_s() - pipeline.started_s, 1),
        "clock": TimeQuality(pipeline.quality).name.lower(),
        "events_in": outbox.accepted,
        "rate_in": round(pipeline.rate_in.per_s, 1),
        "unsettled_bytes": outbox.unsettled_bytes,
        "listeners": [
            {
                "name": listener.name,
                "clients": len(listener.connections),
                "publishes": listener.tally.publishes,
                "events": listener.tally.events,
                "refused": dict(listener.refused),
            }
            for listener in pipeline.listeners
        ],
        "uplinks": {uplink.name: _uplink(pipeline, uplink.name) for uplink in pipeline.uplinks},
        "journal": {
            "path": str(config.journal.path),
            "durability": config.journal.durability,
            "epoch": stats.epoch,
            "bytes": stats.size_bytes,
            "max_bytes": stats.max_size_bytes,
            "events": sum(lane.events for lane in stats.lanes),
            "commits": pipeline.keeper.commits,
            "written_events": pipeline.keeper.written_events,
            "full": pipeline.keeper.full_cause or "",
        },
    }


def _uplink(pipeline: Pipeline, name: str) -> dict[str, Any]:
    feed = pipeline.outbox.feeds[name]
    uplink = next(uplink for uplink in pipeline.uplinks if uplink.name == name)
    state = feed.state
    accounts = check_accounts(
        routed=state.routed,
        delivered=state.delivered,
        pending=state.pending + pipeline.outbox.pending_in_memory(feed),
        ledger=state.ledger,
    )
    return {**asdict(uplink.status), **accounts, "required": feed.route.is_required, "replayed": feed.replayed}


async def _stats(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    del request
    yield await pipeline.keeper.call(stats_facts)


async def _verify(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    del request
    yield await pipeline.keeper.call(verify_facts)


async def _tail(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    """The newest stored events, then, with ``follow``, each one as it is stored."""
    count = int(request.get("count", 10))
    newest = max((lane.stored_to for lane in pipeline.outbox.lanes), default=0)
    query = HistoryQuery(after_seq=max(0, newest - count), device=request.get("device"))
    while True:
        async for event in _events(pipeline, query):
            query = query.after(event)
            yield event_facts(event, gateway=pipeline.config.gateway.id)
        if not request.get("follow"):
            return
        await asyncio.sleep(0.5)


async def _read(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    """Every stored event, oldest first: what an export is made of."""
    query = HistoryQuery.of(request, now_wall_ns=clock.wall_ns())
    async for event in _events(pipeline, query):
        yield event_facts(event, gateway=pipeline.config.gateway.id)


async def _replay(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    """Send kept events again under their old ids, past decode and rules."""
    name = request.get("uplink")
    if name is None and len(pipeline.outbox.feeds) == 1:
        name = next(iter(pipeline.outbox.feeds))
    feed = pipeline.outbox.feeds.get(str(name))
    if feed is None:
        known = ", ".join(pipeline.outbox.feeds) or "none is configured"
        raise ControlError(f"no uplink {name!r}; uplinks: {known}" if name else f"say which uplink: {known}")
    before, count = feed.replayed, 0
    batch: list[Event] = []
    async for event in _events(pipeline, HistoryQuery.of(request, now_wall_ns=clock.wall_ns())):
        if feed.route.is_wanted is None or feed.route.is_wanted(event):
            batch.append(event)
            count += 1
        if len(batch) >= 200:
            feed.replay(batch)
            batch = []
            while feed.replay_backlog > _REPLAY_AHEAD:
                yield {"sent": count - feed.replay_backlog, "arrived": feed.replayed - before}
                await asyncio.sleep(0.2)
    if batch:
        feed.replay(batch)
    while feed.replayed - before < count:
        yield {"sent": count, "arrived": feed.replayed - before}
        await asyncio.sleep(0.2)
    yield {"sent": count, "arrived": feed.replayed - before, "uplink": feed.name}


async def _events(pipeline: Pipeline, query: HistoryQuery) -> AsyncIterator[Event]:
    """Read block by block, in order of sequence numbers over all lanes."""
    position = None
    while True:
        step = await pipeline.keeper.call(partial(history_step, query=query, position=position))
        position = step.position
        for event in step.events:
            yield event
        if position is None:
            return
