"""Values of actions: plain ones, and texts with expressions, at any depth of a mapping or list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fieldgate_rules.condition import Facts, Template

__all__ = ["Leaf"]

Tree = Any  # a value, a Template, or a dict or list of trees


class Leaf:
    """``tree`` is the value as written, with a `Template` in the place of each text that has expressions."""

    __slots__ = ("tree",)

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    def templates(self) -> Iterator[Template]:
        """All templates in it."""
        yield from _templates(self.tree)

    def value_for(self, facts: Facts) -> Any:
        """Return the value; None where it is one expression that is unknown."""
        return _filled(self.tree, facts)


def _templates(tree: Tree) -> Iterator[Template]:
    match tree:
        case Template():
            yield tree
        case dict():
            for one in tree.values():
                yield from _templates(one)
        case list():
            for one in tree:
                yield from _templates(one)


def _filled(tree: Tree, facts: Facts) -> Any:
    match tree:
        case Template():
            only = tree.only
            return tree.text_for(facts) if only is None else only.evaluate(facts)
        case dict():
            return {name: _filled(one, facts) for name, one in tree.items()}
        case list():
            return [_filled(one, facts) for one in tree]
        case _:
            return tree
