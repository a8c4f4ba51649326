"""Texts with expressions in them: ``{device} is at {temperature:.1f} °C``. Nothing else in them is evaluated.

``{{`` and ``}}`` stand for braces. What is unknown shows as ``?``. A template that is one expression and nothing else,
such as ``"{temperature - 5}"``, also has a value of its own kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from fieldgate_devices.files.document import Problem
from fieldgate_rules.condition.bounds import MAX_CHARACTERS, MAX_STEPS, cut
from fieldgate_rules.condition.expression import Expression, Reads, check_expression
from fieldgate_rules.condition.facts import Facts, Value
from fieldgate_rules.condition.place import Complaint, PlacedText, Span
from fieldgate_rules.condition.scope import Scope
from fieldgate_rules.condition.shapes import Kind

__all__ = ["UNKNOWN", "ReadTemplate", "Template", "read_template"]

UNKNOWN: Final = "?"

_BRACES: Final = re.compile(r"\{\{|\}\}|\{|\}")
_INSIDE: Final = re.compile(r"""("[^"\\]*(?:\\.[^"\\]*)*"|'[^'\\]*(?:\\.[^'\\]*)*')|[{}:]""")
_FORMAT: Final = re.compile(r"\+?,?(?:(?:\.[0-9])?[fe%]|d)?")
_CUT_STEPS: Final = 150
_FORMAT_STEPS: Final = 20
_MAX_WHOLE: Final = 10**15


@dataclass(frozen=True, slots=True)
class _Hole:
    """An expression in a template, which begins at ``start`` of the text.

    ``form`` is how its number is written, empty for the shortest way.
    """

    expression: Expression
    form: str
    start: int

    @property
    def steps(self) -> int:
        """What it costs at most."""
        return self.expression.steps + (_CUT_STEPS if self.expression.shape.kind is Kind.TEXT else _FORMAT_STEPS)


class Template:
    """``text_for`` gives the text. ``reads`` is what all expressions in it look at."""

    __slots__ = ("_expressions", "_parts", "_placed_expressions", "_starts", "placed", "reads")

    def __init__(self, placed: PlacedText, parts: list[str | _Hole]) -> None:
        self.placed = placed
        self._parts = [part if isinstance(part, str) else _writer(part) for part in parts]
        holes = [part for part in parts if isinstance(part, _Hole)]
        self._starts = [hole.start for hole in holes]
        self._expressions = [hole.expression for hole in holes]
        self._placed_expressions: list[Expression] | None = None
        self.reads = Reads.of_all(expression.reads for expression in self._expressions)

    @property
    def text(self) -> str:
        """As it was written."""
        return self.placed.text

    def at(self, placed: PlacedText) -> Template:
        """The same text where it stands once more, at ``placed``."""
        other = object.__new__(Template)
        other._parts, other.reads = self._parts, self.reads
        other._starts, other._expressions = self._starts, self._expressions
        other._placed_expressions = None
        other.placed = placed
        return other

    @property
    def expressions(self) -> list[Expression]:
        """Those in it, each with its place; made when someone asks: rules are many, few of their texts are shown."""
        if self._placed_expressions is None:
            self._placed_expressions = _moved(self._expressions, self._starts, self.placed)
        return self._placed_expressions

    @property
    def only(self) -> Expression | None:
        """The expression that is all of it; None where there is text beside it, or a format."""
        own = self._expressions
        is_bare = len(self._parts) == 1 and len(own) == 1 and own[0].text == self.text[1:-1]
        return self.expressions[0] if is_bare else None

    def text_for(self, facts: Facts) -> str:
        """Return the text, cut at 4 KiB."""
        return cut("".join([part if isinstance(part, str) else part(facts) for part in self._parts]))


def _moved(expressions: list[Expression], starts: list[int], placed: PlacedText) -> list[Expression]:
    """Expressions that stand at ``starts`` of a text."""
    return [
        one.at(PlacedText(one.text, placed.path, placed.spots[start : start + len(one.text) + 1]))
        for one, start in zip(expressions, starts, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class ReadTemplate:
    """What came of a text: ``template`` only if there are no problems; ``spans`` as in `ReadExpression`."""

    template: Template | None
    problems: list[Problem]
    spans: list[Span]


def read_template(placed: PlacedText, scope: Scope, known: dict[str, Expression] | None = None) -> ReadTemplate:
    """Read a template. Nothing is raised for what is wrong with it.

    ``known`` are expressions that were read in the same scope, by their texts; those of this one are added.
    """
    known = {} if known is None else known
    complaints: list[Complaint] = []
    parts: list[str | _Hole] = []
    if len(placed.text) > MAX_CHARACTERS:
        end = Span(MAX_CHARACTERS, len(placed.text))
        complaints.append(Complaint(end, f"{len(placed.text)} characters are too many; allowed: {MAX_CHARACTERS}"))
    else:
        for piece in _pieces(placed.text):
            match piece:
                case Complaint():
                    complaints.append(piece)
                case str():
                    parts.append(piece)
                case Span():
                    _fill(placed, piece, scope, known, parts, complaints)
    needed = sum(part.steps for part in parts if isinstance(part, _Hole))
    if not complaints and needed > MAX_STEPS:
        said = f"the expressions take up to {needed} steps together; allowed: {MAX_STEPS}"
        complaints.append(Complaint(Span(0, len(placed.text)), said))
    problems = [placed.problem(one) for one in complaints]
    return ReadTemplate(None if complaints else Template(placed, parts), problems, [one.span for one in complaints])


def _pieces(text: str) -> Iterator[str | Span | Complaint]:
    """Texts, the spans of what stands between braces, and what is wrong with the braces."""
    plain, at = "", 0
    while (brace := _BRACES.search(text, at)) is not None:
        plain += text[at : brace.start()]
        at = brace.end()
        if brace[0] in ("{{", "}}"):
            plain += brace[0][0]
            continue
        if brace[0] == "}":
            yield Complaint(Span(*brace.span()), "this '}' closes nothing; write '}}' for a brace in the text")
            continue
        end = _find(text, "}", at)
        if end < 0:
            yield Complaint(Span(*brace.span()), "this '{' is not closed; write '{{' for a brace in the text")
            return
        if plain:
            yield plain
        plain = ""
        yield Span(at, end)
        at = end + 1
    if plain + text[at:]:
        yield plain + text[at:]


def _find(text: str, sign: str, start: int) -> int:
    """Where ``sign`` stands outside of quotes, or -1; a brace that opens within an expression ends the search."""
    for match in _INSIDE.finditer(text, start):
        if match[0] == sign:
            return match.start()
        if match[0] == "{":
            break
    return -1


def _fill(
    placed: PlacedText,
    span: Span,
    scope: Scope,
    known: dict[str, Expression],
    parts: list[str | _Hole],
    complaints: list[Complaint],
) -> None:
    """Add the expression that stands at ``span``, or the complaints about it."""
    inside = placed.text[span.start : span.end]
    colon = _find(inside, ":", 0)
    text, form = (inside, "") if colon < 0 else (inside[:colon], inside[colon + 1 :])
    expression = known.get(text)
    if expression is None:
        node, wrong = check_expression(text, scope, wanted=Kind.ANY)
        complaints += [Complaint(Span(at.start + span.start, at.end + span.start), said) for at, said in wrong]
        spots = placed.spots[span.start : span.start + len(text) + 1]
        if node is not None:
            expression = known[text] = Expression(node, PlacedText(text, placed.path, spots))
    place = Span(span.start + colon + 1, span.end)
    if colon >= 0 and not (form and _FORMAT.fullmatch(form)):
        complaints.append(Complaint(place, f"{form!r} is not a format; write one such as .1f, ,.0f, .2e, .0% or d"))
    elif form and expression is not None and expression.shape.kind not in (Kind.NUMBER, Kind.ANY):
        said = f"{form!r} is a format of numbers, and {text.strip()} is {expression.shape.kind.phrase}"
        complaints.append(Complaint(place, said))
    elif expression is not None:
        parts.append(_Hole(expression, form, span.start))


def _writer(hole: _Hole) -> Callable[[Facts], str]:
    evaluate, form = hole.expression.evaluate, hole.form

    def write(facts: Facts) -> str:
        return _written(evaluate(facts), form)

    return write


def _written(value: Value | None, form: str) -> str:
    match value:
        case None:
            return UNKNOWN
        case bool():
            return str(value).lower()
        case str():
            return cut(value)
        case _ if form:
            return format(round(value) if form.endswith("d") else value, form)
        case int() if abs(value) < _MAX_WHOLE:
            return str(value)
        case _:
            return format(value, ".12g")
