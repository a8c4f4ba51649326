"""Which rules run in the tests of a file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from fieldgate_rules.rule import EventTrigger, Rule, RuleSet, RuleTrigger

__all__ = ["active", "with_what_they_need"]


def with_what_they_need(rules: RuleSet, own: Collection[str]) -> RuleSet:
    """Return the rules with these ids, and those on whose firings or events they rest, in the order of ``rules``."""
    by_id = {rule.id: rule for rule in rules.rules}
    makers_of: dict[str, dict[str, None]] = {}
    for rule in rules.rules:
        for kind in rule.emits:
            makers_of.setdefault(kind.type, {})[rule.id] = None
    chosen: set[str] = set()
    waiting = [name for name in own if name in by_id]
    while waiting:
        name = waiting.pop()
        if name not in chosen:
            chosen.add(name)
            waiting += [one for one in _rests_on(by_id[name], makers_of) if one in by_id]
    return RuleSet(tuple(rule for rule in rules.rules if rule.id in chosen))


def _rests_on(rule: Rule, makers_of: Mapping[str, Iterable[str]]) -> list[str]:
    needed: list[str] = []
    for trigger in rule.triggers:
        if isinstance(trigger, RuleTrigger):
            needed += sorted(trigger.rules)
        elif isinstance(trigger, EventTrigger):
            needed += sorted(maker for name in trigger.types for maker in makers_of.get(name, ()))
    return needed


def active(rules: RuleSet) -> RuleSet:
    """Return the same without shadow mode: to see what a rule would do."""
    return RuleSet(
        tuple(
            replace(rule, spec=rule.spec.model_copy(update={"mode": "active"})) if rule.is_shadow else rule
            for rule in rules.rules
        )
    )
