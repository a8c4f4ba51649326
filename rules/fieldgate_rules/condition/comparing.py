"""Closures of comparisons. What most rules are made of, a field beside a literal, is one call with nothing below it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from fieldgate_rules.condition.bounds import MAX_CHARACTERS, MAX_NUMBER, cut
from fieldgate_rules.condition.facts import Closure, Facts, Value
from fieldgate_rules.condition.nodes import AllOf, Comparison, Field, Literal, Member, Node
from fieldgate_rules.condition.shapes import Kind, kind_of

__all__ = ["comparing", "fused", "looking_up"]

Compare = Callable[[Any, Any], bool]

_COMPARES: Final[dict[str, Compare]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_EXACT: Final = 2**53


def _same(one: Value, other: Value) -> bool:
    if type(one) is str and type(other) is str:
        return cut(one) == cut(other)
    return kind_of(one) is kind_of(other) and one == other


def _other(one: Value, other: Value) -> bool:
    return not _same(one, other)


def _same_cut(one: str, other: str) -> bool:
    return cut(one) == cut(other)


def _other_cut(one: str, other: str) -> bool:
    return cut(one) != cut(other)


def comparing(node: Comparison, parts: Sequence[Closure]) -> Closure:
    """Return the closure of a comparison of what ``parts`` give."""
    if len(node.signs) > 1:
        return _chain(list(parts), [_compare(node, number) for number in range(len(node.signs))])
    left, right = node.parts
    if isinstance(left, Field) and isinstance(right, Literal):
        if left.shape.kind is Kind.NUMBER and not isinstance(right.value, str):
            return _NUMBERS[node.signs[0]](left.name, _as_float(right.value))
        if left.shape.kind is Kind.TEXT:
            return _texts(left.name, right.value, is_equal=node.signs[0] == "==")
    return _two(parts[0], parts[1], _compare(node, 0))


def _compare(node: Comparison, number: int) -> Compare:
    left, right = node.parts[number : number + 2]
    sign = node.signs[number]
    if Kind.ANY in (left.shape.kind, right.shape.kind):
        return _same if sign == "==" else _other
    if left.shape.kind is Kind.TEXT and not isinstance(left, Literal) and not isinstance(right, Literal):
        return _same_cut if sign == "==" else _other_cut
    return _COMPARES[sign]


def _as_float(number: float) -> float:
    """The number as a float where that is the same one: floats are compared with each other faster."""
    return float(number) if -_EXACT <= number <= _EXACT else number


def _two(left: Closure, right: Closure, compare: Compare) -> Closure:
    def compared(facts: Facts) -> bool | None:
        one = left(facts)
        if one is None:
            return None
        other = right(facts)
        return None if other is None else compare(one, other)

    return compared


def _chain(parts: list[Closure], compares: list[Compare]) -> Closure:
    """``a < b < c``: as ``a < b and b < c``, each part looked at once."""

    def compared(facts: Facts) -> bool | None:
        values = [part(facts) for part in parts]
        is_known = True
        for number, compare in enumerate(compares):
            one, other = values[number], values[number + 1]
            if one is None or other is None:
                is_known = False
            elif not compare(one, other):
                return False
        return True if is_known else None

    return compared


def _less(name: str, limit: float) -> Closure:
    def less(facts: Facts) -> bool | None:
        value = facts.fields.get(name)
        if type(value) is float:
            return value < limit
        return value < limit if type(value) is int and -MAX_NUMBER <= value <= MAX_NUMBER else None

    return less


def _less_or_equal(name: str, limit: float) -> Closure:
    def less_or_equal(facts: Facts) -> bool | None:
        value = facts.fields.get(name)
        if type(value) is float:
            return value <= limit
        return value <= limit if type(value) is int and -MAX_NUMBER <= value <= MAX_NUMBER else None

    return less_or_equal


def _greater(name: str, limit: float) -> Closure:
    def greater(facts: Facts) -> bool | None:
        value = facts.fields.get(name)
        if type(value) is float:
            return value > limit
        return value > limit if type(value) is int and -MAX_NUMBER <= value <= MAX_NUMBER else None

    return greater


def _greater_or_equal(name: str, limit: float) -> Closure:
    def greater_or_equal(facts: Facts) -> bool | None:
        value = facts.fields.get(name)
        if type(value) is float:
            return value >= limit
        return value >= limit if type(value) is int and -MAX_NUMBER <= value <= MAX_NUMBER else None

    return greater_or_equal


def _equal(name: str, wanted: float) -> Closure:
    def equal(facts: Facts) -> bool | None:
        value = facts.fields.get(name)
        if type(value) is float:
            return value == wanted
        return value == wanted if type(value) is int and -MAX_NUMBER <= value <= MAX_NUMBER else None

    return equal


def _unequal(name: str, wanted: float) -> Closure:
    def unequal(facts: Facts) -> bool | None:
        value = facts.fields.get(name)
        if type(value) is float:
            return value != wanted
        return value != wanted if type(value) is int and -MAX_NUMBER <= value <= MAX_NUMBER else None

    return unequal


_NUMBERS: Final[dict[str, Callable[[str, float], Closure]]] = {
    "<": _less, "<=": _less_or_equal, ">": _greater, ">=": _greater_or_equal, "==": _equal, "!=": _unequal,
}  # fmt: skip


def _texts(name: str, wanted: Value, *, is_equal: bool) -> Closure:
    """No text is cut here: what is beyond 4 KiB is longer than any literal."""
    if is_equal:

        def equal(facts: Facts) -> bool | None:
            value = facts.fields.get(name)
            return value == wanted if type(value) is str else None

        return equal

    def unequal(facts: Facts) -> bool | None:
        value = facts.fields.get(name)
        return value != wanted if type(value) is str else None

    return unequal


def looking_up(node: Member, part: Closure) -> Closure:
    """Return the closure of ``x in [1, 2]``."""
    is_in = not node.is_negated
    if node.part.shape.kind is Kind.ANY:
        pairs = frozenset((kind_of(one), one) for one in node.values)

        def found_any(facts: Facts) -> bool | None:
            value = part(facts)
            return None if value is None else (_is_short(value) and (kind_of(value), value) in pairs) is is_in

        return found_any
    values = frozenset(node.values)

    def found(facts: Facts) -> bool | None:
        value = part(facts)
        return None if value is None else (_is_short(value) and value in values) is is_in

    return found


def _is_short(value: Value) -> bool:
    """Whether it can be in a list of literals at all; a longer text costs time to look up."""
    return not isinstance(value, str) or len(value) <= MAX_CHARACTERS


class _Simple(NamedTuple):
    """A field beside a literal; ``kind`` is the type that the field's value most often has."""

    name: str
    kind: type
    compare: Compare
    wanted: Value


