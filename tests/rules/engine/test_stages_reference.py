"""Stages against plain models that look at the whole history each time: the same firings at the same times."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rule_engine_kit import World

History = list[tuple[int, bool | None]]
"""Seconds (rising) and whether the condition is true, false or unknown."""

END_S = 200


def histories() -> st.SearchStrategy[History]:
    steps = st.lists(st.tuples(st.integers(1, 25), st.sampled_from([True, True, False, None])), max_size=25)

    def placed(steps: list[tuple[int, bool | None]]) -> History:
        at_s, history = 0, []
        for gap_s, truth in steps:
            at_s += gap_s
            if at_s <= END_S:
                history.append((at_s, truth))
        return history

    return steps.map(placed)


def fired(keys: str, history: History, *, restarts: bool = False) -> list[float]:
    """When a rule with these keys fires."""
    text = f"""
rules:
  - id: r
    on: {{profile: boiler}}
    when: flow > 0
    {keys}
    do: [{{log: "fired"}}]
"""
    world = World(text)
    for at_s, truth in history:
        if restarts:
            world.to(at_s - 0.5)
            world.restart()
        world.say({"state": "idle"} if truth is None else {"flow": 1.0 if truth else -1.0}, at_s=at_s)
    world.to(END_S)
    assert world.engine.tally("r").errors == 0
    return world.times()


def truth_at(history: History, at_s: float) -> bool | None:
    """The last known truth up to a moment."""
    known = [truth for when_s, truth in history if when_s <= at_s and truth is not None]
    return known[-1] if known else None


def model_plain(history: History) -> list[float]:
    """It fires whenever it becomes true."""
    known = [(at_s, truth) for at_s, truth in history if truth is not None]
    return [at_s for number, (at_s, truth) in enumerate(known) if truth and (number == 0 or not known[number - 1][1])]


def model_for(history: History, *, hold_s: int = 20) -> list[float]:
    """Second by second: it has been true for so long, and has not fired since it began."""
    fires: list[float] = []
    begun: int | None = None
    has_fired = False
    for second in range(END_S + 1):
        if begun is not None and second - begun >= hold_s and not has_fired:
            fires.append(second)
            has_fired = True
        truth = truth_at(history, second)
        if not truth:
            begun, has_fired = None, False
        elif begun is None:
            begun = second
    return fires


def model_count(history: History, *, at_least: int = 3, within_s: int = 30) -> list[float]:
    """It counts anew once it has fired."""
    fires: list[float] = []
    counted: list[int] = []
    for at_s, truth in history:
        if truth:
            counted = [one for one in (*counted, at_s) if one > at_s - within_s]
            if len(counted) >= at_least:
                fires.append(at_s)
                counted = []
    return fires


def model_throttle(history: History, *, per_s: int = 40) -> list[float]:
    """Each time it is true, unless it has fired in the last so many seconds."""
    fires: list[float] = []
    for at_s, truth in history:
        if truth and (not fires or at_s - fires[-1] >= per_s):
            fires.append(at_s)
    return fires


def model_absent(history: History, *, after_s: int = 30) -> list[float]:
    """From the first event on: so long after each true one, if no true one comes before."""
    if not history:
        return []
    begins = [history[0][0], *(at_s for at_s, truth in history if truth and at_s != history[0][0])]
    fires: list[float] = []
    for number, begin_s in enumerate(begins):
        next_s = begins[number + 1] if number + 1 < len(begins) else END_S + 1
        if begin_s + after_s <= min(next_s, END_S):
            fires.append(begin_s + after_s)
    return fires


CASES: dict[str, tuple[str, Callable[[History], list[float]]]] = {
    "plain": ("fires: once", model_plain),
    "for": ("for: 20s", model_for),
    "count": ("count: {at_least: 3, within: 30s}", model_count),
    "throttle": ("fires: each\n    throttle: 40s", model_throttle),
    "absent": ("absent: 30s", model_absent),
}


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=120, deadline=None)
@given(history=histories())
def test_a_stage_fires_when_a_plain_model_says_so(name: str, history: History) -> None:
    """What is kept from event to event must come to the same as looking at everything each time."""
    keys, model = CASES[name]

    assert fired(keys, history) == model(history)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=40, deadline=None)
@given(history=histories())
def test_a_restart_between_any_two_events_changes_nothing(name: str, history: History) -> None:
    """Timers that are lost on a restart are why people do not trust rules."""
    keys, _ = CASES[name]

    assert fired(keys, history, restarts=True) == fired(keys, history)


@pytest.mark.parametrize("name", ["plain", "for", "absent"])
@settings(max_examples=60, deadline=None)
@given(history=histories(), where=st.lists(st.integers(1, END_S), max_size=5))
def test_what_a_partial_message_does_not_say_changes_nothing(name: str, history: History, where: list[int]) -> None:
    """Devices send what has changed; a field that is not in a message is as it was."""
    keys, _ = CASES[name]
    if not history:
        return
    taken = {at_s for at_s, _ in history}
    more = [(at_s, None) for at_s in where if at_s not in taken and at_s > history[0][0]]

    assert fired(keys, sorted({*history, *more}, key=lambda one: one[0])) == fired(keys, history)


def test_the_check_would_notice_a_break_that_is_not_seen() -> None:
    """The control: a `for` that nothing breaks is not what the model says."""
    history: History = [(1, True), (10, False), (15, True)]

    assert fired("for: 20s", history) == model_for(history) == [35]
    assert fired("for: 20s", [one for one in history if one[1]]) != model_for(history)


def test_a_deadband_compares_with_what_counted_last() -> None:
    """Slow drift must pass at last: the reference is the last value that counted, not the last one heard."""
    world = World("""
rules:
  - {id: r, on: {profile: boiler}, changed: temperature, by: 1, do: [{log: "{temperature}"}]}
""")

    for second, value in enumerate([20.0, 20.4, 20.8, 21.0, 21.5, 22.0, 21.2, 20.9]):
        world.say({"temperature": value}, at_s=second)

    assert [effect.text for _, _, effect in world.done] == ["20", "21", "22", "20.9"]


def test_a_sequence_is_begun_again_by_its_first_step_and_given_up_after_its_time() -> None:
    """Door, then flow, within ten seconds."""
    world = World("""
rules:
  - {id: r, on: {profile: boiler}, sequence: {within: 10s, steps: ["door", "flow > 1"]}, do: [{log: x}]}
""")

    world.say({"flow": 2.0}, at_s=0)
    world.say({"door": True}, at_s=1)
    world.say({"flow": 2.0}, at_s=12)  # too late
    world.say({"door": True}, at_s=20)
    world.say({"door": True}, at_s=28)  # begins again
    world.say({"flow": 0.5}, at_s=29)
    world.say({"flow": 2.0}, at_s=37)

    assert world.times() == [37]


def test_a_rate_is_that_over_the_whole_time_and_unknown_before_half_of_it() -> None:
    """Two values a second apart say nothing of a rate per minute."""
    world = World("""
rules:
  - {id: r, on: {profile: boiler}, rate: {of: temperature, per: 1m, within: 60s, above: 5}, do: [{log: x}]}
""")

    for second in range(0, 61, 10):
        world.say({"temperature": 20 + second / 10}, at_s=second)  # 6 °C a minute

    assert world.times() == [30]
