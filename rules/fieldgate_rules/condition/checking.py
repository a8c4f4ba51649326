"""What the parts of the checker ask of the whole; `Checker` has it."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Protocol

from fieldgate_rules.condition.agreement import Source
from fieldgate_rules.condition.nodes import Node
from fieldgate_rules.condition.place import Span
from fieldgate_rules.condition.scope import Scope

__all__ = ["Checking"]


class Checking(Protocol):
    """One expression that is being checked."""

    scope: Scope
    source: Source

    def nodes(self, trees: Sequence[ast.expr]) -> list[Node] | None:
        """Return all of them as nodes, or None where there was a complaint about one."""

    def look_at(self, trees: Sequence[ast.expr]) -> None:
        """Complain about what is wrong with them, though nothing can be made of them where they stand."""

    def span(self, tree: ast.expr) -> Span:
        """Where it stands."""

    def guard(self, node: Node) -> None:
        """Take it that the condition knows that what ``node`` reads may not exist."""

    def last(self, span: Span, device: str, name: str, name_span: Span) -> Node:
        """Return the node for what ``device`` said last."""

    def number(self, node: Node, what: str) -> Node:
        """Return ``node`` if it is a number, or a text that may stand for a quantity."""

    def alike(self, one: Node, other: Node) -> tuple[Node, Node]:
        """Return two values that one of which may stand for the other, of one kind."""
