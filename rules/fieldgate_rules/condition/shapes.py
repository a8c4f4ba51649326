"""What is known of a value before there is one: its kind, its unit, the range it keeps to, the values it may be."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from fieldgate_devices.field_model import FieldSpec
from fieldgate_devices.units import known_unit
from fieldgate_rules.condition.facts import Value

__all__ = [
    "ANYTHING",
    "NUMBER",
    "TEXT",
    "TRUTH",
    "Kind",
    "Shape",
    "both_of",
    "kind_of",
    "shape_of_spec",
    "shape_of_value",
]

_EXACT: Final = float(2**53)  # beyond, a bound in floating point may lie beside the whole number it stands for


class Kind(StrEnum):
    """``ANY`` is a number, a truth or a text: nobody says which. A ``THING`` is a list or mapping."""

    NUMBER = "number"
    TRUTH = "truth"
    TEXT = "text"
    ANY = "any"
    THING = "thing"

    @property
    def phrase(self) -> str:
        """The kind with its article, as messages have it."""
        return _PHRASES[self]


_PHRASES: Final = {
    Kind.NUMBER: "a number",
    Kind.TRUTH: "true or false",
    Kind.TEXT: "a text",
    Kind.ANY: "of no known type",
    Kind.THING: "a list or mapping",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """``unit`` is empty where nobody says one, ``values`` None where there are too many to say.

    ``is_given``: it rests on a parameter of the rule, so that a constant result is no mistake.
    """

    kind: Kind
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    is_whole: bool = False
    values: tuple[Value, ...] | None = None
    is_given: bool = False

    def within(self, low: float, high: float, *, is_whole: bool | None = None) -> Shape:
        """The same with another range, which is widened where it is too large to be exact."""
        low, high = _widened(low, high)
        is_whole = self.is_whole if is_whole is None else is_whole
        return Shape(self.kind, self.unit, low, high, is_whole, None, self.is_given)

    def of_kind(self, kind: Kind) -> Shape:
        """What is left of one of no known type where a value of another kind counts as none."""
        values = None if self.values is None else tuple(one for one in self.values if kind_of(one) is kind)
        return replace(self, kind=kind, values=values)


def _widened(low: float, high: float) -> tuple[float, float]:
    return (low if -_EXACT < low < _EXACT else -math.inf, high if -_EXACT < high < _EXACT else math.inf)


ANYTHING: Final = Shape(Kind.ANY)
NUMBER: Final = Shape(Kind.NUMBER)
TRUTH: Final = Shape(Kind.TRUTH)
TEXT: Final = Shape(Kind.TEXT)


def kind_of(value: object) -> Kind:
    """The kind of a value of an event."""
    if isinstance(value, bool):
        return Kind.TRUTH
    if isinstance(value, int | float):
        return Kind.NUMBER
    return Kind.TEXT if isinstance(value, str) else Kind.THING


def shape_of_value(value: Value, *, is_given: bool = False) -> Shape:
    """The shape of a literal, or of a parameter where it ``is_given``."""
    kind = kind_of(value)
    if kind is not Kind.NUMBER or isinstance(value, str):
        return Shape(kind, values=(value,), is_given=is_given)
    low, high = _widened(float(value), float(value))
    return Shape(kind, "", low, high, isinstance(value, int), (value,), is_given)


def shape_of_spec(spec: FieldSpec) -> Shape:
    """The shape of a field of a profile."""
    unit = known_unit(spec.unit) or spec.unit  # F is °F
    low = -math.inf if spec.min is None else spec.min
    high = math.inf if spec.max is None else spec.max
    match spec.type:
        case "float":
            return Shape(Kind.NUMBER, unit=unit).within(low, high)
        case "int":
            low = low if math.isinf(low) else float(math.ceil(low))
            high = high if math.isinf(high) else float(math.floor(high))
            return Shape(Kind.NUMBER, unit=unit).within(low, high, is_whole=True)
        case "bool":
            return TRUTH
        case "string":
            return TEXT
        case "object":
            return Shape(Kind.THING)
        case "enum":
            return _of_enum(tuple(one for one in spec.values if one is not None))


def _of_enum(values: tuple[Value, ...]) -> Shape:
    kinds = {kind_of(one) for one in values}
    kind = kinds.pop() if len(kinds) == 1 else Kind.ANY
    shape = Shape(kind)
    if kind is Kind.NUMBER:
        numbers = [float(one) for one in values]
        shape = shape.within(min(numbers), max(numbers), is_whole=all(isinstance(one, int) for one in values))
    return replace(shape, values=values)


def both_of(one: Shape, other: Shape) -> Shape:
    """The shape of what may be either; `Kind.ANY` where their kinds differ."""
    if one.kind is not other.kind:
        has_thing = Kind.THING in (one.kind, other.kind)
        return Shape(Kind.THING if has_thing else Kind.ANY, is_given=one.is_given or other.is_given)
    values = None if one.values is None or other.values is None else tuple(dict.fromkeys((*one.values, *other.values)))
    return Shape(
        one.kind,
        unit=one.unit if one.unit == other.unit else "",
        low=min(one.low, other.low),
        high=max(one.high, other.high),
        is_whole=one.is_whole and other.is_whole,
        values=values,
        is_given=one.is_given or other.is_given,
    )
