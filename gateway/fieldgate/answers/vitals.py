"""How the gateway is, as an event now and then: for a platform that hears its gateways and cannot call them.

At most one is on its way: while the last one is not safe yet, none follows, so that a full disk and an uplink that is
away for a month do not fill the memory with what nobody wants to know any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import msgspec

from fieldgate import clock
from fieldgate.answers.backlog import backlog_age_s, floors, look
from fieldgate.forward.status import UP
from fieldgate.journal.records import JournalStats
from fieldgate.observe.process import process_facts, storage_bytes
from fieldgate.pipeline import Pipeline
from fieldgate_devices.event import Lane, TimeQuality

__all__ = ["Vitals", "vitals_data"]

_DISK_DEADLINE_S: Final = 2.0
_MAX_NAMED: Final = 20  # of what is amiss; the rest is told by the log and by metrics


class Vitals:
    """Tells them every ``vitals.every``; a `Settler` of its own events."""

    source = "vitals"

    def __init__(self, pipeline: Pipeline, problems: Mapping[str, str], *, every_s: float) -> None:
        self._pipeline = pipeline
        self._problems = problems
        self._every_s = every_s
        self._lane = Lane[pipeline.config.vitals.lane.upper()]
        self._told = 0
        self._is_on_its_way = False

    async def run(self) -> None:
        """Until cancelled; the first one at once."""
        while True:
            if not self._is_on_its_way:
                data = await vitals_data(self._pipeline, self._problems)
                self._is_on_its_way = True
                self._told += 1
                self._pipeline.tell_vitals(msgspec.json.encode(data), self._lane, self, self._told)
            await asyncio.sleep(self._every_s)

    def settled(self, first: int, count: int) -> None:
        """See `Settler`."""
        self._is_on_its_way = False

    def flush(self) -> None:
        """See `Settler`; nobody waits for it."""


async def vitals_data(pipeline: Pipeline, problems: Mapping[str, str]) -> dict[str, Any]:
    """Return what the event says; the journal's part is left out where the disk does not answer."""
    outbox = pipeline.outbox
    stats: JournalStats | None = None
    oldest_s: dict[str, float | None] = {}
    try:
        async with asyncio.timeout(_DISK_DEADLINE_S):
            stats, oldest_s = await pipeline.keeper.call(partial(look, floors=floors(pipeline)))
    except TimeoutError:
        pass  # what is not there says so
    process = process_facts()
    written_bytes = storage_bytes()
    engine = pipeline.rules.host.engine
    return {
        "uptime_s": round(clock.boot_s() - pipeline.started_s, 1),
        "clock": TimeQuality(pipeline.quality).name.lower(),
        "events": outbox.accepted,
        "events_per_s": round(pipeline.rate_in.per_s, 2),
        "unsettled_bytes": outbox.unsettled_bytes,
        "dead_letters": pipeline.dead_letters.kept.total(),
        "devices": len(pipeline.devices.registry.devices),
        "devices_silent": sum(one.is_silent for one in pipeline.devices.registry.devices.values()),
        "rule_errors": 0 if engine is None else engine.totals.errors,
        "alerts": 0 if engine is None else engine.alert_count(),
        "uplinks": _uplinks(pipeline, oldest_s),
        "amiss": _amiss(pipeline, problems),
        **_journal(pipeline, stats),
        **({"memory_bytes": int(process["resident_bytes"])} if "resident_bytes" in process else {}),
        "cpu_s": round(process["cpu_s"], 2),
        **({"flash_written_bytes": written_bytes} if written_bytes is not None else {}),
    }


def _uplinks(pipeline: Pipeline, oldest_s: Mapping[str, float | None]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for uplink in pipeline.uplinks:
        feed, status = pipeline.outbox.feeds[uplink.name], uplink.status
        state = feed.state
        one: dict[str, Any] = {
            "up": status.state in UP,
            "delivered": status.acked,
            "backlog": state.pending + pipeline.outbox.pending_in_memory(feed),
            "lost": sum(count for reason, count in state.ledger.items() if reason != "parked"),
            "parked": len(pipeline.outbox.parking.of(uplink.name)),
        }
        age_s = backlog_age_s(pipeline, feed, oldest_s.get(uplink.name))
        facts[uplink.name] = one if age_s is None else one | {"backlog_age_s": age_s}
    return facts


def _journal(pipeline: Pipeline, stats: JournalStats | None) -> dict[str, Any]:
    known: dict[str, Any] = {"full": pipeline.keeper.full_cause or ""}
    if stats is not None:
        known |= {
            "bytes": stats.size_bytes,
            "limit_bytes": stats.max_size_bytes,
            "events": sum(lane.events for lane in stats.lanes),
        }
    return {"journal": known}


def _amiss(pipeline: Pipeline, problems: Mapping[str, str]) -> list[str]:
    """Names of what does not work: parts that fail, sources that are away, folders with something wrong in them."""
    away = [f"source:{one.name}" for one in pipeline.sources if one.status.state != "connected"]
    folders = {"profiles": pipeline.profiles.problems, "rules": pipeline.rules.files.problems}
    certificates = [
        f"certificate:{one.name}"
        for one in pipeline.listeners
        if one.certificate is not None and one.certificate.warning
    ]
    wrong = [name for name, found in folders.items() if found]
    return sorted({*problems, *away, *wrong, *certificates})[:_MAX_NAMED]
