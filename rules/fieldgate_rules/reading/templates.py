"""Templates: what they ask for, and a rule that uses one as if all of it were written there.

A parameter is a name in conditions and texts. Anywhere else a value that is ``{name}`` and nothing else is what was
given, with its kind. One of type field is the name of a field; in conditions and texts it stands for its value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fieldgate_devices.files.document import Document, Node, Problem
from fieldgate_devices.files.location import Location
from fieldgate_devices.files.quantities import parse_duration
from fieldgate_devices.files.validate import did_you_mean, validate
from fieldgate_devices.names import name_problem
from fieldgate_rules.condition import Value
from fieldgate_rules.model import ParameterSpec
from fieldgate_rules.reading.sections import TEMPLATE_TREE

__all__ = [
    "Given",
    "Path",
    "TemplateEntry",
    "filled",
    "given_to",
    "is_condition",
    "is_text",
    "read_template_entry",
]

_HOLE: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_KINDS: Final[dict[str, Any]] = {"number": (int, float), "text": str, "truth": bool, "duration": str, "field": str}
_STAND_INS: Final[dict[str, object]] = {
    "number": 1, "text": "stand-in", "truth": True, "duration": "1m", "field": "stand_in", "list": [],
}  # fmt: skip
_CONDITIONS: Final = {("when",), ("until",), ("window", "having"), ("do", "if"), ("sequence", "steps"),
                      ("sequence", "steps", "when")}  # fmt: skip
_TEXTS: Final = (
    ("do", "log"), ("do", "set"), ("do", "enrich"), ("do", "command"), ("do", "alert", "text"),
    ("do", "alert", "resolved"), ("do", "alert", "key"), ("do", "alert", "fields"), ("do", "emit", "device"),
    ("do", "emit", "fields"), ("do", "publish", "topic"), ("do", "publish", "payload"),
)  # fmt: skip
_NO_TEXTS: Final = {("do", "command", "name"), ("do", "log", "level")}
_UNFILLED: Final = {"parameters", "id", "use", "with", "description"}

Path = tuple[str, ...]


@dataclass(slots=True)
class TemplateEntry:
    """A template of a file, or of the library. ``is_usable``: nothing is wrong with it."""

    name: str
    where: Location
    node: Node
    parameters: Mapping[str, ParameterSpec]
    description: str
    is_usable: bool


@dataclass(slots=True)
class Given:
    """What a rule gives to names: ``values`` in conditions and texts, ``aliases`` for fields, ``nodes`` anywhere else.

    ``where`` says where each was written by whoever uses the template.
    """

    values: dict[str, Value] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    where: dict[str, Location] = field(default_factory=dict)

    def add(self, name: str, node: Node, *, is_field: bool = False) -> None:
        """Give ``node`` that name."""
        self.nodes[name] = node
        if is_field:
            self.aliases[name] = str(node.content)
        elif isinstance(node.content, int | float | str):
            self.values[name] = node.content


def read_template_entry(name: str, where: Location, node: Node, say: Callable[[Problem], None]) -> TemplateEntry:
    """Check a template as it is with its defaults, or with anything where it has none."""
    problems: dict[Problem, None] = {}
    path = where.path
    parameters: Mapping[str, ParameterSpec] = {}
    description = ""
    if isinstance(node.content, dict) and (found := node.content.get("parameters")) is not None:
        only = Node(node.at, {"parameters": found})
        outcome = validate(Document(path, only), TEMPLATE_TREE)
        problems.update(dict.fromkeys(outcome.problems))
        parameters = outcome.model.parameters if outcome.model is not None else {}
        for key, spec in parameters.items():
            at = Document(path, node).where(("parameters", key, "default"))
            if "default" in spec.model_fields_set and (said := _unfit(spec, spec.default, parameters)):
                problems[Problem(at, f"default: {said}")] = None
    stand_ins = Given()
    for key, spec in parameters.items():
        value: Any = spec.default
        if value is None or _other(value, parameters) is not None:
            value = spec.values[0] if spec.values else _STAND_INS[spec.type]
        stand_ins.add(key, _node_of(value, node.at), is_field=spec.type == "field")
    outcome = validate(Document(path, filled(node, stand_ins)), TEMPLATE_TREE)
    problems.update(dict.fromkeys(outcome.problems))
    if outcome.model is not None:
        description = outcome.model.description
    for problem in problems:
        say(problem)
    return TemplateEntry(name, where, node, parameters, description, not problems)


def given_to(
    entry: TemplateEntry, written: Mapping[str, tuple[Location, Node]], use_at: Location, say: Callable[[Problem], None]
) -> Given:
    """Return what ``with`` gives to a template, defaults among it; what does not fit is said."""
    given = Given()
    holes = {f"{{{name}}}" for name in entry.parameters}
    for name, (key_at, _) in written.items():
        if name not in entry.parameters:
            known = ", ".join(entry.parameters)
            hint = did_you_mean(name, entry.parameters) or (f"; it has {known}" if known else "; it has none")
            say(Problem(key_at, f"{name!r} is no parameter of template {entry.name!r}{hint}"))
    for name, spec in entry.parameters.items():
        if name in written:
            node = written[name][1]
            given.where[name] = node.at
            if spec.type == "list" and isinstance(node.content, str | int | float) and node.content not in holes:
                node = Node(node.at, [node])  # one may stand in the place of a list of them
            if said := _unfit(spec, node.value(), entry.parameters):
                say(Problem(node.at, f"{name}: {said}"))
                continue
        elif "default" in spec.model_fields_set:
            node = _node_of(spec.default, use_at)
        else:
            said = (
                f"; it is {spec.description[:1].lower()}{spec.description[1:].rstrip('.')}" if spec.description else ""
            )
            say(Problem(use_at, f"template {entry.name!r} needs with: {{{name}: …}}{said}"))
            continue
        given.add(name, node, is_field=spec.type == "field")
    for name, node in list(given.nodes.items()):  # a default may be what another one was given
        if (other := _other(node.content, entry.parameters)) and other in given.nodes:
            given.add(name, given.nodes[other])
    return given


def _other(value: object, parameters: Mapping[str, ParameterSpec]) -> str | None:
    """The parameter that ``value`` names as a whole."""
    match = _HOLE.fullmatch(value) if isinstance(value, str) else None
    return match[1] if match is not None and match[1] in parameters else None


def _node_of(value: Any, at: Location) -> Node:
    if isinstance(value, list | tuple):
        return Node(at, [_node_of(one, at) for one in value])
    return Node(at, value)


def _unfit(spec: ParameterSpec, value: Any, parameters: Mapping[str, ParameterSpec]) -> str:
    """Say why a parameter cannot be ``value``; empty if it can."""
    if _other(value, parameters) is not None:
        return ""
    if spec.type == "list":
        if isinstance(value, list | tuple) and all(isinstance(one, str | int | float | bool) for one in value):
            return ""
        return "it is no list of plain values"
    is_fit = isinstance(value, _KINDS[spec.type]) and (spec.type == "truth") == isinstance(value, bool)
    if not is_fit:
        wanted = {"number": "a number", "truth": "true or false", "duration": "a duration such as 5m",
                  "field": "the name of a field", "text": "a text"}[spec.type]  # fmt: skip
        return f"{_shown(value)} is not {wanted}"
    if spec.type == "duration":
        try:
            parse_duration(value)
        except ValueError as error:
            return str(error)
    if spec.type == "field":
        return name_problem(value)
    if spec.type == "number":
        if spec.min is not None and value < spec.min:
            return f"{value} is below the least value {spec.min:g}"
        if spec.max is not None and value > spec.max:
            return f"{value} is above the greatest value {spec.max:g}"
    if spec.values and value not in spec.values:
        known = ", ".join(map(str, spec.values))
        return f"{_shown(value)} is not known; allowed: {known}{did_you_mean(str(value), map(str, spec.values))}"
    return ""


def _shown(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return repr(str(value).lower())
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case _:
            text = repr(value)
            return text if len(text) <= 60 else f"{text[:56]}…{text[0]}"


def filled(node: Node, given: Given) -> Node:
    """The body of a rule or template with what was given in the place of values that are ``{name}``."""
    if not isinstance(node.content, dict) or not given.nodes:
        return node
    content = {
        key: (at, below if key in _UNFILLED else _filled(below, (key,), given))
        for key, (at, below) in node.content.items()
    }
    return Node(node.at, content, node.size)


def _filled(node: Node, path: Path, given: Given) -> Node:
    match node.content:
        case dict() as entries:
            below = {key: (at, _filled(one, (*path, key), given)) for key, (at, one) in entries.items()}
            return Node(node.at, below, node.size)
        case list() as items:
            return Node(node.at, [_filled(one, path, given) for one in items], node.size)
        case str() as text if text[:1] == "{" and (match := _HOLE.fullmatch(text)) and match[1] in given.nodes:
            what = given.nodes[match[1]]
            if is_condition(path) or (is_text(path) and not isinstance(what.content, list)):
                return node
            return what
        case _:
            return node


def is_condition(path: Path) -> bool:
    """Whether an expression stands there; in a path lists do not count."""
    return path in _CONDITIONS


def is_text(path: Path) -> bool:
    """Whether a text with expressions stands there, or values that may be such."""
    return path not in _NO_TEXTS and any(path[: len(one)] == one for one in _TEXTS)
