"""What a function takes and gives: one entry of the table of functions, from which its documentation is made too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from enum import Enum

from fieldgate_rules.condition.facts import Value
from fieldgate_rules.condition.nodes import Node
from fieldgate_rules.condition.place import Complaint, Span

__all__ = ["Example", "Function", "Parameter", "Use", "Wants", "Wrong"]


class Wrong(Exception):
    """A call that cannot be; carries the complaint."""

    def __init__(self, span: Span, message: str) -> None:
        super().__init__(message)
        self.complaint = Complaint(span, message)


class Wants(Enum):
    """What may stand in the place of an argument; the text is what messages and documentation call it."""

    NUMBER = "number"
    TEXT = "text"
    VALUE = "value"
    FIELD = "field"
    EARLIER = "prev.FIELD or last(…)"
    KNOWABLE = "field, prev.FIELD or last(…)"
    DIGITS = "0 to 10"
    DURATION = "duration"
    UNIT = "unit"
    PATTERN = "pattern"
    TIME_OF_DAY = "time of day"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument. ``is_many``: it may be repeated, the last one only."""

    name: str
    wants: Wants
    is_optional: bool = False
    is_many: bool = False


@dataclass(frozen=True, slots=True)
class Use:
    """A call whose arguments fit: each number, text and value is a node, each literal that is wanted a `Literal`."""

    span: Span
    arguments: tuple[Node, ...]
    zone: tzinfo


@dataclass(frozen=True, slots=True)
class Example:
    """What an expression is for an event with ``fields``, after one with ``prev`` that came ``ago_s`` before it."""

    text: str
    value: Value | None
    fields: Mapping[str, Value] = field(default_factory=dict)
    prev: Mapping[str, Value] = field(default_factory=dict)
    ago_s: float = 60.0
    wall_s: float | None = 1_767_607_200.0  # Monday, 5 January 2026, 10:00 UTC


@dataclass(frozen=True, slots=True)
class Function:
    """``build`` makes the node of a call; it raises `Wrong` for arguments that do not go together."""

    name: str
    parameters: tuple[Parameter, ...]
    gives: str
    meaning: str
    examples: tuple[Example, ...]
    build: Callable[[Use], Node]

    @property
    def signature(self) -> str:
        """How it is written, as messages and documentation show it."""
        shown = ""
        for number, one in enumerate(self.parameters):
            name = f"{one.name}, …" if one.is_many else one.name
            comma = ", " if number else ""
            shown += f"[{comma}{name}]" if one.is_optional else f"{comma}{name}"
        return f"{self.name}({shown})"

    @property
    def least(self) -> int:
        """How many arguments it takes at least."""
        return sum(1 for one in self.parameters if not one.is_optional)

    def parameter(self, number: int) -> Parameter | None:
        """The parameter for argument ``number`` (from 0); None where there is none."""
        if number < len(self.parameters):
            return self.parameters[number]
        last = self.parameters[-1]
        return last if last.is_many and number < 8 else None
