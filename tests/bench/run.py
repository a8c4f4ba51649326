"""Measure Fieldgate beside a mosquitto bridge on this machine: `make bench`.

Every pair of runs is the bridge, then Fieldgate, back to back, with fresh processes and an empty journal. Ratios are
taken pair by pair. Results go to tests/bench/results/; --publish also renews gateway/benchmark/. See README.md here.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script: make `bench` importable

from bench import checks, plot, report
from bench.gateways import BRIDGE, CONFIGS, ROOT, Place
from bench.machine import describe_machine
from bench.processes import BenchError, Load, build_load, find_mosquitto
from bench.scenarios import CLOUDEVENTS_TOPIC, Bed, Record, Volume, measure_ceiling, measure_latency, measure_speed

HERE = Path(__file__).resolve().parent
SCENARIOS = ("speed", "latency", *checks.SCENARIOS)
LATENCY_RATE, LATENCY_SECONDS = 1000, 8


def main() -> int:
    """Run what the command line asks for."""
    options = _parse(sys.argv[1:])
    try:
        if options.report:
            records = [record for path in options.report for record in _load_results(path)]
            _write_report(records, options.report[-1], is_published=options.publish)
            return 0
        return _measure(options)
    except BenchError as error:
        _say(f"bench: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", help=f"any of {', '.join(SCENARIOS)} (default: all)")
    parser.add_argument("--only", default="", help="format/level, separated by commas (default: all six)")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of runs per configuration (default 5)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each latency measurement (default 3)")
    parser.add_argument("-n", "--events", type=int, default=200_000, help="events per run (default 200000)")
    parser.add_argument("--stored", type=int, default=100_000, help="events stored for drain, memory, start")
    parser.add_argument("--seconds", type=float, default=30, help="length of the runs at a fixed rate (default 30)")
    parser.add_argument("--null", action="store_true", help="set the bridge against itself: ratios must be 1")
    parser.add_argument("--work", type=Path, help="folder on the disk to measure (default: in this checkout)")
    parser.add_argument("--publish", action="store_true", help="also write gateway/benchmark/table.md and ratios.svg")
    parser.add_argument("--report", type=Path, nargs="+", help="measure nothing: report on these result files")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.scenarios if name not in SCENARIOS]
    if unknown:
        parser.error(f"unknown scenario {unknown[0]!r}: one of {', '.join(SCENARIOS)}")
    known = {setup.name: setup for setup in CONFIGS}
    wanted = options.only.split(",") if options.only else list(known)
    if options.null and options.publish:
        parser.error("--null measures no gateway: nothing to publish")
    if any(name not in known for name in wanted):
        parser.error(f"--only takes {', '.join(known)}")
    options.configs = [known[name] for name in wanted]
    options.scenarios = options.scenarios or list(SCENARIOS)
    return options


def _load_results(path: Path) -> list[Record]:
    """Return the records of an earlier benchmark; its pairs never mix with those of another."""
    records: list[Record] = [json.loads(line) for line in path.read_text().splitlines()]
    return [record | {"pair": f"{path.stem}/{record['pair']}"} if "pair" in record else record for record in records]


def _measure(options: argparse.Namespace) -> int:
    """Run the scenarios; every record is on disk before the next run begins."""
    base = options.work or HERE / ".build"
    base.mkdir(parents=True, exist_ok=True)
    (HERE / "results").mkdir(exist_ok=True)
    fieldgate = Path(os.environ.get("FIELDGATE", ROOT / ".venv/bin/fieldgate"))
    binary, mosquitto = build_load(), find_mosquitto()
    work = Path(tempfile.mkdtemp(prefix="work-", dir=base))
    place = Place(mosquitto=mosquitto, fieldgate=fieldgate, work=work)
    if options.null:
        options.scenarios = [name for name in options.scenarios if name not in checks.SCENARIOS]
    else:
        place.require_fieldgate()
    volume = Volume(events=options.events, stored=options.stored, seconds=options.seconds)
    bed = Bed(place=place, load=Load(binary), volume=volume)
    machine: Record = {
        "scenario": "machine",
        "is_null": options.null,
        **describe_machine(work=work, mosquitto=mosquitto),
    }
    path = HERE / "results" / time.strftime("%Y%m%d-%H%M%S.jsonl")
    records: list[Record] = []
    try:
        with path.open("a") as results:
            for record in _all_runs(bed, options, machine):
                records.append(record)
                results.write(json.dumps(record) + "\n")
                results.flush()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _write_report(records, path, is_published=options.publish)
    return 1 if any("error" in record for record in records) else 0


def _all_runs(bed: Bed, options: argparse.Namespace, machine: Record) -> Iterator[Record]:
    yield machine
    if "speed" in options.scenarios:
        yield from _speed_runs(bed, options)
    if "latency" in options.scenarios:
        yield from _latency_runs(bed, options)
    for scenario in options.scenarios:
        for check in checks.SCENARIOS.get(scenario, ()):
            for record in checks.run_check(check, bed, options.configs):
                _say(f"{scenario:8} {record['title']:45} {record['config']:26} {_brief(record)}")
                yield record


def _speed_runs(bed: Bed, options: argparse.Namespace) -> Iterator[Record]:
    """Run bridge and Fieldgate in turn, and the upstream's ceiling once per round."""
    cloudevents_bytes: int | None = None
    for pair in range(options.pairs):
        for config in options.configs:
            for side, setup in (("bridge", BRIDGE), ("fieldgate", BRIDGE if options.null else config)):
                record = _attempt(partial(measure_speed, bed, setup))
                record = {"scenario": "speed", "config": config.name, "side": side, "pair": pair, **record}
                _say(f"speed    {pair + 1}/{options.pairs} {config.name:26} {side:10} {_brief(record)}")
                if side == "fieldgate" and config.format == "cloudevents" and "payload_bytes" in record:
                    cloudevents_bytes = round(float(str(record["payload_bytes"])))
                yield record
        sizes = [("raw", 120, "sensors/d%03d/telemetry")]
        if cloudevents_bytes:
            sizes.append(("cloudevents", cloudevents_bytes, CLOUDEVENTS_TOPIC))
        for name, size, topic in sizes:
            record = _attempt(partial(measure_ceiling, bed, payload_bytes=size, topic=topic))
            _say(f"ceiling  {pair + 1}/{options.pairs} {name:37} {_brief(record)}")
            yield {"scenario": "ceiling", "config": name, "pair": pair, **record}


