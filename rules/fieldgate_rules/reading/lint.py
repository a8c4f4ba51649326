"""What can be run and is hardly what was meant: warnings about rules that are right by themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from fieldgate_devices.files.document import Document, Loc, Node, Problem
from fieldgate_devices.files.location import Location
from fieldgate_devices.files.quantities import format_duration
from fieldgate_devices.files.validate import did_you_mean
from fieldgate_rules.condition import Scope, placed, read_condition
from fieldgate_rules.reading.known import Known
from fieldgate_rules.reading.loops import loops
from fieldgate_rules.reading.part import RulePart
from fieldgate_rules.reading.setters import Setters
from fieldgate_rules.reading.templates import TemplateEntry
from fieldgate_rules.rule import EventTrigger, Rule

__all__ = ["Linted", "Odd", "lint_rules", "lint_template", "odd_together"]

_NOWHERE: Final = Location("", 1, 1)
_PERIODS_S: Final = {"hour": 3_600.0, "day": 86_400.0, "week": 604_800.0, "month": 2_678_400.0}
_ALTERING: Final = frozenset({"set", "enrich", "lane", "route", "sample"})


@dataclass(frozen=True, slots=True)
class Linted:
    """A rule, what it was read from, and the scope of its conditions."""

    rule: Rule
    part: RulePart
    scope: Scope


class Odd(NamedTuple):
    """What is odd about a rule, by its id, beside others; ``loc`` is where in it."""

    rule: str
    loc: Loc
    message: str
    at_key: bool


def lint_rules(all_: Sequence[Linted], known: Known) -> None:
    """Say what is odd about each rule by itself."""
    decided: dict[tuple[str, str, int], bool] = {}
    for one in all_:
        _lint_parameters(one)
        _lint_times(one)
        _lint_conditions(one, decided)
        _lint_commands(one)
        _lint_devices(one, known)


def odd_together(rules: Sequence[Rule]) -> Iterator[Odd]:
    """What is odd about rules that are in force together."""
    for circle in loops(rules):
        way = " → ".join([*circle, circle[0]])
        yield Odd(circle[0], ("on",), f"rules go round in a circle: {way}; it is cut off after 8 steps", at_key=True)
    yield from _odd_sets(rules)
    yield from _odd_drops(rules)


# -- one rule ---------------------------------------------------------------------------------------------------------


def _lint_parameters(one: Linted) -> None:
    names = set(one.rule.spec.parameters)
    if names and one.part.document.root is not None:
        for name in sorted(names - _used(one.part.document.root, names)):
            one.part.complain(("parameters", name), f"{name!r} is used nowhere", at_key=True, is_warning=True)


def lint_template(entry: TemplateEntry) -> Iterator[Problem]:
    """Parameters of a template that make no difference."""
    names = set(entry.parameters)
    for name in sorted(names - _used(entry.node, names)):
        at = Document(entry.where.path, entry.node).where_key(("parameters", name))
        yield Problem(at, f"{name!r} is used nowhere in template {entry.name!r}", is_warning=True)


def _used(node: Node, names: set[str]) -> set[str]:
    """Which of these names stand in a text anywhere but among the parameters."""
    if not isinstance(node.content, dict):
        return set()
    texts = [text for key, (_, below) in node.content.items() if key != "parameters" for text in _texts(below)]
    defaults = node.content.get("parameters")
    texts += [text for text in _texts(defaults[1]) if text.startswith("{")] if defaults is not None else []
    return names & set(re.findall(r"[a-z][a-z0-9_]*", "\n".join(texts)))


def _texts(node: Node) -> Iterator[str]:
    match node.content:
        case str() as text:
            yield text
        case list() as items:
            for one in items:
                yield from _texts(one)
        case dict() as entries:
            for _, one in entries.values():
                yield from _texts(one)


def _lint_times(one: Linted) -> None:
    spec = one.rule.spec
    period = _PERIODS_S.get(spec.once_per or "")
    if spec.throttle is not None and period is not None:
        per = spec.throttle.per
        if per >= period and spec.throttle.times == 1:
            said = (
                f"throttle: {format_duration(per)} is no shorter than once_per: {spec.once_per}; one of them is enough"
            )
            one.part.complain(("throttle",), said, is_warning=True)
        elif per < period:
            said = f"once_per: {spec.once_per} lets fewer through than throttle; leave throttle out"
            one.part.complain(("throttle",), said, is_warning=True)


def _lint_conditions(one: Linted, decided: dict[tuple[str, str, int], bool]) -> None:
    """``decided`` are pairs of when and until that were looked at, by their scope."""
    spec = one.rule.spec
    if spec.when is None:
        return
    if spec.until is not None and _plain(spec.until) == _plain(spec.when):
        one.part.complain(("until",), "this is the same as when: it ends as soon as it has begun", is_warning=True)
    elif spec.until is not None:
        key = (spec.when, spec.until, id(one.scope))
        if key not in decided:
            decided[key] = _never(f"({spec.when}) and not ({spec.until})", one.scope)
        if decided[key]:
            said = "this is true whenever when is: it ends with the next event"
            one.part.complain(("until",), said, is_warning=True)
    for number, action in enumerate(spec.do):
        if action.if_ is not None and _plain(action.if_) == _plain(spec.when) and spec.window is None:
            loc: Loc = ("do", number, "if")
            one.part.complain(loc, "this is the same as when, which is true already", is_warning=True)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _never(text: str, scope: Scope) -> bool:
    read = read_condition(placed(text, _NOWHERE), scope)
    return any(problem.message.startswith("this is never true") for problem in read.problems)


def _lint_commands(one: Linted) -> None:
    spec = one.rule.spec
    is_held_back = spec.throttle or spec.once_per or spec.changed or spec.count or spec.sequence or spec.window
    is_each = spec.fires == "each" or not (spec.when or spec.rate or spec.absent or spec.for_ or spec.until)
    if is_held_back or not is_each or not all(isinstance(trigger, EventTrigger) for trigger in one.rule.triggers):
        return
    for action in one.rule.actions:
        if action.kind == "command" and action.condition is None:
            said = "this is done at every event; write a when with fires: once, changed, or throttle"
            one.part.complain(("do", action.number), said, is_warning=True)


def _lint_devices(one: Linted, known: Known) -> None:
    if not known.devices:
        return
    for number, spec in enumerate(one.rule.spec.on):
        for at, glob in enumerate(spec.device):
            if not any(fnmatchcase(name, glob) for name in known.devices):
                loc: Loc = ("on", number, "device", at)
                loc = loc if one.part.node(loc) is not None else loc[:-1]
                hint = did_you_mean(glob, known.devices)
                one.part.complain(loc, f"nobody has heard of a device {glob!r}{hint}", is_warning=True)


# -- several rules ----------------------------------------------------------------------------------------------------


def _odd_sets(rules: Sequence[Rule]) -> Iterator[Odd]:
    """Of two rules that give one field of the same events values the later counts, which may be meant."""
    setters: dict[str, Setters] = {}
    for rule in rules:
        for action in rule.actions:
            for name in action.fields if action.kind == "set" else ():
                before = setters.setdefault(name, Setters())
                other = before.other(rule)
                if other is not None:
                    said = f"rule {other!r} sets {name} too, for the same events; this one counts"
                    yield Odd(rule.id, ("do", action.number, "set", name), said, at_key=True)
                before.add(rule)


def _odd_drops(rules: Sequence[Rule]) -> Iterator[Odd]:
    """What is done to an event that another rule drops in any case is done for nothing."""
    dropping = {one.triggers: one for one in reversed(rules) if _drops_all(one)}
    if not dropping:
        return
    for rule in rules:
        altering = next((action for action in rule.actions if action.kind in _ALTERING), None)
        other = dropping.get(rule.triggers)
        if altering is not None and other is not None and other is not rule:
            said = f"rule {other.id!r} drops all of these events, so this makes no difference"
            yield Odd(rule.id, ("do", altering.number), said, at_key=False)


def _drops_all(rule: Rule) -> bool:
    spec = rule.spec
    stages = (spec.when, spec.changed, spec.rate, spec.count, spec.sequence, spec.absent, spec.for_, spec.window)
    return not any(stages) and any(one.kind == "drop" and one.condition is None for one in rule.actions)
