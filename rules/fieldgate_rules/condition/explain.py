"""Say what each clause of an expression is for given facts, and why what is unknown is so.

The values are those of the closures themselves: what is explained is what was decided. Every clause is asked, those too
that the condition did not need any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, assert_never

from fieldgate_devices.files.location import Location
from fieldgate_rules.condition.bounds import MAX_NUMBER, cut
from fieldgate_rules.condition.compiler import compiled
from fieldgate_rules.condition.facts import Facts, Value
from fieldgate_rules.condition.nodes import (
    Age,
    Arithmetic,
    Call,
    Default,
    Field,
    Last,
    Literal,
    Node,
    Now,
    Prev,
    Rate,
    parts_of,
)
from fieldgate_rules.condition.place import PlacedText
from fieldgate_rules.condition.reads import raw_value
from fieldgate_rules.condition.shapes import Kind, kind_of

__all__ = ["Clause", "explain", "shown"]

_SHOWN: Final = 60
_TOO_LARGE: Final = "the result is too large"


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of an expression and what it was. ``value`` None is unknown, and ``why`` then says why.

    ``parts`` has no literals, which are what they say; it has parameters.
    """

    text: str
    where: Location
    value: Value | None
    why: str
    parts: tuple[Clause, ...]

    def lines(self, *, indent: int = 0) -> Iterator[str]:
        """The clause and its parts as lines for a person."""
        why = f" ({self.why})" if self.why else ""
        yield f"{'  ' * indent}{self.where.line}:{self.where.column}  {self.text}  is {shown(self.value)}{why}"
        for part in self.parts:
            yield from part.lines(indent=indent + 1)


def shown(value: object) -> str:
    """A value as explanations and templates show it: 12 digits of a fraction, a text in quotes, shortened."""
    match value:
        case None:
            return "unknown"
        case bool():
            return str(value).lower()
        case int() if abs(value) < 10**15:
            return str(value)
        case int() if abs(value) > MAX_NUMBER:
            return "a number too large"
        case int() | float():
            return f"{value:.12g}"
        case str():
            text = repr(cut(value))
            return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 2]}…{text[0]}"
        case _:
            return f"a {type(value).__name__}"


def explain(node: Node, facts: Facts, placed: PlacedText) -> Clause:
    """Return the clause of ``node``, with those of its parts."""
    value = compiled(node)(facts)
    parts = tuple(explain(part, facts, placed) for part in parts_of(node) if not _is_plain(part))
    why = _why(node, facts, parts) if value is None else ""
    return Clause(_text(node, placed), placed.where(node.span.start), value, why, parts)


def _is_plain(node: Node) -> bool:
    """Whether it is what it says; a parameter has a name and a value."""
    return isinstance(node, Literal) and not node.shape.is_given


def _text(node: Node, placed: PlacedText) -> str:
    match node:
        case Field():
            return node.name
        case Prev():  # delta(x) has one that is not written out
            return f"prev.{node.name}"
        case _:
            return " ".join(placed.text[node.span.start : node.span.end].split())


def _why(node: Node, facts: Facts, parts: tuple[Clause, ...]) -> str:
    """Why ``node`` is unknown: what it lacks itself, or what its first unknown part lacks."""
    match node:
        case Field() | Prev() | Last():
            return _lacking(node, facts)
        case Now():
            return "nobody knows the time yet"
        case Age():
            return _lacking(node.part, facts)
        case Default():
            return parts[-1].why if parts else ""
        case _:
            pass
    if unknown := next((one for one in parts if one.value is None), None):
        return unknown.why
    match node:
        case Arithmetic() if node.sign in ("/", "//", "%"):
            divisor = compiled(node.right)(facts)
            return "a division by 0" if divisor == 0 else _TOO_LARGE
        case Rate():
            return _no_rate(node, facts)
        case Call():
            return node.why
        case _:
            return _TOO_LARGE


def _lacking(node: Field | Prev | Last, facts: Facts) -> str:
    match node:
        case Field():
            name, absent = node.name, "is missing"
        case Prev():
            name, absent = f"prev.{node.name}", "was never heard"
        case Last():
            name, absent = f"{node.name} of {node.device}", "was never heard"
        case _:
            assert_never(node)
    value = raw_value(node, facts)
    if value is None:
        return f"{name} {absent}"
    kind = node.shape.kind
    if kind_of(value) is Kind.NUMBER and kind in (Kind.NUMBER, Kind.ANY):
        return f"{name} is a number too large"
    return f"{name} is {shown(value)}, not {'a plain value' if kind in (Kind.ANY, Kind.THING) else kind.phrase}"


def _no_rate(node: Rate, facts: Facts) -> str:
    reading = facts.prev.get(node.part.name)
    if reading is None:
        return f"prev.{node.part.name} was never heard"
    if kind_of(reading.value) is not Kind.NUMBER:
        return f"prev.{node.part.name} is {shown(reading.value)}, not a number"
    return "no time has passed since the last value" if facts.boot_s <= reading.boot_s else _TOO_LARGE
