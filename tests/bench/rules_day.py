"""How long a day takes on the virtual clock: ten devices at 1 Hz, through a file with timers, hysteresis and a window.

    python tests/bench/rules_day.py            # 864,000 events from a recording; at most 20 s
    python tests/bench/rules_day.py --hours 1

The events are messages of a recording, read by a profile, as `fieldgate rules test` and `rules replay` read them.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator

from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.reading import read_catalogue
from fieldgate_devices.recording import RECORDING_HEAD, Heard, recording_line
from fieldgate_rules.reading import read_rules
from fieldgate_rules.tester import Recording, TestedFile, read_tests, run_tests
from fieldgate_rules.tester.engines import make_engine

PROFILE = b"""\
profile: boiler
match: {mqtt: "site/{device}/telemetry"}
fields:
  temperature: {type: float, unit: \xc2\xb0C, min: -40, max: 150}
  state: {type: enum, values: [idle, heating, fault]}
"""
RULES = b"""\
rules:
  - id: overheat
    on: {profile: boiler}
    when: temperature > 80 and state != "fault"
    for: 30s
    until: temperature < 75
    do: [{alert: {severity: critical, text: "{device} is at {temperature:.1f}"}}]
  - id: quarter
    on: {profile: boiler}
    window: {size: 15m, values: {mean: {avg: temperature}, warmest: {max: temperature}}}
tests:
  - name: a day
    given: {recording: day.jsonl}
    expect: {rule: overheat, alert: critical}
"""
START_NS = 1_767_225_600 * 10**9
DEVICES = 10
LIMIT_S = 20.0


def day(hours: float) -> Iterator[bytes]:
    """A recording: each device warms up and cools down once an hour, each at another time."""
    yield RECORDING_HEAD
    topics = [f"site/boiler-{number}/telemetry" for number in range(DEVICES)]
    for second in range(round(hours * 3600)):
        at_ns = START_NS + second * 10**9
        lines = []
        for number, topic in enumerate(topics):
            temperature = 65 + 20 * math.sin((second + 360 * number) / 3600 * 2 * math.pi)
            payload = b'{"temperature":%.2f,"state":"heating"}' % temperature
            lines.append(recording_line(Heard(at_ns, "listen:1883", topic, payload)))
        yield b"".join(lines)


def catalogue() -> Catalogue:
    """The profile."""
    return read_catalogue({}, {"boiler.yaml": PROFILE})[0]


def run_day(chunks: list[bytes]) -> TestedFile:
    """Run the test over a recording."""
    profiles = catalogue()
    read = read_rules({"day.yaml": RULES}, profiles)
    assert read.is_valid, read.problems
    return run_tests(
        read_tests("day.yaml", RULES, read.rules),
        read.rules,
        profiles,
        make=make_engine,
        recordings=lambda name: Recording(name, lambda: chunks),
    )


def main() -> None:
    """Measure, and fail if it takes too long."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=24.0)
    hours = parser.parse_args().hours
    chunks = list(day(hours))
    events = round(hours * 3600) * DEVICES
    began_s = time.perf_counter()
    tested = run_day(chunks)
    took_s = time.perf_counter() - began_s
    (result,) = tested.results
    each = f"{took_s / events * 1e6:.1f} µs each, {len(result.outcomes):,} effects"
    sys.stdout.write(f"{events:,} events in {took_s:.2f} s: {each}\n")
    assert result.is_passed, [failure.message for failure in result.failures]
    assert took_s <= LIMIT_S * max(1.0, hours / 24), f"allowed: {LIMIT_S} s a day"


if __name__ == "__main__":
    main()
