"""The short way of events that change nothing comes to what the long one comes to."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import rule_engine_kit
from fieldgate_rules.engine import asker, event_fields, quick
from rule_engine_kit import World

RULES = """
rules:
  - {id: band, on: {profile: boiler}, when: temperature > 80, until: temperature < 75, do: [{alert: {text: hot}}]}
  - {id: held, on: {profile: boiler}, when: temperature > 80, for: 3s, do: [{alert: {text: "{temperature}"}}]}
  - {id: both, on: {profile: boiler}, when: temperature > 80, for: 3s, until: temperature < 75, do: [{log: "{device}"}]}
  - {id: plain, on: {profile: boiler}, when: temperature > 78, do: [{log: "{temperature}"}]}
  - {id: gated, on: {profile: boiler}, when: temperature > 78, throttle: 5s, do: [{log: "{temperature}"}]}
  - {id: marks, on: {profile: boiler}, when: temperature > 78, do: [{set: {hot: true}}]}
  - id: figures
    on: {profile: boiler}
    when: temperature > 70
    window: {size: 10s, values: {mean: {avg: temperature}, n: {count: true}, area: {integral: temperature}}}
"""
COLD = "rules: [{id: cold, on: {profile: boiler}, when: temperature < 5, do: [{log: cold}]}]"
IDS = ("band", "held", "both", "plain", "gated", "marks", "figures")


def story(seed: int) -> list[tuple[float, str, dict[str, Any]]]:
    """Readings of two devices around the limits, some without the field."""
    chance = random.Random(seed)
    at_s, told = 0.0, []
    for _ in range(120):
        at_s += chance.choice((0.1, 0.5, 1.0, 1.0, 4.0))
        fields = {} if chance.random() < 0.1 else {"temperature": chance.choice((60.0, 74.0, 77.0, 79.0, 81.0, 90.0))}
        told.append((at_s, chance.choice(("b1", "b2")), fields))
    return told


def all_of(seed: int, *, is_known: bool = False) -> list[object]:
    """What comes of a story: effects and events, every decision in full, and what is written at the end.

    ``is_known``: the engine is given what events say.
    """
    world = World(RULES)
    decisions: list[object] = []
    for at_s, device, fields in story(seed):
        decided = world.say(fields, device=device, at_s=at_s, is_known=is_known)
        decisions.append(None if decided is None else [event.data for event in decided.events])
        if round(at_s) % 7 == 0:
            decisions += [_plain(one) for id_ in IDS for one in world.engine.decisions(id_)]
    world.to(300.0)
    decisions += [_plain(one) for id_ in IDS for one in world.engine.decisions(id_)]
    return [*decisions, *map(repr, world.done), sorted(world.engine.everything().items())]


def _plain(decision: object) -> dict[str, Any]:
    """A decision without what only the long way notes of an event that a window does not want: its group and panes."""
    plain: dict[str, Any] = msgspec.structs.asdict(decision)  # type: ignore[arg-type]  # a decision is a struct
    if plain["outcome"] in ("false", "unknown"):
        plain |= {"group": "", "stages": {}}
    return {key: repr(value) for key, value in plain.items()}


@pytest.mark.parametrize("seed", range(6))
def test_the_short_way_comes_to_what_the_long_one_comes_to(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Effects, altered events, decisions with their stages, and what is kept over a restart."""
    quickly = all_of(seed)
    monkeypatch.setattr(asker, "ask_quickly", lambda *given: False)

    assert quickly == all_of(seed)


def _forgets_the_break(memory: Any, part: Any, slot: Any, *rest: Any, ask: Callable[..., bool]) -> bool:
    since_s = [getattr(stage, "since_s", None) for stage in slot.stages]
    done = ask(memory, part, slot, *rest)
    if done and slot.stages:
        slot.stages[0].since_s = since_s[0]
    return done


@pytest.mark.parametrize("seed", range(6))
def test_what_events_say_may_be_known_already(seed: int) -> None:
    """As where a whole read was decoded at once: nothing is different but the time that it takes."""
    assert all_of(seed, is_known=True) == all_of(seed)


def test_an_event_that_is_known_is_not_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no condition is true, which is what most events come to."""
    world = World(COLD)
    monkeypatch.setattr(event_fields.FieldsReader, "__call__", lambda self, event: pytest.fail("it was decoded"))

    world.say({"temperature": 20.0}, at_s=1.0, is_known=True)

    monkeypatch.undo()
    (decision,) = world.engine.decisions("cold")
    assert (decision.outcome, decision.facts.fields) == ("false", {"temperature": 20.0})


def test_the_stories_would_notice_other_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: what is known is looked at."""
    wanted = all_of(1)
    monkeypatch.setattr(rule_engine_kit, "known_of", lambda fields: {**fields, "temperature": 60.0})

    assert all_of(1, is_known=True) != wanted


MUTANTS = {
    "what holds never ends": lambda memory, part, slot, *rest, ask: slot.is_holding or ask(memory, part, slot, *rest),
    "a break is not noticed": _forgets_the_break,
    "windows take nothing": lambda memory, part, slot, *rest, ask: part.gathers or ask(memory, part, slot, *rest),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The control: the stories tell of what the short way could get wrong."""
    wanted = [all_of(seed) for seed in range(4)]
    mutant = MUTANTS[name]
    monkeypatch.setattr(asker, "ask_quickly", lambda *given: mutant(*given, ask=quick.ask_quickly))

    assert [all_of(seed) for seed in range(4)] != wanted
