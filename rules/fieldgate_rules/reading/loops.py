"""Rules that come back to their own input: A emits what B is on and B what A is on, or asks the other by firing."""

from __future__ import annotations

from collections.abc import Sequence

from fieldgate_rules.rule import EventTrigger, Rule, RuleTrigger

__all__ = ["loops"]


def loops(rules: Sequence[Rule]) -> list[list[str]]:
    """Return the circles, one for each set of rules that all lead to each other, beginning with the first of them."""
    followers = _followers(rules)
    order = {rule.id: number for number, rule in enumerate(rules)}
    circles = []
    for group in _groups([rule.id for rule in rules], followers):
        first = min(group, key=order.__getitem__)
        if len(group) > 1 or first in followers[first]:
            circles.append(_shortest(first, followers, set(group)))
    return sorted(circles, key=lambda one: order[one[0]])


def _followers(rules: Sequence[Rule]) -> dict[str, list[str]]:
    """For each rule those that are asked because of it. Only who names a type is on it."""
    on_type: dict[str, list[str]] = {}
    on_rule: dict[str, list[str]] = {}
    for rule in rules:
        for trigger in rule.triggers:
            if isinstance(trigger, EventTrigger):
                for type_ in trigger.types:
                    on_type.setdefault(type_, []).append(rule.id)
            elif isinstance(trigger, RuleTrigger):
                for other in trigger.rules:
                    on_rule.setdefault(other, []).append(rule.id)
    return {
        rule.id: [*on_rule.get(rule.id, ()), *(one for kind in rule.emits for one in on_type.get(kind.type, ()))]
        for rule in rules
    }


def _groups(ids: Sequence[str], followers: dict[str, list[str]]) -> list[list[str]]:
    """Tarjan's strongly connected components, without recursion: ten thousand rules may stand in a row."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    groups: list[list[str]] = []
    for start in ids:
        if start in index:
            continue
        work = [(start, iter(followers[start]))]
        _number(start, index, low)
        stack.append(start)
        on_stack.add(start)
        while work:
            one, rest = work[-1]
            following = next(rest, None)
            if following is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[one])
                if low[one] == index[one]:
                    at = stack.index(one)
                    groups.append(stack[at:])
                    on_stack.difference_update(stack[at:])
                    del stack[at:]
            elif following not in index:
                _number(following, index, low)
                stack.append(following)
                on_stack.add(following)
                work.append((following, iter(followers[following])))
            elif following in on_stack:
                low[one] = min(low[one], index[following])
    return groups


def _number(one: str, index: dict[str, int], low: dict[str, int]) -> None:
    low[one] = len(index)
    index[one] = low[one]


def _shortest(start: str, followers: dict[str, list[str]], within: set[str]) -> list[str]:
    """The shortest way from ``start`` back to it."""
    before: dict[str, str] = {}
    front = [start]
    while front:
        reached = []
        for one in front:
            for following in followers[one]:
                if following == start:
                    way = [one]
                    while way[-1] != start:
                        way.append(before[way[-1]])
                    return way[::-1]
                if following in within and following not in before:
                    before[following] = one
                    reached.append(following)
        front = reached
    return [start]
