"""Profiles for tests: text in, contract out."""

from __future__ import annotations

import textwrap

from fieldgate_devices.contract import Contract
from fieldgate_devices.reading import read_profile

BOILER = """
profile: boiler
version: 2
match: {mqtt: "site/+/boiler/{device}/telemetry"}
decode: json
fields:
  temperature: {type: float, unit: °C, min: -40, max: 150}
  state: {type: enum, values: [idle, heating, fault]}
  flow: {type: float, unit: L/min, from: "sensors.flow:0", optional: true}
upgrade: {1: {rename: {temp: temperature}}}
silent_after: 5m
examples:
  - {in: '{"temperature": 21.5, "state": "idle"}', out: {temperature: 21.5, state: idle}}
"""

TOPIC = "site/a/boiler/b1/telemetry"


def problems(text: str) -> list[str]:
    """What is wrong with a profile, as a person reads it."""
    return [str(one) for one in read_profile(textwrap.dedent(text).encode(), "p.yaml").problems]


def contract(text: str) -> Contract:
    """The contract of a profile that has nothing wrong."""
    read = read_profile(textwrap.dedent(text).encode(), "p.yaml")
    assert read.contract is not None, [str(one) for one in read.problems]
    return read.contract


def with_fields(fields: str, rest: str = "") -> Contract:
    """The contract of a profile with these fields."""
    return contract(f'profile: p\nmatch: {{mqtt: "t/{{device}}"}}\n{rest}\nfields:\n  {{{fields}}}\n')
