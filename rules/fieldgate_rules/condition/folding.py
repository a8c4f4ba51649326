"""Work out once what holds no name: ``60 * 60``, ``-5``, ``lower("ON")``."""

from __future__ import annotations

from dataclasses import replace

from fieldgate_rules.condition.compiler import compiled
from fieldgate_rules.condition.facts import Facts
from fieldgate_rules.condition.nodes import Literal, Node, parts_of
from fieldgate_rules.condition.shapes import shape_of_value
from fieldgate_rules.condition.wants import Wrong

__all__ = ["folded"]


def folded(node: Node) -> Node:
    """Return the node, or the literal that it always is.

    Raises:
        Wrong: it is always unknown.
    """
    parts = parts_of(node)
    if not parts or not all(isinstance(one, Literal) for one in parts):
        return node
    value = compiled(node)(Facts(fields={}, device="", boot_s=0.0))
    if value is None:
        raise Wrong(node.span, "this is always unknown: its numbers are too large, or divided by 0")
    shape = shape_of_value(value, is_given=any(one.shape.is_given for one in parts))
    return Literal(node.span, replace(shape, unit=node.shape.unit), value)
