"""What is wrong with a profile that no single key can tell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from fieldgate_devices.breach import Breach
from fieldgate_devices.command_checks import command_problems
from fieldgate_devices.conditions import condition_problem
from fieldgate_devices.field_model import FieldSpec
from fieldgate_devices.fields import FieldReader
from fieldgate_devices.files.document import Document, Loc, Problem
from fieldgate_devices.matching import json_or_word
from fieldgate_devices.members import PART, read_members
from fieldgate_devices.modbus.register import make_registers
from fieldgate_devices.modbus.register_checks import field_problem, register_problems, write_problems
from fieldgate_devices.paths import TOPIC, read_path
from fieldgate_devices.profile import MatchSpec, Profile
from fieldgate_devices.topic_pattern import read_topic_pattern
from fieldgate_devices.units import unit_problem, units_like

__all__ = ["find_problems"]

_NUMBERS: Final = {"float", "int"}
_NO_UNIT: Final = "it is converted to the unit of the field, which has none; add unit"
_PART: Final = re.compile(r"\{([^{}]*)\}")
_OF_SOURCES: Final = frozenset({"device"})  # what a source says that names a profile


class _Finding(NamedTuple):
    loc: Loc
    message: str


def find_problems(profile: Profile, document: Document) -> list[Problem]:
    """Return what is wrong, each at its place, sorted."""
    findings = [
        *_match(profile),
        *_device(profile),
        *_fields(profile),
        *_modbus(profile),
        *_upgrades(profile),
        *_commands(profile),
        *_examples(profile),
    ]
    return sorted(Problem(document.where(one.loc), one.message) for one in findings)


def _captures(match: MatchSpec) -> frozenset[str]:
    return frozenset(read_topic_pattern(match.mqtt).names) if match.mqtt is not None else frozenset()


def _captured(profile: Profile) -> frozenset[str]:
    """What every entry of match catches."""
    return frozenset.intersection(*map(_captures, profile.match)) if profile.match else _OF_SOURCES


def _match(profile: Profile) -> Iterator[_Finding]:
    for number, match in enumerate(profile.match):
        if match.mqtt is None and match.serial is None and not match.conditions:
            yield _Finding(("match", number), "match says nothing; write mqtt, serial, json or text")
        if match.mqtt is not None and match.serial is not None:
            yield _Finding(
                ("match", number, "serial"), "a message comes from MQTT or from a serial port; write two entries"
            )
        for path, wanted in match.json_.items():
            if problem := condition_problem(wanted):
                yield _Finding(("match", number, "json", path), f"{path}: {problem}")
        if bad := next((one for one in match.text if json_or_word(one.encode(errors="replace")) != one), None):
            yield _Finding(
                ("match", number, "text"),
                f"{bad[:40]!r} is no text that a payload can be: at most 256 bytes, no JSON, no blanks around it",
            )
        if match.under is not None:
            for name in _PART.findall(match.under):
                if name not in _captures(match):
                    known = ", ".join(sorted(_captures(match))) or "nothing"
                    yield _Finding(
                        ("match", number, "under"), f"{{{name}}} is not caught by this entry: it has {known}"
                    )
        if match.device is not None:
            yield from _device_template(match.device, ("match", number, "device"), [_captures(match)])


def _device(profile: Profile) -> Iterator[_Finding]:
    relying = [_captures(one) for one in profile.match if one.device is None]
    if not profile.match:
        relying = [_OF_SOURCES]
    if relying:
        yield from _device_template(profile.device, ("device",), relying)


def _device_template(template: str, loc: Loc, entries: list[frozenset[str]]) -> Iterator[_Finding]:
    """What is wrong with a device's name, given what each entry that relies on it catches."""
    captured = frozenset.intersection(*entries)
    if template == "{device}":
        if "device" not in captured and any("device" in one for one in entries):
            yield _Finding(("match",), "{device} is caught by some entries of match and not by others; name it in each")
        return
    plain = _PART.sub("", template)
    if "{" in plain or "}" in plain:
        yield _Finding(loc, f"{template!r} has a brace that is not a {{name}}")
        return
    for name in (name for part in _PART.findall(template) for name in part.split("|")):
        if name in captured:
            continue
        if any(name in one for one in entries):
            yield _Finding(loc, f"{{{name}}} is caught by some entries of match and not by others; name it in each")
            continue
        try:
            read_path(name)
        except ValueError as error:
            yield _Finding(loc, str(error))


