"""Closures that read a name: what is missing, or of another kind than the profile says, is unknown.

An event keeps its profile's contract, but an earlier value may have kept an older one, and of devices without a
profile nobody has said what they send: so each value's kind is looked at, every time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from fieldgate_rules.condition.bounds import MAX_NUMBER
from fieldgate_rules.condition.facts import Closure, Facts, Value
from fieldgate_rules.condition.nodes import Field, Last, Prev
from fieldgate_rules.condition.shapes import Kind

__all__ = ["known_number", "raw_value", "read_field", "read_stored"]


def known_number(value: object) -> float | int | None:
    """The value if it is a number that can be reckoned with."""
    if (type(value) is float or type(value) is int) and -MAX_NUMBER <= value <= MAX_NUMBER:
        return value
    return None


def _known_text(value: object) -> Value | None:
    return value if type(value) is str else None


def _known_truth(value: object) -> Value | None:
    return value if type(value) is bool else None


def _known_any(value: object) -> Value | None:
    return value if type(value) is str or type(value) is bool else known_number(value)


def _known(kind: Kind) -> Callable[[object], Value | None]:
    match kind:
        case Kind.NUMBER:
            return known_number
        case Kind.TEXT:
            return _known_text
        case Kind.TRUTH:
            return _known_truth
        case Kind.ANY:
            return _known_any
        case Kind.THING:
            return lambda value: None
        case _:
            assert_never(kind)


def read_field(name: str, kind: Kind) -> Closure:
    """Return the closure that gives a field of the event."""
    if kind is Kind.NUMBER:

        def number(facts: Facts) -> Value | None:
            value = facts.fields.get(name)
            if (type(value) is float or type(value) is int) and -MAX_NUMBER <= value <= MAX_NUMBER:
                return value
            return None

        return number
    known = _known(kind)
    return lambda facts: known(facts.fields.get(name))


def read_stored(node: Prev | Last) -> Closure:
    """Return the closure that gives an earlier value."""
    known = _known(node.shape.kind)
    if isinstance(node, Prev):
        name = node.name

        def prev(facts: Facts) -> Value | None:
            reading = facts.prev.get(name)
            return None if reading is None else known(reading.value)

        return prev
    key = (node.device, node.name)

    def last(facts: Facts) -> Value | None:
        reading = facts.last.get(key)
        return None if reading is None else known(reading.value)

    return last


def raw_value(node: Field | Prev | Last, facts: Facts) -> object:
    """What stands there, whatever its kind; None where nothing does."""
    match node:
        case Field():
            return facts.fields.get(node.name)
        case Prev():
            reading = facts.prev.get(node.name)
        case Last():
            reading = facts.last.get((node.device, node.name))
        case _:
            assert_never(node)
    return None if reading is None else reading.value
