"""The events of a YAML text: what begins, stands and ends where.

ruamel reads YAML 1.2, and its errors lead to advice; it takes a millisecond for ten lines. A long text without the
few characters about which the two disagree goes through libyaml, which takes a thirtieth of that; what it refuses is
read by ruamel once more. The events of both have the same names and attributes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml import events as ruamel_events
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from fieldgate_devices.files.yaml_advice import yaml_advice

__all__ = ["Event", "NotYaml", "Part", "can_be_fast", "fast_events", "part_of", "yaml_events"]

Event = Any
"""ruamel's or libyaml's: ``start_mark``, and where a value begins ``anchor`` and ``tag``; ``value`` and ``style``."""

_LONG: Final = 64 * 1024
_DISPUTED: Final = re.compile("[\x85\u2028\u2029\ufeff\t]|^%", re.MULTILINE)
"""Line breaks of YAML 1.1, tabs, directives."""


class Part(Enum):
    """What an event is about."""

    SCALAR = auto()
    MAPPING = auto()
    END_OF_MAPPING = auto()
    LIST = auto()
    END_OF_LIST = auto()
    ALIAS = auto()
    DOCUMENT = auto()
    END_OF_DOCUMENT = auto()
    STREAM = auto()
    END_OF_STREAM = auto()


_NAMES: Final = {
    "ScalarEvent": Part.SCALAR,
    "MappingStartEvent": Part.MAPPING,
    "MappingEndEvent": Part.END_OF_MAPPING,
    "SequenceStartEvent": Part.LIST,
    "SequenceEndEvent": Part.END_OF_LIST,
    "AliasEvent": Part.ALIAS,
    "DocumentStartEvent": Part.DOCUMENT,
    "DocumentEndEvent": Part.END_OF_DOCUMENT,
    "StreamStartEvent": Part.STREAM,
    "StreamEndEvent": Part.END_OF_STREAM,
}
_PARTS: Final[dict[type, Part]] = {getattr(ruamel_events, name): part for name, part in _NAMES.items()}


class NotYaml(Exception):
    """The text cannot be understood from ``line`` and ``column`` on."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


def can_be_fast(text: str) -> bool:
    """Whether it is worth while, and both parsers mean the same by it."""
    return len(text) > _LONG and _DISPUTED.search(text) is None


def yaml_events(text: str) -> Iterator[Event]:
    """Return ruamel's events.

    Raises:
        NotYaml: at the place up to which it could be understood.
    """
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        begun = error.context_mark
        where = f"; {error.context} that begins in line {begun.line + 1}" if begun is not None and error.context else ""
        here = (text.splitlines()[line - 1 : line] or [""])[0]
        begun_line = begun.line + 1 if begun is not None else None
        advice = yaml_advice(str(error.problem), here, column=column - 1, begun_line=begun_line)
        raise NotYaml(line, column, f"this is not YAML: {advice or f'{error.problem}{where}'}") from error
    except ReaderError as error:
        before = text[: error.position]
        column = len(before) - before.rfind("\n")
        said = f"the character {chr(error.character)!r} is not allowed in YAML"
        raise NotYaml(before.count("\n") + 1, column, said) from error


def fast_events(text: str) -> Iterator[Event]:
    """Return the events of libyaml.

    Raises:
        NotYaml: it cannot be understood.
    """
    import yaml  # type: ignore[import-untyped]  # has no types; here, because it takes 1.5 MB

    for name, part in _NAMES.items():
        _PARTS[getattr(yaml, name)] = part
    loader = yaml.CBaseLoader(text)
    try:
        yield from iter(loader.get_event, None)
    except yaml.YAMLError as error:
        raise NotYaml(1, 1, str(error)) from error


def part_of(event: Event) -> Part:
    """Return what begins, stands or ends here."""
    return _PARTS[type(event)]
