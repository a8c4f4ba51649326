"""What a test expects, held against what came: each expectation takes one outcome, and no outcome is taken twice."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from fieldgate_devices.files.location import Location
from fieldgate_rules.model.tests import ExpectSpec
from fieldgate_rules.tester.outcome import Outcome, json_text, quoted, shown, when

__all__ = ["Difference", "Expectation", "Matched", "match_all"]

_EXACT_NS: Final = 1_000_000
_NS: Final = 10**9


@dataclass(frozen=True, slots=True)
class Difference:
    """What keeps an outcome from being what is expected; ``weight`` is how much it makes them strangers."""

    text: str
    weight: int


@dataclass(frozen=True, slots=True)
class Expectation:
    """``spec`` as the file has it, at ``where``."""

    spec: ExpectSpec
    where: Location

    @property
    def line(self) -> str:
        """What is expected, in one line as `Outcome.line` has it."""
        spec = self.spec
        times = ""
        if spec.at is not None:
            times = when(round(spec.at * _NS))
        elif spec.between is not None:
            times = " … ".join(when(round(one * _NS)) for one in spec.between)
        what = "anything" if spec.kind is None else shown(spec.kind, _facts(spec))
        number = "" if spec.count is None else f"{spec.count} times"
        return "  ".join(filter(None, (times, spec.rule or "", spec.device or "", what, number)))

    @property
    def about_s(self) -> float | None:
        """When it should have come, at the latest; None where the test does not say."""
        return self.spec.at if self.spec.between is None else self.spec.between[1]

    def takes(self, outcome: Outcome) -> bool:
        """Whether the outcome is what is expected."""
        spec = self.spec
        if spec.kind is not None and spec.kind != outcome.kind:
            return False
        if spec.rule is not None and spec.rule not in outcome.rules:
            return False
        return not self.differences(outcome)

    def differences(self, outcome: Outcome) -> list[Difference]:
        """Return everything that the outcome is not."""
        spec = self.spec
        found = _of_time(spec, outcome)
        if spec.rule is not None and spec.rule not in outcome.rules:
            found.append(Difference(f"rule: {' or '.join(outcome.rules)}, not {spec.rule}", 16))
        if spec.device is not None and spec.device != outcome.device:
            found.append(Difference(f"device: {outcome.device or 'all'}, not {spec.device}", 4))
        if spec.kind is None:
            return found
        if spec.kind != outcome.kind:
            return [*found, Difference(f"it is: {outcome.kind}, not {spec.kind}", 16)]
        for name, wanted in _facts(spec).items():
            got = outcome.facts.get(name)
            if not _same(name, wanted, got):
                found.append(Difference(_said(name, wanted, got), 4 if name in ("name", "type", "topic") else 2))
        return found


@dataclass(slots=True)
class Matched:
    """``missing`` are expectations by how many outcomes they lack; ``left`` are the outcomes that nobody expects.

    ``surplus`` are expectations with a count, and outcomes that they would take beyond it.
    """

    missing: dict[int, int] = field(default_factory=dict)
    surplus: dict[int, list[Outcome]] = field(default_factory=dict)
    left: list[Outcome] = field(default_factory=list)


def match_all(expected: Sequence[Expectation], outcomes: Sequence[Outcome]) -> Matched:
    """Give as many expectations as possible an outcome each, whatever the order of both."""
    pairing = _Pairing(expected, outcomes)
    found = Matched()
    for number, one in enumerate(expected):
        wanted = one.spec.count or 1
        for had in range(wanted):
            if not pairing.give_one_to(number):
                found.missing[number] = wanted - had
                break
    found.left = [one for place, one in enumerate(outcomes) if place not in pairing.taken]
    for number, one in enumerate(expected):
        if one.spec.count is not None and (more := [outcome for outcome in found.left if one.takes(outcome)]):
            found.surplus[number] = more
    return found


class _Pairing:
    """Largest matching by augmenting paths; most find a free outcome at once."""

    def __init__(self, expected: Sequence[Expectation], outcomes: Sequence[Outcome]) -> None:
        self.taken: dict[int, int] = {}
        self._candidates = [[place for place, outcome in enumerate(outcomes) if one.takes(outcome)] for one in expected]
        self._next = [0] * len(expected)

    def give_one_to(self, number: int) -> bool:
        """Find one more outcome for an expectation, if need be by giving others another one."""
        candidates = self._candidates[number]
        while self._next[number] < len(candidates):
            place = candidates[self._next[number]]
            self._next[number] += 1
            if place not in self.taken:
                self.taken[place] = number
                return True
        return self._by_giving_way(number)

    def _by_giving_way(self, number: int) -> bool:
        asking = deque([number])
        asked_by: dict[int, int] = {}  # places, by who wants them
        to_give: dict[int, int] = {}  # who owns a place that another wants, and which
        while asking:
            asker = asking.popleft()
            for place in self._candidates[asker]:
                if place in asked_by:
                    continue
                asked_by[place] = asker
                owner = self.taken.get(place)
                if owner is None:
                    self._pass_on(place, asked_by, to_give)
                    return True
                if owner != number and owner not in to_give:
                    to_give[owner] = place
                    asking.append(owner)
        return False

    def _pass_on(self, place: int, asked_by: Mapping[int, int], to_give: Mapping[int, int]) -> None:
        """Each on the way takes what it found, and leaves what it had to whoever asked for that."""
        while True:
            asker = asked_by[place]
            self.taken[place] = asker
            if asker not in to_give:
                return
            place = to_give[asker]


def _of_time(spec: ExpectSpec, outcome: Outcome) -> list[Difference]:
    if spec.at is not None and abs(outcome.at_ns - round(spec.at * _NS)) >= _EXACT_NS:
        return [Difference(f"at: {when(outcome.at_ns)}, not {when(round(spec.at * _NS))}", 1)]
    if spec.between is not None:
        first, last = (round(one * _NS) for one in spec.between)
        if not first - _EXACT_NS < outcome.at_ns < last + _EXACT_NS:
            return [Difference(f"at: {when(outcome.at_ns)}, not between {when(first)} and {when(last)}", 1)]
    return []


def _facts(spec: ExpectSpec) -> dict[str, object]:
    """What is asked of the facts of an outcome."""
    facts: dict[str, object] = {}
    match spec.kind:
        case "alert":
            state = "resolved" if spec.resolved else "updated" if spec.updated else "raised"
            facts = {"state": state, "severity": spec.alert, "text": spec.text, "key": spec.key, "fields": spec.fields}
        case "command" if spec.command is not None:
            facts = {"to": spec.command.device, "name": spec.command.name, "arguments": spec.command.arguments}
        case "publish":
            facts = {"topic": spec.publish, "payload": spec.payload}
        case "emit":
            facts = {"type": spec.emit, "fields": spec.fields}
        case "log":
            facts = {"level": spec.log, "text": spec.text}
        case "lane":
            facts = {"lane": spec.lane}
        case "route":
            facts = {"route": ", ".join(sorted(spec.route or ()))}
        case "set":
            facts = {"fields": spec.set}
    return {name: one for name, one in facts.items() if one is not None}


def _same(name: str, wanted: object, got: object) -> bool:
    if name == "fields":
        return _holds(wanted, got)
    if name == "payload" and isinstance(got, bytes):
        return _is_payload(wanted, got)
    return _equal(wanted, got)


def _holds(wanted: object, got: object) -> bool:
    """Whether a mapping has at least these members; anything else must be equal."""
    if isinstance(wanted, Mapping) and isinstance(got, Mapping):
        return all(key in got and _equal(one, got[key]) for key, one in wanted.items())
    return _equal(wanted, got)


def _is_payload(wanted: object, got: bytes) -> bool:
    if isinstance(wanted, str) and wanted.encode() == got:
        return True
    try:
        return not isinstance(wanted, str) and _holds(wanted, msgspec.json.decode(got))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _equal(wanted: object, got: object) -> bool:
    """Whether two values are the same; numbers to nine digits, and 1 is not true."""
    match wanted, got:
        case (bool(), _) | (_, bool()):
            return wanted is got
        case ((int() | float()), (int() | float())):
            return math.isclose(wanted, got, rel_tol=1e-9, abs_tol=1e-12)
        case dict(), dict():
            return wanted.keys() == got.keys() and all(_equal(one, got[key]) for key, one in wanted.items())
        case list(), list():
            return len(wanted) == len(got) and all(map(_equal, wanted, got))
        case _:
            return wanted == got


def _said(name: str, wanted: object, got: object) -> str:
    if name == "fields" and isinstance(wanted, Mapping) and isinstance(got, Mapping):
        apart = [key for key, one in wanted.items() if key not in got or not _equal(one, got[key])]
        said = (
            f"{key} {json_text(got[key]) if key in got else 'absent'}, not {json_text(wanted[key])}" for key in apart
        )
        return f"fields: {'; '.join(said)}"
    label = {"to": "device of the command", "name": "command"}.get(name, name)
    return f"{label}: {quoted(got) or 'nothing'}, not {quoted(wanted)}"
