"""Row 79 of the catalogue of faults: 10,000 rules start in less than five seconds, and cost an event nothing."""

from __future__ import annotations

import time
from statistics import median

import pytest

from fieldgate_devices.event import Address, Event
from fieldgate_rules.reading import RulesReader, read_rules
from fieldgate_rules.rule import EventTrigger
from rule_engine_kit import CATALOGUE, World

RULES = 10_000
START_S = 5.0


def file_of(count: int) -> bytes:
    """So many rules of three kinds, each on a device of its own."""
    kinds = (
        "when: temperature > {n}, for: 10s, do: [{{alert: {{text: '{{device}} is at {{temperature:.1f}}'}}}}]",
        "changed: temperature, by: 1, do: [{{log: '{{temperature}}'}}]",
        "when: flow > 3 and temperature > {n}, do: [{{command: {{device: pump, s: {{a: 1}}}}}}]",
    )
    lines = ["rules:"]
    for number in range(count):
        keys = kinds[number % 3].format(n=20 + number % 60)
        lines.append(f"  - {{id: r{number}, on: {{device: b{number}, profile: boiler}}, {keys}}}")
    return ("\n".join(lines) + "\n").encode()


def test_rules_are_found_by_device_and_not_by_asking_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: an event is compared with those that name its device, once for each address."""
    world = World(read_rules({"r.yaml": file_of(600)}, CATALOGUE).rules)
    asked: list[str] = []
    takes = EventTrigger.takes

    def counted(self: EventTrigger, type_: str, device: str, lane: int) -> bool:
        asked.append(device)
        return takes(self, type_, device, lane)

    monkeypatch.setattr(EventTrigger, "takes", counted)
    for _ in range(10):
        world.say({"temperature": 10.0, "flow": 1.0}, device="b2")

    assert asked == ["b2"]
    assert set(world.outcomes("r2")) == {"false"}


@pytest.mark.long
def test_ten_thousand_rules_are_there_in_less_than_five_seconds() -> None:
    """Read, checked, in the engine and started, by the time that the processor spends.

    The best of three counts: a machine that has other things to do is slow at times.
    """
    content = file_of(RULES)
    took_s: list[float] = []
    while len(took_s) < 3 and min(took_s, default=START_S) >= START_S:
        begin_s = time.process_time()
        read = read_rules({"r.yaml": content}, CATALOGUE)
        world = World(read.rules)
        took_s.append(time.process_time() - begin_s)

        assert read.is_valid, [str(one) for one in read.problems[:3]]
        assert len(world.rules.rules) == RULES
    assert min(took_s) < START_S, took_s


@pytest.mark.long
def test_a_change_in_one_of_twenty_files_is_read_in_a_fraction_of_the_time() -> None:
    """A ratio of times of the processor: how loaded the machine is does not come into it."""
    rows = file_of(RULES).decode().splitlines(keepends=True)[1:]
    files = {f"{at:05}.yaml": f"rules:\n{''.join(rows[at : at + 500])}".encode() for at in range(0, RULES, 500)}
    reader = RulesReader()
    begin_s = time.process_time()
    reader.read(files, CATALOGUE)
    all_s = time.process_time() - begin_s
    files["05000.yaml"] = files["05000.yaml"].replace(b"temperature > 59", b"temperature > 61")

    begin_s = time.process_time()
    read = reader.read(files, CATALOGUE)
    again_s = time.process_time() - begin_s

    assert (reader.files_read, len(read.rules.rules)) == (1, RULES)
    assert again_s < all_s / 5, (again_s, all_s)


@pytest.mark.long
def test_an_event_costs_the_same_with_ten_thousand_rules_as_with_ten() -> None:
    """A ratio of medians, alternating: how loaded the machine is does not come into it."""
    few, many = (World(read_rules({"r.yaml": file_of(count)}, CATALOGUE).rules) for count in (10, RULES))
    few_s, many_s = [], []
    for _ in range(30):
        few_s.append(_cost_s(few))
        many_s.append(_cost_s(many))

    assert median(many_s) < 3 * median(few_s)


def _cost_s(world: World) -> float:
    """Of 2,000 events of ten devices for which nothing is true."""
    stamp = world.stamp
    events = [
        Event(Address(f"b{3 * (number % 3) + 2}", "boiler", "t"), stamp, b'{"temperature":10.0,"flow":1.0}', True, 0)
        for number in range(2_000)
    ]
    begin_s = time.process_time()
    assert world.engine.feed(events, stamp) is None
    return time.process_time() - begin_s
