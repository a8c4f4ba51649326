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
_Step = str | int | re.Pattern[str]


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
        found: list[Member] = []
        for member in _walk(record, self.steps, (), {}):
            if len(found) >= _MAX_FOUND:
                break
            found.append(member)
        return found


def _walk(value: object, steps: tuple[_Step, ...], trail: Trail, parts: Mapping[str, str]) -> Iterator[Member]:
    if not steps:
        yield Member(trail, parts, value)
        return
    step, rest = steps[0], steps[1:]
    if isinstance(step, re.Pattern):
        below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, one in below:
            caught = step.fullmatch(str(key)) if len(str(key)) <= _MAX_KEY else None
            if caught is not None:
                yield from _walk(one, rest, (*trail, key), {**parts, **caught.groupdict()})
    elif isinstance(value, dict):
        if step in value:
            yield from _walk(value[step], rest, (*trail, str(step)), parts)
    elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
        yield from _walk(value[step], rest, (*trail, step % len(value)), parts)


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
