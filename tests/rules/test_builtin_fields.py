"""Conditions on the devices that people have: every field of every profile that comes with Fieldgate."""

from __future__ import annotations

import pytest

from condition_kit import here
from fieldgate_devices.builtin import builtin_profiles
from fieldgate_devices.reading import read_profile
from fieldgate_rules.condition import EventKind, Scope, read_condition

PROFILES = [read_profile(content, path).contract.profile for path, content in builtin_profiles().items()]


def texts_for(name, spec):
    """What an author would ask of a field."""
    yield f"has({name})"
    yield f"has(prev.{name}) and not has({name})"
    match spec.type:
        case "float" | "int":
            low = 0.0 if spec.min is None else spec.min
            middle = (low + (low + 10 if spec.max is None else spec.max)) / 2
            yield f"{name} > {middle:g}"
            yield f'delta({name}) > 0 and rate({name}, "1h") > 1'
            if spec.unit in ("s", "h", "d", "min", "ms"):
                yield f'{name} < "1d"'
            elif spec.unit:
                yield f'{name} < "{middle:.0f} {spec.unit}"'
        case "bool":
            yield f"{name} and not prev.{name}"
        case "string":
            yield f'{name} == "on" or contains({name}, "x")'
        case "enum":
            literal = repr(spec.values[0])
            yield f"{name} == {literal} and prev.{name} != {literal}"


@pytest.mark.parametrize("profile", PROFILES, ids=[one.profile for one in PROFILES])
def test_every_field_can_be_asked_for(profile):
    """A name, unit or range of a profile must not be one that the language cannot take."""
    scope = Scope(kinds=(EventKind.of(profile),))
    once_per_sensor = {name.replace("{", "").replace("}", ""): spec for name, spec in profile.repeated.items()}

    for name, spec in {**profile.fields, **once_per_sensor}.items():
        for text in texts_for(name, spec):
            assert [str(one) for one in read_condition(here(text), scope).problems] == [], text
