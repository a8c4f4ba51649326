"""Check calls of functions: the name, the number of arguments, and each argument against what is wanted there."""

from __future__ import annotations

import ast
from typing import Final

from fieldgate_devices.files.quantities import parse_duration
from fieldgate_devices.files.validate import did_you_mean
from fieldgate_devices.units import known_unit
from fieldgate_rules.condition.agreement import agree_on_units, narrowed
from fieldgate_rules.condition.checking import Checking
from fieldgate_rules.condition.functions import FUNCTIONS, OTHER_NAMES
from fieldgate_rules.condition.nodes import Device, Field, Last, Literal, Node, Prev
from fieldgate_rules.condition.pattern import read_pattern
from fieldgate_rules.condition.place import Span
from fieldgate_rules.condition.shapes import Kind, shape_of_value
from fieldgate_rules.condition.time_functions import read_time_of_day
from fieldgate_rules.condition.wants import Function, Parameter, Use, Wants, Wrong

__all__ = ["check_call"]

_LITERALS: Final = {Wants.DIGITS, Wants.DURATION, Wants.UNIT, Wants.PATTERN, Wants.TIME_OF_DAY}


def check_call(checker: Checking, tree: ast.Call, span: Span) -> Node | None:
    """Return the node of a call; None where its arguments have complaints of their own.

    Raises:
        Wrong: there is no such function, or the arguments do not fit.
    """
    name = _name(checker, tree, span)
    if tree.keywords:
        checker.look_at([*tree.args, *(one.value for one in tree.keywords)])
        raise Wrong(span, f"arguments have no names here; write them in order: {_signature(name)}")
    if name == "last":
        return _last(checker, tree, span)
    function = FUNCTIONS.get(name)
    if function is None:
        checker.look_at(tree.args)
        hint = did_you_mean(name, [*FUNCTIONS, "last"]) or f"; known: {', '.join([*FUNCTIONS, 'last'])}"
        other = OTHER_NAMES.get(name.lower())
        raise Wrong(checker.span(tree.func), f"unknown function {name!r}{'; ' + other if other else hint}")
    count = len(tree.args)
    if count < function.least or (count and function.parameter(count - 1) is None):
        checker.look_at(tree.args)
        raise Wrong(span, f"{name} is given {count} argument{'' if count == 1 else 's'}; write {function.signature}")
    nodes = checker.nodes(tree.args)
    if nodes is None:
        return None
    arguments = _Arguments(checker, function).check(nodes)
    return function.build(Use(span, tuple(arguments), checker.scope.zone))


def _signature(name: str) -> str:
    return FUNCTIONS[name].signature if name in FUNCTIONS else f"{name}(…)"


def _name(checker: Checking, tree: ast.Call, span: Span) -> str:
    match tree.func:
        case ast.Name():
            return tree.func.id
        case ast.Attribute() if tree.func.attr in FUNCTIONS:
            raise Wrong(span, f"functions stand before what they are given; write {_signature(tree.func.attr)}")
        case _:
            raise Wrong(span, "only a function can be called, by its name")


def _last(checker: Checking, tree: ast.Call, span: Span) -> Node | None:
    if len(tree.args) != 2:
        raise Wrong(span, 'write last("DEVICE", "FIELD")')
    nodes = checker.nodes(tree.args)
    if nodes is None:
        return None
    for node in nodes:
        if not isinstance(node, Literal) or not isinstance(node.value, str) or not node.value:
            what = f'; write it in quotes: "{node.name}"' if isinstance(node, Field) else ""
            if isinstance(node, Device):
                what = "; what the same device said before is prev.FIELD"
            raise Wrong(node.span, f"last takes the name of a device and of a field, as texts{what}")
    device, field = (str(node.value) for node in nodes if isinstance(node, Literal))
    return checker.last(span, device, field, nodes[1].span)


class _Arguments:
    """The arguments of one call."""

    def __init__(self, checker: Checking, function: Function) -> None:
        self._checker = checker
        self._function = function
        self._source = checker.source

    def check(self, nodes: list[Node]) -> list[Node]:
        """Return them as the function takes them."""
        parameters = [self._function.parameter(number) for number in range(len(nodes))]
        pairs = [(one, node) for one, node in zip(parameters, nodes, strict=True) if one is not None]
        made = [self._literal(one, node) if one.wants in _LITERALS else self._value(one, node) for one, node in pairs]
        if self._function.name == "default":
            self._checker.guard(made[0])
            made = list(self._checker.alike(*made))
        numbers = [index for index, (one, _) in enumerate(pairs) if one.wants is Wants.NUMBER]
        if numbers:
            agreed = agree_on_units([made[index] for index in numbers], self._source)
            for index, node in zip(numbers, agreed, strict=True):
                made[index] = node
        if self._function.name == "has":
            self._checker.guard(made[0])
        return made

    def _fail(self, node: Node, wants: str) -> Wrong:
        said = f"{self._source.of(node)} is {node.shape.kind.phrase}"
        return Wrong(node.span, f"{self._function.signature} takes {wants} here, and {said}")

    def _value(self, parameter: Parameter, node: Node) -> Node:
        match parameter.wants:
            case Wants.NUMBER:
                return self._checker.number(node, self._function.signature)
            case Wants.TEXT:
                node = narrowed(node, Kind.TEXT)
                if node.shape.kind is not Kind.TEXT:
                    raise self._fail(node, "a text")
            case Wants.FIELD:
                node = narrowed(node, Kind.NUMBER)
                if not isinstance(node, Field):
                    raise Wrong(node.span, f"{self._function.signature} takes a field of the event by its name")
                if node.shape.kind is not Kind.NUMBER:
                    raise self._fail(node, "a number")
            case Wants.EARLIER:
                if isinstance(node, Field):
                    raise Wrong(node.span, f"a field of the event is new, so its age is 0; write age(prev.{node.name})")
                if not isinstance(node, Prev | Last):
                    raise Wrong(node.span, 'age takes prev.FIELD or last("DEVICE", "FIELD")')
            case Wants.KNOWABLE:
                if not isinstance(node, Field | Prev | Last):
                    raise Wrong(node.span, 'has takes a field, prev.FIELD or last("DEVICE", "FIELD")')
            case _:
                pass
        return node

    def _literal(self, parameter: Parameter, node: Node) -> Node:
        if not isinstance(node, Literal):
            raise Wrong(
                node.span, f"{parameter.name} is read with the rule: a {parameter.wants.value} as it is, no expression"
            )
        if parameter.wants is Wants.DIGITS:
            if isinstance(node.value, int) and not isinstance(node.value, bool) and 0 <= node.value <= 10:
                return node
            raise Wrong(node.span, f"{self._source.of(node)} is no number of digits; allowed: 0 to 10")
        if not isinstance(node.value, str):
            raise self._fail(node, f"a {parameter.wants.value} in quotes")
        text = node.value
        try:
            match parameter.wants:
                case Wants.DURATION:
                    seconds = parse_duration(text)
                    if seconds <= 0:
                        raise ValueError(f"{text!r} is no time to speak of; write one such as 1m")
                    return Literal(node.span, shape_of_value(seconds), seconds)
                case Wants.PATTERN:
                    read_pattern(text)
                case Wants.TIME_OF_DAY:
                    read_time_of_day(text)
                case Wants.UNIT:
                    unit = known_unit(text)
                    return node if unit is None else Literal(node.span, shape_of_value(unit), unit)
        except ValueError as error:
            raise Wrong(node.span, str(error)) from error
        return node
