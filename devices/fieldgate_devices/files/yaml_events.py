"""The events of a YAML text: what begins, stands and ends where.

ruamel reads YAML 1.2, and its errors lead to advice; it takes a millisecond for ten lines. A long text without the
few characters about which the two disagree goes through libyaml, which takes a thirtieth of that; what it refuses is
read by ruamel once more. Both give ruamel's events.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)
from ruamel.yaml.reader import ReaderError

from fieldgate_devices.files.yaml_advice import yaml_advice

__all__ = ["NotYaml", "can_be_fast", "fast_events", "yaml_events"]

_LONG: Final = 64 * 1024
_DISPUTED: Final = re.compile("[\x85\u2028\u2029\ufeff\t]|^%", re.MULTILINE)
"""Line breaks of YAML 1.1, tabs, directives."""


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
    """Return the events of libyaml as ruamel's.

    Raises:
        NotYaml: it cannot be understood.
    """
    import yaml  # type: ignore[import-untyped]  # has no types; here, because it takes 1.5 MB

    try:
        for event in yaml.parse(text, Loader=yaml.CBaseLoader):
            yield _MADE[type(event).__name__](event)
    except yaml.YAMLError as error:
        raise NotYaml(1, 1, str(error)) from error


def _scalar(event: Any) -> Event:
    return ScalarEvent(
        event.anchor, event.tag, event.implicit, event.value, event.start_mark, event.end_mark, event.style or None
    )


_MADE: Final[dict[str, Callable[[Any], Event]]] = {
    "ScalarEvent": _scalar,
    "MappingStartEvent": lambda event: MappingStartEvent(event.anchor, event.tag, event.implicit, event.start_mark),
    "MappingEndEvent": lambda event: MappingEndEvent(event.start_mark),
    "SequenceStartEvent": lambda event: SequenceStartEvent(event.anchor, event.tag, event.implicit, event.start_mark),
    "SequenceEndEvent": lambda event: SequenceEndEvent(event.start_mark),
    "AliasEvent": lambda event: AliasEvent(event.anchor, event.start_mark),
    "StreamStartEvent": lambda event: StreamStartEvent(event.start_mark),
    "StreamEndEvent": lambda event: StreamEndEvent(event.start_mark),
    "DocumentStartEvent": lambda event: DocumentStartEvent(event.start_mark),
    "DocumentEndEvent": lambda event: DocumentEndEvent(event.start_mark),
}
