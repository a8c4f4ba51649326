"""Which rules run in the tests of a file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from fieldgate_rules.rule import EventTrigger, Rule, RuleSet, RuleTrigger

__all__ = ["active", "with_what_they_need"]


def with_what_they_need(rules: RuleSet, own: Collection[str]) -> RuleSet:
    """Return the rules with these ids, and those on whose firings or events they rest, in the order of ``rules``."""
    by_id = {rule.id: rule for rule in rules.rules}
    maker_of = {kind.type: rule.id for rule in rules.rules for kind in rule.emits}
    chosen: set[str] = set()
    waiting = [name for name in own if name in by_id]
    while waiting:
        name = waiting.pop()
        if name not in chosen:
            chosen.add(name)
            waiting += [one for one in _rests_on(by_id[name], maker_of) if one in by_id]
    return RuleSet(tuple(rule for rule in rules.rules if rule.id in chosen))


def _rests_on(rule: Rule, maker_of: dict[str, str]) -> list[str]:
    needed: list[str] = []
    for trigger in rule.triggers:
        if isinstance(trigger, RuleTrigger):
            needed += sorted(trigger.rules)
        elif isinstance(trigger, EventTrigger):
            needed += sorted(maker_of[name] for name in trigger.types if name in maker_of)
    return needed


def active(rules: RuleSet) -> RuleSet:
    """Return the same without shadow mode: to see what a rule would do."""
    return RuleSet(
        tuple(
            replace(rule, spec=rule.spec.model_copy(update={"mode": "active"})) if rule.is_shadow else rule
            for rule in rules.rules
        )
    )
