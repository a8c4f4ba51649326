"""Read files of rules again when some of them have changed: those that have not are as they were.

The answer is that of `read_rules`. Rules know little of other files: which ids, tags and templates there are, and what
comes of what others emit. As long as none of that has changed only the changed files are read; where it may have, all
are. Nothing is kept but the rules that are in force anyway, and what was said of them: files cost no memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain

from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.files.document import Problem
from fieldgate_rules.reading.kinds import Kinds
from fieldgate_rules.reading.known import Known, ReadRules
from fieldgate_rules.reading.lint import Odd, odd_together
from fieldgate_rules.reading.read import Reading, without_collection
from fieldgate_rules.reading.rule_reader import emitted_types
from fieldgate_rules.reading.sections import FileParts, read_file
from fieldgate_rules.reading.triggers import Tags
from fieldgate_rules.rule import DerivedKind, Rule, RuleSet, RuleTrigger

__all__ = ["RulesReader"]


@dataclass(frozen=True, slots=True)
class _File:
    """What a file held: its rules in order, what it says to other files, and what was said of it."""

    digest: bytes
    rules: tuple[Rule, ...]
    tags: Mapping[str, tuple[str, ...]]
    has_templates: bool
    problems: tuple[Problem, ...]


_NO_FILE = _File(b"", (), {}, False, ())


@dataclass(frozen=True, slots=True)
class _Last:
    """A reading in which nothing was wrong. ``read`` is what came of it, ``together`` the oddities of several rules."""

    catalogue: Catalogue
    known: Known
    kinds: Kinds
    tags: Tags
    files: Mapping[str, _File]
    of_templates: Mapping[Problem, None]
    together: Mapping[Odd, Sequence[Problem]]
    read: ReadRules


class RulesReader:
    """Reads a folder of rules as often as it changes. One at a time; any thread."""

    def __init__(self) -> None:
        self._last: _Last | None = None
        self.files_read = 0

    def read(self, files: Mapping[str, bytes], catalogue: Catalogue, known: Known | None = None) -> ReadRules:
        """Return what `read_rules` does; ``files_read`` is how many files had to be read for it."""
        known = known or Known()
        with without_collection():
            last = self._last
            if last is not None and last.catalogue is catalogue and last.known == known:
                changed = _changed(files, last)
                if _is_worth_while(files, changed):
                    again = _read_changed(files, changed, last)
                    if again is not None:
                        self._last, self.files_read = again, len(changed)
                        return again.read
            reading = Reading(catalogue, known)
            read = reading.read(files)
            self.files_read = len(files)
            if read.is_valid:  # else those before stay in force, and what is mended is compared with them
                self._last = _Last(
                    catalogue, known, reading.kinds, reading.tags, _files_of(reading, files),
                    reading.of_templates, reading.together, read,
                )  # fmt: skip
            return read


def _changed(files: Mapping[str, bytes], last: _Last) -> dict[str, bytes]:
    return {
        path: content
        for path, content in files.items()
        if path not in last.files or last.files[path].digest != _digest(content)
    }


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _is_worth_while(files: Mapping[str, bytes], changed: Mapping[str, bytes]) -> bool:
    """Not if most is to be read anyway: it may be in vain."""
    return 2 * sum(map(len, changed.values())) <= sum(map(len, files.values()))


def _files_of(reading: Reading, files: Mapping[str, bytes]) -> dict[str, _File]:
    by_path: dict[str, list[Rule]] = {part.path: [] for part in reading.parts}
    for entry, one in reading.kept.values():
        by_path[entry.path].append(one.rule)
    return {
        part.path: _File(
            _digest(files[part.path]),
            tuple(by_path[part.path]),
            part.spec.tags,
            bool(part.templates),
            tuple(reading.of_files[part.path]),
        )
        for part in reading.parts
    }


def _read_changed(files: Mapping[str, bytes], changed: Mapping[str, bytes], last: _Last) -> _Last | None:
    """Read only what has changed; None where that may mean something else for the rest."""
    touched = {*changed, *(path for path in last.files if path not in files)}
    before = [last.files.get(path, _NO_FILE) for path in touched]
    kept = {path: last.files[path] for path in files if path not in touched}
    if any(one.has_templates or _emits(one.rules) for one in before) or _emit_unlike(last.read.rules.rules):
        return None
    reading = Reading(last.catalogue, last.known, last.kinds)
    for path, one in kept.items():
        if one.has_templates:
            reading.take_templates(read_file(path, files[path]))
    reading.take(changed)
    if _says_something_else(reading.parts, touched, last) or any(
        one.spec is None or emitted_types(one.spec) for one in reading.entries
    ):
        return None
    kept_rules = [rule for one in kept.values() for rule in one.rules]
    kept_ids = {rule.id for rule in kept_rules}
    ids = reading.ids()
    gone = {rule.id for one in before for rule in one.rules} - ids
    if ids & kept_ids or _are_on(kept_rules, gone):
        return None
    reading.rules(last.tags, ids | kept_ids)
    if not all(problem.is_warning for problem in chain(*reading.of_files.values())):
        return None
    now = {**kept, **_files_of(reading, changed)}
    return _put_together({path: now[path] for path in files}, reading, last)


def _put_together(files: Mapping[str, _File], reading: Reading, last: _Last) -> _Last | None:
    """The new reading; None where it says something of a rule that was not read again."""
    rules = tuple(rule for one in files.values() for rule in one.rules)
    together: dict[Odd, Sequence[Problem]] = {}
    for odd in odd_together(rules):
        said = reading.said_of(odd) if odd.rule in reading.kept else last.together.get(odd)
        if said is None:
            return None
        together[odd] = said
    new, old = reading.used(), last.read.used
    templates = {rule.id: (new if rule.id in reading.kept else old).get(rule.id) for rule in rules}
    used = {id_: name for id_, name in templates.items() if name is not None}
    if {*used.values()} != {*old.values()}:
        return None
    said_of_all = {*last.of_templates, *chain(*(one.problems for one in files.values())), *chain(*together.values())}
    read = ReadRules(RuleSet(rules), tuple(sorted(said_of_all)), last.read.templates, used)
    return replace(last, files=files, together=together, read=read)


def _emits(rules: Sequence[Rule]) -> bool:
    return any(rule.emits for rule in rules)


def _emit_unlike(rules: Sequence[Rule]) -> bool:
    """Whether events of one type are made in several ways: then the order of reading makes a difference."""
    first: dict[str, DerivedKind] = {}
    for kind in _kinds(rules):
        other = first.setdefault(kind.type, kind)
        if other is not kind and (other.fields != kind.fields or other.loose != kind.loose):
            return True
    return False


def _kinds(rules: Sequence[Rule]) -> Iterator[DerivedKind]:
    for rule in rules:
        yield from rule.emits


def _says_something_else(parts: Sequence[FileParts], touched: Set[str], last: _Last) -> bool:
    """Whether other files are to know of templates and tags in these."""
    tags = {part.path: part.spec.tags for part in parts}
    return any(part.templates for part in parts) or any(
        tags.get(path, {}) != last.files.get(path, _NO_FILE).tags for path in touched
    )


def _are_on(rules: Sequence[Rule], ids: Set[str]) -> bool:
    """Whether a rule is on the firing of one of these."""
    return bool(ids) and any(
        isinstance(trigger, RuleTrigger) and trigger.rules & ids for rule in rules for trigger in rule.triggers
    )
