"""The targets that are not ratios to the bridge: what is run for each, which figure is judged, and against what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench import local, outage
from bench.gateways import Setup
from bench.processes import BenchError, NotPossibleHere
from bench.scenarios import Bed, Record, measure_limited

__all__ = ["SCENARIOS", "Check", "run_check"]

LIVE_RATE = 500
DEVICES = 50
EVENTS_PER_MIN = 100_000
CONNECTIONS = 5000
GROWTH_MB = 2.0  # what "no growth" may be off by: allocator noise


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the last table: ``value`` picks the judged figure, ``note`` tells what stands beside it."""

    title: str
    unit: str
    target: float | None
    run: Callable[[Bed, Setup], Record]
    value: Callable[[Record], float]
    note: str
    wants_more: bool = False
    is_per_format: bool = False
    level: str = "relay"


def run_check(check: Check, bed: Bed, configs: Sequence[Setup]) -> Iterator[Record]:
    """Run a check for the configurations that it is about; a failed run is a record too."""
    at_level = [setup for setup in configs if setup.level == check.level] or list(configs)
    if not check.is_per_format:
        at_level = [setup for setup in at_level if setup.format == "cloudevents"][:1] or at_level[:1]
    for setup in at_level:
        record: Record = {"scenario": "check", "title": check.title, "config": setup.name, "unit": check.unit}
        record |= {"target": check.target, "wants_more": check.wants_more}
        try:
            measured = check.run(bed, setup)
        except NotPossibleHere as error:
            yield {**record, "skipped": str(error)}
            continue
        except BenchError as error:
            yield {**record, "error": str(error)}
            continue
        yield {**record, **measured, "value": round(check.value(measured), 3), "note": check.note.format(**measured)}


def _figure(key: str) -> Callable[[Record], float]:
    return lambda record: float(str(record[key]))


def _ratio(key: str, to: str) -> Callable[[Record], float]:
    return lambda record: float(str(record[key])) / (float(str(record[to])) or 1.0)


def _growth(record: Record) -> float:
    return float(str(record["rss_last_mb"])) - float(str(record["rss_first_mb"]))


def _start_with_backlog(bed: Bed, setup: Setup) -> Record:
    return outage.measure_start(bed, setup, stored=bed.volume.stored)


FLASH_NOTE = "{events:,} events; before the stop {flash_bytes_per_event}, block device {device_bytes_per_event}"

SCENARIOS: dict[str, tuple[Check, ...]] = {
    "drain": (
        Check(
            title="drain after an outage, relative to live",
            unit="×",
            target=1.0,
            wants_more=True,
            is_per_format=True,
            run=outage.measure_drain,
            value=_ratio("drain_rate", "rate_before"),
            note="{drain_rate:,}/s against {rate_before:,}/s, reconnected after {connected_after_s} s",
        ),
        Check(
            title=f"live events during a drain (live_first, {LIVE_RATE}/s), p95",
            unit="ms",
            target=2000,
            run=lambda bed, setup: outage.measure_drain(bed, setup.with_drain("live_first"), live_rate=LIVE_RATE),
            value=_figure("live_p95_ms"),
            note="p50 {live_p50_ms}, max {live_max_ms} ms; drain {drain_rate:,}/s",
        ),
    ),
    "flash": (
        Check(
            title=f"flash, uplink down, {DEVICES} devices at 1 Hz",
            unit="bytes/event",
            target=600,
            run=lambda bed, setup: outage.measure_flash_down(bed, setup, devices=DEVICES),
            value=_figure("flash_bytes_per_event_to_stop"),
            note=FLASH_NOTE + "; PUBACK p99 {ack_p99_ms} ms",
        ),
        Check(
            title="flash, uplink down, full speed",
            unit="bytes/event",
            target=120,
            run=outage.measure_flash_down,
            value=_figure("flash_bytes_per_event_to_stop"),
            note=FLASH_NOTE + "; {ack_rate:,} PUBACKs/s",
        ),
        Check(
            title="flash, uplink up, 1,000 events/s",
            unit="bytes/event",
            target=0,
            run=lambda bed, setup: outage.measure_flash_up(bed, setup, rate=1000),
            value=_figure("flash_bytes_per_event"),
            note="{events:,} events; block device {device_bytes_per_event}",
        ),
        Check(
            title="background writes when idle",
            unit="MB/day",
            target=50,
            run=outage.measure_idle,
            value=_figure("written_mb_per_day"),
            note="over {seconds} s; CPU {cpu_percent} %",
        ),
    ),
    "memory": (
        Check(
            title="RSS, 100,000 events/min, peak",
            unit="MB",
            target=90,
            run=lambda bed, setup: outage.measure_memory(bed, setup, events_per_min=EVENTS_PER_MIN),
            value=_figure("rss_peak_mb"),
            note="{events:,} events",
        ),
        Check(
            title="RSS, idle",
            unit="MB",
            target=60,
            run=outage.measure_idle,
            value=_figure("rss_idle_mb"),
            note="uplink connected",
        ),
        Check(
            title="RSS, growth with a backlog three times as large",
            unit="MB",
            target=GROWTH_MB,
            run=outage.measure_backlog_memory,
            value=_growth,
            note="{rss_first_mb} → {rss_last_mb} MB with {stored:,} stored",
        ),
    ),
    "local": (
        Check(
            title="fan-out to one local # subscriber, relative to the bridge's",
            unit="×",
            target=None,
            wants_more=True,
            run=local.measure_fanout,
            value=_figure("rate_ratio"),
            note="{rate:,.0f}/s against {bridge_rate:,.0f}/s; PUBACKs {ack_ratio} × the bridge's, {kept_ratio} × those "
            "without the subscriber; CPU {cpu_us} against {bridge_cpu_us} µs/event",
        ),
        Check(
            title=f"memory of an idle connection, {CONNECTIONS:,} of them",
            unit="KB",
            target=12.0,
            run=lambda bed, setup: local.measure_connections(bed, setup, count=CONNECTIONS),
            value=_figure("kb_per_connection"),
            note="RSS {rss_mb} MB; {connects_per_s:,} connects/s; idle CPU {idle_cpu_percent} %",
        ),
    ),
    "quarter": (
        Check(
            title="rate with a quarter of one core",
            unit="events/s",
            target=None,
            wants_more=True,
            is_per_format=True,
            run=lambda bed, setup: measure_limited(bed, setup, share=0.25),
            value=_figure("rate"),
            note="{ack_rate:,} PUBACKs/s, CPU {cpu_us_per_event} µs/event, RSS peak {rss_peak_mb} MB",
        ),
    ),
    "start": (
        Check(
            title="start to listening, empty journal",
            unit="s",
            target=2.0,
            run=lambda bed, setup: outage.measure_start(bed, setup, stored=0),
            value=_figure("start_s"),
            note="slowest {start_max_s} s",
        ),
        Check(
            title="start to listening, with a backlog",
            unit="s",
            target=2.0,
            run=_start_with_backlog,
            value=_figure("start_s"),
            note="{stored:,} events, {state_mb} MB; slowest {start_max_s} s; RSS {rss_mb} MB",
        ),
    ),
}
