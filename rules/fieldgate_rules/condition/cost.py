"""What an expression costs at most, in steps: known before it ever runs, whatever the values."""

from __future__ import annotations

from fieldgate_rules.condition.agreement import Source
from fieldgate_rules.condition.bounds import MAX_STEPS
from fieldgate_rules.condition.nodes import AllOf, AnyOf, Call, Comparison, Literal, Node, parts_of
from fieldgate_rules.condition.place import Complaint
from fieldgate_rules.condition.shapes import Kind
from fieldgate_rules.condition.text_functions import is_long

__all__ = ["cost_complaint", "steps"]

_CUT_STEPS = 60


def steps(node: Node) -> int:
    """How many steps ``node`` takes at most, with everything below it."""
    return _own_steps(node) + sum(map(steps, parts_of(node)))


def _own_steps(node: Node) -> int:
    match node:
        case AllOf() | AnyOf():
            return 1 + len(node.parts)
        case Comparison():
            texts = [one for one in node.parts if one.shape.kind is not Kind.NUMBER and is_long(one)]
            is_of_texts = Kind.TEXT in {one.shape.kind for one in texts} and len(texts) > 1
            return 2 * len(node.signs) + (_CUT_STEPS * len(texts) if is_of_texts else 0)
        case Call():
            texts = [one for one in node.arguments if one.shape.kind is Kind.TEXT and is_long(one)]
            return 2 + node.steps + _CUT_STEPS * len(texts)
        case Literal():
            return 1
        case _:
            return 2


def cost_complaint(node: Node, source: Source) -> Complaint | None:
    """Complain if ``node`` could take too long; about the part that costs most."""
    needed = steps(node)
    if needed <= MAX_STEPS:
        return None
    dear = max(_all(node), key=_own_steps)
    said = f"this takes up to {needed} steps; allowed: {MAX_STEPS}"
    return Complaint(dear.span, f"{said}; {source.of(dear)!r} alone takes {_own_steps(dear)}, as its text may be long")


def _all(node: Node) -> list[Node]:
    return [node, *(below for part in parts_of(node) for below in _all(part))]
