"""All that rules remember: what is kept of each, what devices said last, what is due, what is to be written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fieldgate_rules.condition import Reads
from fieldgate_rules.engine.excerpts import Excerpts
from fieldgate_rules.engine.index import Index
from fieldgate_rules.engine.latest import Latest
from fieldgate_rules.engine.part import Part, Totals
from fieldgate_rules.engine.slot import Slot
from fieldgate_rules.engine.timers import Timers
from fieldgate_rules.rule import RuleSet

__all__ = ["EngineLimits", "Memory", "SlotKey", "why_gone"]

_KEPT_DECISIONS: Final = 50
_LEAST_DECISIONS: Final = 5

SlotKey = tuple[str, str]
"""A rule's id and a group."""


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What may be kept, over all rules."""

    max_states: int = 20_000
    max_devices: int = 10_000
    max_decisions: int = 5_000


class Memory:
    """``urgent`` and ``slow`` are the slots whose rows are to be written soon, or now and then.

    Of more slots than there may be, the one that was not asked about for the longest time is forgotten; which that is
    is followed from half as many on (``is_crowded``).
    ``on_rule`` and ``on_gateway`` are the rules on a rule, by its id, and on what happens to the gateway, by kind.
    """

    def __init__(self, limits: EngineLimits) -> None:
        self.limits = limits
        self.parts: dict[str, Part] = {}
        self.timers = Timers()
        self.urgent: dict[SlotKey, None] = {}
        self.slow: dict[SlotKey, None] = {}
        self.latest = Latest(Reads(), max_devices=limits.max_devices)
        self.excerpts = Excerpts()
        self.index: Index[Part] = Index([])
        self.forgotten = 0
        self.is_crowded = False
        self.totals = Totals()
        self.slots: dict[SlotKey, Slot] = {}
        self.evicted: list[tuple[Part, Slot]] = []
        self.on_rule: dict[str, list[Part]] = {}
        self.on_gateway: dict[str, list[Part]] = {}

    def use(self, rules: RuleSet, *, now_s: float) -> dict[str, Part]:
        """From now on these rules; return those before that are not the same any more."""
        enabled = [rule for rule in rules.rules if rule.spec.enabled]
        share = max(_LEAST_DECISIONS, min(_KEPT_DECISIONS, self.limits.max_decisions // max(1, len(enabled))))
        parts: dict[str, Part] = {}
        for rule in enabled:
            part = self.parts.get(rule.id)
            if part is None or part.rule.fingerprint != rule.fingerprint:
                part = Part(rule, decisions=share, since_s=now_s)
            else:
                part.use(rule, decisions=share)
            parts[rule.id] = part
        reads = Reads.of_all(rule.reads for rule in enabled)
        gone = {id_: part for id_, part in self.parts.items() if parts.get(id_) is not part}
        self.parts = parts
        self.latest.use(reads)
        self.excerpts.use(reads)
        self.on_rule, self.on_gateway = {}, {}
        for part in parts.values():
            for id_ in part.of_rules:
                self.on_rule.setdefault(id_, []).append(part)
            for kind in frozenset().union(*(one.kinds for one in part.gateway)):
                self.on_gateway.setdefault(kind, []).append(part)
        self.index = Index([(part.rule, part) for part in parts.values()])
        return gone

    def slot(self, part: Part, group: str) -> Slot:
        """Return what is remembered of a group; a new one where there is none."""
        slot = part.slots.get(group)
        if slot is None:
            slot = part.slots[group] = Slot(part.rule, group)
            self.slots[slot.key] = slot
            if len(self.slots) > self.limits.max_states:
                self._make_room()
            self.is_crowded = 2 * len(self.slots) > self.limits.max_states
        return slot

    def _make_room(self) -> None:
        """Forget the oldest slot; one with alerts waits in ``evicted`` until somebody ends them."""
        key = next(iter(self.slots))
        part, slot = self.parts[key[0]], self.slots[key]
        self.forget(part, key[1])
        self.forgotten += 1
        if slot.alerts.lasting:
            self.evicted.append((part, slot))

    def forget(self, part: Part, group: str) -> None:
        """Remember nothing of a group any more."""
        key = (part.rule.id, group)
        part.slots.pop(group, None)
        slot = self.slots.pop(key, None)
        self.is_crowded = 2 * len(self.slots) > self.limits.max_states
        self.slow.pop(key, None)
        self.urgent.pop(key, None)
        if slot is not None and slot.given is not None:
            self.urgent[key] = None

    def used(self, key: SlotKey) -> None:
        """A slot was asked about, and is the last to go now; to be called where there are many (`is_crowded`)."""
        if key in self.slots:
            self.slots[key] = self.slots.pop(key)

    def wait(self, part: Part, slot: Slot) -> None:
        """Wait for all that a slot waits for."""
        for stage in slot.due():
            self.timers.begin(stage, (part, slot))
        self.timers.begin(slot.alerts, (part, slot))
        if slot.window is not None:
            self.timers.begin(slot.window, (part, slot))

    def changed(self, part: Part, slot: Slot, before: tuple[object, ...]) -> None:
        """Wait for what is due now, and have written what is another than ``before`` (`Slot.signature`)."""
        key = slot.key
        if self.is_crowded:
            self.used(key)
        if slot.signature() != before:
            self.wait(part, slot)
            self.urgent[key] = None
        elif slot.stages or slot.sampling:
            self.slow[key] = None
        if part.is_plain and slot.is_idle:
            self.forget(part, slot.group)


def why_gone(id_: str, rules: RuleSet) -> str:
    """Why a rule is not there any more as it was."""
    rule = next((one for one in rules.rules if one.id == id_), None)
    if rule is None:
        return "the rule is gone"
    return "the rule has changed" if rule.spec.enabled else "the rule is disabled"
