"""The condition language once more: slow, straightforward, and sharing nothing with the one that is tested.

It walks Python's own tree with each question, has the truth tables written out, and takes whatever Python raises for
unknown. It checks nothing: it is asked about expressions that were let through.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from fieldgate_devices.files.quantities import parse_duration
from fieldgate_devices.profile import Profile
from fieldgate_devices.units import conversion, units_like
from fieldgate_rules.condition import Facts

__all__ = ["UNKNOWN", "Reference"]


class _Unknown:
    def __repr__(self) -> str:
        return "unknown"


UNKNOWN = _Unknown()
T, F, U = True, False, UNKNOWN
AND = {(T, T): T, (T, F): F, (T, U): U, (F, T): F, (F, F): F, (F, U): F, (U, T): U, (U, F): F, (U, U): U}
OR = {(T, T): T, (T, F): T, (T, U): T, (F, T): T, (F, F): F, (F, U): U, (U, T): T, (U, F): U, (U, U): U}
NOT = {T: F, F: T, U: U}

SIGNS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
KINDS = {"float": "number", "int": "number", "bool": "truth", "string": "text", "object": "thing"}
NUMBER_FUNCTIONS = {"abs", "min", "max", "round", "clamp", "convert", "delta", "rate", "age", "length", "hour"}
TEXT_FUNCTIONS = {"lower", "upper", "weekday"}
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
LARGEST = 1.7976931348623157e308


def kind_of(value: object) -> str:
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "thing"


def begin(text: str) -> str:
    """The first 4 KiB, character by character."""
    if len(text.encode(errors="replace")) <= 4096:
        return text
    size, kept = 0, ""
    for one in text:
        size += len(one.encode(errors="replace"))
        if size > 4096:
            break
        kept += one
    return kept


class Reference:
    """Expressions of a rule on devices of ``profile``; without one, any name may be a field of any kind."""

    def __init__(self, profile: Profile | None, zone: str = "UTC") -> None:
        self._profile = profile
        self._zone = ZoneInfo(zone)

    def value(self, text: str, facts: Facts) -> Any:
        """What ``text`` is: a value or `UNKNOWN`."""
        tree = ast.parse(text.strip(), mode="eval").body
        return self._plain(self._of(tree, facts, self._kind(tree)))

    def _plain(self, value: Any) -> Any:
        if value is UNKNOWN or isinstance(value, bool | str):
            return value
        return value if -LARGEST <= value <= LARGEST else UNKNOWN

    # -- what is known beforehand -------------------------------------------------------------------------------------

    def _field_kind(self, name: str) -> str:
        if self._profile is None:
            return "any"
        spec = self._profile.fields[name]
        if spec.type != "enum":
            return KINDS[spec.type]
        kinds = {kind_of(one) for one in spec.values}
        return kinds.pop() if len(kinds) == 1 else "several"

    def _kind(self, tree: ast.expr) -> str:
        match tree:
            case ast.Name(id="true" | "false"):
                return "truth"
            case ast.Name(id="now"):
                return "number"
            case ast.Name(id="device"):
                return "text"
            case ast.Name(id=name):
                return self._field_kind(name)
            case ast.Attribute(attr=name):
                return self._field_kind(name)
            case ast.Constant(value=value):
                return kind_of(value)
            case ast.BinOp() | ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                return "number"
            case ast.IfExp(body=one, orelse=other):
                return self._kind(one) if self._kind(one) != "any" else self._kind(other)
            case ast.Call(func=ast.Name(id="last")):
                return "any"
            case ast.Call(func=ast.Name(id="default"), args=[one, other]):
                return self._kind(one) if self._kind(one) != "any" else self._kind(other)
            case ast.Call(func=ast.Name(id=name)):
                return "number" if name in NUMBER_FUNCTIONS else "text" if name in TEXT_FUNCTIONS else "truth"
            case _:
                return "truth"

    def _unit(self, tree: ast.expr) -> str:
        """The unit of time of a number beside which a duration stands, else empty."""
        match tree:
            case ast.Name(id="now") | ast.Call(func=ast.Name(id="age")):
                return "s"
            case ast.Name(id=name) | ast.Attribute(attr=name) if self._profile and name in self._profile.fields:
                unit = self._profile.fields[name].unit
                return unit if "s" in units_like(unit) else ""
            case _:
                return ""

    # -- values -------------------------------------------------------------------------------------------------------

    def _of(self, tree: ast.expr, facts: Facts, wanted: str) -> Any:
        """The value of ``tree``, of the kind that is ``wanted`` where nobody knows its kind."""
        match tree:
            case ast.Constant(value=value):
                return value
            case ast.Name(id="true" | "false" as word):
                return word == "true"
            case ast.Name(id="now"):
                return UNKNOWN if facts.wall_s is None else facts.wall_s
            case ast.Name(id="device"):
                return facts.device
            case ast.Name() | ast.Attribute() | ast.Call(func=ast.Name(id="last")):
                return self._named(tree, facts, wanted)
            case ast.BoolOp(op=op, values=parts):
                table = AND if isinstance(op, ast.And) else OR
                result = isinstance(op, ast.And)
                for part in parts:
                    result = table[result, self._of(part, facts, "truth")]
                return result
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return NOT[self._of(part, facts, "truth")]
            case ast.UnaryOp(op=op, operand=part):
                number = self._of(part, facts, "number")
                return UNKNOWN if number is UNKNOWN else -number if isinstance(op, ast.USub) else number
            case ast.BinOp(left=left, op=op, right=right):
                return self._reckon(SIGNS[type(op)], self._of(left, facts, "number"), self._of(right, facts, "number"))
            case ast.Compare(ops=[ast.In() | ast.NotIn() as op], left=left, comparators=[ast.List(elts=elements)]):
                return self._member(left, elements, facts, is_in=isinstance(op, ast.In))
            case ast.Compare():
                return self._compare(tree, facts)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                truth = self._of(test, facts, "truth")
                kind = self._kind(tree) if self._kind(tree) != "any" else wanted
                return UNKNOWN if truth is UNKNOWN else self._of(body if truth else orelse, facts, kind)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._call(name, arguments, facts, self._kind(tree) if self._kind(tree) != "any" else wanted)
        raise AssertionError(ast.dump(tree))

    def _named(self, tree: ast.expr, facts: Facts, wanted: str) -> Any:
        raw = self._raw(tree, facts)
        kind = self._kind(tree)
        kind = wanted if kind == "any" else kind
        if raw is None or kind_of(raw) == "thing" or (kind not in ("any", "several") and kind_of(raw) != kind):
            return UNKNOWN
        return self._plain(raw)

    def _raw(self, tree: ast.expr, facts: Facts) -> object:
        match tree:
            case ast.Name(id=name):
                return facts.fields.get(name)
            case ast.Attribute(attr=name):
                return facts.prev[name].value if name in facts.prev else None
            case ast.Call(args=[ast.Constant(value=device), ast.Constant(value=name)]):
                return facts.last[device, name].value if (device, name) in facts.last else None
        raise AssertionError(ast.dump(tree))

    def _reckon(self, run: Callable[..., Any], *values: Any) -> Any:
        if any(value is UNKNOWN for value in values):
            return UNKNOWN
        try:
            return self._plain(run(*values))
        except (ArithmeticError, ValueError):
            return UNKNOWN

    def _compare(self, tree: ast.Compare, facts: Facts) -> Any:
        trees = [tree.left, *tree.comparators]
        kinds = [self._kind(one) for one in trees]
        is_order = any(not isinstance(op, ast.Eq | ast.NotEq) for op in tree.ops)
        if is_order or ("number" in kinds and "several" not in kinds):
            wanted = "number"
        else:
            wanted = "any" if "several" in kinds else next((kind for kind in kinds if kind != "any"), "any")
        unit = next(filter(None, map(self._unit, trees)), "")
        values = []
        for one in trees:
            value = self._of(one, facts, wanted)
            if wanted == "number" and isinstance(value, str):  # "5m" beside a number of seconds
                value = conversion("s", unit)(parse_duration(value))
            values.append(value)
        result: Any = True
        for op, one, other in zip(tree.ops, values, values[1:], strict=False):
            result = AND[result, self._pair(op, one, other)]
        return result

    def _pair(self, op: ast.cmpop, one: Any, other: Any) -> Any:
        if UNKNOWN in (one, other):
            return UNKNOWN
        if kind_of(one) != kind_of(other):
            return isinstance(op, ast.NotEq)
        if isinstance(one, str):
            one, other = begin(one), begin(other)
        return SIGNS[type(op)](one, other)

    def _member(self, left: ast.expr, elements: list[ast.expr], facts: Facts, *, is_in: bool) -> Any:
        wanted = [self._of(one, facts, "any") for one in elements]
        value = self._of(left, facts, kind_of(wanted[0]))
        if value is UNKNOWN:
            return UNKNOWN
        return any(kind_of(one) == kind_of(value) and one == value for one in wanted) is is_in

    # -- functions ----------------------------------------------------------------------------------------------------

    def _call(self, name: str, trees: list[ast.expr], facts: Facts, kind: str) -> Any:
        if name == "has":
            declared = self._kind(trees[0])
            if declared in ("any", "thing"):
                return self._raw(trees[0], facts) is not None
            return self._named(trees[0], facts, declared) is not UNKNOWN
        if name == "default":
            value = self._of(trees[0], facts, kind)
            return self._of(trees[1], facts, kind) if value is UNKNOWN else value
        if name == "age":
            return self._age(trees[0], facts)
        if name in ("delta", "rate"):
            return self._change(name, trees, facts)
        first_kind = (
            "text" if name in TEXT_FUNCTIONS | {"length", "contains", "startswith", "endswith", "matches"} else ""
        )
        wanted = "number" if name == "weekday" or not first_kind else first_kind
        values = [self._of(one, facts, wanted) for one in trees]
        if any(value is UNKNOWN for value in values):
            return UNKNOWN
        values = [begin(value) if isinstance(value, str) else value for value in values]
        return self._plain(getattr(self, f"_{name}")(*values, trees=trees))

    def _age(self, tree: ast.expr, facts: Facts) -> Any:
        match tree:
            case ast.Attribute(attr=name):
                reading = facts.prev.get(name)
            case ast.Call(args=[ast.Constant(value=device), ast.Constant(value=name)]):
                reading = facts.last.get((device, name))
        return UNKNOWN if reading is None else max(0.0, facts.boot_s - reading.boot_s)

    def _change(self, name: str, trees: list[ast.expr], facts: Facts) -> Any:
        assert isinstance(trees[0], ast.Name)
        now = self._named(trees[0], facts, "number")
        before = self._named(ast.Attribute(value=ast.Name(id="prev"), attr=trees[0].id), facts, "number")
        change = self._reckon(operator.sub, now, before)
        if change is UNKNOWN or name == "delta":
            return change
        passed_s = facts.boot_s - facts.prev[trees[0].id].boot_s
        per_s = parse_duration(trees[1].value) if len(trees) > 1 else 1.0
        return UNKNOWN if passed_s <= 0 else self._reckon(lambda: change / passed_s * per_s)

    def _abs(self, x: Any, *, trees: Any) -> Any:
        return abs(x)

    def _min(self, *values: Any, trees: Any) -> Any:
        return min(values)

    def _max(self, *values: Any, trees: Any) -> Any:
        return max(values)

    def _round(self, x: Any, digits: Any = None, *, trees: Any) -> Any:
        return round(x) if digits is None else round(x, digits)

    def _clamp(self, x: Any, low: Any, high: Any, *, trees: Any) -> Any:
        return max(low, min(x, high))

    def _convert(self, x: Any, unit: str, *, trees: list[ast.expr]) -> Any:
        name = trees[0].id if isinstance(trees[0], ast.Name) else trees[0].attr
        assert self._profile is not None
        number = conversion(self._profile.fields[name].unit, unit)(x)
        return number if math.isfinite(number) else UNKNOWN

    def _lower(self, text: str, *, trees: Any) -> Any:
        return begin(text.lower())

    def _upper(self, text: str, *, trees: Any) -> Any:
        return begin(text.upper())

    def _length(self, text: str, *, trees: Any) -> Any:
        return len(text)

    def _contains(self, text: str, part: str, *, trees: Any) -> Any:
        return text.find(part) >= 0

    def _startswith(self, text: str, part: str, *, trees: Any) -> Any:
        return text[: len(part)] == part

    def _endswith(self, text: str, part: str, *, trees: Any) -> Any:
        return part == "" or text[-len(part) :] == part

    def _matches(self, text: str, pattern: str, *, trees: Any) -> Any:
        return re.search(pattern.replace("$", r"\Z"), text, re.ASCII) is not None

    def _local(self, at_s: float) -> datetime | None:
        try:
            local = datetime.fromtimestamp(at_s, self._zone)
        except (OverflowError, ValueError, OSError):
            return None
        return local if at_s >= 86_400 and local.year < 9999 else None

    def _hour(self, at_s: float, *, trees: Any) -> Any:
        local = self._local(at_s)
        return UNKNOWN if local is None else local.hour

    def _weekday(self, at_s: float, *, trees: Any) -> Any:
        local = self._local(at_s)
        return UNKNOWN if local is None else DAYS[local.weekday()]

    def _between(self, at_s: float, first: str, last: str, *, trees: Any) -> Any:
        local = self._local(at_s)
        if local is None:
            return UNKNOWN
        clock = local.strftime("%H:%M")
        return first <= clock < last if first < last else clock >= first or clock < last
