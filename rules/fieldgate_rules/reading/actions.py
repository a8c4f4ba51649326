"""``do``: what a rule does, with its texts and values read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fieldgate_devices.field_model import FieldSpec
from fieldgate_devices.files.document import Loc
from fieldgate_rules.condition import Expression, Scope, Template
from fieldgate_rules.condition.shapes import TEXT, Kind, Shape, shape_of_value
from fieldgate_rules.leaf import Leaf
from fieldgate_rules.model import ActionSpec
from fieldgate_rules.reading.kinds import spec_of_shape
from fieldgate_rules.reading.part import RulePart
from fieldgate_rules.rule import Action

__all__ = ["ReadActions", "emitted_fields", "read_actions", "shape_of_leaf"]

_TEXTS = {
    "alert": ("text", "resolved", "key"),
    "command": ("device",),
    "publish": ("topic",),
    "emit": ("device",),
    "log": ("text",),
}


@dataclass(slots=True)
class ReadActions:
    """``locs`` says where the values of each action stand, by action."""

    actions: list[Action] = field(default_factory=list)
    values_at: list[Loc] = field(default_factory=list)


def read_actions(part: RulePart, scope: Scope) -> ReadActions:
    """Return the actions; what is wrong with their texts is said."""
    read = ReadActions()
    for number, spec in enumerate(part.spec.do):
        loc: Loc = ("do", number)
        if part.is_broken(loc) or part.is_broken((*loc, spec.kind)):
            continue
        condition = part.condition(spec.if_, (*loc, "if"), scope)
        values_at = _values_at(part, (*loc, spec.kind), spec)
        fields = {
            name: leaf
            for name, value in _values(spec).items()
            if (leaf := part.leaf(value, _value_loc(spec, values_at, name), scope)) is not None
        }
        texts = _texts(part, (*loc, spec.kind), spec, scope)
        read.actions.append(Action(spec.kind, number, part.where(loc), spec, condition, texts, fields))
        read.values_at.append(values_at)
    return read


def _values(spec: ActionSpec) -> Mapping[str, Any]:
    match spec.kind:
        case "alert":
            assert spec.alert is not None
            return spec.alert.fields
        case "emit":
            assert spec.emit is not None
            return spec.emit.fields
        case "command":
            assert spec.command is not None
            return spec.command.arguments
        case "publish":
            assert spec.publish is not None
            return {"payload": spec.publish.payload}
        case "set" | "enrich":
            return getattr(spec, spec.kind) or {}
        case _:
            return {}


def _values_at(part: RulePart, loc: Loc, spec: ActionSpec) -> Loc:
    """Where the values stand: a command's may be written under its name."""
    match spec.kind:
        case "alert" | "emit":
            return (*loc, "fields")
        case "command":
            assert spec.command is not None
            is_short = part.node((*loc, "name")) is None
            return (*loc, spec.command.name) if is_short else (*loc, "arguments")
        case _:
            return loc


def _value_loc(spec: ActionSpec, values_at: Loc, name: str) -> Loc:
    return (*values_at, name)


def _texts(part: RulePart, loc: Loc, spec: ActionSpec, scope: Scope) -> dict[str, Template]:
    section = getattr(spec, spec.kind)
    made = {}
    for key in _TEXTS.get(spec.kind, ()):
        text = getattr(section, key)
        if text is None:
            continue
        at = loc if spec.kind == "log" and part.node((*loc, key)) is None else (*loc, key)
        template = part.template(text, at, scope)
        if template is not None:
            made[key] = template
    return made


def shape_of_leaf(leaf: Leaf) -> Shape:
    """What a value will be."""
    match leaf.tree:
        case Template():
            only: Expression | None = leaf.tree.only
            return TEXT if only is None else only.shape
        case bool() | int() | float() | str():
            return shape_of_value(leaf.tree)
        case _:
            return Shape(Kind.THING)


def emitted_fields(action: Action) -> dict[str, FieldSpec]:
    """The contract of what ``emit`` gives values; those of no known kind are not in it."""
    fields = {name: spec_of_shape(shape_of_leaf(leaf)) for name, leaf in action.fields.items()}
    return {name: spec for name, spec in fields.items() if spec is not None}
