"""Read all files of rules at once: every rule that is right, and everything that is wrong with the others.

A rule with a problem is left out of the set, and hides no problem of another. Rules are read after those that emit what
they are on, so that their conditions are checked against what comes; where rules wait for each other, nothing is known.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace

from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.files.document import Document, Node, Problem, Scalar
from fieldgate_devices.files.location import Location
from fieldgate_devices.files.validate import did_you_mean, validate
from fieldgate_rules.reading.entries import Entry, emitters_first, fields_meant, is_misread, lines_of, words_of
from fieldgate_rules.reading.kinds import Kinds
from fieldgate_rules.reading.known import Known, ReadRules, TemplateFacts
from fieldgate_rules.reading.library import IN_LIBRARY, library_file, library_names
from fieldgate_rules.reading.lint import Linted, lint_rules, lint_template
from fieldgate_rules.reading.part import RulePart
from fieldgate_rules.reading.rule_reader import Around, emitted_types, read_rule, said_in
from fieldgate_rules.reading.sections import RULE_TREE, FileParts, read_file
from fieldgate_rules.reading.source import SourceFile
from fieldgate_rules.reading.templates import Given, TemplateEntry, filled, given_to, read_template_entry
from fieldgate_rules.reading.texts import Scopes, Texts
from fieldgate_rules.reading.triggers import Tags
from fieldgate_rules.reading.written_out import written_out
from fieldgate_rules.rule import RuleSet

__all__ = ["library_templates", "read_rules", "write_out"]


def read_rules(files: Mapping[str, bytes], catalogue: Catalogue, known: Known | None = None) -> ReadRules:
    """Read files of rules, by their paths as messages show them; nothing is raised for what is wrong with them."""
    with _without_collection():
        return _Reading(catalogue, known or Known()).read(files)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Read without the collector of garbage: all is kept, and to look at it again and again is a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.freeze()  # to the oldest at once, without being looked at one by one
            gc.unfreeze()
            gc.enable()


def write_out(files: Mapping[str, bytes], catalogue: Catalogue, rule: str) -> str | None:
    """Return a rule as an entry of ``rules`` that needs no template; None where there is no such rule that is right."""
    reading = _Reading(catalogue, Known())
    if all(one.id != rule for one in reading.read(files).rules.rules):
        return None
    entry = next(one for one in reading.entries if one.spec is not None and one.spec.id == rule)
    value = entry.node.value()
    assert isinstance(value, dict)
    return written_out(value, entry.given.values, entry.given.aliases)


def library_templates() -> dict[str, TemplateFacts]:
    """Return all templates that come with Fieldgate."""
    reading = _Reading(Catalogue(), Known())
    return {name: reading.facts_of(one) for name in library_names() if (one := reading.template(name)) is not None}


class _Reading:
    """One reading of all files."""

    def __init__(self, catalogue: Catalogue, known: Known) -> None:
        self._catalogue = catalogue
        self._known = known
        self._kinds = Kinds(catalogue, known)
        self._texts = Texts()
        self._scopes = Scopes(self._kinds.of_device)
        self._problems: dict[Problem, None] = {}
        self._misread: set[Location] = set()
        self.entries: Sequence[Entry] = ()
        self._sources: dict[str, SourceFile] = {}
        self._templates: dict[str, TemplateEntry] = {}

    def read(self, files: Mapping[str, bytes]) -> ReadRules:
        parts = [read_file(path, content) for path, content in files.items()]
        for one in parts:
            self._problems.update(dict.fromkeys(one.problems))
            self._misread.update(problem.where for problem in one.misread)
            self._sources[one.path] = one.source
        for one in parts:
            self._take_templates(one)
        self.entries = entries = [
            entry
            for one in parts
            for number, node in enumerate(one.rules)
            if (entry := self._entry(one.path, node, is_misread=is_misread(one, number))) is not None
        ]
        for number, entry in enumerate(entries):
            entry.number = number
        ids = self._ids(entries)
        self._kinds.announce(type_ for one in entries if one.spec is not None for type_ in emitted_types(one.spec))
        around = Around(self._kinds, self._scopes, self._known, self._tags(parts), ids)
        rules: dict[int, Linted] = {}
        for entry in emitters_first(entries):
            rule = self._rule(entry, around)
            if rule is not None:
                rules[entry.number] = rule
        kept = [rules[number] for number in sorted(rules)]
        lint_rules(kept, self._known)
        used = {one.spec.id: one.template for one in entries if one.spec is not None and one.template}
        self._lint_templates({*used.values(), *(one.template for one in entries)})
        return ReadRules(RuleSet(tuple(one.rule for one in kept)), tuple(sorted(self._problems)), self._facts(), used)

    # -- templates ----------------------------------------------------------------------------------------------------

    def _take_templates(self, part: FileParts) -> None:
        for name, (at, node) in part.templates.items():
            if (first := self._templates.get(name)) is not None:
                said = f"there is a template {name!r} in {first.where} already"
                self._say(Problem(at, said))
                continue
            self._templates[name] = read_template_entry(name, at, node, self._say)

    def template(self, name: str) -> TemplateEntry | None:
        """The template of that name: one of the files, else one of the library."""
        if name not in self._templates and (found := library_file(name)) is not None:
            path, content = found
            parts = read_file(path, content)
            self._sources[path] = parts.source
            at, node = parts.templates[name]
            self._templates[name] = read_template_entry(name, at, node, self._say)
        return self._templates.get(name)

    def _lint_templates(self, used: Set[str]) -> None:
        for name, one in self._templates.items():
            if one.where.path.startswith(IN_LIBRARY) or not one.is_usable:
                continue
            for problem in lint_template(one):
                self._say(problem)
            if name not in used:
                self._say(Problem(one.where, f"template {name!r} is used by no rule", is_warning=True))

    def _facts(self) -> dict[str, TemplateFacts]:
        return {name: self.facts_of(one) for name, one in self._templates.items()}

    @staticmethod
    def facts_of(entry: TemplateEntry) -> TemplateFacts:
        """What lists say of a template."""
        return TemplateFacts(entry.name, entry.where, entry.description, entry.parameters)

    # -- rules --------------------------------------------------------------------------------------------------------

    def _entry(self, path: str, node: Node, *, is_misread: bool) -> Entry | None:
        """The rule at ``node``, checked against the models; None where no more can be said of it."""
        entry = Entry(path, node, 0, Given())
        if isinstance(node.content, dict):
            self._fill(entry, node.content)
        if entry.has_problem:
            return None
        written = entry.node.value()
        outcome = validate(Document(path, entry.node), RULE_TREE, written=written)
        for problem in outcome.problems:
            if problem.where not in self._misread:
                self._say_of(entry, problem)
        entry.has_problem = entry.has_problem or is_misread
        if isinstance(written, dict) and not outcome.problems:
            entry.said = said_in(written)
        entry.spec, entry.broken = outcome.model, outcome.broken
        return entry

    def _fill(self, entry: Entry, written: dict[str, tuple[Location, Node]]) -> None:
        """Put what its template says into a rule, and what it is given in the place of names."""
        body = dict(written)
        name: Scalar | object = written["use"][1].content if "use" in written else None
        if isinstance(name, str):
            at = written["use"][1].at
            entry.use_at, entry.template = at, name
            template = self.template(name)
            if template is None:
                hint = did_you_mean(name, [*self._templates, *library_names()])
                known = hint or "; 'fieldgate rules list --library' shows all"
                self._say_of(entry, Problem(at, f"there is no template {name!r}{known}"))
                return
            if not template.is_usable:
                entry.has_problem = True
                return
            given = written.get("with")
            entries = given[1].content if given is not None else None
            entry.given = given_to(
                template, entries if isinstance(entries, dict) else {}, at, lambda problem: self._say_of(entry, problem)
            )
            below = template.node.content
            assert isinstance(below, dict)
            own = {key: one for key, one in written.items() if key not in ("use", "with")}
            body = {key: one for key, one in below.items() if key not in ("parameters", "description")} | own
            if given is not None and not isinstance(entries, dict | None):
                body["with"] = given
        own_parameters = written["parameters"][1].content if "parameters" in written else None
        if isinstance(own_parameters, dict):
            for key, (_, node) in own_parameters.items():
                entry.given.add(key, node)
        entry.node = filled(Node(entry.node.at, body, entry.node.size), entry.given)

    def _ids(self, entries: Sequence[Entry]) -> set[str]:
        """All ids; one that stands twice is a problem of the later rule."""
        first: dict[str, Location] = {}
        for one in entries:
            if one.spec is None or ("id",) in one.broken:
                continue
            at = Document(one.path, one.node).where(("id",))
            if one.spec.id in first:
                self._say_of(one, Problem(at, f"there is a rule {one.spec.id!r} in {first[one.spec.id]} already"))
            else:
                first[one.spec.id] = at
        return set(first)

    def _rule(self, entry: Entry, around: Around) -> Linted | None:
        if entry.spec is None or () in entry.broken:
            return None
        part = RulePart(
            entry.spec,
            Document(entry.path, entry.node),
            said=entry.said,
            broken=entry.broken,
            given=entry.given,
            sources=self._sources,
            texts=self._texts,
            say=lambda problem: self._say_of(entry, problem),
        )
        rule, scope = read_rule(part, around)
        return None if entry.has_problem else Linted(rule, part, scope)

    # -- the rest -----------------------------------------------------------------------------------------------------

    def _tags(self, parts: Sequence[FileParts]) -> Tags:
        devices: dict[str, tuple[str, ...]] = {}
        for part in parts:
            for tag, globs in part.spec.tags.items():
                devices[tag] = (*devices.get(tag, ()), *globs)
        types: dict[str, set[str]] = {}
        for name in sorted(self._catalogue.own):  # those that come with Fieldgate have none
            for tag in self._catalogue.contracts[name].profile.tags:
                types.setdefault(tag, set()).add(name)
        return Tags(devices, {tag: frozenset(names) for tag, names in types.items()})

    def _say(self, problem: Problem) -> None:
        self._problems[problem] = None

    def _say_of(self, entry: Entry, problem: Problem) -> None:
        """Something is wrong with a rule; what is wrong in a template is said where it is used."""
        if not problem.is_warning and not problem.is_note:
            entry.has_problem = True
        path = problem.where.path
        words = words_of(problem.message)
        if entry.use_at is not None and (meant := fields_meant(entry.given, problem.message)):
            problem = replace(problem, message=f"{problem.message} ({meant})")
        if path.startswith(IN_LIBRARY) and entry.use_at is not None:
            if entry.is_misfit:
                return  # the first says enough: the same value is used in several places
            entry.is_misfit = True
            where = next((at for name, at in entry.given.where.items() if name in words), entry.use_at)
            problem = replace(problem, where=where, message=f"in template {entry.template!r}: {problem.message}")
        elif entry.use_at is not None and problem.where in lines_of(self._templates.get(entry.template), path):
            problem = replace(problem, message=f"{problem.message} (used in {entry.use_at})")
        self._problems[problem] = None