def _fields(profile: Profile) -> Iterator[_Finding]:
    if not profile.fields and not profile.repeated and profile.other_fields != "keep":
        yield _Finding(
            ("fields",), "a profile without fields gives empty events; name some, or write other_fields: keep"
        )
    for name, spec in profile.fields.items():
        for finding in _field(name, spec):
            yield _Finding(("fields", name, *finding.loc), finding.message)
        for path in spec.from_:
            if problem := _topic_problem(path, profile):
                yield _Finding(("fields", name, "from"), problem)
        for wanted in spec.first_of:
            if problem := _first_of_problem(name, spec, wanted, profile):
                yield _Finding(("fields", name, "first_of"), problem)
        if spec.first_of and spec.from_:
            yield _Finding(("fields", name, "from"), f"{name} has from and first_of; write one")
    yield from _repeated(profile)
    if profile.others_from and profile.other_fields != "keep":
        yield _Finding(("others_from",), "others_from goes with other_fields: keep")
    for path in filter(None, (profile.time.from_ if profile.time else None, profile.version_from)):
        if problem := _topic_problem(path, profile):
            yield _Finding(
                ("time", "from") if profile.time and path == profile.time.from_ else ("version_from",), problem
            )


def _first_of_problem(name: str, spec: FieldSpec, wanted: str, profile: Profile) -> str:
    of = profile.repeated.get(wanted)
    if of is None:
        return f"{wanted!r} is no repeated field; there are {', '.join(profile.repeated) or 'none'}"
    if (of.type, of.unit) != (spec.type, spec.unit):
        return f"{name} is a {spec.type} in {spec.unit!r}, {wanted} a {of.type} in {of.unit!r}; they must be the same"
    return ""


def _repeated(profile: Profile) -> Iterator[_Finding]:
    for name, spec in profile.repeated.items():
        loc: Loc = ("repeated", name)
        for finding in _field(name, spec):
            yield _Finding((*loc, *finding.loc), finding.message)
        for key in ("first_of", "default", "absent_if"):
            if getattr(spec, key):
                yield _Finding((*loc, key), f"{key} does not belong to a repeated field")
        if not spec.from_:
            yield _Finding(loc, f"{name} needs from, such as from: '{{sensor}}.Temperature'")
        for path in spec.from_:
            try:
                parts = read_members(path).parts
            except ValueError as error:
                yield _Finding((*loc, "from"), str(error))
                continue
            if missing := [part for part in PART.findall(name) if part not in parts]:
                yield _Finding((*loc, "from"), f"{path!r} does not catch {{{missing[0]}}}, of which the name is made")


def _topic_problem(path: str, profile: Profile) -> str:
    steps = read_path(path).steps
    if steps[0] != TOPIC or steps[1] in _captured(profile):
        return ""
    known = ", ".join(sorted(_captured(profile))) or "nothing"
    return f"{path!r} is not caught by every entry of match; caught there: {known}"


def _field(name: str, spec: FieldSpec) -> Iterator[_Finding]:
    is_number = spec.type in _NUMBERS
    if spec.type == "enum" and not spec.values:
        yield _Finding((), f"{name}: an enum needs values, such as values: [idle, heating]")
    if spec.type != "enum" and spec.values:
        yield _Finding(("values",), f"values belong to an enum; {name} is a {spec.type}")
    for number_key in ("min", "max", "scale", "offset"):
        if getattr(spec, number_key) is not None and not is_number:
            yield _Finding((number_key,), f"{number_key} belongs to numbers; {name} is a {spec.type}")
    if spec.unit and not is_number:
        yield _Finding(("unit",), f"a unit belongs to numbers; {name} is a {spec.type}")
    for loc, raw in _raw_units(spec):
        if problem := unit_problem(raw, spec.unit) if spec.unit else _NO_UNIT:
            yield _Finding(loc, problem)
    if spec.unit_from is not None and not units_like(spec.unit):
        unknown = f"{spec.unit!r} is not a unit that can be converted"
        yield _Finding(("unit_from",), unknown if spec.unit else _NO_UNIT)
    if isinstance(spec.raw_unit, dict):
        for path in spec.raw_unit:
            if path not in spec.from_:
                yield _Finding(("raw_unit", path), f"{path!r} is not one of from")
    for path, wanted in spec.absent_if.items():
        if problem := condition_problem(wanted):
            yield _Finding(("absent_if", path), f"{path}: {problem}")
    if spec.absent_if and not spec.optional and spec.default is None:
        yield _Finding(("absent_if",), f"absent_if makes {name} optional; write optional: true")
    if spec.unfit != "refuse" and not spec.optional and spec.default is None:
        yield _Finding(("unfit",), f"unfit: {spec.unfit} makes {name} optional; write optional: true")
    if spec.min is not None and spec.max is not None and spec.min > spec.max:
        yield _Finding(("min",), f"min of {spec.min:g} is greater than max of {spec.max:g}")
    if spec.scale == 0:
        yield _Finding(("scale",), "a scale of 0 makes every value the same")
    if spec.type == "object" and (spec.map or spec.no_reading):
        yield _Finding((), f"map and no_reading belong to plain values; {name} is an object")
    if spec.default is not None and (problem := _value_problem(name, spec, spec.default)):
        yield _Finding(("default",), problem)
    if spec.scale is not None or spec.offset is not None or spec.raw_unit is not None:
        return
    for raw, value in spec.map.items():
        if value is not None and (problem := _value_problem(name, spec, value)):
            yield _Finding(("map", raw), problem)


