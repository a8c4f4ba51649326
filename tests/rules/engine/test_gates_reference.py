"""``throttle``, ``once_per`` and ``sample`` against plain models that look at the whole history, over any restarts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldgate_rules.engine.gate import Gate
from fieldgate_rules.engine.sampling import Sampling
from rule_engine_kit import World

Restart = Literal["", "same", "killed", "boot"]


class Said(NamedTuple):
    """An event: when, its value (None: it has none), and how the gateway was restarted just before it."""

    at_s: int
    value: int | None
    restart: Restart


History = list[Said]
Model = Callable[[History], list[int]]


def histories() -> st.SearchStrategy[History]:
    """Up to 25 events in some hours."""
    values = st.one_of(st.integers(0, 9), st.none())
    restarts = st.sampled_from(["", "", "same", "killed", "boot"])
    steps = st.lists(st.tuples(st.integers(2, 1_500), values, restarts), max_size=25)

    def placed(steps: list[tuple[int, int | None, Restart]]) -> History:
        at_s, history = 0, []
        for gap_s, value, restart in steps:
            at_s += gap_s
            history.append(Said(at_s, value, restart))
        return history

    return steps.map(placed)


def passed(keys: str, history: History, *, restarts: bool = True) -> list[int]:
    """When a rule that is asked about each event fires; or, if it samples, when it lets one through."""
    is_sample = keys.startswith("sample")
    says = f"do: [{{{keys}}}]" if is_sample else f"{keys}\n    do: [{{log: x}}]"
    world = World(f"rules:\n  - id: r\n    on: {{device: b1}}\n    {says}\n")
    through = []
    for one in history:
        if restarts and one.restart:
            world.to(one.at_s - 1)
            world.restart(after_s=0.5, is_same_boot=one.restart != "boot", was_stopped=one.restart != "killed")
        decided = world.say({} if one.value is None else {"t": one.value}, at_s=one.at_s, type_="generic")
        if decided is None or decided.events:
            through.append(one.at_s)
    assert world.engine.tally("r").errors == 0
    return through if is_sample else [round(at_s) for at_s in world.times()]


# -- the models --------------------------------------------------------------------------------------------------


def throttled(times: int, per_s: int) -> Model:
    """As often as that in any time so long."""

    def model(history: History) -> list[int]:
        fired: list[int] = []
        for one in history:
            if sum(at_s > one.at_s - per_s for at_s in fired) < times:
                fired.append(one.at_s)
        return fired

    return model


def once_in(period_s: int, offset_s: int = 0) -> Model:
    """The first of each period."""

    def model(history: History) -> list[int]:
        first: dict[int, int] = {}
        for one in history:
            first.setdefault((one.at_s + offset_s) // period_s, one.at_s)
        return list(first.values())

    return model


def one_in(count: int) -> Model:
    """The first, and each after so many."""
    return lambda history: [one.at_s for number, one in enumerate(history) if number % count == 0]


def sampled(*, per_s: float = float("inf"), by: int | None = None) -> Model:
    """One in so long; with ``by`` what differs by that from the last one with a value that went through."""

    def model(history: History) -> list[int]:
        through: list[int] = []
        last: int | None = None
        for one in history:
            is_due = per_s != float("inf") and (not through or one.at_s >= through[-1] + per_s)
            differs = by is not None and one.value is not None and (last is None or abs(one.value - last) >= by)
            if is_due or differs:
                through.append(one.at_s)
                last = last if one.value is None else one.value
        return through

    return model


def both(history: History) -> list[int]:
    """Neither of the two may keep it back; who keeps it back costs the other nothing."""
    fired: list[int] = []
    for one in history:
        if all(at_s <= one.at_s - 2_400 and at_s // 3_600 != one.at_s // 3_600 for at_s in fired):
            fired.append(one.at_s)
    return fired


CASES: dict[str, tuple[str, Model]] = {
    "throttle": ("throttle: 30m", throttled(1, 1_800)),
    "throttle of three": ("throttle: {times: 3, per: 1h}", throttled(3, 3_600)),
    "hour": ("once_per: hour", once_in(3_600)),
    "day of a zone": ("zone: Asia/Kolkata\n    once_per: day", once_in(86_400, 19_800)),
    "both": ("throttle: 40m\n    once_per: hour", both),
    "one in": ("sample: {one_in: 3}", one_in(3)),
    "sample per": ("sample: {per: 20m}", sampled(per_s=1_200)),
    "sample changed": ("sample: {changed: t}", sampled(by=1)),
    "sample by": ("sample: {changed: t, by: 4}", sampled(by=4)),
    "sample by or per": ("sample: {changed: t, by: 4, per: 30m}", sampled(by=4, per_s=1_800)),
}


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=40, deadline=None)
@given(history=histories())
def test_it_lets_through_what_a_plain_model_does_over_any_restarts(name: str, history: History) -> None:
    """What may come once a day must not come twice for a restart, nor wait for another day."""
    keys, model = CASES[name]

    assert passed(keys, history) == model(history)
    assert passed(keys, history, restarts=False) == model(history)


BUSY: History = [Said(100 * number, number % 3, "boot" if number == 3 else "") for number in range(1, 9)]


@pytest.mark.parametrize(
    ("what", "names"), [(Gate, ["throttle", "hour", "both"]), (Sampling, ["one in", "sample per", "sample by"])]
)
def test_what_a_restart_forgets_is_found_out(what: type, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: nothing is restored."""
    if what is Gate:
        monkeypatch.setattr(Gate, "restore", lambda self, saved, move: None)
    else:
        monkeypatch.setattr(Sampling, "restored", classmethod(lambda cls, saved, move: cls()))

    for name in names:
        keys, model = CASES[name]
        assert passed(keys, BUSY) != model(BUSY), name
        assert passed(keys, BUSY, restarts=False) == model(BUSY), name
