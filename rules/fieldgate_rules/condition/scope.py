"""What the names in a condition mean where it stands: fields of the profiles that its rule is on, and parameters.

A field must be in every one of the profiles. One that only some of them have, or that a profile keeps without naming
it (``other_fields: keep``), may be there or not: then the condition has to say that this is known, by ``has(field)`` or
``default(field, …)`` anywhere in it. Where events of devices without a profile come too, any name is taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import reduce
from typing import Final

from fieldgate_devices.files.validate import did_you_mean
from fieldgate_devices.members import PART
from fieldgate_devices.names import name_problem
from fieldgate_devices.profile import Profile
from fieldgate_rules.condition.facts import Value
from fieldgate_rules.condition.shapes import ANYTHING, Shape, both_of, shape_of_spec

__all__ = ["Found", "Scope"]

_NOTHING: Final[Mapping[str, Value]] = {}


@dataclass(frozen=True, slots=True)
class Found:
    """A field. ``unsure`` says why it may not exist at all; empty where every event can have it."""

    shape: Shape
    unsure: str = ""


def _nobody(device: str) -> Profile | None:
    return None


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a condition stands.

    ``profiles`` are those of the events that its rule is on; ``is_open`` where there are events of no profile too.
    ``parameters`` are names that stand for a value; ``zone`` is where hours and weekdays are counted.
    ``profile_of`` gives the profile of a device, None where nobody knows it yet.
    """

    profiles: tuple[Profile, ...] = ()
    is_open: bool = False
    parameters: Mapping[str, Value] = field(default_factory=dict)
    zone: tzinfo = UTC
    profile_of: Callable[[str], Profile | None] = _nobody

    def find(self, name: str) -> Found | str:
        """Return the field of that name, or what is wrong with the name."""
        return _find(name, self.profiles, is_open=self.is_open or not self.profiles)

    def find_of(self, device: str, name: str) -> Found | str:
        """Return the field of that name of a certain device, or what is wrong with the name."""
        profile = self.profile_of(device)
        if profile is None:
            return name_problem(name) or Found(ANYTHING)
        found = _find(name, (profile,), is_open=False)
        return found if isinstance(found, Found) else f"{found} (device {device!r})"

    def names(self) -> list[str]:
        """All names of fields that are known, for guesses."""
        return sorted({name for profile in self.profiles for name in profile.fields})


def _find(name: str, profiles: tuple[Profile, ...], *, is_open: bool) -> Found | str:
    shapes = {profile.profile: shape for profile in profiles if (shape := _declared(profile, name)) is not None}
    units = {shape.unit: profile for profile, shape in shapes.items()}
    if len(units) > 1:
        said = " and ".join(f"{unit or 'no unit'} in profile {profile!r}" for unit, profile in units.items())
        return f"{name} is in {said}; write a rule for each"
    if len(shapes) == len(profiles) and not is_open:
        return Found(reduce(both_of, shapes.values()))
    if is_open:
        return name_problem(name) or Found(reduce(both_of, (*shapes.values(), ANYTHING)))
    lacking = [one for one in profiles if one.profile not in shapes]
    keeping = [one for one in lacking if one.other_fields == "keep"]
    if shapes and not keeping:
        return Found(reduce(both_of, shapes.values()), f"{_named(lacking)} has no field {name!r}")
    if keeping:
        known = f"{_named(keeping)} does not name {name!r}, and keeps what it does not name"
        return name_problem(name) or Found(reduce(both_of, (*shapes.values(), ANYTHING)), known)
    fields = list(dict.fromkeys(one for profile in profiles for one in (*profile.fields, *profile.repeated)))
    hint = did_you_mean(name, fields) or (f"; known: {', '.join(fields[:12])}" if fields else "")
    return f"unknown field {name!r}{hint}"


def _named(profiles: list[Profile]) -> str:
    return f"profile {profiles[0].profile!r}"


def _declared(profile: Profile, name: str) -> Shape | None:
    """The shape that a profile gives a field, its own or one that comes once per sensor; None where it has none."""
    if (spec := profile.fields.get(name)) is not None:
        return shape_of_spec(spec)
    shapes = [
        shape_of_spec(spec)
        for template, spec in profile.repeated.items()
        if re.fullmatch("[a-z0-9_]+".join(map(re.escape, PART.split(template)[::2])) + "(_[0-9]+)?", name)
    ]
    return reduce(both_of, shapes) if shapes else None
