"""The requests that the running gateway answers: status, and looking into the journal.

Reading the journal goes through the writer's thread a piece at a time, so that a slow reader neither holds up a
commit nor pins the write-ahead log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Final

import msgspec

from fieldgate import clock
from fieldgate.answers.backup import backup_handlers
from fieldgate.answers.commands import command_handlers
from fieldgate.answers.dead_letters import dead_letter_handlers
from fieldgate.answers.devices import device_handlers
from fieldgate.answers.log_level import log_handlers
from fieldgate.answers.parked import parked_handlers
from fieldgate.answers.reload import reload_facts, reload_handlers
from fieldgate.answers.replay import replay
from fieldgate.answers.rule_explain import rule_explain_handlers
from fieldgate.answers.rules import rule_handlers
from fieldgate.answers.status import status_facts
from fieldgate.answers.walk import walk
from fieldgate.control import BEAT, Answer, Handler
from fieldgate.journal.accounts import PendingCount
from fieldgate.journal.facts import event_lines, stats_facts, verify_facts
from fieldgate.journal.history import HistoryQuery, NewestEvents
from fieldgate.journal.journal import Journal
from fieldgate.pipeline import Pipeline
from fieldgate.reload import Reloader

__all__ = ["handlers"]

_FOLLOW_EVERY_S: Final = 0.3
_BEAT_EVERY_S: Final = 3.0
_COUNTABLE_EVENTS: Final = 20_000  # what can be counted without holding up commits: about a tenth of a second


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Tail(msgspec.Struct, forbid_unknown_fields=True):
    count: int = 10
    follow: bool = False
    device: str | None = None


class _Range(msgspec.Struct, forbid_unknown_fields=True):
    since: str | None = None
    device: str | None = None


class _Replay(_Range, forbid_unknown_fields=True):
    uplink: str | None = None


def handlers(pipeline: Pipeline, problems: dict[str, str], reloader: Reloader) -> dict[str, Handler]:
    """Return the answer to every request by its name; ``problems`` is the supervisor's list."""
    return {
        "status": partial(_status, pipeline, problems, reloader),
        "journal.stats": partial(_stats, pipeline),
        "journal.tail": partial(_tail, pipeline),
        "journal.read": partial(_read, pipeline),
        "journal.verify": partial(_verify, pipeline),
        "journal.replay": partial(_replay, pipeline),
        **backup_handlers(pipeline),
        **log_handlers(),
        **parked_handlers(pipeline),
        **dead_letter_handlers(pipeline),
        **device_handlers(pipeline),
        **command_handlers(pipeline),
        **rule_handlers(pipeline),
        **rule_explain_handlers(pipeline),
        **reload_handlers(reloader),
    }


async def _status(pipeline: Pipeline, problems: dict[str, str], reloader: Reloader, request: dict[str, Any]) -> Answer:
    msgspec.convert(request, _Nothing)
    yield await status_facts(pipeline, problems) | {"reload": reload_facts(reloader)}


async def _stats(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    msgspec.convert(request, _Nothing)
    yield await pipeline.keeper.call(stats_facts)


async def _read(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    """Every stored event, oldest first: what an export is made of."""
    query = await _query(pipeline, msgspec.convert(request, _Range))
    async for lines in _lines(pipeline, query):
        yield lines


async def _tail(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    """The newest stored events, then, with ``follow``, each one as it is stored."""
    asked = msgspec.convert(request, _Tail)
    seen = _newest_stored(pipeline)
    newest = NewestEvents(HistoryQuery(device=asked.device), asked.count, newest_seq=seen)
    is_found = False
    while not is_found:
        is_found = await pipeline.keeper.call(newest.step)
    for loss in newest.losses:
        pipeline.keeper.book_loss(loss)
    events = [event for event in newest.events if event.seq <= seen]
    for lines in event_lines(events, gateway=pipeline.config.gateway.id):
        yield lines
    beat_at_s = clock.boot_s() + _BEAT_EVERY_S
    while asked.follow:
        await asyncio.sleep(_FOLLOW_EVERY_S)
        if (newest_seq := _newest_stored(pipeline)) > seen:
            async for lines in _lines(pipeline, HistoryQuery(after_seq=seen, device=asked.device)):
                yield lines
            seen = newest_seq
        if clock.boot_s() >= beat_at_s:
            yield BEAT
            beat_at_s = clock.boot_s() + _BEAT_EVERY_S


async def _verify(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    """Walk in steps; the accounts are counted at one moment, and only while that takes no time worth naming."""
    msgspec.convert(request, _Nothing)
    keeper = pipeline.keeper
    verification = await keeper.call(Journal.verification)
    while not await keeper.call(lambda _: verification.step()):
        yield BEAT
    accounts: list[dict[str, Any]] | None = None
    stats = await keeper.call(Journal.stats)
    if sum(lane.events for lane in stats.lanes) <= _COUNTABLE_EVENTS:
        count = await keeper.call(partial(_count, filters=pipeline.filters()))
        for loss in count.losses:
            keeper.book_loss(loss)
        accounts = count.facts()
    yield verify_facts(await keeper.call(lambda _: verification.report()), accounts)


async def _replay(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    asked = msgspec.convert(request, _Replay)
    query = await _query(pipeline, asked)
    async for item in replay(pipeline, query, uplink=asked.uplink):
        yield item


def _count(journal: Journal, *, filters: dict[str, Any]) -> PendingCount:
    count = PendingCount(journal, filters)
    while not count.step():
        pass
    return count


async def _query(pipeline: Pipeline, asked: _Range) -> HistoryQuery:
    boot_ns = clock.boot_ns()
    return HistoryQuery.of(
        since=asked.since,
        device=asked.device,
        now_wall_ns=clock.wall_ns(),
        now_journal_s=await pipeline.keeper.call(lambda journal: journal.journal_s(boot_ns)),
    )


def _newest_stored(pipeline: Pipeline) -> int:
    return max(lane.stored_to for lane in pipeline.outbox.lanes)


async def _lines(pipeline: Pipeline, query: HistoryQuery) -> AsyncIterator[bytes]:
    async for events in walk(pipeline, query):
        for lines in event_lines(events, gateway=pipeline.config.gateway.id):
            yield lines
            await asyncio.sleep(0)  # devices first
