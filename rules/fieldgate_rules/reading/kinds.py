"""What events a rule can be asked about: contracts of profiles, of what rules emit, and of the gateway's own events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.event import GENERIC, OWN_TYPES
from fieldgate_devices.field_model import FieldSpec
from fieldgate_devices.profile import Profile
from fieldgate_rules.condition import EventKind, Kind, Shape
from fieldgate_rules.model.triggers import GATEWAY_KINDS
from fieldgate_rules.reading.known import Known
from fieldgate_rules.rule import joined_fields

__all__ = ["SCHEDULE", "Kinds", "gateway_kind", "rule_kind", "spec_of_shape"]

_TEXT: Final = FieldSpec(type="string", optional=True)
_GATEWAY_FIELDS: Final[Mapping[str, FieldSpec]] = {
    "uplink": _TEXT,
    "reason": _TEXT,
    "profile": _TEXT,
    "problem": _TEXT,
    "percent": FieldSpec(type="float", optional=True, min=0, max=100),
    "for_s": FieldSpec(type="float", unit="s", optional=True),
    "offset_s": FieldSpec(type="float", unit="s", optional=True),
}
SCHEDULE: Final = EventKind("a schedule", {})
_ON_RULE: Final = EventKind(
    "on: rule",
    {
        "rule": _TEXT,
        "firing": FieldSpec(type="enum", values=("fired", "resolved")),
        "severity": FieldSpec(type="enum", values=("info", "warning", "critical"), optional=True),
    },
)


def rule_kind() -> EventKind:
    """What another rule's firing has."""
    return _ON_RULE


def gateway_kind(kinds: Iterable[str]) -> EventKind:
    """What these events of the gateway have, one or the other."""
    chosen = [one for one in GATEWAY_KINDS if one in set(kinds)]
    names = dict.fromkeys(name for kind in chosen for name in GATEWAY_KINDS[kind])
    fields = {name: _GATEWAY_FIELDS[name] for name in names}
    return EventKind("on: gateway", {"kind": FieldSpec(type="enum", values=tuple(chosen)), **fields})


def spec_of_shape(shape: Shape, unit: str | None = None) -> FieldSpec | None:
    """The field of a contract for values of a shape; None where it may be of more than one kind."""
    unit = shape.unit if unit is None else unit
    match shape.kind:
        case Kind.NUMBER:
            return FieldSpec(type="int" if shape.is_whole else "float", unit=unit, optional=True)
        case Kind.TRUTH:
            return FieldSpec(type="bool", optional=True)
        case Kind.TEXT:
            return FieldSpec(type="string", optional=True)
        case Kind.THING:
            return FieldSpec(type="object", optional=True)
        case Kind.ANY:
            return None


def _word(spec: FieldSpec) -> str:
    return "number" if spec.type in ("int", "float") else spec.type


class Kinds:
    """The kinds of events by type; what rules emit is added as it becomes known."""

    def __init__(self, catalogue: Catalogue, known: Known) -> None:
        self._catalogue = catalogue
        self._known = known
        self._profiles: dict[str, EventKind] = {}
        self._emitted: dict[str, EventKind | None] = {}
        self._open: set[str] = set()
        self._gateway: dict[frozenset[str], EventKind] = {}

    def announce(self, types: Iterable[str]) -> None:
        """There are rules that emit these; what is in them is not known yet."""
        self._emitted.update(dict.fromkeys(types))

    def unlike(self, type_: str, fields: Mapping[str, FieldSpec]) -> str:
        """Say how ``fields`` differ from what another rule emits of the same type; empty if they go together."""
        known = self._emitted.get(type_)
        for name, spec in fields.items():
            other = None if known is None else known.fields.get(name)
            if other is not None and _word(other) != _word(spec):
                return f"another emits {type_!r} with {name} as {other.type}, here it is {spec.type}"
            if other is not None and other.unit != spec.unit:
                units = [one.unit or "no unit" for one in (other, spec)]
                return f"another emits {type_!r} with {name} in {units[0]}, here it is in {units[1]}"
        return ""

    def settle(self, type_: str, fields: Mapping[str, FieldSpec], *, is_open: bool) -> None:
        """What a rule emits has these fields; ``is_open``: others too, of which nobody knows the kind."""
        if is_open:
            self._open.add(type_)
        known = self._emitted.get(type_)
        label = f"type {type_!r}"
        self._emitted[type_] = EventKind(label, fields if known is None else joined_fields(known.fields, fields))

    def types(self) -> list[str]:
        """All types there are, for guesses."""
        return [*self._catalogue.contracts, *self._emitted, GENERIC]

    def problem_of(self, type_: str) -> str:
        """Say why no event is of this type, nor can be; empty if some may be."""
        if type_ == GENERIC or type_ in self._emitted or type_ in self._catalogue.contracts:
            return ""
        return "own" if type_ in OWN_TYPES else "unknown"

    def profile(self, name: str) -> Profile | None:
        """The profile of that id."""
        return self._catalogue.contracts[name].profile if name in self._catalogue.contracts else None

    def of_type(self, type_: str) -> EventKind | None:
        """The contract of events of a type; None where it has none, or it is not known."""
        if type_ in self._emitted:
            return self._emitted[type_]
        if (profile := self.profile(type_)) is None:
            return None
        kind = self._profiles.get(type_)
        if kind is None:
            kind = self._profiles[type_] = EventKind.of(profile)
        return kind

    def is_open(self, type_: str) -> bool:
        """Whether there may be fields in it that its contract does not name."""
        return type_ in self._open

    def profile_of(self, device: str) -> str:
        """The profile of a device, where the configuration says it; else an empty text."""
        return (self._known.devices or {}).get(device, "")

    def of_device(self, device: str) -> EventKind | None:
        """The contract of what a device sends, where the configuration says it."""
        profile = self.profile_of(device)
        return self.of_type(profile) if profile else None

    def of_gateway(self, kinds: Iterable[str]) -> EventKind:
        """What these events of the gateway have."""
        key = frozenset(kinds)
        if key not in self._gateway:
            self._gateway[key] = gateway_kind(key)
        return self._gateway[key]
