"""Functions of texts and of what is known. Texts come to them cut at 4 KiB."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from fieldgate_rules.condition.bounds import cut
from fieldgate_rules.condition.facts import Value
from fieldgate_rules.condition.nodes import Call, Default, Field, Has, Last, Literal, Node, Prev
from fieldgate_rules.condition.pattern import read_pattern
from fieldgate_rules.condition.shapes import NUMBER, TEXT, TRUTH, Kind, Shape, both_of
from fieldgate_rules.condition.wants import Example, Function, Parameter, Use, Wants

__all__ = ["TEXT_FUNCTIONS", "is_cut", "is_long"]

_TEXT: Final = Parameter("text", Wants.TEXT)
_NEVER: Final = "it cannot be told"
_CASE_STEPS: Final = 650
_SEARCH_STEPS: Final = 160
_MATCH_STEPS: Final = 220


def is_long(node: Node) -> bool:
    """Whether a text may be too long to be looked at for next to nothing."""
    if isinstance(node, Call):
        return any(map(is_long, node.arguments))
    return node.shape.kind in (Kind.TEXT, Kind.ANY) and node.shape.values is None


def is_cut(node: Node) -> bool:
    """Whether a text has to be cut before a function looks at it; what a function gives is short enough."""
    return node.shape.kind is Kind.TEXT and is_long(node) and not isinstance(node, Call)


def _call(use: Use, name: str, shape: Shape, run: Callable[..., Value | None], *, long: int, short: int = 3) -> Call:
    steps = long if any(map(is_long, use.arguments)) else short
    return Call(use.span, shape, name, use.arguments, run, steps=steps, why=_NEVER)


def _changed_case(name: str, change: Callable[[str], str]) -> Callable[[Use], Node]:
    def build(use: Use) -> Node:
        values = use.arguments[0].shape.values
        known = None if values is None else tuple(dict.fromkeys(change(str(one)) for one in values))
        return _call(use, name, replace(TEXT, values=known), lambda text: cut(change(text)), long=_CASE_STEPS)

    return build


def _test(name: str, run: Callable[[str, str], bool], *, long: int) -> Callable[[Use], Node]:
    def build(use: Use) -> Node:
        return _call(use, name, TRUTH, run, long=long)

    return build


def _length(use: Use) -> Node:
    return _call(use, "length", replace(NUMBER, is_whole=True).within(0, 4096), len, long=3)


def _matches(use: Use) -> Node:
    text, pattern = use.arguments
    assert isinstance(pattern, Literal)
    found = read_pattern(str(pattern.value)).is_found
    return _call(replace(use, arguments=(text,)), "matches", TRUTH, found, long=_MATCH_STEPS, short=40)


def _has(use: Use) -> Node:
    part = use.arguments[0]
    assert isinstance(part, Field | Prev | Last)
    return Has(use.span, TRUTH, part)


def _default(use: Use) -> Node:
    part, fallback = use.arguments
    shape = both_of(part.shape, fallback.shape)
    return Default(use.span, replace(shape, unit=part.shape.unit or fallback.shape.unit), part, fallback)


TEXT_FUNCTIONS: Final = (
    Function(
        "lower",
        (_TEXT,),
        "text",
        "The text in small letters.",
        (Example("lower(state)", "on", {"state": "ON"}),),
        _changed_case("lower", str.lower),
    ),
    Function(
        "upper",
        (_TEXT,),
        "text",
        "The text in capital letters.",
        (Example("upper(state)", "ON", {"state": "on"}),),
        _changed_case("upper", str.upper),
    ),
    Function("length", (_TEXT,), "number", "How many characters.", (Example('length("°C")', 2),), _length),
    Function(
        "contains",
        (_TEXT, Parameter("part", Wants.TEXT)),
        "truth",
        "Whether the part stands anywhere in the text.",
        (Example('contains(message, "fault")', True, {"message": "pump fault 7"}),),
        _test("contains", lambda text, part: part in text, long=_SEARCH_STEPS),
    ),
    Function(
        "startswith",
        (_TEXT, Parameter("part", Wants.TEXT)),
        "truth",
        "Whether the text begins with the part.",
        (Example('startswith(device, "boiler-")', True),),
        _test("startswith", lambda text, part: text.startswith(part), long=5),
    ),
    Function(
        "endswith",
        (_TEXT, Parameter("part", Wants.TEXT)),
        "truth",
        "Whether the text ends with the part.",
        (Example('endswith(device, "-7")', True),),
        _test("endswith", lambda text, part: text.endswith(part), long=5),
    ),
    Function(
        "matches",
        (_TEXT, Parameter("pattern", Wants.PATTERN)),
        "truth",
        "Whether the regular expression (RE2) fits anywhere in the text; `^` and `$` are its ends.",
        (Example(r'matches(message, r"^E[0-9]+\b")', True, {"message": "E42 pump"}),),
        _matches,
    ),
    Function(
        "has",
        (Parameter("value", Wants.KNOWABLE),),
        "truth",
        "Whether the value is known. Never unknown itself.",
        (Example("has(flow)", False, {"level": 40.0}), Example("has(prev.level)", True, prev={"level": 41.5})),
        _has,
    ),
    Function(
        "default",
        (Parameter("value", Wants.VALUE), Parameter("fallback", Wants.VALUE)),
        "as the value",
        "The value, or the fallback where it is unknown.",
        (Example("default(flow, 0) > 3", False, {"level": 40.0}),),
        _default,
    ),
)
