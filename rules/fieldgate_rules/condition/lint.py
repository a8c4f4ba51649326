"""Find clauses that exclude each other (``x > 80 and x < 20``), or of which one always holds (``x != 1 or x != 2``)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

from fieldgate_rules.condition.agreement import Source
from fieldgate_rules.condition.facts import Value
from fieldgate_rules.condition.nodes import AllOf, AnyOf, Comparison, Literal, Member, Node, Not, parts_of
from fieldgate_rules.condition.place import Complaint, Span

__all__ = ["contradictions"]

_NO_SPAN = Span(0, 0)
_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_SETS = {"==": "in", "!=": "not in"}


def contradictions(node: Node, source: Source) -> Iterator[Complaint]:
    """Complain about clauses that are decided by those beside them."""
    match node:
        case AllOf():
            yield from _conflicts(node.parts, source, is_all=True)
        case AnyOf():
            yield from _conflicts(node.parts, source, is_all=False)
        case Comparison() if len(node.signs) > 1:
            yield from _conflicts((node,), source, is_all=True)
    for part in parts_of(node):
        yield from contradictions(part, source)


@dataclass(slots=True)
class _Room:
    """What is left for a value."""

    first: Node
    low: float = -math.inf
    high: float = math.inf
    is_low_out: bool = False
    is_high_out: bool = False
    allowed: set[Value] | None = None
    banned: set[Value] = field(default_factory=set)

    def narrow(self, sign: str, values: tuple[Value, ...]) -> None:
        if sign == "in":
            self.allowed = set(values) if self.allowed is None else self.allowed & set(values)
        elif sign == "not in":
            self.banned.update(values)
        elif not isinstance(values[0], str):
            self._cut(sign, values[0])

    def _cut(self, sign: str, end: float) -> None:
        is_out = sign in "<>"
        if sign in (">", ">=") and (end > self.low or (end == self.low and is_out)):
            self.low, self.is_low_out = end, is_out
        elif sign in ("<", "<=") and (end < self.high or (end == self.high and is_out)):
            self.high, self.is_high_out = end, is_out

    @property
    def is_empty(self) -> bool:
        if self.low > self.high or (self.low == self.high and (self.is_low_out or self.is_high_out)):
            return True
        return self.allowed is not None and not any(map(self._takes, self.allowed - self.banned))

    def _takes(self, value: Value) -> bool:
        if isinstance(value, str | bool):
            return True
        if value < self.low or value > self.high:
            return False
        return not ((value == self.low and self.is_low_out) or (value == self.high and self.is_high_out))


def _conflicts(parts: tuple[Node, ...], source: Source, *, is_all: bool) -> Iterator[Complaint]:
    rooms: dict[Node, _Room] = {}
    for clause in parts:
        for subject, sign, values in _constraints(clause, is_all=is_all):
            room = rooms.setdefault(subject, _Room(clause))
            room.narrow(sign, values)
            if room.is_empty:
                how = "this is never true together with" if is_all else "this is always true together with"
                hint = "; did you mean 'or'?" if is_all else "; did you mean 'and'?"
                is_chain = room.first is clause
                said = "this is never true" if is_chain else f"{how} {source.of(room.first)!r}{hint}"
                yield Complaint(clause.span, said)
                return


def _constraints(clause: Node, *, is_all: bool) -> Iterator[tuple[Node, str, tuple[Value, ...]]]:
    """What a clause says of single values: each as ``subject sign values``; of an ``or`` what its clauses deny."""
    match clause:
        case Not():
            yield from _constraints(clause.part, is_all=not is_all)
        case Comparison() if is_all or len(clause.signs) == 1:
            for sign, (left, right) in zip(clause.signs, pairwise(clause.parts), strict=True):
                used = sign if is_all else _OPPOSITE[sign]
                if isinstance(right, Literal) and not isinstance(left, Literal) and not right.shape.is_given:
                    yield replace(left, span=_NO_SPAN), _SETS.get(used, used), (right.value,)
                elif isinstance(left, Literal) and not isinstance(right, Literal) and not left.shape.is_given:
                    turned = _TURNED.get(used, used)
                    yield replace(right, span=_NO_SPAN), _SETS.get(turned, turned), (left.value,)
        case Member():
            yield replace(clause.part, span=_NO_SPAN), "not in" if clause.is_negated is is_all else "in", clause.values
        case _:
            return
