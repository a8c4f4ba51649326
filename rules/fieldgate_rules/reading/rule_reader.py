"""One rule, from what is written to what can be run."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from fieldgate_devices.field_model import FieldSpec
from fieldgate_devices.files.document import Loc, Node, Value
from fieldgate_devices.files.location import Location
from fieldgate_devices.names import RESERVED
from fieldgate_rules.condition import EventKind, Expression, Reads, Scope, Template
from fieldgate_rules.model import ActionSpec, RuleSpec
from fieldgate_rules.model.actions import EmitSpec
from fieldgate_rules.model.values import type_problem
from fieldgate_rules.reading.actions import emitted_fields, read_actions
from fieldgate_rules.reading.effects_check import check_actions
from fieldgate_rules.reading.kinds import Kinds
from fieldgate_rules.reading.known import Known
from fieldgate_rules.reading.part import RulePart
from fieldgate_rules.reading.texts import Scopes
from fieldgate_rules.reading.triggers import ReadTriggers, Tags, read_triggers
from fieldgate_rules.reading.windows import ReadWindow, read_window
from fieldgate_rules.rule import Action, DerivedKind, EventTrigger, Rule, Step

__all__ = ["Around", "emitted_types", "read_rule", "said_in"]

_WINDOW_FIELDS: Final[Mapping[str, FieldSpec]] = {
    "start": FieldSpec(type="string", optional=True),
    "end": FieldSpec(type="string", optional=True),
    "partial": FieldSpec(type="bool", optional=True),
}
_NO_MEANING: Final = frozenset({"description", "use", "with"})
_SHALLOW: Final = frozenset({"rate", "count", "sequence", "window", "throttle"})


@dataclass(frozen=True, slots=True)
class Around:
    """What all rules of a reading share."""

    kinds: Kinds
    scopes: Scopes
    known: Known
    tags: Tags
    rule_ids: Collection[str]


def said_in(written: Mapping[str, Value]) -> msgspec.Raw:
    """Return what makes a rule another one when it changes, of all that is written in it."""
    said = {key: one for key, one in written.items() if key not in _NO_MEANING}
    return msgspec.Raw(msgspec.json.encode(said, order="sorted"))


def emitted_types(spec: RuleSpec) -> list[str]:
    """The types of events that a rule makes."""
    types = [one.emit.type or spec.id for one in spec.do if one.emit is not None]
    return types or ([spec.id] if spec.window is not None else [])


@dataclass(slots=True)
class _Asked:
    """What a rule asks and does."""

    when: Expression | None = None
    until: Expression | None = None
    steps: tuple[Step, ...] = ()
    window: ReadWindow | None = None
    having: Expression | None = None
    actions: tuple[Action, ...] = ()


def read_rule(part: RulePart, around: Around) -> tuple[Rule, Scope]:
    """Return the rule and what its conditions may name; what is wrong is said, and then it is not to be run."""
    spec = part.spec
    triggers = read_triggers(part, around.kinds, around.tags, around.rule_ids)
    scope = _scope(part, around, triggers.kinds, is_open=triggers.is_open)
    is_askable = not part.is_broken(("on",)) and _check_given(part, scope)
    asked = _asked(part, around, triggers, scope) if is_askable else _Asked()
    return Rule(
        id=spec.id,
        spec=spec,
        where=part.document.where(("id",)),
        places=_places(part),
        fingerprint=_fingerprint(part, triggers),
        zone=scope.zone,
        triggers=triggers.triggers,
        when=asked.when,
        until=asked.until,
        steps=asked.steps,
        window=() if asked.window is None else asked.window.values,
        having=asked.having,
        actions=asked.actions,
        reads=_reads(spec, asked),
        emits=_emits(part, around.kinds, asked.actions, asked.window) if is_askable else (),
    ), scope


def _scope(part: RulePart, around: Around, kinds: tuple[EventKind, ...], *, is_open: bool) -> Scope:
    given, zone = part.given, ZoneInfo(part.spec.zone)
    return around.scopes.of(kinds, is_open=is_open, zone=zone, parameters=given.values, aliases=given.aliases)


def _asked(part: RulePart, around: Around, triggers: ReadTriggers, scope: Scope) -> _Asked:
    """Read all conditions and actions; those of a window are about its figures."""
    spec = part.spec
    asked = _Asked(
        when=part.condition(spec.when, ("when",), scope),
        until=part.condition(spec.until, ("until",), scope),
        steps=_steps(part, scope),
    )
    _check_fields(part, scope)
    if spec.window is not None and not part.is_broken(("window",)):
        asked.window = read_window(part, spec.window, scope)
        scope = _scope(part, around, (asked.window.kind,), is_open=asked.window.is_open)
        asked.having = part.condition(spec.window.having, ("window", "having"), scope)
    read = read_actions(part, scope)
    check_actions(part, read, triggers, around.kinds, around.known)
    asked.actions = tuple(read.actions)
    if spec.window is not None and not any(one.emit is not None for one in spec.do):
        asked.actions = (*asked.actions, _own_emit(part, len(spec.do), scope))
    if asked.window is not None:
        _refuse_prev(part, asked, asked.window)
    return asked


def _refuse_prev(part: RulePart, asked: _Asked, window: ReadWindow) -> None:
    """Figures are made anew at the end of each window: nobody keeps those before."""
    own = {*window.kind.fields, *(value.name for value in window.values)}
    asking = _over_figures(asked.having, asked.actions)
    for one in (part for any_ in asking for part in (any_.expressions if isinstance(any_, Template) else [any_])):
        if names := sorted(one.reads.prev & own):
            said = f"{names[0]} is a figure, and has none before it; put a rule on what the window emits"
            part.say_at(one.placed.where(0), said)


def _own_emit(part: RulePart, number: int, scope: Scope) -> Action:
    """What a window does that says nothing of it."""
    loc: Loc = ("window",)
    emit = EmitSpec()
    device = part.template(emit.device, loc, scope)
    texts = {} if device is None else {"device": device}
    return Action("emit", number, part.where(loc), ActionSpec(emit=emit), texts=texts)


def _check_given(part: RulePart, scope: Scope) -> bool:
    """Whether names that were given can be used here: those of fields must be known, others no fields'."""
    is_right = True
    for name, field_name in part.given.aliases.items():
        found = scope.find(field_name)
        if isinstance(found, str) and name in part.given.where:
            part.say_at(part.given.where[name], f"{name}: {found}")
            is_right = False
        elif isinstance(found, str):
            part.complain(("use",), f"{name}: {found}; write with: {{{name}: …}}")
            is_right = False
    for name in part.spec.parameters:
        loc: Loc = ("parameters", name)
        label = next((kind.label for kind in scope.kinds if name in kind.fields), None)
        if name in RESERVED or name in ("true", "false"):
            part.complain(loc, f"{name!r} is a word of the language; choose another name", at_key=True)
        elif label is not None:
            part.complain(loc, f"{name!r} is a field of {label}; choose another name", at_key=True)
    return is_right


