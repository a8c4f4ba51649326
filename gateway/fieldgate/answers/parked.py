"""What the running gateway answers about parked events: which, what is in one, send it again, drop it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from fieldgate import clock
from fieldgate.control import Answer, ControlError, Handler
from fieldgate.forward.status import UP
from fieldgate.journal.facts import parked_facts, parked_id
from fieldgate.journal.journal import Journal
from fieldgate.journal.parking import ParkedKey
from fieldgate.journal.records import ParkedEvent, ParkedHead
from fieldgate.pipeline import Pipeline

__all__ = ["Chosen", "parked_handlers"]


class Chosen(msgspec.Struct, forbid_unknown_fields=True):
    """Which parked events a request is about: those with these ids, or all; of one uplink if named."""

    uplink: str | None = None
    ids: list[str] | None = None

    def takes(self, head: ParkedHead) -> bool:
        """Whether it is about this one."""
        if self.uplink not in (None, head.uplink):
            return False
        return self.ids is None or parked_id(head) in self.ids

    def missing(self, found: list[ParkedHead]) -> list[str]:
        """Return the ids that nothing was found for."""
        known = {parked_id(head) for head in found}
        return [one for one in self.ids or () if one not in known]


def parked_handlers(pipeline: Pipeline) -> dict[str, Handler]:
    """Return the answer to each request by its name."""
    return {
        "parked.list": partial(_list, pipeline, has_data=False),
        "parked.show": partial(_list, pipeline, has_data=True),
        "parked.retry": partial(_retry, pipeline),
        "parked.drop": partial(_drop, pipeline),
    }


async def _list(pipeline: Pipeline, request: dict[str, Any], *, has_data: bool) -> Answer:
    chosen = msgspec.convert(request, Chosen)
    boot_ns = clock.boot_ns()

    def look(journal: Journal) -> tuple[list[ParkedEvent], int]:
        return journal.parked(chosen.takes), journal.journal_s(boot_ns)

    events, now_journal_s = await pipeline.keeper.call(look)
    for one in events:
        yield parked_facts(one, gateway=pipeline.config.gateway.id, now_journal_s=now_journal_s, has_data=has_data)


async def _retry(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    """Sends what is chosen again; that is kept over a restart, and what is refused again stays parked."""
    chosen = msgspec.convert(request, Chosen)
    heads = _heads(pipeline, chosen.takes)
    events = await pipeline.keeper.call(lambda journal: journal.parked(chosen.takes))
    counts = {
        name: feed.retry_parked([one.event for one in events if one.uplink == name])
        for name, feed in pipeline.outbox.feeds.items()
    }
    states = {uplink.name: uplink.status.state for uplink in pipeline.uplinks}
    yield {
        "retried": {name: count for name, count in counts.items() if count},
        "waiting": sorted(name for name, count in counts.items() if count and states[name] not in UP),
        "already": sum(head.is_retrying for head in heads),
        "unknown": chosen.missing(heads),
    }


async def _drop(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    chosen = msgspec.convert(request, Chosen)
    heads = _heads(pipeline, chosen.takes)
    dropped = {
        name: feed.drop_parked([ParkedKey(name, head.run, head.seq) for head in heads if head.uplink == name])
        for name, feed in pipeline.outbox.feeds.items()
    }
    yield {"dropped": {name: count for name, count in dropped.items() if count}, "unknown": chosen.missing(heads)}


def _heads(pipeline: Pipeline, is_wanted: Callable[[ParkedHead], bool]) -> list[ParkedHead]:
    feeds, parking = pipeline.outbox.feeds, pipeline.outbox.parking
    if not feeds:
        raise ControlError("no uplink is configured: there is nobody to send anything to")
    return [head for name in feeds for head in parking.of(name) if is_wanted(head)]
