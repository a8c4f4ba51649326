"""The language of conditions and templates; ``rules/LANGUAGE.md`` is its manual."""

from fieldgate_rules.condition.explain import Clause
from fieldgate_rules.condition.expression import (
    Expression,
    ReadExpression,
    Reads,
    read_condition,
    read_expression,
    read_number,
)
from fieldgate_rules.condition.facts import Closure, Facts, Reading, Value
from fieldgate_rules.condition.place import PlacedText, Span, placed, with_caret
from fieldgate_rules.condition.scope import EventKind, Scope
from fieldgate_rules.condition.shapes import Kind, Shape
from fieldgate_rules.condition.template import ReadTemplate, Template, read_template

__all__ = [
    "Clause",
    "Closure",
    "EventKind",
    "Expression",
    "Facts",
    "Kind",
    "PlacedText",
    "ReadExpression",
    "ReadTemplate",
    "Reading",
    "Reads",
    "Scope",
    "Shape",
    "Span",
    "Template",
    "Value",
    "placed",
    "read_condition",
    "read_expression",
    "read_number",
    "read_template",
    "with_caret",
]