def _steps(part: RulePart, scope: Scope) -> tuple[Step, ...]:
    if part.spec.sequence is None:
        return ()
    made = []
    for number, step in enumerate(part.spec.sequence.steps):
        loc: Loc = ("sequence", "steps", number)
        at = (*loc, "when") if part.node((*loc, "when")) is not None else loc
        when = part.condition(step.when, at, scope)
        if when is not None:
            made.append(Step(when, step.device, part.where(at)))
    return tuple(made)


def _check_fields(part: RulePart, scope: Scope) -> None:
    """Fields that are named outside of conditions."""
    spec = part.spec
    named: list[tuple[str, Loc]] = [(name, ("changed", number)) for number, name in enumerate(spec.changed)]
    if spec.rate is not None:
        named.append((spec.rate.of, ("rate", "of")))
    if spec.group_by not in ("device", "all"):
        named.append((spec.group_by, ("group_by",)))
    for number, action in enumerate(spec.do):
        if action.sample is not None:
            named += [(name, ("do", number, "sample", "changed", at)) for at, name in enumerate(action.sample.changed)]
    if not named:
        return
    is_number = {("rate", "of")} | ({("changed", 0)} if spec.by is not None else set())
    for name, loc in named:
        if part.is_broken(loc):
            continue
        found = scope.find(name)
        if isinstance(found, str):
            part.complain(loc, found)
        elif loc in is_number and found.shape.kind.value not in ("number", "any"):
            part.complain(
                loc, f"{name} is {found.shape.kind.phrase}; {loc[0] if loc[0] == 'rate' else 'by'} takes numbers"
            )


