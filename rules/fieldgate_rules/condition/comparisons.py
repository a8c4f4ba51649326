"""Check comparisons: what is compared must be alike, must be what it can be, and must not be decided beforehand."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from fieldgate_devices.files.validate import did_you_mean
from fieldgate_rules.condition.agreement import Source, agree_on_units, narrowed, range_text
from fieldgate_rules.condition.checking import Checking
from fieldgate_rules.condition.facts import Value
from fieldgate_rules.condition.nodes import Comparison, Literal, Member, Node
from fieldgate_rules.condition.place import Span
from fieldgate_rules.condition.ranges import can_be_false, can_be_true
from fieldgate_rules.condition.shapes import TRUTH, Kind, kind_of
from fieldgate_rules.condition.wants import Wrong

__all__ = ["check_comparison", "check_member"]

_SIGNS: Final[dict[type[ast.cmpop], str]] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip
_EQUALITY: Final = frozenset({"==", "!="})
_SHOWN: Final = 12


def check_comparison(checker: Checking, tree: ast.Compare, span: Span) -> Node | None:
    """Return the node of ``a < b``, or of a chain of such.

    Raises:
        Wrong: the sides cannot be compared, or need not be.
    """
    parts = checker.nodes([tree.left, *tree.comparators])
    if parts is None:
        return None
    signs = tuple(_SIGNS[type(one)] for one in tree.ops)
    parts = _of_one_kind(checker, parts, signs)
    for sign, (left, right) in zip(signs, pairwise(parts), strict=True):
        _check_pair(checker.source, sign, left, right, span)
    return Comparison(span, TRUTH, tuple(parts), signs)


def _of_one_kind(checker: Checking, parts: list[Node], signs: Sequence[str]) -> list[Node]:
    source = checker.source
    for one in parts:
        if one.shape.kind is Kind.THING:
            raise Wrong(one.span, f"{source.of(one)} is a list or mapping; only has({source.of(one)}) can be asked")
    order = next((sign for sign in signs if sign not in _EQUALITY), "")
    kinds = {one.shape.kind for one in parts if one.shape.kind is not Kind.ANY}
    if not order and any(one.shape.kind is Kind.ANY and one.shape.values is not None for one in parts):
        return parts  # values of several kinds: one of another kind is another value
    if order or Kind.NUMBER in kinds:
        parts = [narrowed(one, Kind.NUMBER) for one in parts]
        odd = next((one for one in parts if one.shape.kind is not Kind.NUMBER and not _is_text_literal(one)), None)
        if odd is None and Kind.NUMBER not in {one.shape.kind for one in parts}:
            odd = parts[0]
        if odd is not None:
            raise _unlike(source, parts, odd, order)
        return agree_on_units(parts, source)
    if len(kinds) > 1:
        other = next(one for one in parts[1:] if one.shape.kind is not parts[0].shape.kind)
        raise _unlike(source, parts, other, order)
    for kind in kinds:
        parts = [narrowed(one, kind) for one in parts]
    return parts


def _is_text_literal(node: Node) -> bool:
    return isinstance(node, Literal) and node.shape.kind is Kind.TEXT


def _unlike(source: Source, parts: Sequence[Node], odd: Node, order: str) -> Wrong:
    said = f"{source.of(odd)} is {odd.shape.kind.phrase}"
    number = next((one for one in parts if one is not odd and one.shape.kind is not odd.shape.kind), None)
    if order and odd.shape.kind is Kind.TRUTH:
        return Wrong(odd.span, f"{said}, which has no order; write it alone, or 'not' before it")
    if order and number is None:
        return Wrong(odd.span, f"{said}, and texts have no order; '{order}' compares numbers")
    other = f"{source.of(number)} is {number.shape.kind.phrase}" if number is not None else "it"
    return Wrong(odd.span, f"{said} and {other}: they are never alike")


def _check_pair(source: Source, sign: str, left: Node, right: Node, span: Span) -> None:
    """Raise where the answer is known before there is an event; parameters may make it so."""
    if left.shape.is_given or right.shape.is_given:
        return
    for literal, other in ((left, right), (right, left)):
        if sign not in _EQUALITY or not isinstance(literal, Literal) or isinstance(other, Literal):
            continue
        if other.shape.values is not None:
            _check_value(source, other, literal.value, literal.span)
    if source.of(left) == source.of(right) and not isinstance(left, Literal):
        raise Wrong(span, f"{source.of(left)} is compared with itself")
    verdict = ""
    if not can_be_true(sign, left.shape, right.shape):
        verdict = "this is never true"
    elif not can_be_false(sign, left.shape, right.shape):
        verdict = (
            "this is always true" if isinstance(left, Literal) and isinstance(right, Literal) else "this is never false"
        )
    if verdict:
        known = [_known(one, other, source) for one, other in ((left, right), (right, left))]
        why = ", ".join(filter(None, known))
        raise Wrong(span, f"{verdict}{': ' + why if why else ''}")


def _known(node: Node, other: Node, source: Source) -> str:
    """Say what is known of one side that decides the answer."""
    if isinstance(node, Literal):
        return ""
    if node.shape.is_whole and isinstance(other, Literal) and isinstance(other.value, float):
        return f"{source.of(node)} is a whole number"
    return range_text(node, source)


def _check_value(source: Source, node: Node, value: Value, span: Span) -> None:
    """Raise where ``value`` is none of those that ``node`` can be."""
    values = node.shape.values or ()
    if any(one == value and kind_of(one) is kind_of(value) for one in values):
        return
    known = [str(one).lower() if isinstance(one, bool) else str(one) for one in values]
    hint = did_you_mean(str(value), known) if isinstance(value, str) else ""
    allowed = f"; allowed: {', '.join(known[:_SHOWN])}{' …' if len(known) > _SHOWN else ''}"
    raise Wrong(span, f"{source.of(node)} is never {value!r}{hint or allowed}")


def check_member(checker: Checking, tree: ast.Compare, span: Span) -> Node | None:
    """Return the node of ``x in [1, 2]``.

    Raises:
        Wrong: there is no list of literals, or one of them is nothing that ``x`` can be.
    """
    (listed,) = tree.comparators
    if not isinstance(listed, ast.List | ast.Tuple):
        is_text = isinstance(tree.left, ast.Constant) and isinstance(tree.left.value, str)
        hint = "; write contains(text, part)" if is_text else ", such as [1, 2]"
        raise Wrong(checker.span(listed), f"behind 'in' stands a list of values{hint}")
    if not listed.elts:
        raise Wrong(checker.span(listed), "the list is empty")
    made = checker.nodes([tree.left, *listed.elts])
    if made is None:
        return None
    part, *elements = made
    if isinstance(part, Literal) and not part.shape.is_given:
        raise Wrong(span, f"{checker.source.of(part)} is always the same, in the list or not")
    if part.shape.kind is Kind.ANY and part.shape.values is None:
        part = narrowed(part, elements[0].shape.kind)
    values = [_element(checker.source, part, one) for one in elements]
    _check_members(checker.source, part, values, span)
    return Member(span, TRUTH, part, tuple(dict.fromkeys(values)), isinstance(tree.ops[0], ast.NotIn))


def _element(source: Source, part: Node, element: Node) -> Value:
    if not isinstance(element, Literal):
        raise Wrong(element.span, f"{source.of(element)} is no literal; write x == {source.of(element)} or …")
    if part.shape.kind is Kind.NUMBER and element.shape.kind is Kind.TEXT:
        _, element = agree_on_units([part, element], source)
    if part.shape.kind not in (element.shape.kind, Kind.ANY):
        said = f"{source.of(element)} is {element.shape.kind.phrase}"
        raise Wrong(element.span, f"{said}, and {source.of(part)} {part.shape.kind.phrase}: they are never alike")
    assert isinstance(element, Literal)
    if not (element.shape.is_given or part.shape.is_given):
        if part.shape.values is not None:
            _check_value(source, part, element.value, element.span)
        elif not can_be_true("==", part.shape, element.shape):
            raise Wrong(element.span, f"{source.of(part)} is never {element.value!r}: {range_text(part, source)}")
    return element.value


def _check_members(source: Source, part: Node, values: Sequence[Value], span: Span) -> None:
    """Raise where nothing is decided by the list."""
    if part.shape.values is None or part.shape.is_given:
        return
    listed = {(kind_of(one), one) for one in values}
    if all((kind_of(one), one) in listed for one in part.shape.values):
        raise Wrong(span, f"this decides nothing: the list has every value of {source.of(part)}")
