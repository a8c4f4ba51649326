"""Turn what a file holds into a model, and everything that is wrong with it into `Problem`s.

What is wrong is reported and left out, then the rest is tried again: so one wrong key hides neither its
neighbours' problems nor those that only the whole can have. As long as there are problems the model is for further
checks only.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError

from fieldgate_devices.files.document import Document, Loc, Problem, Value
from fieldgate_devices.files.model_tree import ModelTree, dotted, key_names, range_of, section_of
from fieldgate_devices.files.section import Section

__all__ = ["NotSeenFromHere", "Outcome", "did_you_mean", "validate"]

M = TypeVar("M", bound=Section)

_MAX_WORD: Final = 100  # nobody mistypes a longer one, and comparing costs
_MAX_ROUNDS: Final = 8
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


class NotSeenFromHere(ValueError):
    """Raised by a validator: the value may be right, and nobody can tell here. It is left out, and that is noted."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[M]):
    """``model`` without what was wrong or could not be seen; ``broken`` says where that was."""

    model: M | None
    problems: list[Problem]
    broken: frozenset[Loc]


def validate(
    document: Document, tree: ModelTree[M], *, written: Value = None, context: Mapping[str, object] | None = None
) -> Outcome[M]:
    """Check ``document`` against the models. ``context`` goes to the models' validators.

    ``written`` is what the document holds, from who has it already; what is wrong in it is taken out of it.
    """
    content: Any = written
    if content is None and document.root is not None:
        content = document.root.value()
    if content is None:
        content = {}
    if not isinstance(content, dict):
        kind = _describe(content)
        wrong = Problem(document.where(()), f"{kind} is not a {tree.name}; write 'key: value'")
        return Outcome(None, [wrong], frozenset())
    return _Validation(document, tree).run(content, dict(context or {}))


