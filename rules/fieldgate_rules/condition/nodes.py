"""An expression after it was checked: every name is known, every operand fits. The closures are made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from fieldgate_rules.condition.facts import Value
from fieldgate_rules.condition.place import Span
from fieldgate_rules.condition.shapes import Shape

__all__ = [
    "Age",
    "AllOf",
    "AnyOf",
    "Arithmetic",
    "Call",
    "Choice",
    "Comparison",
    "Default",
    "Device",
    "Field",
    "Has",
    "Last",
    "Literal",
    "Member",
    "Negative",
    "Node",
    "Not",
    "Now",
    "Prev",
    "Rate",
    "parts_of",
]


@dataclass(frozen=True, slots=True)
class _Part:
    span: Span
    shape: Shape


@dataclass(frozen=True, slots=True)
class Literal(_Part):
    """A value that stands there, or that a parameter stands for."""

    value: Value


@dataclass(frozen=True, slots=True)
class Field(_Part):
    """A field of the event."""

    name: str


@dataclass(frozen=True, slots=True)
class Prev(_Part):
    """What the same device said before."""

    name: str


@dataclass(frozen=True, slots=True)
class Last(_Part):
    """What a certain device said last."""

    device: str
    name: str


@dataclass(frozen=True, slots=True)
class Device(_Part):
    """The name of the device."""


@dataclass(frozen=True, slots=True)
class Now(_Part):
    """The time: seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Not(_Part):
    """The other truth."""

    part: Node


@dataclass(frozen=True, slots=True)
class AllOf(_Part):
    """``and``."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf(_Part):
    """``or``."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Comparison(_Part):
    """``a < b``, or a chain ``a < b <= c``: one sign fewer than parts."""

    parts: tuple[Node, ...]
    signs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Member(_Part):
    """``x in [1, 2]``; the values are of the kind of ``part``."""

    part: Node
    values: tuple[Value, ...]
    is_negated: bool


@dataclass(frozen=True, slots=True)
class Arithmetic(_Part):
    """``+ - * / // %``."""

    sign: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Negative(_Part):
    """``-x``."""

    part: Node


@dataclass(frozen=True, slots=True)
class Choice(_Part):
    """``then if test else otherwise``."""

    test: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class Has(_Part):
    """Whether a value is known."""

    part: Field | Prev | Last


@dataclass(frozen=True, slots=True)
class Default(_Part):
    """A value, or another one where it is unknown."""

    part: Node
    fallback: Node


@dataclass(frozen=True, slots=True)
class Age(_Part):
    """Seconds since a reading came."""

    part: Prev | Last


@dataclass(frozen=True, slots=True)
class Rate(_Part):
    """The change since the last value, per ``per_s`` seconds."""

    part: Field
    per_s: float


@dataclass(frozen=True, slots=True)
class Call(_Part):
    """A function of known values: unknown where one of ``arguments`` is, or where ``run`` returns None.

    ``steps`` is what ``run`` costs; ``why`` says what None means.
    """

    name: str
    arguments: tuple[Node, ...]
    run: Callable[..., Value | None]
    steps: int
    why: str


Node = (
    Literal | Field | Prev | Last | Device | Now | Not | AllOf | AnyOf | Comparison | Member | Arithmetic | Negative
    | Choice | Has | Default | Age | Rate | Call
)  # fmt: skip


def parts_of(node: Node) -> tuple[Node, ...]:
    """What a node is made of, in the order of the text."""
    match node:
        case Literal() | Field() | Prev() | Last() | Device() | Now():
            return ()
        case AllOf() | AnyOf() | Comparison():
            return node.parts
        case Not() | Negative() | Member() | Has() | Age() | Rate():
            return (node.part,)
        case Arithmetic():
            return (node.left, node.right)
        case Choice():
            return (node.then, node.test, node.otherwise)
        case Default():
            return (node.part, node.fallback)
        case Call():
            return node.arguments
        case _:
            assert_never(node)
