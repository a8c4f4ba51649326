"""Profiles, facts and short ways to ask for tests of the condition language."""

from __future__ import annotations

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from fieldgate_devices.files.document import read_yaml
from fieldgate_devices.files.location import Location
from fieldgate_devices.profile import Profile
from fieldgate_devices.reading import read_profile
from fieldgate_rules.condition import (
    EventKind,
    Expression,
    Facts,
    Reading,
    Scope,
    Template,
    Value,
    placed,
    read_condition,
    read_expression,
    read_template,
    with_caret,
)

BOILER = """\
profile: boiler
match: {mqtt: "site/{device}/telemetry"}
fields:
  temperature: {type: float, unit: °C, min: -40, max: 150}
  outside: {type: float, unit: °F, optional: true}
  back: {type: float, unit: °C, optional: true}
  state: {type: enum, values: [idle, heating, fault]}
  mode: {type: enum, values: [1, 2, 3], optional: true}
  level: {type: enum, values: ["low", 0, true], optional: true}
  flow: {type: float, unit: L/min, optional: true}
  starts: {type: int, min: 0, optional: true}
  count: {type: int, optional: true}
  pressure: {type: float, unit: bar, min: 0, optional: true}
  uptime: {type: float, unit: h, optional: true}
  alarm: {type: bool, optional: true}
  door: {type: bool, optional: true}
  message: {type: string, optional: true}
  label: {type: string, optional: true}
  details: {type: object, optional: true}
"""
METER = """\
profile: meter
match: {mqtt: "meter/{device}"}
fields:
  temperature: {type: float, unit: °C, min: 0, max: 400}
  outside: {type: float, unit: °C, optional: true}
  power: {type: float, unit: W}
"""
HUB = """\
profile: hub
match: {mqtt: "hub/{device}"}
other_fields: keep
fields:
  rssi: {type: int, unit: dBm, max: 0, optional: true}
repeated:
  "{sensor}_temperature": {type: float, unit: °C, from: "{sensor}.Temperature", optional: true}
"""
ODD = """\
profile: odd
match: {mqtt: "odd/{device}"}
fields:
  indoor: {type: float, unit: F}
  outdoor: {type: float, unit: °F}
  tank: {type: float, unit: l}
"""
KEEPING = """\
profile: keeping
match: {mqtt: "keeping/{device}"}
other_fields: keep
fields:
  level: {type: int, max: 100, unfit: other, optional: true}
  state: {type: enum, values: [a, b], unfit: other, optional: true}
"""
BOOT_S = 1_000.0
WALL_S = 1_767_607_200.0  # Monday, 5 January 2026, 10:00 UTC


def profile(text: str) -> Profile:
    """The profile that ``text`` is."""
    read = read_profile(text.encode(), "p.yaml")
    assert read.contract is not None, read.problems
    return read.contract.profile


PROFILES = {
    "boiler": profile(BOILER),
    "meter": profile(METER),
    "hub": profile(HUB),
    "odd": profile(ODD),
    "keeping": profile(KEEPING),
}


def scope(
    *names: str, is_open: bool = False, parameters: Mapping[str, Value] | None = None, zone: str = "UTC"
) -> Scope:
    """The scope of a rule on these profiles; device ``m1`` is a meter."""
    return Scope(
        kinds=tuple(EventKind.of(PROFILES[name]) for name in names),
        is_open=is_open,
        parameters=parameters or {},
        zone=ZoneInfo(zone),
        kind_of={"m1": EventKind.of(PROFILES["meter"])}.get,
    )


ON_BOILERS = scope("boiler")
ON_ANYTHING = scope()


def here(text: str):
    """The text in the first line of a file."""
    return placed(text, Location("c.yaml", 1, 1))


def condition(text: str, where: Scope = ON_BOILERS) -> Expression:
    """The condition; it must be right."""
    read = read_condition(here(text), where)
    assert read.expression is not None, read.problems
    return read.expression


def expression(text: str, where: Scope = ON_ANYTHING) -> Expression:
    """The expression; it must be right."""
    read = read_expression(here(text), where)
    assert read.expression is not None, read.problems
    return read.expression


def template(text: str, where: Scope = ON_BOILERS) -> Template:
    """The template; it must be right."""
    read = read_template(here(text), where)
    assert read.template is not None, read.problems
    return read.template


def problems(text: str, where: Scope = ON_BOILERS) -> list[str]:
    """What is said of a condition, without the places."""
    return [one.message for one in read_condition(here(text), where).problems]


def facts(
    fields: Mapping[str, object] | None = None,
    *,
    prev: Mapping[str, object] | None = None,
    ago_s: float = 60.0,
    last: Mapping[tuple[str, str], object] | None = None,
    device: str = "boiler-7",
    wall_s: float | None = WALL_S,
) -> Facts:
    """An event at `BOOT_S`; what was heard before it came ``ago_s`` earlier."""
    return Facts(
        fields=fields or {},
        device=device,
        boot_s=BOOT_S,
        wall_s=wall_s,
        prev={name: Reading(value, BOOT_S - ago_s) for name, value in (prev or {}).items()},
        last={key: Reading(value, BOOT_S - ago_s) for key, value in (last or {}).items()},
    )


def value_of(text: str, given: Facts | None = None, where: Scope = ON_ANYTHING) -> Value | None:
    """What an expression is."""
    return expression(text, where).evaluate(given or facts())


def said_of_file(content: str) -> list[str]:
    """All that is said of a file with ``when:`` or ``text:``, and ``on:`` for profiles, with carets."""
    document = read_yaml(content.encode(), "c.yaml")
    assert document.root is not None, document.problems
    written = document.root.value()
    on = written.get("on", "boiler")
    where = scope(*([on] if isinstance(on, str) else on))
    key = "when" if "when" in written else "text"
    text = placed(str(written[key]), document.where((key,)), content)
    read = read_condition(text, where) if key == "when" else read_template(text, where)
    lines = []
    for problem, span in zip(read.problems, read.spans, strict=True):
        lines += with_caret(problem, content, width=span.end - span.start).split("\n")
    return lines
