"""Functions of numbers, and of how they change."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from fieldgate_devices.units import conversion, known_unit, unit_problem, units_like
from fieldgate_rules.condition.bounds import finite
from fieldgate_rules.condition.facts import Value
from fieldgate_rules.condition.nodes import Age, Arithmetic, Call, Field, Last, Literal, Node, Prev, Rate
from fieldgate_rules.condition.shapes import NUMBER, Shape, both_of
from fieldgate_rules.condition.wants import Example, Function, Parameter, Use, Wants, Wrong

__all__ = ["NUMBER_FUNCTIONS", "difference_unit"]

_X: Final = Parameter("x", Wants.NUMBER)
_TOO_LARGE: Final = "the number is too large"


def difference_unit(unit: str) -> str:
    """The unit of a difference of two numbers in ``unit``: 10 °C more is 18 °F more, so temperatures lose theirs."""
    return "" if "°C" in units_like(unit) else unit


def _call(use: Use, name: str, shape: Shape, run: object, *, why: str = _TOO_LARGE) -> Call:
    assert callable(run)
    return Call(use.span, shape, name, use.arguments, run, steps=6 + 2 * len(use.arguments), why=why)


def _abs(use: Use) -> Node:
    shape = use.arguments[0].shape
    low = 0.0 if shape.low <= 0 <= shape.high else min(abs(shape.low), abs(shape.high))
    return _call(use, "abs", shape.within(low, max(abs(shape.low), abs(shape.high))), abs)


def _least(use: Use) -> Node:
    shapes = [one.shape for one in use.arguments]
    return _call(use, "min", _extreme(shapes).within(min(s.low for s in shapes), min(s.high for s in shapes)), min)


def _greatest(use: Use) -> Node:
    shapes = [one.shape for one in use.arguments]
    return _call(use, "max", _extreme(shapes).within(max(s.low for s in shapes), max(s.high for s in shapes)), max)


def _extreme(shapes: list[Shape]) -> Shape:
    unit = next((one.unit for one in shapes if one.unit), "")
    shape = shapes[0]
    for one in shapes[1:]:
        shape = both_of(shape, one)
    return replace(shape, unit=unit)


def _round(use: Use) -> Node:
    shape = use.arguments[0].shape
    if len(use.arguments) == 1:
        rounded = shape.within(_floor(shape.low), -_floor(-shape.high), is_whole=True)
        return _call(use, "round", rounded, round)
    digits = use.arguments[1]
    assert isinstance(digits, Literal)
    count = int(digits.value)
    part = replace(use, arguments=use.arguments[:1])
    return _call(part, "round", shape.within(_floor(shape.low), -_floor(-shape.high)), lambda x: round(x, count))


def _floor(end: float) -> float:
    return end if math.isinf(end) else float(math.floor(end))


def _clamp(use: Use) -> Node:
    _, low, high = use.arguments
    if isinstance(low, Literal) and isinstance(high, Literal) and float(low.value) > float(high.value):
        raise Wrong(low.span, f"low of {low.value:g} is greater than high of {high.value:g}")
    shape = _extreme([one.shape for one in use.arguments]).within(low.shape.low, max(high.shape.high, low.shape.high))
    return _call(use, "clamp", shape, lambda x, low, high: max(low, min(x, high)))


def _convert(use: Use) -> Node:
    x, unit = use.arguments
    assert isinstance(unit, Literal)
    target = str(unit.value)
    if not x.shape.unit:
        raise Wrong(x.span, "this has no known unit to be converted from; give the field one in its profile")
    if problem := unit_problem(x.shape.unit, target):
        raise Wrong(unit.span, problem)
    change = conversion(x.shape.unit, target)
    ends = sorted(end if math.isinf(end) else change(end) for end in (x.shape.low, x.shape.high))
    shape = replace(NUMBER.within(*ends), unit=known_unit(target) or target, is_given=x.shape.is_given)

    def run(number: float) -> Value | None:
        return finite(change(number))

    return _call(replace(use, arguments=(x,)), "convert", shape, run)


def _delta(use: Use) -> Node:
    part = use.arguments[0]
    assert isinstance(part, Field)
    unit = difference_unit(part.shape.unit)
    shape = replace(NUMBER, unit=unit, is_whole=part.shape.is_whole)
    shape = shape.within(part.shape.low - part.shape.high, part.shape.high - part.shape.low)
    return Arithmetic(use.span, shape, "-", part, Prev(part.span, part.shape, part.name))


def _rate(use: Use) -> Node:
    part = use.arguments[0]
    assert isinstance(part, Field)
    per = use.arguments[1] if len(use.arguments) > 1 else None
    assert per is None or isinstance(per, Literal)
    return Rate(use.span, NUMBER, part, 1.0 if per is None else float(per.value))


def _age(use: Use) -> Node:
    part = use.arguments[0]
    assert isinstance(part, Prev | Last)
    return Age(use.span, replace(NUMBER, unit="s").within(0.0, math.inf), part)


NUMBER_FUNCTIONS: Final = (
    Function("abs", (_X,), "number", "The number without its sign.", (Example("abs(-3)", 3),), _abs),
    Function(
        "min",
        (_X, Parameter("y", Wants.NUMBER, is_many=True)),
        "number",
        "The least of 2 to 8 numbers.",
        (Example("min(supply, back)", 41.0, {"supply": 60.5, "back": 41.0}),),
        _least,
    ),
    Function(
        "max",
        (_X, Parameter("y", Wants.NUMBER, is_many=True)),
        "number",
        "The greatest of 2 to 8 numbers.",
        (Example("max(supply, back)", 60.5, {"supply": 60.5, "back": 41.0}),),
        _greatest,
    ),
    Function(
        "round",
        (_X, Parameter("digits", Wants.DIGITS, is_optional=True)),
        "number",
        "The nearest whole number, or the nearest with so many digits behind the point; of two that are as near the "
        "even one, as Python does.",
        (Example("round(21.25, 1)", 21.2), Example("round(2.5)", 2)),
        _round,
    ),
    Function(
        "clamp",
        (_X, Parameter("low", Wants.NUMBER), Parameter("high", Wants.NUMBER)),
        "number",
        "The number, or the end of low to high that it lies beyond.",
        (Example("clamp(level, 0, 100)", 100, {"level": 104.2}),),
        _clamp,
    ),
    Function(
        "convert",
        (_X, Parameter("unit", Wants.UNIT)),
        "number",
        "The number in another unit; the field's own is known from its profile.",
        (Example('convert(temperature, "°F")', 176.0, {"temperature": 80.0}),),
        _convert,
    ),
    Function(
        "delta",
        (Parameter("field", Wants.FIELD),),
        "number",
        "How much the field has changed since the last event of the same device that had it.",
        (Example("delta(level)", -1.5, {"level": 40.0}, {"level": 41.5}),),
        _delta,
    ),
    Function(
        "rate",
        (Parameter("field", Wants.FIELD), Parameter("per", Wants.DURATION, is_optional=True)),
        "number",
        "`delta` divided by the time between the two events: per second, or per the duration that is named.",
        (Example('rate(level, "1h")', -90.0, {"level": 40.0}, {"level": 41.5}),),
        _rate,
    ),
    Function(
        "age",
        (Parameter("value", Wants.EARLIER),),
        "number (s)",
        "How long ago that value came. The time between two events, where it is of `prev`.",
        (Example('age(prev.level) > "30s"', True, {"level": 40.0}, {"level": 41.5}),),
        _age,
    ),
)
