"""Print what decoding costs per message: ``python tests/bench/decode_speed.py [--json]``.

From what a source heard to events, by a contract with six fields (target: 400,000 events a second on one core), by such
a contract with members that no field names, and of devices that no profile names, with flattening. Each figure is the
best of several rounds, in CPU time of this process, over reads of 50 messages.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence

from fieldgate.forward.encode import PlainData
from fieldgate.ingest.decode import ContractDecoder
from fieldgate.ingest.source import Received
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.event import Stamp
from fieldgate_devices.reading import read_profile

TARGET_PER_S = 400_000
ROUNDS = 15
READS, READ_EVENTS = 400, 50

PROFILE = b"""
profile: sensor
match: {mqtt: "sensors/{device}/telemetry"}
fields:
  seq: {type: int, min: 0}
  temperature: {type: float, unit: C, min: -40, max: 85}
  humidity: {type: float, min: 0, max: 100}
  state: {type: enum, values: [idle, busy]}
  ok: {type: bool}
  name: {type: string, from: device}
"""
MEMBERS = {"seq": 1, "temperature": 21.5, "humidity": 40, "state": "busy", "ok": True, "device": "d001"}


def reads_of(topic: str, members: dict[str, object]) -> list[list[Received]]:
    """Return reads of messages that differ in their numbers."""
    reads = []
    for read in range(READS):
        messages = []
        for number in range(READ_EVENTS):
            seq = read * READ_EVENTS + number
            payload = json.dumps({**members, "seq": seq}, separators=(",", ":")).encode()
            messages.append(Received(topic, payload, seq, len(payload)))
        reads.append(messages)
    return reads


def best_us(work: Callable[[Sequence[Received]], int], reads: Sequence[Sequence[Received]]) -> float:
    """Return the least cost of one message over several rounds, in µs."""
    costs = []
    for _ in range(ROUNDS):
        began_ns = time.process_time_ns()
        made = sum(work(read) for read in reads)
        costs.append((time.process_time_ns() - began_ns) / 1000 / (READS * READ_EVENTS))
        assert made == READS * READ_EVENTS
    return min(costs)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    read = read_profile(PROFILE, "sensor.yaml")
    assert read.contract is not None, read.problems
    decode, plain = ContractDecoder(Catalogue([read.contract])), PlainData().of
    stamp = Stamp(1, 2, 3)

    def by_contract(received: Sequence[Received]) -> int:
        return sum(event.address.version for event in decode(received, stamp, 1).events)

    def generic(received: Sequence[Received]) -> int:
        return sum(plain(event)[1] for event in decode(received, stamp, 1).events)

    topic = "sensors/d001/telemetry"
    costs = {
        "six fields": best_us(by_contract, reads_of(topic, MEMBERS)),
        "six fields, two members more": best_us(by_contract, reads_of(topic, {**MEMBERS, "a": 1, "b": {"c": 2}})),
        "no profile, flattened": best_us(generic, reads_of("other", MEMBERS)),
    }
    if options.json:
        _say(json.dumps({name: {"us": round(cost, 3), "per_s": round(1e6 / cost)} for name, cost in costs.items()}))
        return
    for name, cost in costs.items():
        _say(f"{name:<30} {cost:6.2f} us   {1e6 / cost:10,.0f} per s")
    met = 1e6 / costs["six fields"] >= TARGET_PER_S
    _say(f"target {TARGET_PER_S:,} per s: {'met' if met else 'not met'}")


if __name__ == "__main__":
    main()
