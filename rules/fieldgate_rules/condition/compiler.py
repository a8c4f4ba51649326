"""Make a closure of a checked expression: facts in, a value out, None for unknown.

Laws: it never raises, it changes nothing, and what it costs is bounded by what the checker let through. Truth is
three-valued after Kleene: ``and`` is false as soon as one side is, ``or`` true as soon as one side is, whatever is
unknown beside it; else what rests on something unknown is unknown.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final, assert_never

from fieldgate_rules.condition.bounds import MAX_NUMBER, cut, finite
from fieldgate_rules.condition.comparing import comparing, fused, looking_up
from fieldgate_rules.condition.facts import Closure, Facts, Value
from fieldgate_rules.condition.nodes import (
    Age,
    AllOf,
    AnyOf,
    Arithmetic,
    Call,
    Choice,
    Comparison,
    Default,
    Device,
    Field,
    Has,
    Last,
    Literal,
    Member,
    Negative,
    Node,
    Not,
    Now,
    Prev,
    Rate,
    parts_of,
)
from fieldgate_rules.condition.reads import known_number, raw_value, read_field, read_stored
from fieldgate_rules.condition.shapes import Kind
from fieldgate_rules.condition.text_functions import is_cut

__all__ = ["compiled"]

_OPERATIONS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul,
    "/": operator.truediv, "//": operator.floordiv, "%": operator.mod,
}  # fmt: skip


def compiled(node: Node) -> Closure:
    """Return the closure of ``node``."""
    return _joined(node, [compiled(part) for part in parts_of(node)])


def _joined(node: Node, parts: list[Closure]) -> Closure:
    """The closure of ``node``, made of those of its parts."""
    match node:
        case Literal():
            value = node.value
            return lambda facts: value
        case Field():
            return read_field(node.name, node.shape.kind)
        case Prev() | Last():
            return read_stored(node)
        case Device():
            return lambda facts: facts.device
        case Now():
            return lambda facts: facts.wall_s
        case Not():
            return _not(*parts)
        case AllOf():
            return fused(node, _all_of(parts))
        case AnyOf():
            return _any_of(parts)
        case Comparison():
            return comparing(node, parts)
        case Member():
            return looking_up(node, *parts)
        case Arithmetic():
            return _arithmetic(node.sign, *parts)
        case Negative():
            return _negative(*parts)
        case Choice():
            return _choice(*parts)
        case Has():
            return _has(node.part, *parts)
        case Default():
            return _default(*parts)
        case Age():
            return _age(node.part)
        case Rate():
            return _rate(node, *parts)
        case Call():
            return _call(node, parts)
        case _:
            assert_never(node)


def _not(part: Closure) -> Closure:
    def turned(facts: Facts) -> bool | None:
        truth = part(facts)
        return None if truth is None else not truth

    return turned


def _all_of(parts: Sequence[Closure]) -> Closure:
    if len(parts) == 2:
        return _both(*parts)
    if len(parts) == 3:
        return _all_three(*parts)

    def all_of(facts: Facts) -> bool | None:
        is_known = True
        for part in parts:
            truth = part(facts)
            if truth is False:
                return False
            if truth is None:
                is_known = False
        return True if is_known else None

    return all_of


def _both(first: Closure, second: Closure) -> Closure:
    """Two and three clauses without a loop: most conditions, in two thirds of the time."""

    def both(facts: Facts) -> bool | None:
        one = first(facts)
        if one is False:
            return False
        other = second(facts)
        if other is False:
            return False
        return None if one is None or other is None else True

    return both


def _all_three(first: Closure, second: Closure, third: Closure) -> Closure:
    def all_three(facts: Facts) -> bool | None:
        one = first(facts)
        if one is False:
            return False
        two = second(facts)
        if two is False:
            return False
        three = third(facts)
        if three is False:
            return False
        return None if one is None or two is None or three is None else True

    return all_three


def _any_of(parts: Sequence[Closure]) -> Closure:
    def any_of(facts: Facts) -> bool | None:
        is_known = True
        for part in parts:
            truth = part(facts)
            if truth is True:
                return True
            if truth is None:
                is_known = False
        return False if is_known else None

    return any_of


def _arithmetic(sign: str, left: Closure, right: Closure) -> Closure:
    operation = _OPERATIONS[sign]
    can_divide = sign in ("/", "//", "%")

    def reckoned(facts: Facts) -> Value | None:
        one = left(facts)
        if one is None:
            return None
        other = right(facts)
        if other is None or (can_divide and other == 0):
            return None
        number: float = operation(one, other)
        return number if -MAX_NUMBER <= number <= MAX_NUMBER else None

    return reckoned


def _negative(part: Closure) -> Closure:
    def negative(facts: Facts) -> Value | None:
        number: Any = part(facts)
        return None if number is None else -number

    return negative


def _choice(then: Closure, test: Closure, otherwise: Closure) -> Closure:
    def chosen(facts: Facts) -> Value | None:
        truth = test(facts)
        if truth is None:
            return None
        return then(facts) if truth else otherwise(facts)

    return chosen


def _has(node: Field | Prev | Last, part: Closure) -> Closure:
    if node.shape.kind in (Kind.ANY, Kind.THING):
        return lambda facts: raw_value(node, facts) is not None
    return lambda facts: part(facts) is not None


def _default(part: Closure, fallback: Closure) -> Closure:
    def known(facts: Facts) -> Value | None:
        value = part(facts)
        return fallback(facts) if value is None else value

    return known


def _age(node: Prev | Last) -> Closure:
    def age(facts: Facts) -> Value | None:
        reading = facts.prev.get(node.name) if isinstance(node, Prev) else facts.last.get((node.device, node.name))
        return None if reading is None else max(0.0, facts.boot_s - reading.boot_s)

    return age


def _rate(node: Rate, part: Closure) -> Closure:
    name, per_s = node.part.name, node.per_s

    def rate(facts: Facts) -> Value | None:
        value: Any = part(facts)
        reading = facts.prev.get(name)
        if value is None or reading is None:
            return None
        before: Any = known_number(reading.value)
        passed_s = facts.boot_s - reading.boot_s
        if before is None or passed_s <= 0:
            return None
        change: Any = finite(value - before)
        return None if change is None else finite(change / passed_s * per_s)

    return rate


def _call(node: Call, parts: Sequence[Closure]) -> Closure:
    run = node.run
    given = [_cut(part) if is_cut(one) else part for one, part in zip(node.arguments, parts, strict=True)]
    if len(given) == 1:
        (only,) = given

        def called_with_one(facts: Facts) -> Value | None:
            value = only(facts)
            return None if value is None else run(value)

        return called_with_one

    def called(facts: Facts) -> Value | None:
        values = [part(facts) for part in given]
        return None if None in values else run(*values)

    return called


def _cut(part: Closure) -> Closure:
    def beginning(facts: Facts) -> Value | None:
        text: Any = part(facts)
        return None if text is None else cut(text)

    return beginning
