"""Turn what a file holds into a `Config`, and everything that is wrong with it into `Problem`s.

What is wrong is reported and left out, then the rest is tried again: so one wrong key hides neither its
neighbours' problems nor those that only the whole can have. The result is for `checks` only as long as there
are problems; `loader` hands out a `Config` only when there are none.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from fieldgate.config.fields import (
    PRIVATE_KEYS,
    all_keys,
    choices_at,
    declared_at,
    dotted,
    model_at,
    range_of,
    section_of,
)
from fieldgate.config.model import Config
from fieldgate.config.positions import Document, Loc, Problem
from fieldgate.config.section import Section

__all__ = ["Outcome", "validate"]

_MAX_ROUNDS: Final = 8
_STAND_INS: Final[dict[str, object]] = {
    "url": "mqtt://127.0.0.1",
    "proxy.url": "http://127.0.0.1:1",
    "sas.key": "AA==",
    "subscribe": ["stand/in"],
    "filter": "stand/in",
    "name": "stand-in",
    "match": "stand/in",
    "to": "stand/in",
}

_WANTED: Final = {
    "bool_type": "is neither true nor false",
    "int_type": "is not a whole number",
    "string_type": "is not a text; put it in quotes",
    "path_type": "is not a path; put it in quotes",
    "tuple_type": "is not a list; write [a, b] or lines that begin with '- '",
    "dict_type": "is not a mapping; write lines of 'name: value'",
    "model_type": "is not a mapping; write lines of 'key: value'",
    "too_short": "is empty; at least one entry is needed",
    "string_too_short": "is empty",
    "string_too_long": "is too long",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """``config`` without what was wrong; ``broken`` says where that was."""

    config: Config | None
    problems: list[Problem]
    broken: frozenset[Loc]


def validate(document: Document, *, context: Mapping[str, object]) -> Outcome:
    """Check ``document`` against the models. ``context`` goes to the models' validators."""
    content: Any = document.root.value() if document.root is not None else {}
    if content is None:
        content = {}
    problems: dict[Problem, None] = {}
    broken: set[Loc] = set()
    if not isinstance(content, dict):
        kind = _describe(content)
        return Outcome(
            None, [Problem(document.where(()), f"{kind} is not a configuration; write 'key: value'")], frozenset()
        )
    _drop_empty_sections(content)
    for _ in range(_MAX_ROUNDS):
        try:
            config = Config.model_validate(content, context=dict(context))
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                loc = tuple(step for step in detail["loc"] if step != "[key]")
                if detail["type"] == "too_short" and (node := document.node(loc)) is not None and node.content:
                    continue  # pydantic has counted only the entries that are right
                problems[_explain(document, loc, detail)] = None
                broken.add(loc)
                _leave_out(content, loc)
        else:
            return Outcome(config, list(problems), frozenset(broken))
    return Outcome(None, list(problems), frozenset(broken))


def _drop_empty_sections(content: dict[str, Any]) -> None:
    """``uplinks:`` with nothing below it means what leaving it out means."""
    for name in ("listen", "sources", "uplinks"):
        if name in content and content[name] is None:
            del content[name]


def _leave_out(content: dict[str, Any], loc: Loc) -> None:
    """Remove the value at ``loc``, or put something harmless where there must be one.

    A list of values goes as a whole; an entry of a list of sections stays as an empty one, so that the
    positions of the others keep their numbers.
    """
    here: Any = content
    owner, end = content, 1
    for depth, step in enumerate(loc):
        if isinstance(here, list) and model_at(loc[: depth + 1]) is not None and not isinstance(here[int(step)], dict):
            here[int(step)] = _harmless(model_at(loc[: depth + 1]))
            return
        if isinstance(here, dict):
            owner, end = here, depth + 1
        here = here.get(step) if isinstance(here, dict) else here[int(step)] if isinstance(here, list) else None
    key = str(loc[end - 1])
    field = declared_at(loc[:end])
    if field is not None and field.is_required():
        section = model_at(loc[:end])
        stand_in = _STAND_INS.get(".".join(map(str, loc[end - 2 : end])), _STAND_INS.get(key))
        owner[key] = stand_in if section is None else _harmless(section)
    else:
        owner.pop(key, None)


