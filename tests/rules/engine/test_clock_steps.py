"""P6 for every stage: a clock that is set by minutes or days, there and back, fires nothing early or twice."""

from __future__ import annotations

import pytest

from fieldgate_rules.engine import gate
from rule_engine_kit import World

DAY_S = 86_400
STEPS = [600, -600, 2 * DAY_S, -2 * DAY_S]

STAGES = {
    "for": "when: t > 5\n    for: 100s",
    "absent": "absent: 70s",
    "count": "when: t > 5\n    count: {at_least: 3, within: 2m}\n    fires: each",
    "rate": "rate: {of: t, above: 1, per: 1m, within: 2m}",
    "sequence": "sequence: {within: 2m, steps: [{device: b1, when: t < 5}, {device: b1, when: t > 5}]}",
    "throttle": "throttle: 3m\n    fires: each",
    "until": "when: t > 8\n    until: t < 2",
    "changed": "changed: t\n    by: 5",
    "age": "when: t > 5 and (age(prev.t) < 40 or last('b1', 't') > 0)",
}
HISTORY = [(7.0 + 31 * number, number * 7 % 11) for number in range(20)] + [(900.0, 1), (1_000.0, 9)]


def fired(keys: str, step_s: float | None, *, back_after_s: float = 45.0) -> list[float]:
    """When a rule fires that hears HISTORY while the clock is set by ``step_s`` again and again, and back each time."""
    world = World(f"rules:\n  - id: r\n    on: {{device: b1}}\n    {keys}\n    do: [{{log: x}}]\n")
    steps = [] if step_s is None else [(at_s + after_s, by_s) for at_s in (20.0, 215.0, 480.0, 907.0)
                                       for after_s, by_s in ((0.0, step_s), (back_after_s, -step_s))]  # fmt: skip
    moments = sorted([*((at_s, "says", value) for at_s, value in HISTORY), *((at_s, "set", by) for at_s, by in steps)])
    for at_s, what, value in moments:
        world.to(at_s)
        if what == "says":
            world.say({"t": value}, type_="generic")
        else:
            world.wall_base_ns += round(value * 1e9)
            world._note(world.engine.tick(world.stamp))
    world.to(2_000)
    assert world.engine.tally("r").errors == 0
    return world.times()


@pytest.mark.parametrize("step_s", STEPS)
@pytest.mark.parametrize("name", STAGES)
def test_a_stage_does_not_see_that_the_clock_was_set(name: str, step_s: float) -> None:
    """What is measured is measured by boot time."""
    assert fired(STAGES[name], step_s) == fired(STAGES[name], None)


def once_per(period: str, *says: tuple[float, float]) -> list[float]:
    """When it fires, said to at moments, each after the clock was set by so much."""
    world = World(f"rules: [{{id: r, on: {{device: b1}}, once_per: {period}, fires: each, do: [{{log: x}}]}}]")
    for at_s, by_s in says:
        world.to(at_s)
        world.wall_base_ns += round(by_s * 1e9)
        world.say({"t": 1}, type_="generic")
    return world.times()


@pytest.mark.parametrize("step_s", STEPS)
@pytest.mark.parametrize("period", ["hour", "day"])
def test_a_period_that_was_used_up_stays_so_when_the_clock_is_set_and_set_back(period: str, step_s: float) -> None:
    """A time server that is wrong for a minute is no new day: the people who were told today are not told again."""
    noon_s = 12 * 3_600.0 + 1_500
    fires = once_per(period, (noon_s, 0), (noon_s + 60, step_s), (noon_s + 120, -step_s), (noon_s + DAY_S, 0))

    assert fires == [noon_s, noon_s + DAY_S]


def test_a_period_goes_by_the_time_that_turned_out_to_be_right() -> None:
    """A clock was two days behind: the day on which the rule has fired is the right one, and the next is new."""
    noon_s = 12 * 3_600.0
    fires = once_per("day", (noon_s, 0), (noon_s + 60, 2 * DAY_S), (noon_s + 13 * 3_600, 0))

    assert fires == [noon_s, noon_s + 13 * 3_600]


def test_a_clock_that_drifts_over_midnight_takes_no_day_away() -> None:
    """Time is put right in small steps all day long; what fired at 23:59:59 was yesterday's."""
    fires = once_per("day", (DAY_S - 0.2, 0), (DAY_S + 10, 0.4))

    assert fires == [DAY_S - 0.2, DAY_S + 10]


def test_forgetting_that_the_clock_was_set_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: the date that the clock showed is all that counts."""
    monkeypatch.setattr(gate.Gate, "_was_in", lambda self, period, now: False)

    with pytest.raises(AssertionError):
        test_a_period_that_was_used_up_stays_so_when_the_clock_is_set_and_set_back("day", 2 * DAY_S)


@pytest.mark.parametrize("step_s", STEPS)
@pytest.mark.parametrize("slide", ["", ", slide: 30s"])
def test_no_window_counts_an_event_twice_or_leaves_one_out(slide: str, step_s: float) -> None:
    """A window may become longer or shorter; what is in it is what came."""
    world = World(
        f"rules: [{{id: r, on: {{device: b1}}, window: {{size: 1m{slide}, values: {{n: {{count: true}}}}}}, "
        "do: [{emit: {type: w}}]}]"
    )
    for number, (at_s, value) in enumerate(HISTORY):
        world.to(at_s)
        if number % 5 == 2:
            world.wall_base_ns += round((step_s if number % 2 else -step_s) * 1e9)
            world._note(world.engine.tick(world.stamp))
        world.say({"t": value}, type_="generic")
    world.to(2_000)

    assert sum(one["n"] for one in world.made("w")) == len(HISTORY) * (2 if slide else 1)
