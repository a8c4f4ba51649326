"""What broke rates, gates, notices and schedules once: each of these failed before it was mended."""

from __future__ import annotations

import pytest

from rule_engine_kit import World

# -- rates, gates, notices --------------------------------------------------------------------------------------------


def test_a_rate_of_a_device_at_ten_hertz_is_that_of_the_whole_time() -> None:
    """64 samples at most, however many there are: within a sixtieth of the time it is that of the whole history."""
    rate = "rate: {of: temperature, per: 1m, within: 60s, above: 1e9}"
    world = World(f"rules: [{{id: r, on: {{profile: boiler}}, {rate}, do: [{{log: x}}]}}]")
    history: list[tuple[float, float]] = []
    for number in range(3_000):
        at_s = number / 10
        value = (at_s / 10) ** 2
        history.append((at_s, value))
        world.say({"temperature": value}, at_s=at_s)
        (slot,) = world.engine.slots("r")
        found = slot.stages[0].shown()["rate"]
        if at_s < 30:
            assert found is None
            continue
        oldest = min(history, key=lambda one: abs(one[0] - max(at_s - 60, 0.0)))
        assert found == pytest.approx((value - oldest[1]) / (at_s - oldest[0]) * 60, rel=0.02)
    assert slot.stages[0].shown()["samples"] <= 64


BERLIN_DAYS = """
rules:
  - {id: r, on: {profile: boiler}, zone: Europe/Berlin, once_per: PERIOD, do: [{log: x}]}
"""
H = 3_600.0
DAY = 24 * H


@pytest.mark.parametrize(
    ("period", "events", "fires"),
    [  # seconds after 2026-01-01T00:00Z, a Thursday; midnight in Berlin is 23:00Z
        ("hour", [0, 3_599, 3_600, 3_601], [0, 3_600]),
        ("day", [0, 23 * H - 1, 23 * H, 24 * H], [0, 23 * H]),
        ("week", [0, 4 * DAY - H - 1, 4 * DAY - H, 5 * DAY], [0, 4 * DAY - H]),
        ("month", [0, 31 * DAY - H - 1, 31 * DAY - H, 32 * DAY], [0, 31 * DAY - H]),
        # the hour from 2 to 3 comes twice on 2026-10-25: two hours, one day
        ("hour", [297 * DAY + 0.5 * H, 297 * DAY + 1.5 * H], [297 * DAY + 0.5 * H, 297 * DAY + 1.5 * H]),
        ("day", [297 * DAY + 0.5 * H, 297 * DAY + 1.5 * H], [297 * DAY + 0.5 * H]),
    ],
)
def test_once_per_goes_by_the_calendar_of_its_zone(period: str, events: list[float], fires: list[float]) -> None:
    """Summer time included."""
    world = World(BERLIN_DAYS.replace("PERIOD", period))
    for at_s in events:
        world.say({"flow": 1.0}, at_s=at_s)

    assert world.times() == fires


def test_a_clock_that_is_set_back_over_midnight_does_not_open_the_day_again() -> None:
    """P6: nothing twice."""
    world = World(BERLIN_DAYS.replace("PERIOD", "day"))
    world.say({"flow": 1.0}, at_s=23 * H + 10)
    world.wall_base_ns -= 60 * 10**9
    world.say({"flow": 1.0}, at_s=23 * H + 20)  # 22:59:20 UTC, the day before
    world.restart()
    world.say({"flow": 1.0}, at_s=23 * H + 100)

    assert world.times() == [23 * H + 10]


def test_a_notice_of_the_buffer_is_for_the_rules_with_that_threshold() -> None:
    """80 is not 50."""
    from fieldgate_rules.effects import Notice

    world = World("""
rules:
  - {id: half, on: {gateway: buffer_above, above: 50}, do: [{log: half}]}
  - {id: full, on: {gateway: buffer_above}, do: [{log: full}]}
""")
    for threshold in (50, 80):
        world._note(world.engine.notice(Notice("buffer_above", "gw", {"percent": 81.0}, threshold), world.stamp))

    assert [effect.text for _, _, effect in world.done] == ["half", "full"]


def test_a_timer_knows_what_other_devices_said_last() -> None:
    """No event brings it: `last` is looked up when it ends."""
    world = World("""
rules:
  - id: r
    on: {device: b1}
    when: temperature > 80
    for: 10s
    do: [{log: '{last("b2", "temperature")}', if: 'last("b2", "temperature") > 1'}]
""")
    world.say({"temperature": 7.0}, device="b2", at_s=0)
    world.say({"temperature": 90.0}, device="b1", at_s=1)
    world.to(20)

    assert [effect.text for _, _, effect in world.done] == ["7"]


def test_the_first_beat_of_every_is_kept_over_a_kill() -> None:
    """A rule for each day on a gateway that is restarted each evening would never fire."""
    world = World("rules: [{id: r, on: {every: 1h}, do: [{log: x}]}]")

    assert world.engine.urgent == 1
    for _ in range(4):
        world.to(world.at_ns / 1e9 + 1_000)
        world.restart(was_stopped=False)
    world.to(4_100)

    assert world.times() == [3_600]
