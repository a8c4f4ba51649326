"""Arithmetic on ranges: between which numbers a result must lie, given where its operands lie.

Right for every value, not tight: what cannot be told is the whole line. The ends are worked out as the values
themselves will be, and rounding keeps order, so no result lies beyond them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from fieldgate_rules.condition.shapes import NUMBER, Shape

__all__ = ["arithmetic_shape", "can_be_false", "can_be_true", "negative_shape"]


def negative_shape(shape: Shape) -> Shape:
    """The shape of ``-x``."""
    return shape.within(-shape.high, -shape.low)


def arithmetic_shape(sign: str, left: Shape, right: Shape) -> Shape:
    """The shape of ``left sign right``; units are the caller's to set."""
    is_whole = left.is_whole and right.is_whole and sign != "/"
    shape = replace(NUMBER, is_given=left.is_given or right.is_given, is_whole=is_whole)
    match sign:
        case "+":
            return shape.within(left.low + right.low, left.high + right.high)
        case "-":
            return shape.within(left.low - right.high, left.high - right.low)
        case "*":
            return _within(shape, (_product(a, b) for a in (left.low, left.high) for b in (right.low, right.high)))
        case "%":
            return _remainder(shape, right)
        case _:
            return _quotient(shape, left, right, is_floor=sign == "//")


def _within(shape: Shape, ends: Iterable[float]) -> Shape:
    known = list(ends)
    return shape if any(map(math.isnan, known)) else shape.within(min(known), max(known))


def _product(one: float, other: float) -> float:
    return 0.0 if 0 in (one, other) else one * other


def _quotient(shape: Shape, left: Shape, right: Shape, *, is_floor: bool) -> Shape:
    if right.low <= 0 <= right.high or not all(map(math.isfinite, (left.low, left.high, right.low, right.high))):
        return shape
    ends = [a / b for a in (left.low, left.high) for b in (right.low, right.high)]
    if is_floor:  # of floats it is not always the floor of the quotient, but never further away than one
        ends = [math.floor(min(ends)) - 1.0, math.floor(max(ends)) + 1.0]
    return _within(shape, ends)


def _remainder(shape: Shape, right: Shape) -> Shape:
    if right.low > 0:
        return shape.within(0.0, right.high)
    if right.high < 0:
        return shape.within(right.low, 0.0)
    return shape


def can_be_true(sign: str, left: Shape, right: Shape) -> bool:
    """Whether any two values of these shapes compare so."""
    match sign:
        case "<":
            return left.low < right.high
        case "<=":
            return left.low <= right.high
        case ">":
            return left.high > right.low
        case ">=":
            return left.high >= right.low
        case "==":
            return _can_be_equal(left, right)
        case _:
            return not (_is_one(left) and _is_one(right) and _can_be_equal(left, right))


_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


def can_be_false(sign: str, left: Shape, right: Shape) -> bool:
    """Whether any two values of these shapes do not compare so."""
    return can_be_true(_OPPOSITE[sign], left, right)


def _is_one(shape: Shape) -> bool:
    return (shape.values is not None and len(shape.values) == 1) or shape.low == shape.high


def _can_be_equal(left: Shape, right: Shape) -> bool:
    if left.kind is not right.kind:
        return True
    if left.values is not None and right.values is not None and not set(left.values) & set(right.values):
        return False
    for some, other in ((left, right), (right, left)):
        if some.values is not None and not any(_may_be(other, one) for one in some.values):
            return False
    return left.low <= right.high and right.low <= left.high


def _may_be(shape: Shape, value: object) -> bool:
    """Whether a number lies in the range and is not a fraction where whole ones are; other values may always be."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    return shape.low <= value <= shape.high and not (shape.is_whole and value != math.floor(value))
