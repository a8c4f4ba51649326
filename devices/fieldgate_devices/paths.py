"""Paths into what a device sent: ``sensors.flow:0``, ``readings[0].t``, ``"a.b".c``, ``*.Temperature``.

Steps are parted by dots. A step is a member's name as the device writes it, in double quotes where it holds a dot, a
bracket, a quote or nothing at all; ``[n]`` is an entry of a list (from 0, or from the end with a minus); ``*`` is any
member, the first that leads on. ``$topic.NAME`` is what the pattern of the topic caught.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["ABSENT", "TOPIC", "Absent", "Path", "read_path"]

TOPIC: Final = "$topic"
_MAX_STEPS: Final = 16
_STEP: Final = re.compile(r'"(?P<quoted>(?:[^"\\]|\\.)*)"|\[(?P<index>-?[0-9]{1,4})\]|(?P<name>[^."\[\]]+)')


class Absent:
    """The type of `ABSENT`: there is no value, which is something else than null."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()


@dataclass(frozen=True, slots=True)
class _Any:
    """The step ``*``."""


_ANY: Final = _Any()


@dataclass(frozen=True, slots=True)
class Path:
    """A path, ready to use. ``steps`` are names, numbers and `_ANY`."""

    text: str
    steps: tuple[str | int | _Any, ...]

    @property
    def names(self) -> tuple[str, ...] | None:
        """The steps if all of them are names of the message, else None."""
        names = tuple(step for step in self.steps if isinstance(step, str))
        return names if len(names) == len(self.steps) and names[0] != TOPIC else None

    def find(self, record: object, captures: Mapping[str, str]) -> object:
        """Return the value, or `ABSENT`."""
        if self.steps[0] == TOPIC:
            return captures.get(str(self.steps[1]), ABSENT)
        return _walk(record, self.steps, 0)

    def locate(self, record: object) -> tuple[str | int, ...] | None:
        """Return the way to the value in this record, with what ``*`` stands for; None where there is no value."""
        return None if self.steps[0] == TOPIC else _trail(record, self.steps)


def _trail(value: object, steps: tuple[str | int | _Any, ...]) -> tuple[str | int, ...] | None:
    if not steps:
        return ()
    step, rest = steps[0], steps[1:]
    ways: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        ways = list(value.items()) if isinstance(step, _Any) else [(step, value[step])] if step in value else []
    elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
        ways = [(step % len(value), value[step])]
    for key, below in ways:
        trail = _trail(below, rest)
        if trail is not None:
            return (key, *trail)
    return None


def _walk(value: object, steps: tuple[str | int | _Any, ...], at: int) -> object:
    for place in range(at, len(steps)):
        step = steps[place]
        if isinstance(value, dict):
            if step is _ANY:
                found = (_walk(below, steps, place + 1) for below in value.values())
                return next((one for one in found if one is not ABSENT), ABSENT)
            value = value.get(step, ABSENT)
        elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return ABSENT
    return value


def read_path(text: str) -> Path:
    """Read a path.

    Raises:
        ValueError: it is none; the message says what is wrong.
    """
    steps: list[str | int | _Any] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        is_index = match is not None and match["index"] is not None
        if match is None or (is_index and not steps):
            break
        at = match.end()
        if is_index:
            steps.append(int(match["index"]))
        elif match["quoted"] is not None:
            steps.append(re.sub(r"\\(.)", r"\1", match["quoted"]))
        else:
            steps.append(_ANY if match["name"] == "*" else match["name"])
        if at < len(text) and text[at] == "." and at + 1 < len(text):
            at += 1
        elif at < len(text) and text[at] != "[":
            break
    if at < len(text) or not steps:
        raise ValueError(
            f'{text!r} is not a path; write names parted by dots, such as sensors.flow:0, list[0].t or "a.b".c'
        )
    if len(steps) > _MAX_STEPS:
        raise ValueError(f"{text!r} has too many steps; allowed: {_MAX_STEPS}")
    if steps[0] == TOPIC and (len(steps) != 2 or not isinstance(steps[1], str)):
        raise ValueError(f"{text!r} is not a path; write {TOPIC}.NAME")
    return Path(text, tuple(steps))
