"""A rule that was read: its keys as `RuleSpec` has them, and its conditions and texts ready to be asked.

Made by `fieldgate_rules.reading`, run by `fieldgate_rules.engine`; whoever makes tools reads it from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a gateway without rules need not have what reads and asks them in memory
    from fieldgate_devices.field_model import FieldSpec
    from fieldgate_devices.files.location import Location
    from fieldgate_rules.condition import Expression, Reads, Template
    from fieldgate_rules.leaf import Leaf
    from fieldgate_rules.model import ActionSpec, RuleSpec
    from fieldgate_rules.model.windows import ValueSpec

__all__ = [
    "Action",
    "CronTrigger",
    "DerivedKind",
    "EventTrigger",
    "EveryTrigger",
    "GatewayTrigger",
    "Rule",
    "RuleSet",
    "RuleTrigger",
    "Step",
    "Trigger",
    "WindowValue",
    "joined_fields",
]


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """Events of devices. What is empty takes all; ``tagged`` are globs and profiles that any of its tags stands for."""

    devices: tuple[str, ...] = ()
    types: frozenset[str] = frozenset()
    lanes: frozenset[int] = frozenset()
    tagged_devices: tuple[str, ...] | None = None
    tagged_types: frozenset[str] = frozenset()

    def takes(self, type_: str, device: str, lane: int) -> bool:
        """Whether an event is one of these."""
        if self.types and type_ not in self.types:
            return False
        if self.lanes and lane not in self.lanes:
            return False
        if self.devices and not any(fnmatchcase(device, glob) for glob in self.devices):
            return False
        if self.tagged_devices is None:
            return True
        return type_ in self.tagged_types or any(fnmatchcase(device, glob) for glob in self.tagged_devices)


@dataclass(frozen=True, slots=True)
class RuleTrigger:
    """Another rule fires."""

    rules: frozenset[str]


@dataclass(frozen=True, slots=True)
class GatewayTrigger:
    """Something happens to the gateway; ``percent`` is for ``buffer_above`` and ``buffer_below``."""

    kinds: frozenset[str]
    percent: int = 80


@dataclass(frozen=True, slots=True)
class EveryTrigger:
    """Again and again, by boot time."""

    every_s: float


@dataclass(frozen=True, slots=True)
class CronTrigger:
    """At certain times of a zone."""

    text: str
    zone: tzinfo


Trigger = EventTrigger | RuleTrigger | GatewayTrigger | EveryTrigger | CronTrigger


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a sequence; ``devices`` are globs, empty: all that the rule is on."""

    when: Expression
    devices: tuple[str, ...]
    where: Location


@dataclass(frozen=True, slots=True)
class WindowValue:
    """A figure of a window: ``of`` is None for a count of all events."""

    name: str
    spec: ValueSpec
    of: Expression | None


@dataclass(frozen=True, slots=True)
class Action:
    """One entry of ``do``. ``texts`` are its templates by key, ``fields`` what it gives values, by name.

    ``fields`` are the ``fields`` of alert and emit, the mapping of set and enrich, the ``arguments`` of command; of
    publish the payload, under the name ``payload``.
    """

    kind: str
    number: int
    where: Location
    spec: ActionSpec
    condition: Expression | None = None
    texts: Mapping[str, Template] = field(default_factory=dict)
    fields: Mapping[str, Leaf] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DerivedKind:
    """The contract of events that a rule emits; ``loose`` are fields of no known kind, beside ``fields``."""

    type: str
    version: int
    rule: str
    fields: Mapping[str, FieldSpec]
    loose: frozenset[str] = frozenset()

    def joined(self, other: DerivedKind) -> DerivedKind:
        """What takes the events of both, which are of one type: all fields of either; the newer version counts.

        One that is whole in the one and a number in the other is a number; one of no known kind in either is loose.
        """
        loose = self.loose | other.loose
        fields = {name: spec for name, spec in joined_fields(self.fields, other.fields).items() if name not in loose}
        newer = self if self.version >= other.version else other
        return DerivedKind(self.type, newer.version, newer.rule, fields, loose)


def joined_fields(fields: Mapping[str, FieldSpec], others: Mapping[str, FieldSpec]) -> dict[str, FieldSpec]:
    """All fields of two contracts, which contradict each other in none; a whole number and another are a number."""
    joined = dict(fields)
    for name, spec in others.items():
        known = joined.get(name)
        if known is None or known.type == "int":
            joined[name] = spec
    return joined


@dataclass(frozen=True, slots=True)
class Rule:
    """``places`` says where each key stands: ``when``, ``for``, ``throttle``, ``window.size``, ``do[0]`` …

    ``fingerprint`` changes when the rule means something else; the state of one that keeps it is kept. ``window`` are
    the figures, in order; ``having`` and the actions of a window are asked about these. ``reads`` is what its
    conditions and texts look at, besides the figures. ``emits`` has a contract for each type and version.
    """

    id: str
    spec: RuleSpec
    where: Location
    places: Mapping[str, Location]
    fingerprint: str
    zone: tzinfo
    triggers: tuple[Trigger, ...]
    when: Expression | None
    until: Expression | None
    steps: tuple[Step, ...]
    window: tuple[WindowValue, ...]
    having: Expression | None
    actions: tuple[Action, ...]
    reads: Reads
    emits: tuple[DerivedKind, ...]

    @property
    def is_shadow(self) -> bool:
        """Whether it only records what it would do."""
        return self.spec.mode == "shadow"

    def place(self, key: str) -> Location:
        """Where a key stands, or the rule where it does not say."""
        return self.places.get(key, self.where)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules in force, in the order of their files; disabled ones are there too (``spec.enabled``)."""

    rules: tuple[Rule, ...] = ()

    @property
    def kinds(self) -> Mapping[str, DerivedKind]:
        """What they emit, by type: what takes the events of each rule that does."""
        kinds: dict[str, DerivedKind] = {}
        for rule in self.rules:
            for kind in rule.emits:
                known = kinds.get(kind.type)
                kinds[kind.type] = kind if known is None else known.joined(kind)
        return kinds
