"""An expression that can be asked: read once, checked against the profiles, compiled to a closure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from fieldgate_devices.files.document import Problem
from fieldgate_rules.condition.agreement import agree_on_units
from fieldgate_rules.condition.checker import Checker
from fieldgate_rules.condition.compiler import compiled
from fieldgate_rules.condition.cost import cost_complaint, steps
from fieldgate_rules.condition.explain import Clause, explain
from fieldgate_rules.condition.facts import Closure, Facts
from fieldgate_rules.condition.lint import contradictions
from fieldgate_rules.condition.mending import read_as_meant
from fieldgate_rules.condition.nodes import Age, Device, Field, Last, Literal, Node, Now, Prev, Rate, parts_of
from fieldgate_rules.condition.place import Complaint, PlacedText, Span
from fieldgate_rules.condition.scope import Scope
from fieldgate_rules.condition.shapes import Kind, Shape
from fieldgate_rules.condition.syntax import Parsed
from fieldgate_rules.condition.wants import Wrong

__all__ = [
    "Expression",
    "ReadExpression",
    "Reads",
    "check_expression",
    "read_condition",
    "read_expression",
    "read_number",
]


class Reads(msgspec.Struct, frozen=True, gc=False):
    """What an expression looks at, so that it is asked only when that may have changed.

    ``prev`` are the fields of which the earlier value of the same device is needed, ``last`` devices and fields.
    """

    fields: frozenset[str] = frozenset()
    prev: frozenset[str] = frozenset()
    last: frozenset[tuple[str, str]] = frozenset()
    device: bool = False
    time: bool = False

    @classmethod
    def of_all(cls, many: Iterable[Reads]) -> Reads:
        """Return what they look at together; where all are alike that is one of them: rules share it."""
        distinct = list(dict.fromkeys(many))
        if len(distinct) == 1:
            return distinct[0]
        return cls(
            frozenset().union(*(one.fields for one in distinct)),
            frozenset().union(*(one.prev for one in distinct)),
            frozenset().union(*(one.last for one in distinct)),
            any(one.device for one in distinct),
            any(one.time for one in distinct),
        )


class Expression:
    """``evaluate`` is the closure: a value, or None for unknown; of a condition True, False or None."""

    __slots__ = ("_node", "evaluate", "placed", "reads", "shape", "steps")

    def __init__(self, node: Node, placed: PlacedText) -> None:
        self._node = node
        self.placed = placed
        self.evaluate: Final[Closure] = compiled(node)
        self.reads = Reads.of_all(_reads(node))
        self.shape: Shape = node.shape
        self.steps = steps(node)

    @property
    def text(self) -> str:
        """As it was written."""
        return self.placed.text

    def at(self, placed: PlacedText) -> Expression:
        """The same expression where it stands once more, at ``placed``."""
        other = object.__new__(Expression)
        other._node, other.placed = self._node, placed
        other.evaluate = self.evaluate  # type: ignore[misc]  # it is being made
        other.reads, other.shape, other.steps = self.reads, self.shape, self.steps
        return other

    @property
    def literal(self) -> bool | float | str | None:
        """What it always is; None where it has to be asked."""
        return self._node.value if isinstance(self._node, Literal) else None

    def explain(self, facts: Facts) -> Clause:
        """Return every clause with its value and place, and why what is unknown is so."""
        return explain(self._node, facts, self.placed)


@dataclass(frozen=True, slots=True)
class ReadExpression:
    """What came of a text: ``expression`` only if there are no problems.

    ``spans`` says for each problem which characters of the text it is about.
    """

    expression: Expression | None
    problems: list[Problem]
    spans: list[Span]


def read_condition(placed: PlacedText, scope: Scope) -> ReadExpression:
    """Read an expression that is true, false or unknown. Nothing is raised for what is wrong with it."""
    return _read(placed, scope, wanted=Kind.TRUTH)


def read_expression(placed: PlacedText, scope: Scope) -> ReadExpression:
    """Read an expression that is any value, such as what a window is made of."""
    return _read(placed, scope, wanted=Kind.ANY)


def read_number(placed: PlacedText, scope: Scope) -> ReadExpression:
    """Read an expression that is a number or unknown, such as what a mean is taken of."""
    return _read(placed, scope, wanted=Kind.NUMBER)


def _read(placed: PlacedText, scope: Scope, *, wanted: Kind) -> ReadExpression:
    node, complaints = check_expression(placed.text, scope, wanted=wanted)
    problems = [placed.problem(one) for one in complaints]
    expression = None if node is None else Expression(node, placed)
    return ReadExpression(expression, problems, [one.span for one in complaints])


def check_expression(text: str, scope: Scope, *, wanted: Kind) -> tuple[Node | None, list[Complaint]]:
    """Return the checked expression, or all that is wrong with it; ``wanted`` is a truth, a number or any value."""
    reading = read_as_meant(text)
    if reading.parsed is None:
        return None, reading.complaints
    node, complaints = _checked(reading.parsed, scope, wanted)
    if reading.complaints:
        return None, sorted([*reading.complaints, *reading.of_written(complaints)])
    return node, complaints


def _checked(parsed: Parsed, scope: Scope, wanted: Kind) -> tuple[Node | None, list[Complaint]]:
    checker = Checker(parsed, scope)
    node = checker.check()
    if node is None:
        return None, checker.complaints
    complaints = list(contradictions(node, checker.source))
    try:
        node = _as_wanted(checker, node, wanted)
    except Wrong as wrong:
        complaints.append(wrong.complaint)
    if dear := cost_complaint(node, checker.source):
        complaints.append(dear)
    return (None, sorted(complaints)) if complaints else (node, [])


def _as_wanted(checker: Checker, node: Node, wanted: Kind) -> Node:
    match wanted:
        case Kind.TRUTH:
            return _as_condition(checker, node)
        case Kind.NUMBER:
            (node,) = agree_on_units([checker.number(node, "a figure")], checker.source)
            return node
        case _:
            return _as_value(checker, node)


def _as_condition(checker: Checker, node: Node) -> Node:
    node = checker.truth(node, "a condition")
    if isinstance(node, Literal) and not node.shape.is_given:
        hint = "leave it out" if node.value else "write enabled: false"
        raise Wrong(node.span, f"this is always {str(node.value).lower()}; {hint}")
    return node


def _as_value(checker: Checker, node: Node) -> Node:
    if node.shape.kind is Kind.THING:
        name = checker.source.of(node)
        raise Wrong(node.span, f"{name} is a list or mapping; only has({name}) can be asked")
    return node


def _reads(node: Node) -> Iterator[Reads]:
    for one in _all(node):
        match one:
            case Field():
                yield Reads(fields=frozenset({one.name}))
            case Prev():
                yield Reads(prev=frozenset({one.name}))
            case Last():
                yield Reads(last=frozenset({(one.device, one.name)}))
            case Rate():
                yield Reads(prev=frozenset({one.part.name}))
            case Device():
                yield Reads(device=True)
            case Now() | Age():
                yield Reads(time=True)
            case _:
                pass


def _all(node: Node) -> Iterator[Node]:
    yield node
    for part in parts_of(node):
        yield from _all(part)