def _emits(
    part: RulePart, kinds: Kinds, actions: Sequence[Action], window: ReadWindow | None
) -> tuple[DerivedKind, ...]:
    """The contracts of what the rule emits, one for each type and version."""
    made: dict[tuple[str, int], DerivedKind] = {}
    for action in actions:
        emit = action.spec.emit
        if emit is None:
            continue
        type_ = emit.type or part.spec.id
        fields, named = emitted_fields(action), {*emit.fields}
        if window is not None:
            fields = {**window.figures, **fields, **_WINDOW_FIELDS}
            named |= {one.name for one in window.values}
        kind = DerivedKind(type_, emit.version, part.spec.id, fields, frozenset(named - fields.keys()))
        known = made.get((type_, emit.version))
        made[type_, emit.version] = kind if known is None else known.joined(kind)
        loc: Loc = ("do", action.number, "emit") if action.number < len(part.spec.do) else ("window",)
        if said := kinds.unlike(type_, fields):
            part.complain(loc, f"{said}; give it another type", at_key=True)
        if (emit.type is None and (said := type_problem(type_))) or (said := _taken(type_, kinds)):
            part.complain(
                (*loc, "type") if emit.type else loc, f"{said}; write emit: {{type: …}}", at_key=not emit.type
            )
        kinds.settle(type_, fields, is_open=bool(kind.loose))
    return tuple(made.values())


def _taken(type_: str, kinds: Kinds) -> str:
    return f"{type_!r} is the id of a profile, whose contract it does not keep" if kinds.profile(type_) else ""


def _reads(spec: RuleSpec, asked: _Asked) -> Reads:
    """What all of its expressions look at; those over the figures of a window only for what is none."""
    window = asked.window
    reads = [one.reads for one in _over_events(asked)]
    over_figures = [one.reads for one in _over_figures(asked.having, asked.actions)]
    if window is not None:
        own = {*window.kind.fields, *(one.name for one in window.values)}
        over_figures = [
            msgspec.structs.replace(one, fields=one.fields - own, prev=one.prev - own) for one in over_figures
        ]
    reads += over_figures
    named = {*spec.changed, *(name for one in spec.do if one.sample for name in one.sample.changed)}
    if spec.rate is not None:
        named.add(spec.rate.of)
    if spec.group_by not in ("device", "all"):
        named.add(spec.group_by)
    if named:
        reads.append(Reads(fields=frozenset(named)))
    return Reads.of_all(reads)


def _over_events(asked: _Asked) -> Iterator[Expression]:
    values = () if asked.window is None else asked.window.values
    for one in (asked.when, asked.until, *(step.when for step in asked.steps), *(value.of for value in values)):
        if one is not None:
            yield one


def _over_figures(having: Expression | None, actions: Iterable[Action]) -> Iterator[Expression | Template]:
    if having is not None:
        yield having
    for action in actions:
        if action.condition is not None:
            yield action.condition
        yield from action.texts.values()
        for leaf in action.fields.values():
            yield from leaf.templates()


def _fingerprint(part: RulePart, triggers: ReadTriggers) -> str:
    """What changes when the rule means something else: what it says, what it is given, and what its tags stand for."""
    tagged = [
        [one.tagged_devices, sorted(one.tagged_types)]
        for one in triggers.triggers
        if isinstance(one, EventTrigger) and one.tagged_devices is not None
    ]
    given = [part.given.values, part.given.aliases]
    text = msgspec.json.encode([part.said, given, tagged], order="sorted")
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def _places(part: RulePart) -> dict[str, Location]:
    """Where keys stand, by the names that `Rule.place` takes."""
    root = part.document.root
    places: dict[str, Location] = {}
    if root is None or not isinstance(root.content, dict):
        return places
    for key, (at, node) in root.content.items():
        content = node.content
        places[key] = at if isinstance(content, dict | list) else node.at
        if key in ("on", "do"):
            for number, one in enumerate(content if isinstance(content, list) else (node,)):
                prefix = f"{key}[{number}]"
                places[prefix] = one.at
                if isinstance(one.content, dict):
                    _add_below(places, prefix, one.content)
        elif key in _SHALLOW and isinstance(content, dict):
            _add_below(places, key, content)
    return places


def _add_below(places: dict[str, Location], prefix: str, entries: Mapping[str, tuple[Location, Node]]) -> None:
    for key, (at, below) in entries.items():
        content = below.content
        places[f"{prefix}.{key}"] = at if isinstance(content, dict | list) else below.at
        if key == "steps" and isinstance(content, list):
            for number, step in enumerate(content):
                places[f"{prefix}.{key}[{number}]"] = step.at
