"""Rules as they are written, before they are read: which lines they have, in which order they are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from fieldgate_devices.files.document import Loc, Node
from fieldgate_devices.files.location import Location
from fieldgate_rules.model import RuleSpec
from fieldgate_rules.reading.rule_reader import emitted_types
from fieldgate_rules.reading.sections import FileParts
from fieldgate_rules.reading.templates import Given, TemplateEntry

__all__ = ["Entry", "emitters_first", "fields_meant", "is_misread", "lines_of", "words_of"]

_WORD: Final = re.compile(r"[a-z][a-z0-9_]*")


def words_of(message: str) -> set[str]:
    """The names that a message may speak of."""
    return set(_WORD.findall(message))


@dataclass(slots=True)
class Entry:
    """A rule as it is written, with what its template says. ``problems`` are its own."""

    path: str
    node: Node
    number: int
    given: Given
    use_at: Location | None = None
    template: str = ""
    said: msgspec.Raw = field(default_factory=msgspec.Raw)
    spec: RuleSpec | None = None
    broken: frozenset[Loc] = frozenset()
    has_problem: bool = False
    is_misfit: bool = False


def is_misread(part: FileParts, number: int) -> bool:
    """Whether something in the lines of a rule could not be read as it was meant."""
    if not part.misread:
        return False
    first = part.rules[number].at.line
    last = part.rules[number + 1].at.line if number + 1 < len(part.rules) else _last_line(part.rules[number]) + 1
    return any(first <= problem.where.line < last for problem in part.misread)


def fields_meant(given: Given, message: str) -> str:
    """Which fields the words of a message are, that a template has other names for."""
    if "unknown field" in message:  # it names the field itself
        return ""
    words = words_of(message)
    return ", ".join(f"{name} is {field}" for name, field in given.aliases.items() if name in words - {field})


def lines_of(template: TemplateEntry | None, path: str) -> _Lines:
    """The lines of a template in a file; none where it is in another one."""
    return _Lines(None, path) if template is None else _Lines(template.node, template.where.path)


class _Lines:
    """The lines of a template."""

    def __init__(self, node: Node | None, path: str) -> None:
        self._path = path
        self._first = node.at.line if node is not None else 1
        self._last = _last_line(node) if node is not None else 0

    def __contains__(self, where: Location) -> bool:
        return where.path == self._path and self._first <= where.line <= self._last


def _last_line(node: Node) -> int:
    match node.content:
        case dict() as entries if entries:
            return max(_last_line(one) for _, one in entries.values())
        case list() as items if items:
            return max(map(_last_line, items))
        case str() as text:
            return node.at.line + text.count("\n") + 1
        case _:
            return node.at.line


def emitters_first(entries: Sequence[Entry]) -> list[Entry]:
    """The rules in an order in which each comes after those that emit what it is on, as far as there is one."""
    makers: dict[str, list[Entry]] = {}
    for one in entries:
        for type_ in emitted_types(one.spec) if one.spec is not None else ():
            makers.setdefault(type_, []).append(one)
    done: set[int] = set()
    ordered: list[Entry] = []
    for start in entries:
        waiting = [(start, False)]
        while waiting:
            one, is_ready = waiting.pop()
            if is_ready:
                ordered.append(one)
            elif one.number not in done:
                done.add(one.number)
                waiting.append((one, True))
                types = [type_ for trigger in one.spec.on for type_ in trigger.profile] if one.spec is not None else []
                waiting += [(maker, False) for type_ in types for maker in makers.get(type_, ())]
    return ordered
