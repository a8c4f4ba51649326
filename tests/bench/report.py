"""Turn the records of a benchmark into tables in Markdown. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from bench.ratios import METRICS, Comparison, Record, compare, is_complete, pick

__all__ = ["comparisons_of", "render"]

LATENCY_P99_TARGET_MS = 10.0


def comparisons_of(records: Sequence[Record]) -> list[Comparison]:
    """Return every metric of every configuration that has a complete pair, metric by metric."""
    configs = _configs_of(records, "speed")
    found = (compare(records, config, metric) for metric in METRICS for config in configs)
    return [comparison for comparison in found if comparison]


def render(records: Sequence[Record]) -> str:
    """Return the whole report."""
    machine = next((record for record in records if record["scenario"] == "machine"), None)
    parts = [
        _machine_line(machine) if machine else "",
        _speed_table(records),
        _ceiling_table(records),
        _cost_table(records),
        _latency_table(records),
        _checks_table(records),
        _faults_list(records),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _configs_of(records: Sequence[Record], scenario: str) -> list[str]:
    """Return the configurations of a scenario in the order in which they ran."""
    return list(dict.fromkeys(str(record["config"]) for record in records if record["scenario"] == scenario))


def _median_of(records: Sequence[Record], key: str, **where: object) -> float | None:
    """Return the median of a figure over the complete runs whose fields equal ``where``."""
    values = (
        pick(record, key)
        for record in records
        if all(record.get(name) == value for name, value in where.items()) and is_complete(record)
    )
    known = [value for value in values if value is not None]
    return median(known) if known else None


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; every column but the first is aligned right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _figure(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _machine_line(machine: Record) -> str:
    warning = "**The bridge against itself, in both columns: every ratio should be 1.** " if machine["is_null"] else ""
    return (
        f"{warning}{machine['cores']} cores of {machine['cpu']}, kernel {machine['kernel']}, {machine['file_system']}, "
        f"Python {machine['python']}, mosquitto {machine['mosquitto']}; {machine['started_at']}, "
        f"load average {_figure(pick(machine, 'load_average'), 1)} before."
    )


def _speed_table(records: Sequence[Record]) -> str:
    """Compare with the bridge; the ratio is the median of the pairs with its range."""
    rows = []
    for each in comparisons_of(records):
        digits = 0 if each.metric.unit == "events/s" else 1
        sign = "≥" if each.metric.wants_more else "≤"
        rows.append(
            [
                f"{each.metric.title}, {each.metric.unit}",
                each.config,
                _figure(each.bridge, digits),
                _figure(each.ours, digits),
                f"**{each.ratio.median:.2f}** [{each.ratio.low:.2f}–{each.ratio.high:.2f}]",
                "–" if each.target is None else f"{sign} {each.target:.2f}",
                each.verdict,
            ]
        )
    header = ["What", "format/level", "bridge", "Fieldgate", "ratio [range]", "target", ""]
    return "### Against a mosquitto bridge\n\n" + table(header, rows) if rows else ""


def _ceiling_table(records: Sequence[Record]) -> str:
    """State what the upstream takes when nothing is in between."""
    rows = [
        [f"as {config}", _figure(_median_of(records, "sent_payload_bytes", scenario="ceiling", config=config)), rate]
        for config in _configs_of(records, "ceiling")
        if (rate := _figure(_median_of(records, "rate", scenario="ceiling", config=config)))
    ]
    header = ["Straight into the upstream", "payload, bytes", "events/s"]
    return "### The upstream's own ceiling\n\n" + table(header, rows) if rows else ""


def _cost_table(records: Sequence[Record]) -> str:
    """Show memory and flash at full speed."""
    keys = (
        "rss_idle_mb",
        "rss_peak_mb",
        "flash_bytes_per_event",
        "device_bytes_per_event",
        "upstream_cpu_us_per_event",
    )
    rows = []
    configs = _configs_of(records, "speed")
    if configs:
        rows.append(
            ["bridge", *(_figure(_median_of(records, key, scenario="speed", side="bridge"), 1) for key in keys)]
        )
    for config in configs:
        where = {"scenario": "speed", "config": config, "side": "fieldgate"}
        rows.append([config, *(_figure(_median_of(records, key, **where), 1) for key in keys)])
    header = ["format/level", "RSS idle, MB", "RSS peak, MB", "flash, bytes/event", "device, bytes/event"]
    header.append("upstream's CPU, µs/event")
    return "### Memory and flash at full speed\n\n" + table(header, rows) if rows else ""


def _latency_table(records: Sequence[Record]) -> str:
    """Show pub-to-sink latency at a fixed rate."""
    rows = []
    for config in _configs_of(records, "latency"):
        p99 = _median_of(records, "latency_p99_ms", scenario="latency", config=config)
        verdict = "–" if config == "bridge" or p99 is None else "ok" if p99 <= LATENCY_P99_TARGET_MS else "short"
        figures = [
            _figure(_median_of(records, key, scenario="latency", config=config), 2)
            for key in ("latency_p50_ms", "latency_p99_ms", "latency_max_ms", "ack_p50_ms", "ack_p99_ms")
        ]
        cost = [
            _figure(_median_of(records, key, scenario="latency", config=config), 1)
            for key in ("cpu_us_per_event", "flash_bytes_per_event")
        ]
        rows.append([config, *figures, *cost, "–" if config == "bridge" else f"≤ {LATENCY_P99_TARGET_MS:.0f}", verdict])
    header = ["format/level", "p50, ms", "p99, ms", "max, ms", "PUBACK p50, ms", "PUBACK p99, ms"]
    header += ["CPU, µs/event", "flash, bytes/event", "p99 target", ""]
    return "### Pub to sink at 1,000 events/s, open loop\n\n" + table(header, rows) if rows else ""


def _checks_table(records: Sequence[Record]) -> str:
    """Show the scenarios that carry their own target."""
    rows = []
    for record in records:
        if record["scenario"] != "check" or "value" not in record:
            continue
        value, target = pick(record, "value"), pick(record, "target")
        sign = "≥" if record.get("wants_more") else "≤"
        if value is None or target is None:
            verdict = "–"
        else:
            verdict = "ok" if (value >= target if record.get("wants_more") else value <= target) else "short"
        shown = [_short(value), "–" if target is None else f"{sign} {_short(target)}", str(record["unit"]), verdict]
        rows.append([str(record["title"]), str(record["config"]), *shown, str(record.get("note", ""))])
    header = ["What", "format/level", "measured", "target", "unit", "", "beside it"]
    return "### Outage, flash, memory, start\n\n" + table(header, rows) if rows else ""


def _short(value: float | None) -> str:
    """Format a figure with the digits that mean something."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 or value == 0 else f"{value:,.3g}"


def _faults_list(records: Sequence[Record]) -> str:
    """Name the runs that were not counted, and why."""
    lines = []
    for record in records:
        if record["scenario"] == "machine" or is_complete(record):
            continue
        names = ("scenario", "title", "config", "side", "pair")
        where = " ".join(str(record[name]) for name in names if name in record)
        lines.append(f"- {where}: {_why_not_counted(record)}")
    return "### Runs that were not counted\n\n" + "\n".join(lines) if lines else ""


def _why_not_counted(record: Record) -> str:
    """Return what failed and the last thing said of it, or what was wrong with what arrived."""
    said = str(record.get("error") or record.get("skipped") or "").splitlines()
    if said:
        return ": ".join(said[:1] + said[1:][-1:])
    faults = ("missing", "duplicates", "disorder", "ack_disorder")
    return ", ".join(f"{record[fault]:,} {fault.replace('_', ' ')}" for fault in faults if record.get(fault))
