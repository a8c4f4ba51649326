"""State that another version has written otherwise: a rule loses what it remembers, and nothing else happens (P7)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
import pytest

from fieldgate_rules.engine import storage
from fieldgate_rules.engine.timetable import SCHEDULES
from fieldgate_rules.engine.windows.window import Window
from rule_engine_kit import World

RULES = """
rules:
  - {id: held, on: {device: "b*"}, when: t > 5, for: 100s, do: [{alert: {text: "{t}"}}]}
  - {id: followed, on: {device: "b*"}, sequence: {within: 2m, steps: [{device: "b*", when: t < 5}, {device: "b*", when: t > 5}]}, do: [{log: x}]}
  - {id: held-back, on: {device: "b*"}, once_per: day, fires: each, do: [{log: x}]}
  - {id: figures, on: {device: "b*"}, window: {size: 1m, slide: 30s, values: {n: {count: true}, s: {stddev: t}, d: {delta: t}}}}
  - {id: area, on: {device: "b*"}, window: {size: 1m, time: device, values: {i: {integral: t, per: 1h}}}}
  - {id: beat, on: [{every: 40s}, {cron: "* * * * *"}], when: "last('b1', 't') >= 0", do: [{log: x}]}
"""  # noqa: E501 - one rule a line
ODD = [None, "x", -1, float("nan"), float("inf"), [], {}, [[]], {"a": 1}]


def hears(world: World, from_s: float) -> None:
    for number in range(6):
        at_s = from_s + number * 17.0
        world.say({"t": number * 7 % 11}, device=f"b{number % 2}", at_s=at_s, type_="generic", made_at_s=at_s)


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to everything in it."""
    if path:
        yield path
    for key in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield from places(tree[key], (*path, key))


def spoiled(row: list[Any], path: tuple[Any, ...], odd: object) -> bytes:
    row = copy.deepcopy(row)
    tree = row[2]
    for key in path[:-1]:
        tree = tree[key]
    tree[path[-1]] = odd
    return msgspec.msgpack.encode(row)


def test_whatever_stands_in_a_row_the_rules_start_and_events_go_on() -> None:
    """One thing of one row is another; the bytes are as they were written, so that no checksum tells."""
    before = World(RULES)
    hears(before, 5.0)
    before.engine.stop(before.stamp)
    rows = {key: row for key, row in before.engine.everything().items() if row is not None}
    read = {key: msgspec.msgpack.decode(row) for key, row in rows.items()}
    cases = [(key, path, odd) for key, row in read.items() for path in places(row[2]) for odd in ODD]
    assert len(cases) > 500

    for key, path, odd in Random(7).sample(cases, 250):
        world = World(RULES)
        world.at_ns = before.at_ns + 10**9
        world.engine = world._new()
        world.engine.restore({**rows, key: spoiled(read[key], path, odd)}, was_stopped=True)
        world.engine.start(world.stamp)
        hears(world, 120.0)
        world.to(300)
        assert world.times(), "rules go on"


def test_a_schedule_that_cannot_be_read_begins_anew_and_says_so() -> None:
    """It was an error of the start itself, at each start again."""
    world = World(RULES)
    hears(world, 5.0)
    rows = {key: row for key, row in world.engine.everything().items() if row is not None}
    (key,) = [one for one in rows if one[1] == SCHEDULES]
    rows[key] = spoiled(msgspec.msgpack.decode(rows[key]), ("1",), "noon")
    world.engine = world._new()

    world.engine.restore(rows, was_stopped=True)

    assert "what was saved of its schedules is not readable" in world.engine.tally("beat").last_error


@pytest.mark.parametrize("method", ["add", "tick"])
def test_a_window_that_cannot_go_on_begins_anew_and_costs_no_event(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Its arithmetic failed outside of what keeps rules apart: an event, or the clock of all rules, went with it."""
    world = World(
        "rules:\n"
        "  - {id: figures, on: {device: b1}, window: {size: 1m, values: {n: {count: true}}}}\n"
        "  - {id: good, on: {device: b1}, fires: each, do: [{log: good}]}\n"
    )
    world.say({"t": 1}, at_s=1, type_="generic")
    with monkeypatch.context() as patched:
        patched.setattr(Window, method, lambda *_: 1 / 0)
        world.say({"t": 2}, at_s=2, type_="generic")
        world.to(61)
    world.say({"t": 3}, at_s=62, type_="generic")
    world.to(121)

    assert world.times() == [1, 2, 62]
    assert world.engine.errors == {"figures": "ZeroDivisionError: division by zero"}
    assert [one["n"] for one in world.made("figures")] == [1]


def test_trusting_what_is_saved_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: nothing of it is taken for damaged."""
    monkeypatch.setattr(storage, "_DAMAGED", ())

    with pytest.raises((TypeError, ValueError, AttributeError, LookupError)):
        test_whatever_stands_in_a_row_the_rules_start_and_events_go_on()
