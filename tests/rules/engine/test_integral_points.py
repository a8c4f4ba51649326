"""Integrals by the device's time, whose points may come late, or from a future that never was."""

from __future__ import annotations

import pytest

from rule_engine_kit import World

AHEAD = """\
rules:
  - id: w
    on: {device: b1}
    window: {size: 60s, time: device, values: {energy: {integral: power}}}
"""


def test_a_point_from_the_future_keeps_no_later_ones_out_of_an_integral() -> None:
    """A meter that sets its clock once says one time of tomorrow morning; its energy must go on being counted."""
    world = World(AHEAD)
    for at_s in range(1, 120, 10):
        made_at_s = at_s + 3_000 if at_s == 31 else at_s
        world.say({"power": 6}, at_s=at_s, made_at_s=made_at_s, type_="generic")
        if at_s == 71:
            world.restart()

    world.to(180)

    assert [data["energy"] for data in world.made("w")] == pytest.approx([6 * 50, 6 * 60])


def test_a_point_that_comes_late_adds_nothing_to_an_integral_twice() -> None:
    """What lies around it was counted with the point after it."""
    world = World(AHEAD)
    for at_s, made_at_s in ((1, 1), (21, 21), (22, 11), (41, 41)):
        world.say({"power": 6}, at_s=at_s, made_at_s=made_at_s, type_="generic")

    world.to(60)

    assert [data["energy"] for data in world.made("w")] == [6 * 40]