def _harmless(section: type[Section] | None) -> dict[str, object]:
    """The least that a section may hold."""
    needed = {name: field for name, field in section.model_fields.items() if field.is_required()} if section else {}
    return {
        name: _STAND_INS[name] if name in _STAND_INS else _harmless(section_of(field.annotation))
        for name, field in needed.items()
    }


def _explain(document: Document, loc: Loc, detail: Any) -> Problem:
    """One of pydantic's errors in our words, at its place."""
    kind: str = detail["type"]
    if kind == "extra_forbidden":
        return Problem(document.where_key(loc), _unknown_key(loc))
    if kind == "missing":
        field = declared_at(loc)
        example = f"; an example: {field.examples[0]}" if field is not None and field.examples else ""
        return Problem(document.where_key(loc[:-1]), f"{dotted(loc[:-1])} has no {loc[-1]!r}{example}")
    is_key = "[key]" in detail["loc"]
    where = document.where_key(loc) if is_key else document.where(loc)
    subject = next((step for step in reversed(loc[:-1] if is_key else loc) if isinstance(step, str)), "")
    node = document.node(loc)
    if node is None and (short := document.node(loc[:-1])) is not None and isinstance(short.content, str):
        node = short  # a section may be written as one text
    written = node.value() if node is not None else detail["input"]  # a short form has no place of its own
    return Problem(
        where, f"{subject}: {_complaint(detail, loc, written, is_private=not PRIVATE_KEYS.isdisjoint(map(str, loc)))}"
    )


def _complaint(detail: Any, loc: Loc, written: object, *, is_private: bool) -> str:
    """What is wrong with a value, and what was allowed."""
    kind: str = detail["type"]
    if written is None:
        return "has no value; write one, or leave the key out"
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    shown = "the value" if is_private else _describe(written)
    if kind == "literal_error":
        choices = choices_at(loc)
        return f"{shown} is not known; allowed: {', '.join(choices)}{_did_you_mean(str(written), choices)}"
    if kind in {"greater_than_equal", "less_than_equal"}:
        field = declared_at(loc)
        low, high = (range_of(field) if field is not None else None) or ("", "")
        return f"{shown} is out of range; allowed: {low} to {high}"
    if kind == "too_long":
        return f"{shown} has too many entries; {detail['ctx']['max_length']} at most"
    if kind == "int_type" and isinstance(written, str) and written.isdecimal():
        return f"{shown} is a text; write the number without quotes"
    if kind == "string_type" and isinstance(written, list | dict):
        return f"{shown} is not a text"
    return f"{shown} {_WANTED.get(kind) or 'is wrong: ' + str(detail['msg']).lower()}"


def _describe(written: object) -> str:
    if written is None:
        return "nothing"
    if isinstance(written, dict):
        return "a mapping"
    if isinstance(written, list):
        return "a list"
    if isinstance(written, bool):
        return repr(str(written).lower())
    text = repr(written)
    return text if len(text) <= 80 else f"{text[:76]}…{text[0]}"


def _unknown_key(loc: Loc) -> str:
    name = str(loc[-1])
    if name == "<<":
        return "'<<' does not merge in YAML 1.2; write the keys out"
    owner = model_at(loc[:-1])
    known = list(owner.model_fields) if owner is not None else []
    guess = _did_you_mean(name, known)
    if not guess:
        elsewhere = [key.path for key in all_keys() if key.name == name]
        guess = f"; it belongs to {elsewhere[0].removesuffix('.' + name)!r}" if elsewhere else ""
    return f"unknown key {name!r}{guess or '; allowed: ' + ', '.join(known)}"


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    matches = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f"; did you mean {matches[0]!r}?" if matches else ""
