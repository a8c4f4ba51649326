"""A rule at work: its slots, its last decisions, its counts."""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from fieldgate_rules.condition import Closure, Facts
from fieldgate_rules.condition.reads import known_number
from fieldgate_rules.effects import Notice
from fieldgate_rules.engine.decisions import Kept
from fieldgate_rules.engine.slot import Slot, remembers_only_truth
from fieldgate_rules.rule import GatewayTrigger, Rule, RuleTrigger

__all__ = ["Part", "Tally", "Totals"]

ALL: Final = "all"
DEVICE: Final = "device"
_MAX_GROUP: Final = 256  # longer ones are no names, and memory is bounded
_EXACT: Final = 2.0**53  # until there 20 and 20.0 are one group


class Tally(msgspec.Struct):
    """How often: ``suppressed`` by throttle and once_per."""

    fired: int = 0
    suppressed: int = 0
    errors: int = 0
    last_error: str = ""


class Totals(msgspec.Struct):
    """How often all rules together since the start, those that are gone included; ``asked`` about an event."""

    asked: int = 0
    fired: int = 0
    suppressed: int = 0
    errors: int = 0


class Part:
    """``is_plain``: nothing is remembered while the condition is not true; ``is_simple``: and the fast path may ask it.

    ``since_s`` is from when on it was asked. ``ring`` are the last decisions, those of the fast path as made there.
    """

    __slots__ = (
        "gateway",
        "is_plain",
        "is_simple",
        "of_rules",
        "ring",
        "rule",
        "since_s",
        "slots",
        "tally",
        "wants_resolved",
        "when",
    )

    def __init__(self, rule: Rule, *, decisions: int, since_s: float) -> None:
        self.rule = rule
        self.since_s = since_s
        self.when: Closure | None = None if rule.when is None else rule.when.evaluate
        self.slots: dict[str, Slot] = {}
        self.ring: deque[Kept] = deque(maxlen=decisions)
        self.tally = Tally()
        self.is_plain = remembers_only_truth(rule)
        self.is_simple = (
            self.is_plain and self.when is not None and rule.spec.group_by == DEVICE and not rule.reads.last
        )
        self.of_rules = frozenset().union(*(one.rules for one in rule.triggers if isinstance(one, RuleTrigger)))
        self.gateway = tuple(one for one in rule.triggers if isinstance(one, GatewayTrigger))
        self.wants_resolved = rule.when is not None and "firing" in rule.when.reads.fields

    def group_of(self, facts: Facts) -> str | None:
        """Return the group of an event; None where it is in none: the field is unknown, or no name of a group."""
        by = self.rule.spec.group_by
        if by == DEVICE:
            return facts.device
        if by == ALL:
            return ""
        value = facts.fields.get(by)
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, str):
            return value if len(value) <= _MAX_GROUP and "\x00" not in value else None
        number = known_number(value)
        if number is None:
            return None
        return str(int(number)) if abs(number) < _EXACT and number == int(number) else str(number)

    def is_on(self, notice: Notice) -> bool:
        """Whether it is asked about what has happened to the gateway."""
        return any(notice.kind in one.kinds and notice.threshold in (None, one.percent) for one in self.gateway)

    def use(self, rule: Rule, *, decisions: int) -> None:
        """Go on with a rule that means the same and may stand elsewhere in its file."""
        self.rule = rule
        self.when = None if rule.when is None else rule.when.evaluate
        self.ring = deque(self.ring, maxlen=decisions)
        for slot in self.slots.values():
            slot.rule = rule
