"""``window``: its figures, each an expression over the events, and what a condition over the figures may name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fieldgate_devices.field_model import FieldSpec
from fieldgate_devices.files.document import Loc
from fieldgate_rules.condition import EventKind, Expression, Scope
from fieldgate_rules.condition.number_functions import difference_unit
from fieldgate_rules.model import WindowSpec
from fieldgate_rules.model.windows import ValueSpec
from fieldgate_rules.reading.kinds import spec_of_shape
from fieldgate_rules.reading.part import RulePart
from fieldgate_rules.rule import WindowValue

__all__ = ["ReadWindow", "read_window"]

_ENERGY: Final = {"W": "Wh", "kW": "kWh", "MW": "MWh"}  # what these add up to in an hour
_TIME: Final = FieldSpec(type="float", unit="s", optional=True)
_OF_ANY_KIND: Final = frozenset({"first", "last"})


@dataclass(frozen=True, slots=True)
class ReadWindow:
    """``figures`` are the fields of its event; those of no known kind are not there.

    ``kind`` is what conditions over the figures may name; ``is_open``: any name, because what was written is broken.
    """

    values: tuple[WindowValue, ...]
    figures: Mapping[str, FieldSpec]
    kind: EventKind
    is_open: bool


def read_window(part: RulePart, window: WindowSpec, scope: Scope) -> ReadWindow:
    """Return the figures; what is wrong with their expressions is said."""
    values: list[WindowValue] = []
    figures: dict[str, FieldSpec] = {}
    loose: set[str] = set()
    is_open = False
    for name, spec in window.values.items():
        loc: Loc = ("window", "values", name)
        if part.is_broken(loc):
            is_open = True
            continue
        if name in ("start", "end", "partial"):
            part.complain(loc, f"{name!r} is what the window itself says; choose another name", at_key=True)
        of = _of(part, (*loc, spec.function), spec, scope)
        values.append(WindowValue(name, spec, of))
        figure = _figure(spec, of)
        if figure is None:
            loose.add(name)
        else:
            figures[name] = figure
    own = {"start": _TIME, "end": _TIME, "partial": FieldSpec(type="bool")}
    kind = EventKind("this window", {**figures, **own}, loose=frozenset(loose))
    return ReadWindow(tuple(values), figures, kind, is_open)


def _of(part: RulePart, loc: Loc, spec: ValueSpec, scope: Scope) -> Expression | None:
    if spec.of is None:
        return None
    if spec.function == "count":
        return part.condition(spec.of, loc, scope)
    if spec.function in _OF_ANY_KIND:
        return part.expression(spec.of, loc, scope)
    return part.number(spec.of, loc, scope)


def _figure(spec: ValueSpec, of: Expression | None) -> FieldSpec | None:
    """The field that a figure is; None where its kind is not known."""
    if spec.function == "count":
        return FieldSpec(type="int", optional=True, unit=spec.unit or "")
    if of is None:  # it is wrong, and that was said
        return None
    if spec.function in _OF_ANY_KIND:
        return spec_of_shape(of.shape, spec.unit)
    unit = of.shape.unit
    if spec.function == "integral":
        unit = _ENERGY.get(unit, "") if spec.per == 3600.0 else ""
    elif spec.function in ("delta", "stddev") and unit:
        unit = difference_unit(unit)
    return FieldSpec(type="float", optional=True, unit=unit if spec.unit is None else spec.unit)
