"""Schedules over summer time, steps of the clock, restarts and while nobody knows the time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from fieldgate_rules.engine import schedules
from fieldgate_rules.engine.moment import Moment
from rule_engine_kit import START_NS, World

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime.fromtimestamp(START_NS / 1e9, UTC)


def rule(cron: str) -> str:
    return f'rules: [{{id: r, on: {{cron: "{cron}"}}, zone: Europe/Berlin, do: [{{log: x}}]}}]'


def at(text: str) -> float:
    """Seconds on the virtual clock at which it is so late in Berlin, the first time."""
    return (datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC) - START).total_seconds()


def world_at(cron: str, at_s: float, **more: bool) -> World:
    """One whose clock stands there."""
    world = World(rule(cron), **more)
    world.wall_base_ns = START_NS + round(at_s * 1e9)
    world.engine = world._new()
    world.engine.start(world.stamp)
    return world


def fired(world: World, base_s: float) -> list[float]:
    return [base_s + one for one in world.times()]


@pytest.mark.parametrize("day", ["2026-03-28", "2026-10-24"])
@pytest.mark.parametrize(("hour", "minute"), [(1, 30), (3, 15), (12, 0), (23, 59)])
def test_a_time_of_day_comes_once_a_day_by_the_clock_on_the_wall(day: str, hour: int, minute: int) -> None:
    """Days of 23 and of 25 hours; brute force: each minute is asked whether it is so late."""
    begin_s = at(f"{day}T00:00")
    world = world_at(f"{minute} {hour} * * *", begin_s)
    world.to(3 * 86_400)

    wanted = [
        begin_s + 60.0 * number
        for number in range(3 * 1440 + 1)
        if (local := (START + timedelta(seconds=begin_s + 60.0 * number)).astimezone(BERLIN))
        and (local.hour, local.minute) == (hour, minute)
    ]
    assert fired(world, begin_s) == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_a_time_that_the_night_leaves_out_or_has_twice_comes_once(day: str) -> None:
    """02:30 is not there in March, and comes twice in October."""
    begin_s = at(f"{day}T00:00")
    world = world_at("30 2 * * *", begin_s)
    world.to(12 * 3_600)

    assert len(world.times()) == 1


def test_every_quarter_of_an_hour_is_one_also_when_the_hour_comes_twice() -> None:
    """25 hours have 100 of them."""
    begin_s = at("2026-10-25T00:00")
    world = world_at("*/15 * * * *", begin_s)
    world.to(25 * 3_600)

    assert world.times() == pytest.approx([900.0 * number for number in range(1, 101)], abs=0.01)


def step(world: World, at_s: float, by_s: float) -> None:
    world.to(at_s)
    world.wall_base_ns += round(by_s * 1e9)
    world._note(world.engine.tick(world.stamp))


@pytest.mark.parametrize(
    ("at_s", "by_s", "wanted", "skipped"),
    [
        (3_000, 300, [3_300.0], 0),  # set ahead before it: it comes when the clock says so
        (3_000, -300, [3_900.0], 0),
        (3_590, 15, [3_590.0], 0),  # set over it by a little: late, but there
        (3_000, 3_000, [], 1),  # jumped over: left out, and said so
        (3_700, -600, [3_600.0], 0),  # set back after it: not twice
    ],
)
def test_a_step_of_the_clock_fires_nothing_twice_and_nothing_early(
    at_s: float, by_s: float, wanted: list[float], skipped: int
) -> None:
    """P6, with a rule for one moment of the day: an hour after the start."""
    world = World('rules: [{id: r, on: {cron: "0 1 * * *"}, do: [{log: x}]}]')
    step(world, at_s, by_s)
    world.to(20_000)

    assert world.times() == pytest.approx(wanted, abs=0.01)
    assert list(world.outcomes("r")).count("skipped") == skipped


def test_a_clock_that_was_ahead_by_more_than_a_day_begins_anew() -> None:
    """It was wrong: what it said to have fired has not been."""
    world = World('rules: [{id: r, on: {cron: "0 1 * * *"}, do: [{log: x}]}]')
    world.wall_base_ns += 10 * 86_400 * 10**9
    world._note(world.engine.tick(world.stamp))
    world.to(4_000)
    step(world, 4_100, -10 * 86_400)
    world.to(86_400 + 4_000)

    assert world.times() == pytest.approx([3_600, 86_400 + 3_600], abs=0.01)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_time_that_came_is_not_there_again_after_days_ahead_and_back(*, is_restarted: bool) -> None:
    """A time server that is wrong by days for a minute, and the clock is put right to just before it."""
    world = World('rules: [{id: r, on: {cron: "0 1 * * *"}, do: [{log: x}]}]')
    step(world, 3_610, 5 * 86_400 - 60)
    world.to(3_670)
    if is_restarted:
        world.restart(after_s=5)
    step(world, 3_700, -5 * 86_400 - 60)
    world.to(20_000)

    assert world.times() == [3_600.0, 3_660.0], "that of the sixth, and not once more that of the first"


def test_a_state_of_an_earlier_version_is_taken() -> None:
    """It was the last time alone."""
    world = world_at("0 * * * *", 0.0)
    world.to(4_000)
    schedule = schedules.Cron("0 * * * *", UTC)
    moment = Moment(100.0, 7_200.0, world.stamp)

    schedule.restore(3_600.0, lambda at_s: at_s, moment)
    schedule.begin(moment)

    assert schedule.save() == [3_600.0, []]
    assert schedule.slot_s == 10_800.0


def test_cron_waits_until_the_time_is_known_and_asks_to_be_looked_at() -> None:
    """The host calls the engine while anything is due: without that nobody would tell it of the clock."""
    world = World('rules: [{id: r, on: {cron: "0 1 * * *"}, do: [{log: x}]}]', is_known=False)
    world.to(1_000)
    assert world.engine.due_s is not None
    world.is_known = True
    world.to(5_000)

    assert world.times() == pytest.approx([3_600], abs=0.01)


@pytest.mark.parametrize("was_stopped", [True, False])
def test_a_time_that_came_while_the_gateway_was_off_is_left_out_and_noted(*, was_stopped: bool) -> None:
    """Nobody wants the morning's command in the evening."""
    world = World('rules: [{id: r, on: {cron: "0 * * * *"}, do: [{log: x}]}]')
    world.to(4_000)
    world.restart(after_s=7_200, was_stopped=was_stopped)
    world.to(16_000)

    assert world.times() == pytest.approx([3_600, 14_400], abs=0.01)
    assert world.outcomes("r")[0] == "skipped"


