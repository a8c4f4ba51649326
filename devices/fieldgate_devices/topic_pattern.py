"""Patterns of topics with captures: ``site/+/boiler/{device}/telemetry``, ``shellies/{model}-{id}/#``.

A level is plain text, ``+`` (any), or text with ``{name}`` in it, which catches what stands there; the last level may
be ``#`` (any number of levels, also none, as in MQTT) or ``{name#}`` (the rest, one level at least). A first level that
begins with ``$`` is only matched by text, as the standard says [MQTT-4.7.2-1].
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Final

__all__ = ["TopicPattern", "read_command_pattern", "read_topic_pattern"]

_MAX_BYTES: Final = 1024
_TEXT: Final = 3  # the rank of a level of plain text
_CAPTURE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(#?)\}")
_HINT: Final = "write a topic in which a level may be +, {name} or, at the end, #, such as site/{device}/telemetry"


@dataclass(frozen=True, slots=True)
class TopicPattern:
    """A pattern, ready to use. ``rank`` is higher the more it says; ``filter`` is the plain MQTT filter around it."""

    text: str
    filter: str
    names: tuple[str, ...]
    rank: tuple[int, ...]
    _levels: tuple[str, ...]  # of ``filter``
    _regex: str

    def match(self, topic: str) -> dict[str, str] | None:
        """Return what the captures caught, or None where the topic is not matched."""
        if not self._may_match(topic.split("/")):
            return None
        found = _compiled(self._regex).fullmatch(topic)
        return None if found is None else found.groupdict()

    def _may_match(self, levels: list[str]) -> bool:
        """Whether the plain levels are there. So most patterns are never compiled, which takes longer than all else."""
        wanted = self._levels
        if wanted[-1] == "#":
            wanted = wanted[:-1]
            if len(levels) < len(wanted):
                return False
        elif len(levels) != len(wanted):
            return False
        return all(one in ("+", level) for one, level in zip(wanted, levels, strict=False))


@lru_cache(maxsize=4096)
def _compiled(regex: str) -> re.Pattern[str]:
    return re.compile(regex, re.DOTALL)


def read_topic_pattern(text: str) -> TopicPattern:
    """Read a pattern.

    Raises:
        ValueError: it is none.
    """
    if not text or len(text.encode(errors="replace")) > _MAX_BYTES or not text.isprintable():
        raise ValueError(f"{text[:40]!r} is not a pattern of topics; {_HINT}")
    levels = text.split("/")
    regex, plain, rank, names = [], [], [], []
    for place, level in enumerate(levels):
        is_last = place == len(levels) - 1
        guard = r"(?!\$)" if place == 0 and level.startswith(("+", "#", "{")) else ""
        caught = [match[1] for match in _CAPTURE.finditer(level)]
        names += caught
        if level == "#" or (caught and f"{{{caught[0]}#}}" == level):
            if not is_last:
                raise ValueError(f"{text!r} has {level!r} before its end; {_HINT}")
            regex.append(f"{guard}(?P<{caught[0]}>.+)" if caught else f"{guard}.*")
            plain.append("#")
            rank.append(0)
            continue
        regex.append(guard + _level_regex(level, text))
        plain.append("+" if caught or level == "+" else level)
        rank.append(1 if level == "+" or _CAPTURE.fullmatch(level) else 2 if caught else _TEXT)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{text!r} has {{{twice}}} twice; give each its own name")
    pattern = "/".join(regex)
    if levels[-1] == "#" and len(levels) > 1:  # "a/#" matches "a" too
        pattern = "/".join(regex[:-1]) + "(?:/.*)?"
    return TopicPattern(text, "/".join(plain), tuple(names), tuple(rank), tuple(plain), pattern)


def read_command_pattern(template: str) -> TopicPattern:
    """Read the topic of a command, which may hold a capture twice; return the pattern of all topics it can become.

    Raises:
        ValueError: it is no topic with {captures}, or one that nothing but captures makes.
    """
    numbers = count()
    pattern = read_topic_pattern(_CAPTURE.sub(lambda match: f"{{part{next(numbers)}{match[2]}}}", template))
    if any(mark in template for mark in "+#"):
        raise ValueError(f"{template!r} has a '+' or '#', to which nothing can be published")
    if max(pattern.rank) < _TEXT:
        raise ValueError(f"{template!r} has no level of plain text: it would take the topics of other devices")
    return pattern


def _level_regex(level: str, text: str) -> str:
    if level == "+":
        return "[^/]*"
    parts = _CAPTURE.split(level)
    made = re.escape(parts[0])
    for name, mark, after in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        if mark:
            raise ValueError(f"{text!r} has {{{name}#}} within a level; it stands for whole levels; {_HINT}")
        if made.endswith("[^/]+)"):
            raise ValueError(f"{text!r} has two captures side by side; put something between them")
        made += f"(?P<{name}>[^/]+)" + re.escape(after)
    if any(mark in plain for plain in parts[0::3] for mark in "{}+#"):
        raise ValueError(f"{text!r} has a '{{', '}}', '+' or '#' within a level; {_HINT}")
    return made
