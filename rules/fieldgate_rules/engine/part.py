"""A rule at work: its slots, its last decisions, its counts."""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from fieldgate_rules.action_kinds import OF_EVENTS
from fieldgate_rules.condition import Closure, Facts
from fieldgate_rules.condition.reads import known_number
from fieldgate_rules.effects import Notice
from fieldgate_rules.engine.decisions import Kept
from fieldgate_rules.engine.slot import Slot, fires_each, remembers_only_truth
from fieldgate_rules.engine.windows.figure import adder
from fieldgate_rules.rule import GatewayTrigger, Rule, RuleTrigger

__all__ = ["Part", "Tally", "Totals"]

ALL: Final = "all"
DEVICE: Final = "device"
_MAX_GROUP: Final = 256  # longer ones are no names, and memory is bounded
_EXACT: Final = 2.0**53  # until there 20 and 20.0 are one group


class Tally(msgspec.Struct):
    """How often: ``suppressed`` by throttle and once_per; ``stopped`` are commands and local messages that it fired.

    These by what stopped them: ``max_age``, ``on_replay``, or ``unknown`` where an argument was.
    """

    fired: int = 0
    suppressed: int = 0
    stopped: dict[str, int] = {}
    errors: int = 0
    last_error: str = ""

    def note_stopped(self, key: str) -> None:
        """An action was not done, because of this key."""
        word = "unknown" if key.startswith("do[") else key
        self.stopped[word] = self.stopped.get(word, 0) + 1


class Totals(msgspec.Struct):
    """How often all rules together since the start, those that are gone included; ``asked`` about an event."""

    asked: int = 0
    fired: int = 0
    suppressed: int = 0
    errors: int = 0


class Part:
    """``is_plain``: nothing is remembered while the condition is not true; ``is_simple``: and the fast path may ask it.
    ``is_quick``: `ask_quickly` may ask it where it remembers something of a device: ``gathers``, a window, or one that
    stays as it is once it holds. ``adders`` are those of a window's figures.

    ``since_s`` is from when on it was asked. ``ring`` are the last decisions, those of the fast path as made there.
    """

    __slots__ = (
        "adders",
        "gateway",
        "gathers",
        "is_plain",
        "is_quick",
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
        is_by_device = rule.spec.group_by == DEVICE and not rule.reads.last
        self.is_simple = self.is_plain and self.when is not None and is_by_device
        self.gathers = rule.spec.window is not None and is_by_device
        self.is_quick = self.gathers or (self.is_simple and _is_quiet(rule))
        self.adders = tuple(adder(one) for one in rule.window)
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


def _is_quiet(rule: Rule) -> bool:
    """Whether nothing is done for an event while the rule holds already, and nothing is counted."""
    spec = rule.spec
    is_gated = spec.throttle is not None or spec.once_per is not None
    return not (fires_each(rule) or is_gated or any(action.kind in OF_EVENTS for action in rule.actions))