class _Validation(Generic[M]):
    """One file, checked round after round with what is wrong left out."""

    def __init__(self, document: Document, tree: ModelTree[M]) -> None:
        self._document = document
        self._tree = tree
        self._problems: dict[Problem, None] = {}
        self._broken: set[Loc] = set()

    def run(self, content: dict[str, Any], context: dict[str, object]) -> Outcome[M]:
        content = self._without_empty_lists(content)
        model: M | None = None
        for _ in range(_MAX_ROUNDS):
            if () in self._broken:  # the whole is wrong as a whole: nothing can be left out
                break
            try:
                model = self._tree.root.model_validate(content, context=context)
            except ValidationError as error:
                left_out = frozenset(self._broken)
                for detail in error.errors(include_url=False):
                    loc = tuple(step for step in detail["loc"] if step != "[key]")
                    if _rests_on(loc, left_out, is_of_whole=detail["type"] == "value_error"):
                        continue
                    if detail["type"] == "too_short" and any(one[: len(loc)] == loc for one in self._broken):
                        continue  # pydantic has counted only the entries that are right
                    self._problems[self._explain(loc, detail)] = None
                    self._broken.add(loc)
                    if loc:
                        self._leave_out(content, loc)
            else:
                break
        return Outcome(model, list(self._problems), frozenset(self._broken))

    def _without_empty_lists(self, content: dict[str, Any]) -> dict[str, Any]:
        """``uplinks:`` with nothing below it means what leaving it out means."""
        if None not in content.values():
            return content
        content = dict(content)
        for name, field in self._tree.root.model_fields.items():
            is_many = not field.is_required() and self._tree.model_at((name,)) is None and section_of(field.annotation)
            if is_many and content.get(name, name) is None:
                del content[name]
        return content

    def _leave_out(self, content: dict[str, Any], loc: Loc) -> None:
        """Remove the value at ``loc``, or put something harmless where there must be one.

        A list of values goes as a whole; an entry of a list of sections stays as an empty one, so that the
        positions of the others keep their numbers.
        """
        tree = self._tree
        here: Any = content
        owner, end = content, 1
        for depth, step in enumerate(loc):
            section = tree.model_at(loc[: depth + 1])
            if isinstance(here, list) and section is not None and not isinstance(here[int(step)], dict):
                here[int(step)] = self._harmless(section)
                return
            if isinstance(here, dict) and step == 0:  # a single entry in the place of a list
                continue
            if isinstance(here, dict):
                owner, end = here, depth + 1
            here = here.get(step) if isinstance(here, dict) else here[int(step)] if isinstance(here, list) else None
        key = str(loc[end - 1])
        field = tree.declared_at(loc[:end])
        if field is not None and field.is_required():
            section = tree.model_at(loc[:end])
            stand_in = tree.stand_ins.get(".".join(map(str, loc[end - 2 : end])), tree.stand_ins.get(key))
            harmless = None if section is None else self._harmless(section)
            is_named_by_user = harmless == {} and tree.model_at(loc[: end - 1]) is None
            if is_named_by_user:  # one of several, of which nothing is needed by itself
                owner.pop(key, None)
            else:
                owner[key] = stand_in if section is None else harmless
        else:
            owner.pop(key, None)

    def _harmless(self, section: type[Section] | None) -> dict[str, object]:
        """The least that a section may hold."""
        fields = section.model_fields.items() if section is not None else ()
        needed = {field.alias or name: field for name, field in fields if field.is_required()}
        known = self._tree.stand_ins
        return {
            key: known[key] if key in known else self._harmless(section_of(field.annotation))
            for key, field in needed.items()
        }

    def _explain(self, loc: Loc, detail: Any) -> Problem:
        """One of pydantic's errors in our words, at its place."""
        kind: str = detail["type"]
        if kind == "extra_forbidden":
            return Problem(self._document.where_key(loc), self._unknown_key(loc))
        if kind == "missing":
            field = self._tree.declared_at(loc)
            example = f"; an example: {field.examples[0]}" if field is not None and field.examples else ""
            owner = dotted(loc[:-1]) or f"the {self._tree.name}"
            return Problem(self._document.where_key(loc[:-1]), f"{owner} has no {loc[-1]!r}{example}")
        is_key = "[key]" in detail["loc"]
        where = self._document.where_key(loc) if is_key else self._document.where(loc)
        subject = next((step for step in reversed(loc[:-1] if is_key else loc) if isinstance(step, str)), "")
        node = self._document.node(loc)
        if node is None and (short := self._document.node(loc[:-1])) is not None and isinstance(short.content, str):
            node = short  # a section may be written as one text
        written = node.value() if node is not None else detail["input"]  # a short form has no place of its own
        is_private = not self._tree.private_keys.isdisjoint(map(str, loc))
        is_note = kind == "value_error" and isinstance(detail["ctx"]["error"], NotSeenFromHere)
        complaint = self._complaint(detail, loc, written, is_private=is_private)
        return Problem(where, f"{subject}: {complaint}" if subject else complaint, is_note=is_note)

    def _complaint(self, detail: Any, loc: Loc, written: object, *, is_private: bool) -> str:
        """What is wrong with a value, and what was allowed."""
        kind: str = detail["type"]
        if written is None:
            return "has no value; write one, or leave the key out"
        if kind == "value_error":
            return str(detail["ctx"]["error"])
        shown = "the value" if is_private else _describe(written)
        if kind == "literal_error":
            choices = self._tree.choices_at(loc)
            return f"{shown} is not known; allowed: {', '.join(choices)}{did_you_mean(str(written), choices)}"
        if kind in {"greater_than_equal", "less_than_equal"}:
            field = self._tree.declared_at(loc)
            low, high = (range_of(field) if field is not None else None) or ("", "")
            return f"{shown} is out of range; allowed: {low} to {high}"
        if kind == "too_short" and written:
            return f"{shown} has too few entries; {detail['ctx']['min_length']} at least"
        if kind == "too_long":
            return f"{shown} has too many entries; {detail['ctx']['max_length']} at most"
        if kind == "int_type" and isinstance(written, str) and written.isdecimal():
            return f"{shown} is a text; write the number without quotes"
        if kind == "string_type" and isinstance(written, list | dict):
            return f"{shown} is not a text"
        return f"{shown} {_WANTED.get(kind) or 'is wrong: ' + str(detail['msg']).lower()}"

    def _unknown_key(self, loc: Loc) -> str:
        name = str(loc[-1])
        if name == "<<":
            return "'<<' does not merge in YAML 1.2; write the keys out"
        owner = self._tree.model_at(loc[:-1])
        known = key_names(owner) if owner is not None else []
        meant = owner.ALSO_CALLED.get(name) if owner is not None else None
        guess = f"; did you mean {meant!r}?" if meant is not None else did_you_mean(name, known)
        if not guess:
            elsewhere = [key.path for key in self._tree.all_keys() if key.name == name]
            nearest = max(elsewhere, key=partial(_shared, loc), default="")
            guess = f"; it belongs to {nearest.removesuffix('.' + name)!r}" if nearest else ""
        return f"unknown key {name!r}{guess or '; allowed: ' + ', '.join(known)}"


def _rests_on(loc: Loc, left_out: frozenset[Loc], *, is_of_whole: bool) -> bool:
    """Whether a complaint comes of what an earlier round took away: at that place, or about the section around it."""
    return any(bad == loc or (is_of_whole and bad[: len(loc)] == loc) for bad in left_out)


def _shared(loc: Loc, path: str) -> int:
    """How many steps from the top ``path`` goes along with ``loc``."""
    steps = path.replace("[]", ".[]").split(".")
    pairs = zip(loc, steps, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[1] in {"NAME", "[]"} or pair[0] == pair[1], pairs))


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


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the known word that is most like ``word``; empty where none is."""
    if len(word) > _MAX_WORD:
        return ""
    matches = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f"; did you mean {matches[0]!r}?" if matches else ""