def fused(node: AllOf, general: Closure) -> Closure:
    """Return one closure for two or three simple clauses, in two thirds of the time; ``general`` for any others.

    It answers where the values that it needs are there and of the kind that is expected; else ``general`` does.
    """
    match [_simple(part) for part in node.parts]:
        case [_Simple() as first, _Simple() as second]:
            return _two_fused(first, second, general)
        case [_Simple() as first, _Simple() as second, _Simple() as third]:
            return _three_fused(first, second, third, general)
        case _:
            return general


def _simple(node: Node) -> _Simple | None:
    match node:
        case Comparison(parts=(Field() as left, Literal() as right), signs=(sign,)):
            if left.shape.kind is Kind.TEXT:
                return _Simple(left.name, str, _COMPARES[sign], right.value)
            if left.shape.kind is Kind.NUMBER and not left.shape.is_whole and not isinstance(right.value, str):
                return _Simple(left.name, float, _COMPARES[sign], _as_float(right.value))
    return None


def _two_fused(first: _Simple, second: _Simple, general: Closure) -> Closure:
    """Written out, as is the one for three: a loop over them would take as long as the general way."""
    first_name, first_kind, first_compare, first_wanted = first
    second_name, second_kind, second_compare, second_wanted = second

    def both(facts: Facts) -> Value | None:
        fields = facts.fields
        one = fields.get(first_name)
        if type(one) is first_kind:
            if not first_compare(one, first_wanted):
                return False
            two = fields.get(second_name)
            if type(two) is second_kind:
                return second_compare(two, second_wanted)
        return general(facts)

    return both


def _three_fused(first: _Simple, second: _Simple, third: _Simple, general: Closure) -> Closure:
    first_name, first_kind, first_compare, first_wanted = first
    second_name, second_kind, second_compare, second_wanted = second
    third_name, third_kind, third_compare, third_wanted = third

    def all_three(facts: Facts) -> Value | None:
        fields = facts.fields
        one = fields.get(first_name)
        if type(one) is first_kind:
            if not first_compare(one, first_wanted):
                return False
            two = fields.get(second_name)
            if type(two) is second_kind:
                if not second_compare(two, second_wanted):
                    return False
                three = fields.get(third_name)
                if type(three) is third_kind:
                    return third_compare(three, third_wanted)
        return general(facts)

    return all_three
