"""Read the expressions and texts of rules, each one once: rules that are alike have the same ones.

Two texts are the same if they stand in the same `Scope` (`Scopes` gives one object for the same meaning).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo

from fieldgate_devices.files.document import Problem
from fieldgate_rules.condition import (
    EventKind,
    Expression,
    PlacedText,
    ReadExpression,
    ReadTemplate,
    Scope,
    Template,
    Value,
    read_condition,
    read_expression,
    read_number,
    read_template,
)

__all__ = ["Scopes", "Texts"]

_Reader = Callable[[PlacedText, Scope], ReadExpression]
_Say = Callable[[Problem], None]


class Scopes:
    """Makes scopes; the same one for the same meaning."""

    def __init__(self, kind_of: Callable[[str], EventKind | None]) -> None:
        self._kind_of = kind_of
        self._known: dict[object, Scope] = {}

    def of(
        self,
        kinds: tuple[EventKind, ...],
        *,
        is_open: bool,
        zone: ZoneInfo,
        parameters: Mapping[str, Value],
        aliases: Mapping[str, str],
    ) -> Scope:
        """Return the scope."""
        given = tuple((name, type(value), value) for name, value in parameters.items())
        key = (tuple(map(id, kinds)), is_open, zone.key, given, tuple(aliases.items()))
        scope = self._known.get(key)
        if scope is None:
            scope = Scope(kinds, is_open, dict(parameters), zone, self._kind_of, dict(aliases))
            self._known[key] = scope
        return scope


class Texts:
    """All expressions and texts of a reading. ``say`` is given each problem."""

    def __init__(self) -> None:
        self._expressions: dict[tuple[_Reader, str, int], ReadExpression] = {}
        self._templates: dict[tuple[str, int], ReadTemplate] = {}
        self._in_templates: dict[int, dict[str, Expression]] = {}

    def condition(self, placed: PlacedText, scope: Scope, say: _Say) -> Expression | None:
        """Return the condition, or None after saying what is wrong with it."""
        return self._expression(read_condition, placed, scope, say)

    def expression(self, placed: PlacedText, scope: Scope, say: _Say) -> Expression | None:
        """Return the expression, whatever kind of value it has."""
        return self._expression(read_expression, placed, scope, say)

    def number(self, placed: PlacedText, scope: Scope, say: _Say) -> Expression | None:
        """Return the expression, which must be a number."""
        return self._expression(read_number, placed, scope, say)

    def _expression(self, read: _Reader, placed: PlacedText, scope: Scope, say: _Say) -> Expression | None:
        key = (read, placed.text, id(scope))
        known = self._expressions.get(key)
        if known is None:
            known = self._expressions[key] = read(placed, scope)
        if known.problems:
            _say_all(known, placed, say)
        return None if known.expression is None else known.expression.at(placed)

    def template(self, placed: PlacedText, scope: Scope, say: _Say) -> Template | None:
        """Return the text with its expressions, or None after saying what is wrong with it."""
        key = (placed.text, id(scope))
        known = self._templates.get(key)
        if known is None:
            inside = self._in_templates.setdefault(id(scope), {})
            known = self._templates[key] = read_template(placed, scope, inside)
        if known.problems:
            _say_all(known, placed, say)
        return None if known.template is None else known.template.at(placed)


def _say_all(read: ReadExpression | ReadTemplate, placed: PlacedText, say: _Say) -> None:
    for problem, span in zip(read.problems, read.spans, strict=True):
        say(Problem(placed.where(span.start), problem.message))
