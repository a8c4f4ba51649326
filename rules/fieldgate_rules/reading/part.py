"""One rule while it is read: its texts by their keys, and what is wrong with them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from fieldgate_devices.files.document import Document, Loc, Node, Problem
from fieldgate_devices.files.location import Location
from fieldgate_rules.condition import Expression, PlacedText, Scope, Template, placed
from fieldgate_rules.leaf import Leaf
from fieldgate_rules.model import RuleSpec
from fieldgate_rules.reading.source import SourceFile
from fieldgate_rules.reading.templates import Given
from fieldgate_rules.reading.texts import Texts

__all__ = ["RulePart"]


class RulePart:
    """``document`` is the rule with what its template says, ``said`` what of it makes it another rule when it changes.

    What stands at ``broken`` keys is not looked at again.
    """

    def __init__(
        self,
        spec: RuleSpec,
        document: Document,
        *,
        said: msgspec.Raw,
        broken: frozenset[Loc],
        given: Given,
        sources: Mapping[str, SourceFile],
        texts: Texts,
        say: Callable[[Problem], None],
    ) -> None:
        self.spec = spec
        self.document = document
        self.said = said
        self.given = given
        self.say = say
        self._broken = broken
        self._sources = sources
        self._texts = texts

    def complain(self, loc: Loc, message: str, *, at_key: bool = False, is_warning: bool = False) -> None:
        """Something is wrong with the value at ``loc``, or with its key."""
        self.say(self.problem(loc, message, at_key=at_key, is_warning=is_warning))

    def problem(self, loc: Loc, message: str, *, at_key: bool = False, is_warning: bool = False) -> Problem:
        """What is wrong with the value at ``loc``, or with its key."""
        where = self.document.where_key(loc) if at_key else self.document.where(loc)
        return Problem(where, message, is_warning=is_warning)

    def say_at(self, where: Location, message: str) -> None:
        """Something is wrong with what stands there."""
        self.say(Problem(where, message))

    def is_broken(self, loc: Loc) -> bool:
        """Whether something was wrong with it before; what stands there is then not what was meant."""
        return bool(self._broken) and any(loc[: len(one)] == one for one in self._broken)

    def where(self, loc: Loc) -> Location:
        """Where a condition begins, or the key of what is no plain value."""
        node = self.document.node(loc)
        if node is None or isinstance(node.content, dict | list):
            return self.document.where_key(loc)
        return node.at

    def placed(self, text: str, loc: Loc) -> PlacedText:
        """The text at ``loc``, with its places."""
        node = self.document.node(loc)
        if node is None or isinstance(node.content, dict | list):  # a default
            return placed(text, self.document.where_key(loc))
        return self._sources[node.at.path].placed(text, node.at)

    def condition(self, text: str | None, loc: Loc, scope: Scope) -> Expression | None:
        """Return the condition at ``loc``; None where there is none, or it is wrong."""
        if text is None or self.is_broken(loc):
            return None
        return self._texts.condition(self.placed(text, loc), scope, self.say)

    def expression(self, text: str, loc: Loc, scope: Scope) -> Expression | None:
        """Return the expression at ``loc``, of any kind."""
        return None if self.is_broken(loc) else self._texts.expression(self.placed(text, loc), scope, self.say)

    def number(self, text: str, loc: Loc, scope: Scope) -> Expression | None:
        """Return the expression at ``loc``, a number."""
        return None if self.is_broken(loc) else self._texts.number(self.placed(text, loc), scope, self.say)

    def template(self, text: str, loc: Loc, scope: Scope) -> Template | None:
        """Return the text at ``loc``; None where it is wrong."""
        return None if self.is_broken(loc) else self._texts.template(self.placed(text, loc), scope, self.say)

    def leaf(self, value: Any, loc: Loc, scope: Scope) -> Leaf | None:
        """Return the value at ``loc``; None where a text in it is wrong."""
        if self.is_broken(loc):
            return None
        try:
            return Leaf(self._tree(value, loc, scope))
        except _Wrong:
            return None

    def _tree(self, value: Any, loc: Loc, scope: Scope) -> Any:
        match value:
            case str() if "{" in value or "}" in value:
                template = self.template(value, loc, scope)
                if template is None:
                    raise _Wrong
                return template
            case dict():
                return self._trees({key: (one, (*loc, key)) for key, one in value.items()}, scope)
            case list() | tuple():
                made = self._trees({number: (one, (*loc, number)) for number, one in enumerate(value)}, scope)
                return list(made.values())
            case _:
                return value

    def _trees(self, values: Mapping[Any, tuple[Any, Loc]], scope: Scope) -> dict[Any, Any]:
        """All of them, after every one was looked at."""
        made: dict[Any, Any] = {}
        for key, (value, loc) in values.items():
            with contextlib.suppress(_Wrong):
                made[key] = self._tree(value, loc, scope)
        if len(made) < len(values):
            raise _Wrong
        return made

    def node(self, loc: Loc) -> Node | None:
        """What is written there."""
        return self.document.node(loc)


class _Wrong(Exception):
    """A text within a value is wrong; it has been said."""
