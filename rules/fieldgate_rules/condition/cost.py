"""What an expression costs at most, in steps: known before it ever runs, whatever the values."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from fieldgate_rules.condition.agreement import Source
from fieldgate_rules.condition.bounds import MAX_STEPS
from fieldgate_rules.condition.nodes import (
    Age,
    AllOf,
    AnyOf,
    Arithmetic,
    Call,
    Choice,
    Comparison,
    Default,
    Last,
    Literal,
    Member,
    Node,
    Prev,
    Rate,
    parts_of,
)
from fieldgate_rules.condition.place import Complaint
from fieldgate_rules.condition.shapes import Kind
from fieldgate_rules.condition.text_functions import is_cut, is_long

__all__ = ["cost_complaint", "steps"]

_CUT_STEPS: Final = 150


def steps(node: Node) -> int:
    """How many steps ``node`` takes at most, with everything below it."""
    return _own_steps(node) + sum(map(steps, parts_of(node)))


def _own_steps(node: Node) -> int:
    match node:
        case AllOf() | AnyOf():
            return 2 + len(node.parts)
        case Comparison():
            return sum(_pair_steps(left, right) for left, right in pairwise(node.parts))
        case Call():
            return 4 + node.steps + _CUT_STEPS * sum(map(is_cut, node.arguments))
        case Rate():
            return 10
        case Arithmetic():
            return 8 if node.sign == "*" else 5  # whole numbers may grow to 1,024 bits
        case Member():
            return 5
        case Prev() | Last() | Age() | Default() | Choice():
            return 4
        case _:
            return 2


def _pair_steps(left: Node, right: Node) -> int:
    if isinstance(left, Literal) or isinstance(right, Literal) or Kind.NUMBER in (left.shape.kind, right.shape.kind):
        return 4
    return 20 + _CUT_STEPS * sum(map(is_long, (left, right)))


def cost_complaint(node: Node, source: Source) -> Complaint | None:
    """Complain if ``node`` could take too long; about the part that costs most."""
    needed = steps(node)
    if needed <= MAX_STEPS:
        return None
    said = f"this takes up to {needed} steps; allowed: {MAX_STEPS}"
    dear = max((one for one in _all(node) if isinstance(one, Call | Comparison)), key=_own_steps, default=node)
    if not isinstance(dear, Call | Comparison) or _own_steps(dear) < _CUT_STEPS:
        return Complaint(node.span, f"{said}; write several rules, or say it with less")
    return Complaint(dear.span, f"{said}; {source.of(dear)!r} alone takes {_own_steps(dear)}, as its text may be long")


def _all(node: Node) -> list[Node]:
    return [node, *(below for part in parts_of(node) for below in _all(part))]
