"""Check an expression against the scope that it stands in, and make nodes of it.

Everything that is wrong is said at once: what could not be made is left out, and what was built on it is not looked at.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NoReturn

from fieldgate_devices.files.validate import did_you_mean
from fieldgate_rules.condition.agreement import Source, agree_on_units, narrowed
from fieldgate_rules.condition.calls import check_call
from fieldgate_rules.condition.comparisons import check_comparison, check_member
from fieldgate_rules.condition.folding import folded
from fieldgate_rules.condition.nodes import (
    AllOf,
    AnyOf,
    Arithmetic,
    Choice,
    Device,
    Field,
    Last,
    Literal,
    Negative,
    Node,
    Not,
    Now,
    Prev,
    parts_of,
)
from fieldgate_rules.condition.number_functions import difference_unit
from fieldgate_rules.condition.place import Complaint, Span
from fieldgate_rules.condition.ranges import arithmetic_shape, negative_shape
from fieldgate_rules.condition.scope import Found, Scope
from fieldgate_rules.condition.shapes import NUMBER, TEXT, TRUTH, Kind, Shape, both_of, shape_of_value
from fieldgate_rules.condition.syntax import Parsed
from fieldgate_rules.condition.wants import Wrong

__all__ = ["Checker"]

_SIGNS: Final[dict[type[ast.operator], str]] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
}  # fmt: skip
_NOT_HERE: Final[dict[type[ast.operator], str]] = {
    ast.Pow: "there is no power; write x * x",
    ast.BitAnd: "'&' is not of this language; write 'and'",
    ast.BitOr: "'|' is not of this language; write 'or'",
    ast.BitXor: "'^' is not of this language; write != between two truths",
    ast.LShift: "there is no shift; multiply",
    ast.RShift: "there is no shift; divide with '//'",
    ast.MatMult: "'@' is not of this language",
}
_FORMS: Final[dict[type[ast.expr], str]] = {
    ast.Subscript: "there are no indexes; a profile can give a member a field of its own (from: list[0])",
    ast.Lambda: "there are no functions to define",
    ast.ListComp: "there are no loops",
    ast.SetComp: "there are no loops",
    ast.DictComp: "there are no loops",
    ast.GeneratorExp: "there are no loops",
    ast.List: "a list stands behind 'in' only",
    ast.Tuple: "a list stands behind 'in' only; a comma parts arguments",
    ast.Set: "a list is written in [ ]",
    ast.Dict: "there are no mappings",
    ast.NamedExpr: "names are given values by nobody here",
    ast.JoinedStr: "there are no f-texts; templates have {expressions}",
    ast.Starred: "'*' does not stand before a value",
    ast.Await: "'await' is not of this language",
    ast.Yield: "'yield' is not of this language",
}
_TRUTHS: Final = {"true": True, "false": False}
_NOTHINGS: Final = frozenset({"null", "none", "nil", "undefined", "unknown"})
_UNKNOWN: Final = "what is missing is unknown; ask has(field) or not has(field)"
_INT_BITS: Final = 64


class Checker:
    """One expression. ``complaints`` is empty if it is right."""

    def __init__(self, parsed: Parsed, scope: Scope) -> None:
        self.complaints: list[Complaint] = []
        self.scope = scope
        self.source = Source(parsed.text)
        self._parsed = parsed
        self._unsure: list[tuple[str, Complaint]] = []
        self._guarded: set[str] = set()

    def check(self) -> Node | None:
        """Return the whole as a node; None where there are complaints."""
        node = self.node(self._parsed.root)
        self.complaints += [complaint for name, complaint in self._unsure if name not in self._guarded]
        self.complaints = sorted(dict.fromkeys(self.complaints))
        return None if self.complaints else node

    def node(self, tree: ast.expr) -> Node | None:
        """Return ``tree`` as a node; None where a complaint was made about it."""
        try:
            node = self._node(tree)
            return None if node is None else folded(node)
        except Wrong as wrong:
            self.complaints.append(wrong.complaint)
            return None

    def nodes(self, trees: Sequence[ast.expr]) -> list[Node] | None:
        """Return all of them, or None where there was a complaint about one."""
        made = [self.node(tree) for tree in trees]
        known = [one for one in made if one is not None]
        return known if len(known) == len(made) else None

    def look_at(self, trees: Sequence[ast.expr]) -> None:
        """Complain about what is wrong with them, though nothing can be made of them where they stand."""
        known = len(self._unsure)
        self.nodes([tree for tree in trees if not isinstance(tree, ast.Starred)])
        del self._unsure[known:]  # what stands around them may have been meant to ask for these

    def span(self, tree: ast.expr) -> Span:
        """Where it stands."""
        return self._parsed.span(tree)

    def _node(self, tree: ast.expr) -> Node | None:
        span = self.span(tree)
        match tree:
            case ast.Constant():
                return self._constant(tree.value, span)
            case ast.Name():
                return self._name(tree.id, span)
            case ast.Attribute():
                return self._attribute(tree, span)
            case ast.BoolOp():
                return self._bool_op(tree, span)
            case ast.UnaryOp():
                return self._unary(tree, span)
            case ast.BinOp():
                return self._arithmetic(tree, span)
            case ast.Compare():
                return self._compare(tree, span)
            case ast.IfExp():
                return self._choice(tree, span)
            case ast.Call():
                return check_call(self, tree, span)
            case _:
                raise Wrong(span, _FORMS.get(type(tree), "this is not of the language"))

    # -- names and literals -------------------------------------------------------------------------------------------

    def _constant(self, value: object, span: Span) -> Node:
        if value is None:
            raise Wrong(span, f"'None' is no value: {_UNKNOWN}")
        if isinstance(value, str):
            if bad := next((one for one in value if ord(one) < 32 or 0xD800 <= ord(one) < 0xE000), None):
                raise Wrong(span, f"the text holds the character {bad!r}; write r before the quotes of a pattern")
            return Literal(span, shape_of_value(value), value)
        if isinstance(value, bool):
            return Literal(span, shape_of_value(value), value)
        if isinstance(value, int) and value.bit_length() > _INT_BITS:
            raise Wrong(span, "the number is too large; allowed: 64 bits")
        if isinstance(value, float) and value in (float("inf"), float("-inf")):
            raise Wrong(span, "the number is too large")
        if isinstance(value, int | float):
            return Literal(span, shape_of_value(value), value)
        raise Wrong(span, f"{self._parsed.source(span)!r} is not of this language")

    def _name(self, name: str, span: Span) -> Node:
        if name in self.scope.parameters:
            value = self.scope.parameters[name]
            return Literal(span, shape_of_value(value, is_given=True), value)
        name = self.scope.aliases.get(name, name)
        match name:
            case "true" | "false":
                return self._constant(_TRUTHS[name], span)
            case "now":
                return Now(span, Shape(Kind.NUMBER, unit="s"))
            case "device":
                return Device(span, TEXT)
            case "prev":
                raise Wrong(span, "'prev' alone is no value; write prev.FIELD")
            case "last":
                raise Wrong(span, '\'last\' alone is no value; write last("DEVICE", "FIELD")')
            case "type" | "lane":
                raise Wrong(span, f"{name!r} is no field; what a rule is on says 'on', not 'when'")
        return Field(span, self._field(name, span, self.scope.find(name)), name)

    def _field(self, name: str, span: Span, found: Found | str, *, key: str = "") -> Shape:
        if isinstance(found, str):
            if name.lower() in _NOTHINGS:
                raise Wrong(span, f"{name!r} is no value: {_UNKNOWN}")
            raise Wrong(span, found)
        if found.unsure:
            hint = f"say that it may be missing: has({self._parsed.source(span)})"
            self._unsure.append((key or name, Complaint(span, f"{found.unsure}; {hint}")))
        return found.shape

    def guard(self, node: Node) -> None:
        """Take it that the condition knows that what ``node`` reads may not exist."""
        match node:
            case Field() | Prev():
                self._guarded.add(node.name)
            case Last():
                self._guarded.add(f"{node.device}\n{node.name}")
            case _:
                for part in parts_of(node):
                    self.guard(part)

    def _attribute(self, tree: ast.Attribute, span: Span) -> Node:
        if isinstance(tree.value, ast.Name) and tree.value.id == "prev":
            name = self.scope.aliases.get(tree.attr, tree.attr)
            return Prev(span, self._field(name, span, self.scope.find(name)), name)
        whole = self._parsed.source(span)
        if isinstance(tree.value, ast.Name) and tree.value.id == "last":
            raise Wrong(span, f'write last("DEVICE", "{tree.attr}")')
        if whole.startswith("prev."):
            raise Wrong(span, f"{whole!r} is no name; fields have no members")
        is_plain = whole.replace(".", "").isidentifier()
        hint = did_you_mean(whole.replace(".", "_"), self.scope.names()) if is_plain else ""
        raise Wrong(span, f"{whole!r} is no name; only 'prev' has members{hint}")

    def last(self, span: Span, device: str, name: str, name_span: Span) -> Node:
        """Return the node for what ``device`` said last."""
        found = self.scope.find_of(device, name)
        return Last(span, self._field(name, name_span, found, key=f"{device}\n{name}"), device, name)

    # -- operators ----------------------------------------------------------------------------------------------------

    def truth(self, node: Node, what: str) -> Node:
        """Return ``node`` if it is true or false."""
        node = narrowed(node, Kind.TRUTH)
        if node.shape.kind is Kind.THING:
            refuse_thing(self, node)
        if node.shape.kind is not Kind.TRUTH:
            shown = self.source.of(node)
            hint = f"compare it, such as {shown} {'> 0' if node.shape.kind is Kind.NUMBER else '== …'}"
            raise Wrong(node.span, f"{shown} is {node.shape.kind.phrase}; {what} must be true or false: {hint}")
        return node

    def number(self, node: Node, what: str) -> Node:
        """Return ``node`` if it is a number, or a text that may stand for a quantity."""
        node = narrowed(node, Kind.NUMBER)
        if node.shape.kind is Kind.NUMBER or (isinstance(node, Literal) and node.shape.kind is Kind.TEXT):
            return node
        raise Wrong(node.span, f"{self.source.of(node)} is {node.shape.kind.phrase}; {what} takes numbers")

    def _each(self, parts: Sequence[Node], check: Callable[[Node, str], Node], what: str) -> list[Node] | None:
        """What ``check`` makes of each; complaints about one hide none about another."""
        made: list[Node] = []
        for part in parts:
            try:
                made.append(check(part, what))
            except Wrong as wrong:
                self.complaints.append(wrong.complaint)
        return made if len(made) == len(parts) else None

    def _bool_op(self, tree: ast.BoolOp, span: Span) -> Node | None:
        word = "and" if isinstance(tree.op, ast.And) else "or"
        made = [one for one in map(self.node, tree.values) if one is not None]
        parts = self._each(made, self.truth, f"each side of '{word}'")
        if parts is None or len(parts) < len(tree.values):
            return None
        for part in parts:
            if isinstance(part, Literal) and not part.shape.is_given:
                raise Wrong(part.span, f"'{str(part.value).lower()}' beside '{word}' decides nothing, or everything")
        kind = AllOf if word == "and" else AnyOf
        return kind(span, TRUTH, tuple(parts))

    def _unary(self, tree: ast.UnaryOp, span: Span) -> Node | None:
        part = self.node(tree.operand)
        if part is None:
            return None
        match tree.op:
            case ast.Not():
                return Not(span, TRUTH, self.truth(part, "what stands behind 'not'"))
            case ast.USub() | ast.UAdd():
                part = self.number(part, f"'{'-' if isinstance(tree.op, ast.USub) else '+'}'")
                (part,) = agree_on_units([part], self.source)
                return part if isinstance(tree.op, ast.UAdd) else Negative(span, negative_shape(part.shape), part)
            case _:
                raise Wrong(span, "'~' is not of this language; write 'not'")

    def _arithmetic(self, tree: ast.BinOp, span: Span) -> Node | None:
        sign = _SIGNS.get(type(tree.op))
        if sign is None:
            self.look_at([tree.left, tree.right])
            raise Wrong(span, _NOT_HERE[type(tree.op)])
        sides = self.nodes([tree.left, tree.right])
        sides = sides and self._each(sides, self.number, f"'{sign}'")
        if sides is None:
            return None
        if sign in "*/%//" and (text := next((one for one in sides if one.shape.kind is Kind.TEXT), None)):
            raise Wrong(text.span, f"{self.source.of(text)} is a text; '{sign}' takes numbers")
        if all(one.shape.kind is Kind.TEXT for one in sides):
            raise Wrong(span, f"'{sign}' takes numbers; texts are put together in a template")
        if sign in "*/%//":
            left, right = sides
            unit = left.shape.unit if sign == "%" else ""
        else:
            left, right = agree_on_units(sides, self.source)
            unit = left.shape.unit or right.shape.unit
            if sign == "-" and left.shape.unit and right.shape.unit:
                unit = difference_unit(unit)
        if sign in ("/", "//", "%") and isinstance(right, Literal) and right.value == 0:
            raise Wrong(right.span, "a division by 0 is always unknown")
        shape = arithmetic_shape(sign, left.shape, right.shape)
        return Arithmetic(span, Shape(NUMBER.kind, unit, shape.low, shape.high, shape.is_whole, None, shape.is_given),
                          sign, left, right)  # fmt: skip

    def _compare(self, tree: ast.Compare, span: Span) -> Node | None:
        if len(tree.ops) == 1 and isinstance(tree.ops[0], ast.In | ast.NotIn):
            return check_member(self, tree, span)
        for operator, right in zip(tree.ops, tree.comparators, strict=True):
            if isinstance(operator, ast.Is | ast.IsNot):
                self.look_at([tree.left])
                is_none = isinstance(right, ast.Constant) and right.value is None
                raise Wrong(span, f"'is' is not of this language; {_UNKNOWN if is_none else 'write == or !='}")
            if isinstance(operator, ast.In | ast.NotIn):
                raise Wrong(span, "'in' stands in no chain of comparisons; join them with 'and'")
        return check_comparison(self, tree, span)

    def _choice(self, tree: ast.IfExp, span: Span) -> Node | None:
        made = self.nodes([tree.body, tree.test, tree.orelse])
        if made is None:
            return None
        then, test, otherwise = made
        test = self.truth(test, "what stands behind 'if'")
        if isinstance(test, Literal) and not test.shape.is_given:
            raise Wrong(test.span, f"the choice is always {'the first' if test.value else 'the other'} one")
        then, otherwise = self.alike(then, otherwise)
        shape = both_of(then.shape, otherwise.shape)
        unit = then.shape.unit or otherwise.shape.unit
        return Choice(span, replace(shape, unit=unit), test, then, otherwise)

    def alike(self, one: Node, other: Node) -> tuple[Node, Node]:
        """Return two values that one of which may stand for the other, of one kind."""
        for node in (one, other):
            if node.shape.kind is Kind.THING:
                refuse_thing(self, node)
        one, other = narrowed(one, other.shape.kind), narrowed(other, one.shape.kind)
        if Kind.NUMBER in (one.shape.kind, other.shape.kind):
            one, other = self.number(one, "the other value"), self.number(other, "the other value")
            one, other = agree_on_units([one, other], self.source)
        if one.shape.kind is not other.shape.kind:
            kinds = one.shape.kind.phrase, other.shape.kind.phrase
            raise Wrong(other.span, f"{self.source.of(one)} is {kinds[0]}, {self.source.of(other)} {kinds[1]}")
        return one, other


def refuse_thing(checker: Checker, node: Node) -> NoReturn:
    """Raise what is wrong with a list or mapping as a value."""
    name = checker.source.of(node)
    raise Wrong(node.span, f"{name} is a list or mapping; only has({name}) can be asked")
