"""Windows against a slow reference that keeps every value and reckons with exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldgate_rules.engine import part
from fieldgate_rules.engine.windows import figure, window
from fieldgate_rules.rule import RuleSet
from rule_engine_kit import World, rules_of

END_S = 300
FUNCTIONS = ("avg", "min", "max", "sum", "first", "last", "stddev", "delta", "integral")
FIGURES = ", ".join(f"f_{name}: {{{name}: temperature}}" for name in FUNCTIONS)

BY_DEVICE = "size: 60s, time: device, late: 10s, values: {n: {count: true}}"

History = list[tuple[int, float]]


@cache
def rules_with(keys: str) -> RuleSet:
    """A rule with a window of all figures."""
    values = f"values: {{n: {{count: true}}, hot: {{count: temperature > 50}}, {FIGURES}}}"
    return rules_of(f"rules: [{{id: w, on: {{profile: boiler}}, window: {{{keys}, {values}}}}}]")


def histories(values: st.SearchStrategy[float] | None = None) -> st.SearchStrategy[History]:
    """Seconds, rising, none on the edge of a window, and values."""
    of = values or st.one_of(st.integers(-100, 150).map(float), st.floats(-100, 150))
    steps = st.lists(st.tuples(st.integers(1, 60), of), max_size=20)

    def placed(steps: list[tuple[int, float]]) -> History:
        at_s, history = 0, []
        for gap_s, value in steps:
            at_s += gap_s
            if at_s < END_S:
                history.append((at_s, value))
        return history

    return steps.map(placed)


def figures_of(values: History, all_: History, begin_s: float, end_s: float) -> dict[str, Any]:
    """What the figures of the events of a window are; ``all_`` is for those that look before it."""
    numbers = [Fraction(value) for _, value in values]
    found: dict[str, Any] = {"n": len(values), "hot": sum(value > 50 for value in numbers)}
    area = Fraction(0)
    for (at_s, value), (next_s, next_value) in pairwise(all_):
        if begin_s <= next_s < end_s and next_s - at_s <= end_s - begin_s:
            area += (Fraction(value) + Fraction(next_value)) / 2 * (next_s - at_s)
    found["f_integral"] = area
    if not numbers:
        return found
    mean = sum(numbers) / len(numbers)
    earlier = [value for at_s, value in all_ if begin_s - (end_s - begin_s) <= at_s < begin_s]
    found |= {
        "f_avg": mean, "f_sum": sum(numbers), "f_min": min(numbers), "f_max": max(numbers),
        "f_first": numbers[0], "f_last": numbers[-1],
        "f_stddev": math.sqrt(sum((one - mean) ** 2 for one in numbers) / len(numbers)),
        "f_delta": numbers[-1] - Fraction(earlier[-1] if earlier else values[0][1]),
    }  # fmt: skip
    return found


def reference(history: History, *, size_s: int, slide_s: int) -> list[tuple[float, dict[str, Any]]]:
    """Each window that has an event, with its end and its figures."""
    ended = []
    for end_s in range(slide_s, END_S + 1, slide_s):
        inside = [one for one in history if end_s - size_s <= one[0] < end_s]
        if inside:
            ended.append((end_s, figures_of(inside, history, end_s - size_s, end_s)))
    return ended


def windows(keys: str, history: History, *, restarts: frozenset[int] = frozenset()) -> list[tuple[float, Any]]:
    """What the engine makes of it."""
    world = World(rules_with(keys))
    moments = sorted([*((at_s, value) for at_s, value in history), *((at_s + 0.5, None) for at_s in restarts)])
    for at_s, value in moments:
        world.to(at_s)
        if value is None:
            world.restart()
        else:
            world.say({"temperature": value})
    world.to(END_S)
    assert not world.engine.errors
    return [(at_s, data) for at_s, kind, data in world.done if kind == "w"]


def check(found: list[tuple[float, Any]], wanted: list[tuple[float, dict[str, Any]]]) -> None:
    assert [at_s for at_s, _ in found] == [at_s for at_s, _ in wanted]
    for (at_s, data), (_, figures) in zip(found, wanted, strict=True):
        for name, value in figures.items():
            assert data[name] == pytest.approx(float(value), rel=1e-9, abs=1e-6), (at_s, name)


SHAPES = {"tumbling": ("size: 60s", 60, 60), "sliding": ("size: 60s, slide: 20s", 60, 20)}


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=30, deadline=None)
@given(history=histories())
def test_every_figure_is_that_of_a_reference_that_keeps_all_values(shape: str, history: History) -> None:
    """Panes are merged, sums compensated, areas cross borders: it must come to what fractions say."""
    keys, size_s, slide_s = SHAPES[shape]

    check(windows(keys, history), reference(history, size_s=size_s, slide_s=slide_s))


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=20, deadline=None)
@given(history=histories(), restarts=st.frozensets(st.integers(1, END_S - 1), max_size=4))
def test_a_stop_at_any_moment_changes_no_figure(shape: str, history: History, restarts: frozenset[int]) -> None:
    """Only one of a group that was not heard of before the stop may be called partial."""
    keys, *_ = SHAPES[shape]

    def plain(found: list[tuple[float, Any]]) -> list[tuple[float, Any]]:
        return [(at_s, {**data, "partial": None}) for at_s, data in found]

    assert plain(windows(keys, history, restarts=restarts)) == plain(windows(keys, history))


@settings(max_examples=40, deadline=None)
@given(history=histories())
def test_what_an_integral_adds_up_to_is_in_one_window_each(history: History) -> None:
    """Energy over a border is neither lost nor counted twice."""
    found = windows("size: 60s", [*history, (END_S - 1, 0.0)] if history else [])

    all_ = [*history, (END_S - 1, 0.0)]
    whole = sum(
        (value + after) / 2 * (next_s - at_s)
        for (at_s, value), (next_s, after) in pairwise(all_)
        if next_s - at_s <= 60
    )
    assert sum(data["f_integral"] for _, data in found) == pytest.approx(whole if history else 0, abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=30, deadline=None)
@given(history=histories(), delays=st.lists(st.integers(0, 15), min_size=20, max_size=20))
def test_by_the_devices_time_late_events_within_bounds_count_where_they_belong(
    shape: str, history: History, delays: list[int]
) -> None:
    """Whatever the order in which they come; figures that do not hang on the order."""
    keys, size_s, slide_s = SHAPES[shape]
    world = World(rules_with(f"{keys}, time: device, late: 20s"))
    coming = [(at_s + delay_s, at_s, value) for (at_s, value), delay_s in zip(history, delays, strict=False)]
    for come_s, at_s, value in sorted(coming):
        world.say({"temperature": value}, at_s=come_s, made_at_s=at_s)
    world.to(END_S + 20)

    found = [(at_s, data) for at_s, kind, data in world.done if kind == "w"]
    wanted = reference(history, size_s=size_s, slide_s=slide_s)
    assert [at_s for at_s, _ in found] == pytest.approx([end_s + 20 for end_s, _ in wanted], abs=1e-3)
    for (_, data), (_, figures) in zip(found, wanted, strict=True):
        for name in ("n", "hot", "f_avg", "f_min", "f_max", "f_sum", "f_stddev"):
            assert data[name] == pytest.approx(float(figures[name]), rel=1e-9, abs=1e-6), name


def test_what_comes_too_late_by_the_devices_time_is_counted_and_left_out() -> None:
    """A window that was said is not said again."""
    world = World(rules_with("size: 60s, time: device, late: 10s"))
    world.say({"temperature": 20.0}, at_s=30, made_at_s=30)
    world.say({"temperature": 90.0}, at_s=75, made_at_s=50)
    world.to(200)

    assert [data["n"] for data in world.made("w")] == [1]
    (slot,) = world.engine.slots("w")
    assert slot.window is not None
    assert slot.window.late == 1


def test_a_window_over_a_stop_of_hours_takes_nothing_from_before_it() -> None:
    """A sliding window is made of the panes of its own time, not of the last ones that there were."""
    world = World(rules_with("size: 60s, slide: 20s"))
    for second in (5, 25, 45):
        world.say({"temperature": 20.0}, at_s=second)
    world.restart(after_s=7200)
    world.say({"temperature": 90.0}, at_s=7250)
    world.to(7400)

    assert [data["n"] for at_s, kind, data in world.done if kind == "w" and at_s > 7246] == [1, 1, 1]


def test_a_sliding_window_is_partial_until_all_of_it_was_seen() -> None:
    """The gateway started at 7 s: the windows that end at 20 s, 40 s and 60 s began before."""
    world = World(rules_with("size: 60s, slide: 20s"))
    world.to(7)
    world.engine = world._new()
    world.engine.start(world.stamp)
    for second in range(10, 120, 10):
        world.say({"temperature": 20.0}, at_s=second)

    assert [data.get("partial", False) for data in world.made("w")] == [True, True, True, False, False]


def test_windows_of_a_rule_that_is_loaded_later_are_partial() -> None:
    """It has not seen what came before it."""
    world = World("rules: [{id: other, on: {profile: boiler}, do: [{set: {a: 1}}]}]")
    world.to(30)
    world.engine.use(rules_with("size: 60s"), world.stamp)
    for second in (40, 70):
        world.say({"temperature": 20.0}, at_s=second)
    world.to(200)

    assert [data.get("partial", False) for data in world.made("w")] == [True, False]


def test_an_event_that_comes_before_the_tick_of_its_window_delays_nothing() -> None:
    """The loop may be busy when a window ends: what is due comes first."""
    world = World(rules_with("size: 60s"))
    world.say({"temperature": 20.0}, at_s=30)
    world.at_ns = 61 * 10**9
    world.say({"temperature": 30.0})
    world.to(200)

    assert world.times("w") == [61, 120]
    assert [data["n"] for data in world.made("w")] == [1, 1]


def test_a_stamp_that_is_older_than_the_last_makes_no_window_twice() -> None:
    """A read is stamped when it comes; a timer may have run meanwhile."""
    world = World(rules_with("size: 60s"))
    world.say({"temperature": 20.0}, at_s=30)
    world.to(60)
    world.at_ns -= 1_000_000
    world.say({"temperature": 30.0})
    world.to(200)

    assert world.times("w") == [60, 120]


@pytest.mark.parametrize("step_s", [-50, -35, -10, 10, 35, 50, 3600, -3600])
def test_a_step_of_the_clock_makes_no_window_early_and_none_twice(step_s: int) -> None:
    """The one in which it happens is as long as ever; the next is longer or shorter."""
    world = World(rules_with("size: 60s"))
    for second in range(5, 300, 10):
        world.to(second)
        if second == 95:
            world.wall_base_ns += step_s * 10**9
        world.say({"temperature": 20.0})
    world.to(400)

    times = world.times("w")
    assert times[:2] == [60, 120]
    assert all(30 <= after - before <= 120 for before, after in pairwise(times))
    ends = [data["end"] for data in world.made("w")]
    assert abs(step_s) >= 60 or len(ends) == len(set(ends))


def by_gateway_or_device(world: World, begin_s: int, end_s: int) -> None:
    """Something each ten seconds, without a time of the device's own."""
    for second in range(begin_s, end_s, 10):
        world.say({"temperature": 20.0}, at_s=second)


