"""Send kept events to an uplink again under their old ids, past decode and rules; they stand in no account of P4."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from fieldgate import clock
from fieldgate.answers.walk import walk
from fieldgate.control import ControlError
from fieldgate.journal.feed import UplinkFeed
from fieldgate.journal.history import HistoryQuery
from fieldgate.journal.times import corrected
from fieldgate.pipeline import Pipeline
from fieldgate_devices.event import Event

__all__ = ["replay"]

_AHEAD: Final = 2_000
_BATCH: Final = 200
_TELL_EVERY_S: Final = 0.5
_LOOK_EVERY_S: Final = 0.05


async def replay(pipeline: Pipeline, query: HistoryQuery, *, uplink: str | None) -> AsyncIterator[dict[str, Any]]:
    """Replay what ``query`` takes and say now and then how far it is.

    What still waits for the uplink comes anyway and is not sent twice.

    Raises:
        ControlError: nothing is kept, there is no such uplink, or it is busy with another replay.
    """
    feed = _feed(pipeline, uplink)
    if pipeline.config.journal.keep is None:
        raise ControlError("nothing is kept for a replay: set journal.keep, for example {age: 7d}")
    if feed.replay_backlog > 0:
        raise ControlError(f"a replay to {feed.name} is under way; try again when it is over")
    before, count = feed.replayed, 0
    batch: list[Event] = []
    async for events in walk(pipeline, query):
        wanted = [event for event in events if feed.is_past(event)]
        count += len(wanted)
        batch += [corrected(event, feed.state.corrections) for event in wanted]
        while len(batch) >= _BATCH:
            feed.replay(batch[:_BATCH])
            del batch[:_BATCH]
        async for _ in _until_few(feed, _AHEAD):
            yield _progress(pipeline, feed, count, feed.replayed - before)
    if batch:
        feed.replay(batch)
    async for _ in _until_few(feed, 0):
        yield _progress(pipeline, feed, count, feed.replayed - before)
    yield _progress(pipeline, feed, count, feed.replayed - before)


async def _until_few(feed: UplinkFeed, few: int) -> AsyncIterator[None]:
    """Wait until no more than ``few`` events of the replay wait for the uplink; yield now and then."""
    tell_at_s = clock.boot_s()
    while feed.replay_backlog > few:
        if clock.boot_s() >= tell_at_s:
            tell_at_s += _TELL_EVERY_S
            yield
        await asyncio.sleep(_LOOK_EVERY_S)


def _feed(pipeline: Pipeline, name: str | None) -> UplinkFeed:
    feeds = pipeline.outbox.feeds
    known = ", ".join(feeds) or "none is configured"
    if name is None:
        if len(feeds) != 1:
            raise ControlError(f"say which uplink with --uplink: {known}")
        return next(iter(feeds.values()))
    if name not in feeds:
        raise ControlError(f"no uplink {name!r}; uplinks: {known}")
    return feeds[name]


def _progress(pipeline: Pipeline, feed: UplinkFeed, sent: int, arrived: int) -> dict[str, Any]:
    status = next(uplink.status for uplink in pipeline.uplinks if uplink.name == feed.name)
    return {
        "uplink": feed.name,
        "sent": sent,
        "arrived": arrived,
        "state": status.state,
        "reason": status.reason,
    }