def _raw_units(spec: FieldSpec) -> list[tuple[Loc, str]]:
    if isinstance(spec.raw_unit, dict):
        return [(("raw_unit", path), unit) for path, unit in spec.raw_unit.items()]
    return [] if spec.raw_unit is None else [(("raw_unit",), spec.raw_unit)]


def _value_problem(name: str, spec: FieldSpec, value: Any) -> str:
    nothing: dict[str, Any] = {
        "map": {},
        "no_reading": (),
        "scale": None,
        "offset": None,
        "raw_unit": None,
        "unit_from": None,
    }
    plain = spec.model_copy(update=nothing)
    try:
        FieldReader(name, plain, lenient=False).value_of(value)
    except Breach as breach:
        return breach.detail
    return ""


def _upgrades(profile: Profile) -> Iterator[_Finding]:
    older = range(1, profile.version)
    for number in profile.upgrade:
        if number not in older:
            allowed = f"1 to {profile.version - 1}" if older else "none: this is version 1"
            yield _Finding(("upgrade", str(number)), f"{number} is not an older version; allowed: {allowed}")
    missing = [number for number in older if number not in profile.upgrade] if profile.upgrade else []
    for number in missing:
        yield _Finding(
            ("upgrade",), f"messages of version {number} are not upgraded; write {number}: with its steps, or {{}}"
        )
    for number, steps in profile.upgrade.items():
        for path, wanted in steps.when.items():
            if problem := condition_problem(wanted):
                yield _Finding(("upgrade", str(number), "when", path), f"{path}: {problem}")
        for key in ("rename", "split", "scale"):
            for path in getattr(steps, key):
                if not all(isinstance(step, str | int) for step in read_path(path).steps) or path.startswith(TOPIC):
                    yield _Finding(("upgrade", str(number), key, path), f"{path!r} must name one member of the message")
        if steps.scale and not (steps.when or steps.rename or steps.split or steps.default or profile.version_from):
            yield _Finding(
                ("upgrade", str(number)),
                f"nothing tells a message of version {number} from a newer one; write when: or version_from:",
            )


def _modbus(profile: Profile) -> Iterator[_Finding]:
    """What is wrong with the registers, with commands that write them, and with fields for which there is none."""
    writes = {name: one.modbus for name, one in profile.commands.items() if one.modbus is not None}
    if profile.modbus is None:
        for name in writes:
            yield _Finding(("commands", name, "modbus"), "it writes registers, and the profile has no modbus section")
        return
    for loc, message in register_problems(profile.modbus):
        yield _Finding(("modbus", *loc), message)
    registers = make_registers(profile.modbus)
    for name, write in writes.items():
        for loc, message in write_problems(write, tuple(profile.commands[name].payload), registers):
            yield _Finding(("commands", name, "modbus", *loc), message)
    if profile.match:  # what comes another way may have other members
        return
    for name, spec in profile.fields.items():
        first_steps = (read_path(path).steps[0] for path in spec.from_ or (name,))
        members = tuple(step for step in first_steps if isinstance(step, str) and step != TOPIC)
        is_needed = not spec.optional and spec.default is None
        if members and not spec.first_of and (problem := field_problem(name, members, registers, is_needed=is_needed)):
            yield _Finding(("fields", name), problem)


def _commands(profile: Profile) -> Iterator[_Finding]:
    topics = [read_topic_pattern(one.mqtt) for one in profile.match if one.mqtt is not None]
    known = _OF_SOURCES.union(*map(_captures, profile.match))
    for name, command in profile.commands.items():
        for loc, message in command_problems(name, command, captures=known, own={one.filter for one in topics}):
            yield _Finding(("commands", name, *loc), message)
        for argument, spec in command.payload.items():
            for finding in _field(argument, spec):
                yield _Finding(("commands", name, "payload", argument, *finding.loc), finding.message)


def _examples(profile: Profile) -> Iterator[_Finding]:
    for number, example in enumerate(profile.examples):
        loc = ("examples", number)
        given = [key for key in ("in_", "in_hex", "in_base64", "in_registers") if key in example.model_fields_set]
        if len(given) != 1:
            yield _Finding(loc, "an example needs one of in, in_hex, in_base64, in_registers")
        if example.in_registers and profile.modbus is None:
            yield _Finding(
                (*loc, "in_registers"), "in_registers goes with a modbus section, which this profile has not"
            )
        if ("out" in example.model_fields_set) == (example.error is not None):
            yield _Finding(loc, "an example needs either out or error")