def test_times_that_are_still_to_come_keep_nobody_else_out_of_a_window() -> None:
    """A group may be of many devices, and one of them has a clock that is wrong: the furthest give way."""
    world = World(rules_of(f"rules: [{{id: w, on: {{profile: boiler}}, group_by: all, window: {{{BY_DEVICE}}}}}]"))
    for number in range(300):
        world.say({"temperature": 99.0}, device="ahead", at_s=30, made_at_s=6_000 + 60 * number)
    by_gateway_or_device(world, 65, 600)
    world.to(700)

    assert [data["n"] for data in world.made("w")] == [6] * 8 + [6]
    (slot,) = world.engine.slots("w")
    assert slot.window is not None
    assert slot.window.late > 300 - window._MAX_OPEN


@pytest.mark.parametrize("empty", ["", ", empty: true"])
@pytest.mark.parametrize("restarts", [False, True])
def test_by_the_devices_time_a_clock_that_was_ahead_by_days_stops_no_window(*, empty: str, restarts: bool) -> None:
    """It was wrong: what ended then does not keep out what comes now, as with schedules."""
    world = World(rules_of(f"rules: [{{id: w, on: {{profile: boiler}}, window: {{{BY_DEVICE}{empty}}}}}]"))
    world.wall_base_ns += 10 * 86_400 * 10**9
    by_gateway_or_device(world, 5, 300)
    world.to(305)
    world.wall_base_ns -= 10 * 86_400 * 10**9
    if restarts:
        world.restart()
    by_gateway_or_device(world, 365, 600)
    world.to(700)

    after = [(at_s, data["n"]) for at_s, kind, data in world.done if kind == "w" and at_s > 360 and data["n"]]
    assert after == [(430, 6), (490, 6), (550, 6), (610, 6)]
    assert not world.engine.errors


