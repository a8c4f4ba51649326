"""A rule at work: its slots, its last decisions, its counts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from fieldgate_rules.condition import Closure, Facts
from fieldgate_rules.engine.decisions import Decision
from fieldgate_rules.engine.slot import Slot, fires_each, has_stages
from fieldgate_rules.rule import GatewayTrigger, Rule, RuleTrigger

__all__ = ["Part", "Tally"]

ALL: Final = "all"
DEVICE: Final = "device"


class Tally(msgspec.Struct):
    """How often: ``suppressed`` by throttle and once_per."""

    asked: int = 0
    fired: int = 0
    suppressed: int = 0
    errors: int = 0
    last_error: str = ""


class Part:
    """``is_plain``: nothing is remembered while the condition is not true."""

    __slots__ = ("gateway", "is_plain", "of_rules", "ring", "rule", "slots", "tally", "wants_resolved", "when")

    def __init__(self, rule: Rule, *, decisions: int) -> None:
        self.rule = rule
        self.when: Closure | None = None if rule.when is None else rule.when.evaluate
        self.slots: dict[str, Slot] = {}
        self.ring: deque[Decision] = deque(maxlen=decisions)
        self.tally = Tally()
        self.is_plain = not has_stages(rule) and not rule.window
        self.of_rules = frozenset().union(*(one.rules for one in rule.triggers if isinstance(one, RuleTrigger)))
        self.gateway = tuple(one for one in rule.triggers if isinstance(one, GatewayTrigger))
        self.wants_resolved = rule.when is not None and "firing" in rule.when.reads.fields

    def group_of(self, facts: Facts) -> str | None:
        """Return the group of an event; None where it is in none."""
        by = self.rule.spec.group_by
        if by == DEVICE:
            return facts.device
        if by == ALL:
            return ""
        value = facts.fields.get(by)
        if isinstance(value, bool):
            return str(value).lower()
        return str(value) if isinstance(value, str | int | float) else None

    def slot(self, group: str, made: Callable[[Slot], None]) -> Slot:
        """Return what is remembered of a group; ``made`` hears of a new one."""
        slot = self.slots.get(group)
        if slot is None:
            slot = self.slots[group] = Slot(self.rule, group)
            made(slot)
        return slot

    @property
    def fires_each(self) -> bool:
        """Whether it fires at each event."""
        return fires_each(self.rule)