def _latency_runs(bed: Bed, options: argparse.Namespace) -> Iterator[Record]:
    for number in range(options.rounds):
        for setup in (BRIDGE, *([] if options.null else options.configs)):
            record = _attempt(partial(measure_latency, bed, setup, rate=LATENCY_RATE, seconds=LATENCY_SECONDS))
            _say(f"latency  {number + 1}/{options.rounds} {setup.name:37} {_brief(record)}")
            yield {"scenario": "latency", "config": setup.name, "pair": number, **record}


def _attempt(run: Callable[[], Record]) -> Record:
    """Return the record of a run; a run that failed is a record too."""
    try:
        return run()
    except BenchError as error:
        return {"error": str(error)}


def _brief(record: Record) -> str:
    """Return one line for the terminal."""
    if "error" in record:
        return f"FAILED: {record['error']}"
    if "skipped" in record:
        return f"skipped: {record['skipped']}"
    shown = {
        "rate": "{:,}/s",
        "ack_rate": "acks {:,}/s",
        "cpu_us_per_event": "cpu {} µs",
        "latency_p99_ms": "p99 {} ms",
        "rss_peak_mb": "rss {} MB",
        "flash_bytes_per_event": "flash {} B",
        "value": "{:,}",
        "unit": "{}",
        "missing": "missing {}",
    }
    return "  ".join(text.format(record[key]) for key, text in shown.items() if record.get(key) is not None)


def _write_report(records: Sequence[Record], path: Path, *, is_published: bool) -> None:
    text = report.render(records)
    comparisons = report.comparisons_of(records)
    outputs = {path.with_suffix(".md"): text}
    drawing = ""
    if comparisons:
        pairs = max(comparison.ratio.size for comparison in comparisons)
        drawing = plot.draw_ratios(
            comparisons, subtitle=f"median of {pairs} interleaved pairs; whiskers: all pairs; 120-byte QoS 1 events"
        )
        outputs[path.with_suffix(".svg")] = drawing
    if is_published:
        folder = ROOT / "gateway" / "benchmark"
        folder.mkdir(exist_ok=True)
        outputs[folder / "table.md"] = text
        if drawing:
            outputs[folder / "ratios.svg"] = drawing
    for output, content in outputs.items():
        output.write_text(content)
    _say("\n" + text)
    _say("\n".join(f"wrote {output}" for output in outputs))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
