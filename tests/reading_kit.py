"""Short ways to read files of rules in tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fieldgate_devices.builtin import builtin_profiles
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.reading import read_catalogue
from fieldgate_rules.reading import Known, ReadRules, read_rules
from fieldgate_rules.rule import Rule

EXAMPLES = Path(__file__).parents[1] / "rules/examples"
BOILER = """\
profile: boiler
match: {mqtt: "site/{device}/telemetry"}
fields:
  temperature: {type: float, unit: °C, min: -40, max: 150}
  outside: {type: float, unit: °F, optional: true}
  state: {type: enum, values: [idle, heating, fault]}
  flow: {type: float, unit: L/min, optional: true}
  power: {type: float, unit: W, optional: true}
  alarm: {type: bool, optional: true}
  message: {type: string, optional: true}
commands:
  set_target:
    publish: site/boiler/{device}/set
    payload:
      target: {type: float, unit: °C, min: 10, max: 80}
      ramp: {type: enum, values: [slow, fast], optional: true}
"""
METER = """\
profile: meter
match: {mqtt: "meter/{device}"}
fields:
  temperature: {type: float, unit: °C, min: 0, max: 400}
  outside: {type: float, unit: °C, optional: true}
  level: {type: int}
"""


@cache
def catalogue() -> Catalogue:
    """The profiles that come with Fieldgate, a boiler and a meter."""
    own = {"devices.d/boiler.yaml": BOILER.encode(), "devices.d/meter.yaml": METER.encode()}
    made, files = read_catalogue(builtin_profiles(), own)
    assert [str(problem) for one in files for problem in one.problems] == []
    return made


def read(*texts: str, known: Known | None = None) -> ReadRules:
    """What comes of files ``r.yaml``, ``r2.yaml`` …"""
    names = ["r.yaml", *(f"r{number}.yaml" for number in range(2, len(texts) + 1))]
    return read_rules(dict(zip(names, map(str.encode, texts), strict=True)), catalogue(), known)


def said(*texts: str, known: Known | None = None) -> list[str]:
    """Everything that is said of the files."""
    return [str(problem) for problem in read(*texts, known=known).problems]


def rule(text: str, *more: str) -> Rule:
    """The first rule of a file that must be right."""
    got = read(text, *more)
    assert [str(problem) for problem in got.problems if not problem.is_warning] == []
    return got.rules.rules[0]
