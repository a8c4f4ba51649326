"""Read all files of rules at once: every rule that is right, and everything that is wrong with the others.

A rule with a problem is left out of the set, and hides no problem of another. Rules are read after those that emit what
they are on, so that their conditions are checked against what comes; where rules wait for each other, nothing is known.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain

from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.files.document import Document, Node, Problem, Scalar
from fieldgate_devices.files.location import Location
from fieldgate_devices.files.validate import did_you_mean, validate
from fieldgate_rules.reading.entries import Entry, emitters_first, fields_meant, is_misread, lines_of, words_of
from fieldgate_rules.reading.kinds import Kinds
from fieldgate_rules.reading.known import Known, ReadRules, TemplateFacts
from fieldgate_rules.reading.library import IN_LIBRARY, library_file, library_names
from fieldgate_rules.reading.lint import Linted, Odd, lint_rules, lint_template, odd_together
from fieldgate_rules.reading.part import RulePart
from fieldgate_rules.reading.rule_reader import Around, emitted_types, read_rule, said_in
from fieldgate_rules.reading.sections import RULE_TREE, FileParts, read_file
from fieldgate_rules.reading.source import SourceFile
from fieldgate_rules.reading.templates import Given, TemplateEntry, filled, given_to, read_template_entry
from fieldgate_rules.reading.texts import Scopes, Texts
from fieldgate_rules.reading.triggers import Tags
from fieldgate_rules.reading.written_out import written_out
from fieldgate_rules.rule import Rule, RuleSet

__all__ = ["Reading", "library_templates", "read_rules", "without_collection", "write_out"]


def read_rules(files: Mapping[str, bytes], catalogue: Catalogue, known: Known | None = None) -> ReadRules:
    """Read files of rules, by their paths as messages show them; nothing is raised for what is wrong with them."""
    with without_collection():
        return Reading(catalogue, known or Known()).read(files)


@contextmanager
def without_collection() -> Iterator[None]:
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
    reading = Reading(catalogue, Known())
    if all(one.id != rule for one in reading.read(files).rules.rules):
        return None
    entry = next(one for one in reading.entries if one.spec is not None and one.spec.id == rule)
    value = entry.node.value()
    assert isinstance(value, dict)
    return written_out(value, entry.given.values, entry.given.aliases)


def library_templates() -> dict[str, TemplateFacts]:
    """Return all templates that come with Fieldgate."""
    reading = Reading(Catalogue(), Known())
    return {name: reading.facts_of(one) for name in library_names() if (one := reading.template(name)) is not None}


class Reading:
    """One reading of files, all of them or, with the ``kinds`` of the last one, those that are not as they were.

    What is wrong is kept by what it is about: ``of_files`` a file and the rules in it, by its path, ``of_templates``
    the templates, ``together`` several rules.
    """

    def __init__(self, catalogue: Catalogue, known: Known, kinds: Kinds | None = None) -> None:
        self._catalogue = catalogue
        self._known = known
        self.kinds = kinds or Kinds(catalogue, known)
        self._texts = Texts()
        self._scopes = Scopes(self.kinds.of_device)
        self._misread: set[Location] = set()
        self.of_files: dict[str, dict[Problem, None]] = {}
        self.of_templates: dict[Problem, None] = {}
        self.together: dict[Odd, Sequence[Problem]] = {}
        self.parts: Sequence[FileParts] = ()
        self.entries: Sequence[Entry] = ()
        self.tags = Tags({}, {})
        self.kept: dict[str, tuple[Entry, Linted]] = {}
        self._sources: dict[str, SourceFile] = {}
        self._templates: dict[str, TemplateEntry] = {}

    def read(self, files: Mapping[str, bytes]) -> ReadRules:
        """Read all there is."""
        self.take(files)
        self.tags = self._tags()
        ids = self.ids()
        self.kinds.announce(type_ for one in self.entries if one.spec is not None for type_ in emitted_types(one.spec))
        kept = self.rules(self.tags, ids)
        for odd in odd_together(kept):
            self.together[odd] = self.said_of(odd)
        used = self.used()
        self._lint_templates({*used.values(), *(one.template for one in self.entries)})
        said = {*self.of_templates, *chain(*self.of_files.values()), *chain(*self.together.values())}
        return ReadRules(RuleSet(tuple(kept)), tuple(sorted(said)), self._facts(), used)

    def take(self, files: Mapping[str, bytes]) -> None:
        """Take these files apart, and fill in what templates say."""
        self.parts = [read_file(path, content) for path, content in files.items()]
        for one in self.parts:
            self.of_files[one.path] = dict.fromkeys(one.problems)
            self._misread.update(problem.where for problem in one.misread)
        for one in self.parts:
            self.take_templates(one)
        self.entries = [
            entry
            for one in self.parts
            for number, node in enumerate(one.rules)
            if (entry := self._entry(one.path, node, is_misread=is_misread(one, number))) is not None
        ]
        for number, entry in enumerate(self.entries):
            entry.number = number

    def rules(self, tags: Tags, ids: Set[str]) -> list[Rule]:
        """Read the rules that were taken, among others with these ids; return those that are right."""
        around = Around(self.kinds, self._scopes, self._known, tags, ids)
        read: dict[int, tuple[Entry, Linted]] = {}
        for entry in emitters_first(self.entries):
            rule = self._rule(entry, around)
            if rule is not None:
                read[entry.number] = (entry, rule)
        kept = [read[number] for number in sorted(read)]
        lint_rules([one for _, one in kept], self._known)
        self.kept = {one.rule.id: (entry, one) for entry, one in kept}
        return [one.rule for _, one in kept]

    def used(self) -> dict[str, str]:
        """Of which template each rule is made."""
        return {one.spec.id: one.template for one in self.entries if one.spec is not None and one.template}

    def said_of(self, odd: Odd) -> Sequence[Problem]:
        """What is to be said of a rule that is odd beside others, one that was read here."""
        entry, one = self.kept[odd.rule]
        said = self._as_meant(entry, one.part.problem(odd.loc, odd.message, at_key=odd.at_key, is_warning=True))
        return () if said is None else (said,)

    # -- templates ----------------------------------------------------------------------------------------------------

    def take_templates(self, part: FileParts) -> None:
        """Let rules use the templates of a file."""
        self._sources[part.path] = part.source
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
        if outcome.problems:  # what is wrong was taken out of it
            written = entry.node.value()
        entry.said = said_in(written if isinstance(written, dict) else {})
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

    def ids(self) -> set[str]:
        """All ids of these rules; one that stands twice is a problem of the later rule."""
        first: dict[str, Location] = {}
        for one in self.entries:
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

    def _tags(self) -> Tags:
        devices: dict[str, tuple[str, ...]] = {}
        for part in self.parts:
            for tag, globs in part.spec.tags.items():
                devices[tag] = (*devices.get(tag, ()), *globs)
        types: dict[str, set[str]] = {}
        for name in sorted(self._catalogue.own):  # those that come with Fieldgate have none
            for tag in self._catalogue.contracts[name].profile.tags:
                types.setdefault(tag, set()).add(name)
        return Tags(devices, {tag: frozenset(names) for tag, names in types.items()})

    def _say(self, problem: Problem) -> None:
        self.of_templates[problem] = None

    def _say_of(self, entry: Entry, problem: Problem) -> None:
        """Something is wrong with a rule."""
        if not problem.is_warning and not problem.is_note:
            entry.has_problem = True
        said = self._as_meant(entry, problem)
        if said is not None:
            self.of_files[entry.path][said] = None

    def _as_meant(self, entry: Entry, problem: Problem) -> Problem | None:
        """What is wrong in a template is said where it is used; None where enough was said of it."""
        path = problem.where.path
        words = words_of(problem.message)
        if entry.use_at is not None and (meant := fields_meant(entry.given, problem.message)):
            problem = replace(problem, message=f"{problem.message} ({meant})")
        if path.startswith(IN_LIBRARY) and entry.use_at is not None:
            if entry.is_misfit:
                return None  # the first says enough: the same value is used in several places
            entry.is_misfit = True
            where = next((at for name, at in entry.given.where.items() if name in words), entry.use_at)
            problem = replace(problem, where=where, message=f"in template {entry.template!r}: {problem.message}")
        elif entry.use_at is not None and problem.where in lines_of(self._templates.get(entry.template), path):
            problem = replace(problem, message=f"{problem.message} (used in {entry.use_at})")
        return problem