def test_a_clock_that_is_set_right_while_nothing_is_heard_stops_no_window() -> None:
    """Nothing is due then: it is the next event that finds out."""
    world = World(rules_of(f"rules: [{{id: w, on: {{profile: boiler}}, window: {{{BY_DEVICE}}}}}]"))
    world.wall_base_ns += 10 * 86_400 * 10**9
    by_gateway_or_device(world, 5, 300)
    world.to(400)
    world.wall_base_ns -= 10 * 86_400 * 10**9
    by_gateway_or_device(world, 425, 480)
    world.to(500)

    assert [(at_s, data["n"]) for at_s, kind, data in world.done if kind == "w" and at_s > 400] == [(490, 6)]


def test_empty_windows_go_on_when_a_clock_that_was_ahead_by_days_is_set_right() -> None:
    """Nobody says anything any more: that is what they are asked for."""
    world = World(rules_of(f"rules: [{{id: w, on: {{profile: boiler}}, window: {{{BY_DEVICE}, empty: true}}}}]"))
    world.wall_base_ns += 10 * 86_400 * 10**9
    by_gateway_or_device(world, 5, 300)
    world.to(305)
    world.wall_base_ns -= 10 * 86_400 * 10**9
    world.to(700)

    assert [at_s for at_s in world.times("w") if at_s > 400] == [430, 490, 550, 610, 670]


