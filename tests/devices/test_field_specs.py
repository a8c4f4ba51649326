"""What a profile says of a field is found by the field's name, also where a message made that name."""

from __future__ import annotations

import pytest

from fieldgate_devices.field_specs import spec_of
from fieldgate_devices.profile import Profile
from fieldgate_devices.reading import read_profile

PROFILE = b"""
profile: many
match: {mqtt: "many/{device}"}
fields:
  roof_temperature: {type: float, unit: K, optional: true, from: above}
repeated:
  "{sensor}_temperature": {type: float, unit: "\xc2\xb0C", from: "{sensor}.t", optional: true}
  "{sensor}_water_temperature": {type: float, unit: "\xc2\xb0F", from: "{sensor}.w", optional: true}
  "relay_{n}": {type: bool, from: "POWER{n:int}", optional: true}
  "{other}": {type: float, unit: V, from: "other.{other}", optional: true}
"""


@pytest.fixture(scope="module")
def profile() -> Profile:
    read = read_profile(PROFILE, "many.yaml")
    assert read.contract is not None, read.problems
    return read.contract.profile


@pytest.mark.parametrize(
    ("name", "kind", "unit"),
    [
        ("roof_temperature", "number", "K"),  # a plain field, before any that is repeated
        ("attic_temperature", "number", "°C"),
        ("attic_temperature_2", "number", "°C"),  # two raw names that make one
        ("attic_water_temperature", "number", "°F"),  # the template that says most
        ("battery", "number", "V"),
        ("relay_1", "bool", ""),
        ("temperature", "number", "V"),  # no sensor's
    ],
)
def test_a_field_is_found_by_the_name_that_a_message_made(profile, name, kind, unit):
    spec = spec_of(profile, name, kind)

    assert spec is not None
    assert spec.unit == unit


@pytest.mark.parametrize(("name", "kind"), [("attic_temperature", "text"), ("relay_1", "text"), ("battery", "bool")])
def test_a_value_of_another_kind_is_no_such_field(profile, name, kind):
    """Members that no field names are kept under names that may look like one."""
    assert spec_of(profile, name, kind) is None
