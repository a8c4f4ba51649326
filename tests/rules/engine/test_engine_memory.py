"""What rules keep of events: enough to explain and to go on, and no more than that."""

from __future__ import annotations

import pytest

from fieldgate_rules.engine import EngineLimits
from fieldgate_rules.engine.memory import Memory
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


# -- states -----------------------------------------------------------------------------------------------------------


def check_the_one_in_use_stays() -> None:
    world = World(
        'rules: [{id: r, on: {profile: boiler}, when: "temperature > 80", do: [{alert: {text: hot}}]}]',
        limits=EngineLimits(max_states=10),
    )

    world.say({"temperature": 90.0}, device="old")
    for number in range(30):
        world.say({"temperature": 90.0}, device=f"b{number}")
        world.say({"temperature": 90.0}, device="old")

    assert "old" in [slot.group for slot in world.engine.slots("r")]
    assert ("old", "resolved") not in [(one.group, one.state) for _, kind, one in world.done if kind == "AlertChange"]


def test_a_state_that_is_in_use_does_not_go_for_new_ones() -> None:
    """An alert that has lasted for hours, of a device that talks, must not end because others begin to."""
    check_the_one_in_use_stays()


def test_the_check_would_notice_that_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above."""
    monkeypatch.setattr(Memory, "used", lambda self, key: None)

    with pytest.raises(AssertionError):
        check_the_one_in_use_stays()