@pytest.mark.parametrize("stops", [[10], [10, 20, 290], [299, 301], [700]])
def test_every_keeps_its_beat_over_restarts(stops: list[int]) -> None:
    """Five minutes from the first start on."""
    world = World("rules: [{id: r, on: {every: 5m}, do: [{log: x}]}]")
    for at_s in stops:
        world.to(at_s)
        world.restart(was_stopped=False)
    world.to(1_250)

    assert world.times() == [300, 600, 900, 1_200]


def test_every_does_not_care_for_the_clock() -> None:
    """Boot time goes on."""
    world = World("rules: [{id: r, on: {every: 5m}, do: [{log: x}]}]", is_known=False)
    step(world, 100, 86_400)
    world.is_known = True
    step(world, 400, -86_400)
    world.to(900)

    assert world.times() == [300, 600, 900]


MUTANTS = {
    "a step is not looked at": (schedules.Cron, "clock_changed", lambda self, now: None),
    "what has fired is forgotten": (schedules.Cron, "save", lambda self: None),
    "what came within the day is forgotten": (schedules, "_REMEMBERED", 0),
    "late is never": (schedules, "_LATEST_S", -1.0),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The control."""
    monkeypatch.setattr(*MUTANTS[name])

    with pytest.raises(AssertionError):
        _all_checks()


def _all_checks() -> None:
    test_a_step_of_the_clock_fires_nothing_twice_and_nothing_early(3_590, 15, [3_590.0], 0)
    test_a_time_that_came_while_the_gateway_was_off_is_left_out_and_noted(was_stopped=True)
    test_a_time_that_came_is_not_there_again_after_days_ahead_and_back(is_restarted=False)
