"""What rules keep of events: enough to explain and to go on, and no more than that."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fieldgate_devices.event import GENERIC, Address, Event
from fieldgate_rules.condition.bounds import MAX_TEXT_BYTES
from fieldgate_rules.effects import Decided
from fieldgate_rules.engine import EngineLimits, asker
from fieldgate_rules.engine.memory import Memory
from rule_engine_kit import World

LONG = {"temp": 5, "message": "é" * 100_000, "more": ["x" * 20] * 5_000, **{f"k{n}": n for n in range(100)}}


def says(world: World, members: dict[str, Any], *, device: str = "x1", type_: str = "thing") -> Decided | None:
    """A device without a profile says something."""
    event = Event(Address(device, type_, device), world.stamp, msgspec.json.encode(members), True, 0)
    return world.engine.feed([event], world.stamp)


# -- long events ------------------------------------------------------------------------------------------------------


RULES = """
rules:
  - {id: plain, on: {device: "x*"}, when: "temp > 80 and message != prev.message", do: [{log: "{message}"}]}
  - {id: timer, on: {device: "x*"}, when: "temp > 3 and has(more)", for: 1m, do: [{log: "{message}"}]}
  - {id: window, on: {device: "x*"}, window: {size: 1m, values: {n: {count: temp > 3}}}}
"""


def kept_bytes(world: World) -> int:
    """What is kept of events for decisions, states and earlier values."""
    decisions = [one for rule in world.rules.rules for one in world.engine.decisions(rule.id)]
    states = [one.facts for rule in world.rules.rules for one in world.engine.slots(rule.id)]
    facts = [one.facts.fields for one in decisions] + [one.fields for one in states if one is not None]
    latest = [[reading.value for reading in one.values()] for one in world.engine._memory.latest.devices.values()]
    payloads = [len(one.event.data) for one in decisions if one.event is not None]
    return sum(payloads) + sum(len(msgspec.json.encode(one)) for one in [*facts, *latest])


def check_long_events_are_kept_as_excerpts() -> None:
    world = World(RULES)

    for _ in range(10):
        says(world, LONG)

    assert all(len(world.engine.decisions(rule.id)) == 10 for rule in world.rules.rules)
    assert kept_bytes(world) <= 33 * (MAX_TEXT_BYTES + 200)
    world.to(61)
    (said,) = [effect.text for _, _, effect in world.done if hasattr(effect, "text")]
    assert len(said.encode()) <= MAX_TEXT_BYTES


def test_of_a_long_event_only_what_rules_read_is_kept() -> None:
    """Fifty decisions for each of a hundred rules, 250 KiB each, are more memory than a gateway has."""
    check_long_events_are_kept_as_excerpts()


def test_the_check_would_notice_events_that_are_kept_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above."""
    monkeypatch.setattr(asker, "LONG_BYTES", 1 << 30)

    with pytest.raises(AssertionError):
        check_long_events_are_kept_as_excerpts()


def test_the_bytes_of_the_device_are_not_kept_either() -> None:
    """For an uplink of format raw an event has them beside its data."""
    world = World(RULES)
    address = Address("x1", "thing", "x1")

    world.engine.feed([Event(address, world.stamp, b'{"temp":1}', True, 0, raw=b"x" * 100_000)], world.stamp)

    (decision,) = world.engine.decisions("plain")
    assert decision.event is not None
    assert decision.event.raw is None


@pytest.mark.parametrize("type_", ["thing", GENERIC])
def test_a_long_event_goes_on_whole_with_what_rules_say_of_it(type_: str) -> None:
    """An excerpt is what rules are asked about, and nothing else."""
    world = World('rules: [{id: r, on: {device: "x*"}, when: "temp > 3", do: [{set: {a: 1}}, {enrich: {k1: 7}}]}]')
    members = {name: value for name, value in LONG.items() if name != "more"}

    decided = says(world, members, type_=type_)

    assert decided is not None
    assert msgspec.json.decode(decided.events[0].data) == {**members, "a": 1}


def test_what_is_made_of_a_long_text_has_its_first_4_kib() -> None:
    """As conditions see it; what is made of a device's text is kept and sent as often as rules say."""
    world = World('rules: [{id: r, on: {device: "x*"}, do: [{emit: {type: copy, fields: {text: "{message}"}}}]}]')

    decided = says(world, LONG)

    assert decided is not None
    assert msgspec.json.decode(decided.derived[0].event.data) == {"text": "é" * (MAX_TEXT_BYTES // 2)}


def test_a_decision_about_a_long_event_has_its_number() -> None:
    """It is numbered once it is taken; `fieldgate rules explain --event` looks for it."""
    world = World(RULES)
    events = [
        Event(Address("x1", "thing", "x1"), world.stamp, msgspec.json.encode({**LONG, "temp": 1}), True, 0)
        for _ in range(40)
    ]

    world.engine.feed(events[:20], world.stamp)
    for number, event in enumerate(events[:20], 1):
        event.seq = number
    world.engine.feed(events[20:], world.stamp)
    for number, event in enumerate(events[20:], 21):
        event.seq = number

    numbers = [one.event.seq for one in world.engine.decisions("plain") if one.event is not None]
    assert numbers == list(range(1, 41))


def test_bytes_that_are_no_text_are_no_fields() -> None:
    """Whatever calls itself JSON: neither the event nor another one of the same read suffers."""
    world = World('rules: [{id: r, on: {device: "x*"}, when: "temp > 3", do: [{log: "{temp}"}]}]')
    address = Address("x1", "thing", "x1")
    broken = Event(address, world.stamp, b'{"temp":5,"a":"\xff"}', True, 0)
    right = Event(address, world.stamp, b'{"temp":5}', True, 0)

    decided = world.engine.feed([broken, right], world.stamp)

    assert decided is not None
    assert decided.events == [broken, right]
    assert len(decided.effects) == 1


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
