"""Patterns of members of a message: ``{sensor}.Temperature``, ``temperature:{id}.tC``, ``rx_metadata[0]``.

A path in which a step may hold ``{part}``, which catches what stands there (``{part:int}`` a whole number), or ``*``,
which is any member. It finds all that it fits, in the order of the message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from fieldgate_devices.paths import TOPIC, read_path

__all__ = ["PART", "Member", "Members", "Trail", "read_members"]

PART: Final = re.compile(r"\{([a-z][a-z0-9_]*)(?::int)?\}")
"""``{part}`` is any text, ``{part:int}`` a whole number; a name has ``{part}`` for both."""
_INT: Final = ":int"
_MAX_KEY: Final = 128  # a longer name is no sensor's; it bounds what a pattern with two parts costs
_MAX_PARTS: Final = 2
_MAX_FOUND: Final = 512

Trail = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """The step ``{name}``, all of a member's name; nothing to compile, and the most frequent."""

    name: str


_Step = str | int | re.Pattern[str] | _Part


class Member(NamedTuple):
    """One that fits: the way to it, what the parts caught, its value."""

    trail: Trail
    parts: Mapping[str, str]
    value: object


@dataclass(frozen=True, slots=True)
class Members:
    """A pattern, ready to use."""

    text: str
    parts: tuple[str, ...]
    steps: tuple[_Step, ...]

    def find(self, record: object) -> list[Member]:
        """Return what fits, `_MAX_FOUND` at most."""
        if len(self.steps) == 2 and isinstance(self.steps[0], _Part) and isinstance(self.steps[1], str):
            return self._find_one_below(record, self.steps[0].name, self.steps[1])
        found: list[Member] = []
        for member in _walk(record, self.steps, (), {}):
            if len(found) >= _MAX_FOUND:
                break
            found.append(member)
        return found

    @staticmethod
    def _find_one_below(record: object, part: str, name: str) -> list[Member]:
        """``{part}.name``, as most patterns are, in a fifth of the time."""
        if not isinstance(record, dict):
            return []
        return [
            Member((key, name), {part: key}, below[name])
            for key, below in record.items()
            if isinstance(below, dict) and name in below and 0 < len(key) <= _MAX_KEY
        ][:_MAX_FOUND]


def _walk(value: object, steps: tuple[_Step, ...], trail: Trail, parts: Mapping[str, str]) -> Iterator[Member]:
    if not steps:
        yield Member(trail, parts, value)
        return
    step, rest = steps[0], steps[1:]
    if isinstance(step, re.Pattern | _Part):
        below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, one in below:
            caught = _caught(step, str(key))
            if caught is not None:
                yield from _walk(one, rest, (*trail, key), {**parts, **caught} if caught else parts)
    elif isinstance(value, dict):
        if step in value:
            yield from _walk(value[step], rest, (*trail, str(step)), parts)
    elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
        yield from _walk(value[step], rest, (*trail, step % len(value)), parts)


def _caught(step: re.Pattern[str] | _Part, key: str) -> Mapping[str, str] | None:
    if len(key) > _MAX_KEY:
        return None
    if isinstance(step, _Part):
        return {step.name: key} if key else None
    match = step.fullmatch(key)
    return None if match is None else match.groupdict()


def read_members(text: str) -> Members:
    """Read a pattern.

    Raises:
        ValueError: it is none.
    """
    path = read_path(text)
    if path.steps[0] == TOPIC:
        raise ValueError(f"{text!r} names a part of the topic, not a member of the message")
    steps: list[_Step] = []
    names: list[str] = []
    for step in path.steps:
        if isinstance(step, int):
            steps.append(step)
            continue
        pattern = "*" if not isinstance(step, str) else step
        caught = PART.findall(pattern)
        if len(caught) > _MAX_PARTS or "}{" in pattern:
            raise ValueError(f"{text!r} has too many {{parts}} in one step; allowed: {_MAX_PARTS}, with text between")
        names += caught
        if not caught and isinstance(step, str):
            steps.append(step)
            continue
        if caught and pattern == f"{{{caught[0]}}}":
            steps.append(_Part(caught[0]))
        else:
            steps.append(re.compile(".*" if pattern == "*" else _regex(pattern), re.DOTALL))
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{text!r} has {{{twice}}} twice; give each its own name")
    return Members(text, tuple(names), tuple(steps))


def _regex(pattern: str) -> str:
    made, at = "", 0
    for match in PART.finditer(pattern):
        what = "[0-9]+" if match[0].endswith(f"{_INT}}}") else ".+"
        made += f"{re.escape(pattern[at : match.start()])}(?P<{match[1]}>{what})"
        at = match.end()
    return made + re.escape(pattern[at:])
