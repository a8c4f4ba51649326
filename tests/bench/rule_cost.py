"""What rules cost an event, by the time that the processor spends.

To be run as ``PYTHONPATH=tests python tests/bench/rule_cost.py``.
Ratios hold on any machine; microseconds are those of this one. The least of several passes counts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from fieldgate_devices.event import Address, Event
from fieldgate_devices.fast_json import Known
from fieldgate_devices.reading import read_catalogue
from fieldgate_rules.engine import Engine
from rule_engine_kit import World

EVENTS = 10_000
READ = 50
PASSES = 7
DATA = b'{"temperature":20.5,"flow":1.5,"count":7}'
PROFILE = b"""\
profile: boiler
match: {mqtt: "b/{device}"}
fields: {temperature: {type: float}, flow: {type: float}, count: {type: int}}
"""
_US = 1e6


def events_of(world: World, devices: int, data: bytes) -> list[list[Event]]:
    """Reads of fifty events, of so many devices in turn."""
    addresses = [Address(f"b{number}", "boiler", f"t/b{number}") for number in range(devices)]
    stamp = world.stamp
    events = [Event(addresses[number % devices], stamp, data, True, 0) for number in range(EVENTS)]
    return [events[at : at + READ] for at in range(0, EVENTS, READ)]


def rules(count: int, keys: Callable[[int], str]) -> str:
    """A file of so many rules."""
    return "rules:\n" + "\n".join(f"  - {{id: r{number}, {keys(number)}}}" for number in range(count)) + "\n"


def cost_us(text: str, *, devices: int = 10, data: bytes = DATA, is_known: bool = False) -> float:
    """Microseconds of `Engine.feed` for one event; ``is_known``: it was decoded already, as in a read of many."""
    world = World(text)
    reads = events_of(world, devices, data)
    best_s = float("inf")
    for _ in range(PASSES):
        best_s = min(best_s, _pass(world.engine, world, reads, known_of(data) if is_known else None))
    return best_s / EVENTS * _US


def known_of(data: bytes) -> Sequence[Known]:
    """What the events of a read say, decoded as the gateway decodes them."""
    catalogue, _ = read_catalogue({}, {"boiler.yaml": PROFILE})
    (candidate, *_) = catalogue.candidates("b/b1")
    assert candidate.fast is not None
    assert candidate.fast.many is not None
    read = candidate.fast.many([data] * READ)
    assert read is not None
    return read[1]


def _pass(engine: Engine, world: World, reads: list[list[Event]], known: Sequence[Known] | None) -> float:
    begin_s = time.process_time()
    for read in reads:
        world.at_ns += 1_000_000
        engine.feed(read, world.stamp, known)
    return time.process_time() - begin_s


def main() -> None:
    """Print the table."""
    false = "when: temperature > 80, do: [{log: hot}]"
    on_device = f"on: {{device: b{{0}}}}, {false}"
    cases = {
        "10 rules, none on the event": cost_us(rules(10, lambda number: f"on: {{device: x{number}}}, {false}")),
        "10 rules, one on each event, false": cost_us(rules(10, lambda number: on_device.replace("{0}", str(number)))),
        "the same, decoded already": cost_us(
            rules(10, lambda number: on_device.replace("{0}", str(number))), is_known=True
        ),
        "1,000 rules over 1,000 devices, one on each event, false": cost_us(
            rules(1_000, lambda number: on_device.replace("{0}", str(number))), devices=1_000
        ),
        "10 rules on each event, all false": cost_us(rules(10, lambda number: f"on: {{profile: boiler}}, {false}")),
        "one rule, fires at each event (log)": cost_us("rules: [{id: r, on: {profile: boiler}, do: [{log: hot}]}]"),
        "one rule, sets a field of each event": cost_us(
            "rules: [{id: r, on: {profile: boiler}, do: [{set: {label: hot}}]}]"
        ),
        "one rule with for, true and waiting": cost_us(
            "rules: [{id: r, on: {profile: boiler}, when: temperature > 20, for: 1d, do: [{log: hot}]}]"
        ),
        "one window of avg, max and integral": cost_us(
            "rules: [{id: r, on: {profile: boiler}, window: {size: 1h, values: {a: {avg: temperature}, "
            "m: {max: temperature}, e: {integral: flow}}}}]"
        ),
    }
    width = max(map(len, cases))
    lines = [f"{name:{width}}  {us:7.2f} µs" for name, us in cases.items()]
    ten, thousand = (cases[name] for name in list(cases)[1:3])
    lines.append(f"{'1,000 rules against 10':{width}}  {thousand / ten:7.2f}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
