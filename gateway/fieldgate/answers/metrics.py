"""The metrics of the running gateway: what is counted already, read when somebody asks.

Nothing is counted for this alone on the way of an event, but for the time that it takes to settle. What is kept over a
restart or can be taken back (ledgers, parked events) is told as a gauge, or as what has come to it in this process:
a counter never falls while the process lives. What is of parts: `part_metrics`.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from importlib.metadata import version
from typing import Final

from fieldgate import clock
from fieldgate.answers.backlog import backlog_age_s, floors, look
from fieldgate.answers.own_certificates import Certificates, read_certificates
from fieldgate.answers.part_metrics import listener_samples, local_samples, rule_samples, source_samples
from fieldgate.answers.samples import Samples
from fieldgate.forward.status import UP
from fieldgate.journal.journal import Journal
from fieldgate.journal.records import JournalStats
from fieldgate.journal.uplink_state import decode_states
from fieldgate.observe import metric_table as table
from fieldgate.observe.health import check_accounts
from fieldgate.observe.log import STATE
from fieldgate.observe.metric import Sample
from fieldgate.observe.process import process_facts, storage_bytes
from fieldgate.pipeline import Pipeline
from fieldgate_devices.event import TimeQuality

__all__ = ["Metrics"]

_DISK_DEADLINE_S: Final = 2.0  # a disk that stands still must not keep from being told that it does
_UPLINK_STATES: Final = ("connecting", "connected", "ready", "backoff", "refused")
_FULL_CAUSES: Final = ("limit", "disk", "read_only")
_STEP_S: Final = 1.0  # a clock that is off by more was set; less is what NTP does all the time
_KEPT: Final = "parked"  # the entry of a ledger that can be taken back


class Metrics:
    """Reads all of it; ``problems`` is the supervisor's list."""

    def __init__(self, pipeline: Pipeline, problems: Mapping[str, str]) -> None:
        self._pipeline = pipeline
        self._problems = problems
        self._started_at_s = 0.0
        states = decode_states(pipeline.journal.opened.uplink_states)
        self._lost_before = {name: Counter(state.ledger) for name, state in states.items()}

    async def collect(self) -> list[Sample]:
        """Return a sample of everything there is now."""
        pipeline = self._pipeline
        into = Samples()
        stats: JournalStats | None = None
        oldest_s: dict[str, float | None] = {}
        shown: Certificates = {}
        try:
            async with asyncio.timeout(_DISK_DEADLINE_S):
                stats, oldest_s = await pipeline.keeper.call(partial(look, floors=floors(pipeline)))
                shown = await pipeline.keeper.call(self._read_certificates)
        except TimeoutError:
            pass  # it is a metric, too
        self._gateway(into)
        for listener in pipeline.listeners:
            listener_samples(into, listener)
        for source in pipeline.sources:
            source_samples(into, source)
        for (kind, name), facts in shown.items():
            if facts["expires_at"] is not None:
                into.put(table.EXPIRY, datetime.fromisoformat(facts["expires_at"]).timestamp(), kind, name)
        local_samples(into, pipeline)
        self._uplinks(into, oldest_s)
        self._journal(into, stats)
        self._letters(into)
        self._devices(into)
        rule_samples(into, pipeline)
        if pipeline.tracer is not None and pipeline.spans is not None:
            into.put(table.TRACES_OVER, pipeline.tracer.over_rate)
            into.put(table.SPANS, pipeline.spans.exported)
            into.put_by(table.SPANS_DROPPED, pipeline.spans.dropped)
        self._process(into)
        return into.all

    def _read_certificates(self, _journal: Journal) -> Certificates:
        """In the disk's thread; those of listeners are in memory."""
        return read_certificates(self._pipeline.config, wall_ns=clock.wall_ns())

    def _gateway(self, into: Samples) -> None:
        outbox = self._pipeline.outbox
        into.put(table.BUILD, 1, version("fieldgate"), sys.version.split()[0])
        qualities = [quality.name.lower() for quality in TimeQuality]
        into.put_one_of(table.CLOCK, qualities, TimeQuality(self._pipeline.quality).name.lower())
        into.put(table.FAILING, len(self._problems))
        into.put_by(table.LOG_LINES, STATE.lines)
        into.put(table.LOG_LEFT_OUT, STATE.left_out)
        into.put(table.EVENTS, outbox.accepted)
        into.put(table.NOWHERE, outbox.routing.nowhere)
        into.put(table.UNSETTLED, outbox.unsettled_bytes)
        into.put(table.SETTLE, outbox.settle_times.times.spread())

    def _uplinks(self, into: Samples, oldest_s: Mapping[str, float | None]) -> None:
        pipeline = self._pipeline
        for uplink in pipeline.uplinks:
            name, status, feed = uplink.name, uplink.status, pipeline.outbox.feeds[uplink.name]
            state = feed.state
            in_memory = pipeline.outbox.pending_in_memory(feed)
            pending = state.pending + in_memory
            accounts = check_accounts(
                routed=state.routed, delivered=state.delivered, pending=pending, ledger=state.ledger
            )
            into.put(table.UPLINK_UP, status.state in UP, name)
            into.put_one_of(table.UPLINK_STATE, _UPLINK_STATES, status.state, name)
            into.put(table.DELIVERED, status.acked, name)
            lost = Counter(state.ledger)
            lost.subtract(self._lost_before.get(name, Counter()))
            into.put_by(table.LOST, {why: max(0, count) for why, count in lost.items() if why != _KEPT}, name)
            into.put(table.BACKLOG, pending, name)
            age_s = backlog_age_s(pipeline, feed, oldest_s.get(name)) if pending else 0.0
            into.put(table.BACKLOG_AGE, age_s, name)
            into.put(table.PARKED, len(pipeline.outbox.parking.of(name)), name)
            into.put(table.UNACCOUNTED, accounts["unaccounted"], name)
            into.put(table.IN_FLIGHT, status.in_flight, name)
            into.put(table.SENT, status.sent, name)
            into.put(table.SENT_BYTES, status.size_bytes, name)
            into.put(table.RETRIES, status.retries, name)
            into.put(table.RECONNECTS, status.reconnects, name)

    def _journal(self, into: Samples, stats: JournalStats | None) -> None:
        pipeline = self._pipeline
        keeper = pipeline.keeper
        into.put(table.JOURNAL_ANSWERS, stats is not None)
        if stats is not None:
            into.put(table.JOURNAL, stats.size_bytes)
            into.put(table.JOURNAL_LIMIT, stats.max_size_bytes)
            into.put(table.JOURNAL_EVENTS, sum(lane.events for lane in stats.lanes))
            into.put(table.JOURNAL_SYNC, stats.sync_times)
        into.put_one_of(table.JOURNAL_FULL, _FULL_CAUSES, keeper.full_cause or "")
        into.put(table.JOURNAL_WRITTEN, keeper.written_events)
        into.put(table.JOURNAL_BODY, keeper.written_bytes)
        into.put(table.COMMITS, keeper.commits, "journal")
        into.put(table.STORE_UP, keeper.full_cause is None, "journal")
        for name, commits, problem in (
            ("commands", pipeline.commands.keeper.commits, pipeline.commands.keeper.problem),
            ("dead_letters", pipeline.dead_letters.commits, pipeline.dead_letters.problem),
            ("devices", pipeline.devices.keeper.commits, pipeline.devices.keeper.problem),
            ("rules", pipeline.rules.keeper.commits, pipeline.rules.keeper.problem),
            ("sessions", pipeline.session_keeper.commits, pipeline.session_keeper.problem),
        ):
            into.put(table.COMMITS, commits, name)
            into.put(table.STORE_UP, not problem, name)
        into.put(table.FLASH, storage_bytes())

    def _letters(self, into: Samples) -> None:
        letters, box = self._pipeline.dead_letters, self._pipeline.dead_letters.box
        kept: Counter[str] = Counter()
        for (_, reason), count in letters.kept.items():
            kept[reason] += count
        into.put_by(table.LETTERS, kept)
        into.put(table.LETTERS_BYTES, letters.used_bytes)
        into.put_by(table.LETTERS_SEEN, box.received)
        dropped = {"evicted": box.evicted.total(), "rejected": box.rejected.total()}
        into.put_by(table.LETTERS_DROPPED, dropped | {str(cause): count for cause, count in box.sampled_out_by.items()})

    def _devices(self, into: Samples) -> None:
        registry = self._pipeline.devices.registry
        silent = sum(device.is_silent for device in registry.devices.values())
        into.put_by(table.DEVICES, {"heard": len(registry.devices) - silent, "silent": silent})
        into.put(table.DEVICES_FORGOTTEN, registry.evicted)
        into.put(table.PROFILE_PROBLEMS, len(self._pipeline.profiles.problems))

    def _process(self, into: Samples) -> None:
        facts = process_facts()
        started_at_s = facts.get("started_at_s")
        if started_at_s is not None and abs(started_at_s - self._started_at_s) > _STEP_S:
            self._started_at_s = started_at_s  # else it stays: whoever counts its changes counts restarts
        into.put(table.STARTED, self._started_at_s or None)
        for metric, key in (
            (table.CPU, "cpu_s"),
            (table.RSS, "resident_bytes"),
            (table.VIRTUAL, "virtual_bytes"),
            (table.OPEN_FDS, "fds"),
            (table.MAX_FDS, "max_fds"),
        ):
            into.put(metric, facts.get(key))
