"""A rule that is made of a template, as one of its own: all that the template says, and its parameters by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from fieldgate_devices.yaml_text import flow
from fieldgate_rules.model.windows import FUNCTIONS
from fieldgate_rules.reading.templates import Path, is_condition, is_text

__all__ = ["written_out"]

_QUOTED: Final = re.compile(r"""("[^"\\]*(?:\\.[^"\\]*)*"|'[^'\\]*(?:\\.[^'\\]*)*')""")
_HOLE: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_NAME: Final = re.compile(r"(?<![\w.])[a-z][a-z0-9_]*|(?<=prev\.)[a-z][a-z0-9_]*")
_FIRST: Final = ("id", "description", "enabled", "mode", "on", "parameters")


def written_out(rule: Mapping[str, Any], values: Mapping[str, Any], aliases: Mapping[str, str]) -> str:
    """Return the rule as an entry of ``rules``; ``values`` are its parameters, ``aliases`` names that mean a field."""
    whole = {key: _renamed(one, (key,), aliases) for key, one in rule.items() if key not in ("use", "with")}
    used = _names_in(whole)
    parameters = {
        **{name: one for name, one in values.items() if name in used},
        **(whole.pop("parameters", None) or {}),
    }
    if parameters:
        whole["parameters"] = parameters
    keys = [*(key for key in _FIRST if key in whole), *(key for key in whole if key not in _FIRST)]
    lines = [line for key in keys for line in _lines(key, whole[key])]
    return "".join(f"  {'- ' if number == 0 else '  '}{line}\n" for number, line in enumerate(lines))


def _lines(key: str, value: Any) -> Iterator[str]:
    """A key with its value; what a list of mappings holds each in a line of its own."""
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        yield f"{key}:"
        for one in value:
            first, *more = [f"{name}: {flow(below)}" for name, below in one.items()] or ["{}"]
            yield f"  - {first}"
            yield from (f"    {line}" for line in more)
    else:
        yield f"{key}: {flow(value)}"


def _renamed(value: Any, path: Path, aliases: Mapping[str, str]) -> Any:
    """The value with the names of fields in the place of those that the template has for them."""
    match value:
        case dict():
            return {key: _renamed(one, (*path, key), aliases) for key, one in value.items()}
        case list():
            return [_renamed(one, path, aliases) for one in value]
        case str() if is_condition(path) or (path[:2] == ("window", "values") and path[-1] in FUNCTIONS):
            return _in_expression(value, aliases)
        case str() if is_text(path):
            return _HOLE.sub(lambda hole: _in_hole(hole, aliases), value)
        case _:
            return value


def _in_hole(hole: re.Match[str], aliases: Mapping[str, str]) -> str:
    return hole[0] if hole[1] is None else "{" + _in_expression(hole[1], aliases) + "}"


def _in_expression(text: str, aliases: Mapping[str, str]) -> str:
    parts = _QUOTED.split(text)  # what is in quotes is at the odd places
    return "".join(
        part if number % 2 else _NAME.sub(lambda name: aliases.get(name[0], name[0]), part)
        for number, part in enumerate(parts)
    )


def _names_in(value: Any) -> set[str]:
    match value:
        case dict():
            return set().union(*map(_names_in, value.values())) if value else set()
        case list():
            return set().union(*map(_names_in, value)) if value else set()
        case str():
            return set(re.findall(r"[a-z][a-z0-9_]*", value))
        case _:
            return set()
