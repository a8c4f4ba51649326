"""Whether operands go together: their kinds, their units, and texts that stand for a quantity.

``temperature > 80`` is in the field's own unit. ``"80 °C"`` says it, and must be the same one; a duration such as
``"5m"`` becomes a number in whatever unit of time the other side has.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from fieldgate_devices.files.quantities import parse_duration
from fieldgate_devices.units import conversion, known_unit, unit_problem, units_like
from fieldgate_rules.condition.nodes import Choice, Default, Field, Last, Literal, Node, Prev
from fieldgate_rules.condition.shapes import Kind, shape_of_value
from fieldgate_rules.condition.wants import Wrong

__all__ = ["Source", "agree_on_units", "narrowed", "range_text"]

_QUANTITY: Final = re.compile(r"([-+]?[0-9]+(?:\.[0-9]+)?)\s*([^\s0-9.].{0,31})?")


class Source:
    """The text that nodes were made of, for messages."""

    def __init__(self, text: str) -> None:
        self._text = text

    def of(self, node: Node) -> str:
        """What is written there, shortened."""
        text = " ".join(self._text[node.span.start : node.span.end].split())
        return text if len(text) <= 40 else f"{text[:39]}…"


def narrowed(node: Node, kind: Kind) -> Node:
    """The node, of which a value of another kind counts as unknown; only where its kind is not known."""
    if node.shape.kind is not Kind.ANY:
        return node
    shape = node.shape.of_kind(kind)
    match node:
        case Field() | Prev() | Last():
            return replace(node, shape=shape)
        case Choice():
            return replace(node, shape=shape, then=narrowed(node.then, kind), otherwise=narrowed(node.otherwise, kind))
        case Default():
            return replace(node, shape=shape, part=narrowed(node.part, kind), fallback=narrowed(node.fallback, kind))
        case _:
            return node


def agree_on_units(parts: Sequence[Node], source: Source) -> list[Node]:
    """Return ``parts``, all numbers, with texts made numbers.

    Raises:
        Wrong: their units differ, or a text is no quantity.
    """
    lead = next((one for one in parts if one.shape.unit), None)
    made = [_as_number(one, lead, source) if one.shape.kind is Kind.TEXT else one for one in parts]
    for one in made:
        if lead is not None and one.shape.unit not in ("", lead.shape.unit):
            raise _mismatch(lead, one, source)
    return made


def _mismatch(one: Node, other: Node, source: Source) -> Wrong:
    said = f"{source.of(one)} is in {one.shape.unit}, {source.of(other)} in {other.shape.unit}"
    if unit_problem(other.shape.unit, one.shape.unit):
        return Wrong(other.span, f"{said}: they cannot be compared or added")
    return Wrong(other.span, f'{said}; write convert({source.of(other)}, "{one.shape.unit}")')


def _as_number(text: Node, lead: Node | None, source: Source) -> Node:
    """The number that a text in quotes stands for beside ``lead``."""
    assert isinstance(text, Literal)  # a text of another origin is refused where numbers are asked for
    written = str(text.value)
    match = _QUANTITY.fullmatch(written)
    if match is None:
        raise Wrong(text.span, f"{written!r} is a text, not a number")
    if match[2] is None:
        raise Wrong(text.span, f"{written!r} is a text; write the number without quotes")
    if lead is None:
        raise Wrong(text.span, f"{written!r} has a unit, and nothing beside it has one; write the number alone")
    unit = lead.shape.unit
    if "s" in units_like(unit):
        number = _duration(text, written, unit)
    elif unit in (match[2], known_unit(match[2])):
        number = float(match[1])
    elif unit_problem(match[2], unit):
        raise Wrong(text.span, f"{source.of(lead)} is in {unit}, {written!r} in {match[2]}: they cannot be compared")
    else:
        number = conversion(match[2], unit)(float(match[1]))
        raise Wrong(text.span, f"{source.of(lead)} is in {unit}, {written!r} in {match[2]}; write {number:.10g}")
    shape = replace(shape_of_value(number), is_given=text.shape.is_given)
    return Literal(text.span, shape, number)


def _duration(text: Literal, written: str, unit: str) -> float:
    try:
        seconds = parse_duration(written)
    except ValueError as error:
        raise Wrong(text.span, str(error)) from error
    return conversion("s", unit)(seconds)


def range_text(node: Node, source: Source) -> str:
    """Say between which numbers ``node`` lies; empty where nobody knows."""
    shape = node.shape
    unit = f" {shape.unit}" if shape.unit else ""
    low, high = shape.low, shape.high
    if low == high:
        return f"{source.of(node)} is always {low:.10g}{unit}"
    if low > float("-inf") and high < float("inf"):
        return f"{source.of(node)} is {low:.10g} to {high:.10g}{unit}"
    if high < float("inf"):
        return f"{source.of(node)} is {high:.10g}{unit} at most"
    return f"{source.of(node)} is {low:.10g}{unit} at least" if low > float("-inf") else ""
