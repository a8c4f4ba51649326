"""What the names in a condition mean where it stands: fields of the events that its rule is on, and parameters.

A field must be in every kind of event. One that only some of them have, or that a profile keeps without naming it
(``other_fields: keep``), may be there or not: then the condition has to say that this is known, by ``has(field)`` or
``default(field, …)`` anywhere in it. Where events of devices without a profile come too, any name is taken.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import reduce

from fieldgate_devices.field_model import FieldSpec
from fieldgate_devices.files.validate import did_you_mean
from fieldgate_devices.members import PART
from fieldgate_devices.names import name_problem
from fieldgate_devices.profile import Profile
from fieldgate_rules.condition.facts import Value
from fieldgate_rules.condition.shapes import ANYTHING, Shape, both_of, shape_of_spec

__all__ = ["EventKind", "Found", "Scope"]


@dataclass(frozen=True, slots=True)
class EventKind:
    """Events with a contract. ``label`` is what messages call it: ``profile 'boiler'``.

    ``repeated`` are fields that come once per sensor, by the template of their names. ``keeps_others``: there may be
    more than those that are named. ``loose`` are fields of which nobody knows what they are.
    """

    label: str
    fields: Mapping[str, FieldSpec]
    repeated: Mapping[str, FieldSpec] = field(default_factory=dict)
    keeps_others: bool = False
    loose: frozenset[str] = frozenset()

    @classmethod
    def of(cls, profile: Profile) -> EventKind:
        """The events of a profile."""
        keeps = profile.other_fields == "keep"
        return cls(f"profile {profile.profile!r}", profile.fields, profile.repeated, keeps)

    def specs_of(self, name: str) -> list[FieldSpec]:
        """What is declared of a field: its own, or the templates that say most of its name; empty where nothing is."""
        if (spec := self.fields.get(name)) is not None:
            return [spec]
        made = [
            (len(PART.sub("", template)), spec)
            for template, spec in self.repeated.items()
            if re.fullmatch("[a-z0-9_]+".join(map(re.escape, PART.split(template)[::2])) + "(_[0-9]+)?", name)
        ]
        most = max((said for said, _ in made), default=0)
        return [spec for said, spec in made if said == most]


@dataclass(frozen=True, slots=True)
class Found:
    """A field. ``unsure`` says why it may not exist at all; empty where every event can have it."""

    shape: Shape
    unsure: str = ""


def _nobody(device: str) -> EventKind | None:
    return None


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a condition stands.

    ``kinds`` are the events that its rule is on; ``is_open`` where there are events without a contract too, and where
    there are no kinds at all. ``parameters`` are names that stand for a value; ``zone`` is where hours and weekdays are
    counted. ``kind_of`` says what a device sends, None where nobody knows it yet. ``aliases`` are names that stand for
    a field: what a template calls ``field`` is the one that it was given.
    """

    kinds: tuple[EventKind, ...] = ()
    is_open: bool = False
    parameters: Mapping[str, Value] = field(default_factory=dict)
    zone: tzinfo = UTC
    kind_of: Callable[[str], EventKind | None] = _nobody
    aliases: Mapping[str, str] = field(default_factory=dict)
    _found: dict[str, Found | str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def find(self, name: str) -> Found | str:
        """Return the field of that name, or what is wrong with the name; looked up once for all rules of the scope."""
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = _find(name, self.kinds, is_open=self.is_open or not self.kinds)
        return found

    def find_of(self, device: str, name: str) -> Found | str:
        """Return the field of that name of a certain device, or what is wrong with the name."""
        kind = self.kind_of(device)
        if kind is None:
            return name_problem(name) or Found(ANYTHING)
        found = _find(name, (kind,), is_open=False)
        return found if isinstance(found, Found) else f"{found} (device {device!r})"

    def names(self) -> list[str]:
        """All names of fields that are known, for guesses."""
        return sorted({name for kind in self.kinds for name in (*kind.fields, *kind.loose)})


def _find(name: str, kinds: tuple[EventKind, ...], *, is_open: bool) -> Found | str:
    shapes = {kind.label: shape for kind in kinds if (shape := _declared(kind, name)) is not None}
    units = {shape.unit: label for label, shape in shapes.items()}
    if len(units) > 1:
        said = " and ".join(f"{unit or 'no unit'} in {label}" for unit, label in units.items())
        return f"{name} is in {said}; write a rule for each"
    if is_open:
        return name_problem(name) or Found(reduce(both_of, (*shapes.values(), ANYTHING)))
    lacking = [kind for kind in kinds if kind.label not in shapes]
    if not lacking:
        return Found(reduce(both_of, shapes.values()))
    if keeping := next((kind for kind in lacking if kind.keeps_others), None):
        known = f"{keeping.label} does not name {name!r}, and keeps what it does not name"
        return name_problem(name) or Found(reduce(both_of, (*shapes.values(), ANYTHING)), known)
    if shapes:
        return Found(reduce(both_of, shapes.values()), f"{lacking[0].label} has no field {name!r}")
    fields = list(dict.fromkeys(one for kind in kinds for one in (*kind.fields, *sorted(kind.loose), *kind.repeated)))
    hint = did_you_mean(name, fields) or (f"; known: {', '.join(fields[:12])}" if fields else "; there are none")
    return f"unknown field {name!r}{hint}"


def _declared(kind: EventKind, name: str) -> Shape | None:
    """The shape of a field; None where there is none."""
    if name in kind.loose:
        return ANYTHING
    shapes = [_shape(spec, kind) for spec in kind.specs_of(name)]
    return reduce(both_of, shapes) if shapes else None


def _shape(spec: FieldSpec, kind: EventKind) -> Shape:
    """The shape of a field; without its range and values where one that is beyond them may be kept as it came."""
    shape = shape_of_spec(spec)
    is_strict = spec.unfit != "other" or not kind.keeps_others
    return shape if is_strict else shape.within(-math.inf, math.inf, is_whole=False)
