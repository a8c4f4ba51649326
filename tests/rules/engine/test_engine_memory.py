"""What rules keep of events: enough to explain and to go on, and no more than that."""

from __future__ import annotations

import pytest

from rule_engine_kit import World

# -- earlier values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_timer_knows_what_was_before_its_event_and_not_what_came_since(*, is_restarted: bool) -> None:
    """An alert that says 'fell from 50 to 40' is written when the timer ends, and must not say 'from 40 to 40'."""
    world = World("""
rules:
  - id: r
    on: {profile: boiler}
    when: delta(temperature) < -5
    for: 10s
    do: [{log: "{prev.temperature} {temperature} {delta(temperature)} {age(prev.temperature)}"}]
""")
    world.say({"temperature": 50.0}, at_s=0)
    world.say({"temperature": 40.0}, at_s=5)
    world.say({"flow": 1.0}, at_s=8)

    if is_restarted:
        world.restart()
    world.to(20)

    assert [(at_s, effect.text) for at_s, _, effect in world.done] == [(15, "50 40 -10 5")]