def test_by_the_devices_time_a_clock_that_was_ahead_by_an_hour_says_no_window_again() -> None:
    """What ended has ended: the same window is not made of other events."""
    world = World(rules_of(f"rules: [{{id: w, on: {{profile: boiler}}, window: {{{BY_DEVICE}}}}}]"))
    world.wall_base_ns += 3_600 * 10**9
    by_gateway_or_device(world, 5, 300)
    world.wall_base_ns -= 3_600 * 10**9
    by_gateway_or_device(world, 305, 4_500)
    world.to(4_600)

    ends = [data["end"] for data in world.made("w")]
    assert len(ends) == len(set(ends))
    assert len(ends) > 10


@pytest.mark.parametrize("empty", ["", ", empty: true"])
@pytest.mark.parametrize("step_s", [-3_600, -50, 50, 600, 3_600, 10 * 86_400])
def test_by_the_devices_time_a_step_of_the_clock_says_no_window_twice(*, step_s: int, empty: str) -> None:
    """P6: one that is filled is not said again as an empty one."""
    world = World(rules_of(f"rules: [{{id: w, on: {{profile: boiler}}, window: {{{BY_DEVICE}{empty}}}}}]"))
    by_gateway_or_device(world, 5, 305)
    world.wall_base_ns += step_s * 10**9
    by_gateway_or_device(world, 305, 600)
    world.to(4_600)

    ends = [data["end"] for data in world.made("w")]
    assert len(ends) == len(set(ends))


def test_empty_windows_come_only_where_they_are_asked_for() -> None:
    """And only after the first that has something."""
    with_empty, without = (World(rules_with(f"size: 60s{more}")) for more in (", empty: true", ""))
    for world in (with_empty, without):
        world.say({"temperature": 20.0}, at_s=70)
        world.to(300)

    assert with_empty.times("w") == [120, 180, 240, 300]
    assert without.times("w") == [120]


def twice(add: figure.Adder) -> figure.Adder:
    """The same, twice."""
    return lambda sum_, facts: (add(sum_, facts), add(sum_, facts))[1]


MUTANTS = {
    "a window of panes by number alone": (
        window.Window, "_panes",
        lambda self: (self._done[-self._panes_in:], self._done[: -self._panes_in]),
    ),
    "sums are not merged": (window, "merged", lambda sums: sums[-1]),
    "values are added twice": (part, "adder", lambda one: twice(figure.adder(one))),
    "no pane follows": (window.Window, "_follow", lambda self, pane, now: setattr(self, "due_s", None)),
    "panes keep nothing over a stop": (window.Window, "save", lambda self: None),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The control: a comparison that nothing can fail compares nothing."""
    history: History = [(5, 20.0), (15, 80.0), (50, 30.0), (70, 10.0), (95, 60.0), (230, 1.0)]
    keys, size_s, slide_s = SHAPES["sliding"]
    wanted = reference(history, size_s=size_s, slide_s=slide_s)
    check(windows(keys, history), wanted)
    monkeypatch.setattr(*MUTANTS[name])

    with pytest.raises(AssertionError):
        _all_checks(keys, history, wanted)


def _all_checks(keys: str, history: History, wanted: list[tuple[float, dict[str, Any]]]) -> None:
    check(windows(keys, history, restarts=frozenset({60})), wanted)
    test_a_window_over_a_stop_of_hours_takes_nothing_from_before_it()
