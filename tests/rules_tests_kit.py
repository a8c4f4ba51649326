"""Files of rules with tests, for the tests of the tester itself."""

from __future__ import annotations

from collections.abc import Mapping

from condition_kit import BOILER, METER
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.files.document import Problem
from fieldgate_devices.reading import read_catalogue
from fieldgate_rules.reading import read_rules
from fieldgate_rules.rule import RuleSet
from fieldgate_rules.tester.chosen import with_what_they_need
from fieldgate_rules.tester.plan import Plan, plan_tests
from fieldgate_rules.tester.session import read_tests

RULES = """\
rules:
  - id: overheat
    on: {profile: boiler}
    when: temperature > 80
    do: [{alert: {severity: critical, text: "{device} is hot"}}]
  - id: means
    on: {profile: boiler}
    window: {size: 1m, values: {mean: {avg: temperature}}}
    do: [{emit: {type: boiler_means}}]
  - id: pump-runs
    on: {device: "pump-*"}
    when: running
    do: [{log: "{device} runs"}]
"""
PATH = "t.yaml"


def catalogue(*more: str) -> Catalogue:
    """The profiles of the conditions' kit, and others."""
    files = {f"{number}.yaml": text.encode() for number, text in enumerate((BOILER, METER, *more))}
    made, files_read = read_catalogue({}, files)
    assert not [problem for one in files_read for problem in one.problems]
    return made


CATALOGUE = catalogue()


def read(text: str, others: Mapping[str, str] | None = None) -> tuple[RuleSet, list[Problem]]:
    """The rules of a file and what is wrong with it."""
    files = {PATH: text.encode(), **{path: one.encode() for path, one in (others or {}).items()}}
    found = read_rules(files, CATALOGUE)
    return found.rules, list(found.problems)


def planned(text: str) -> tuple[list[Plan], list[Problem]]:
    """The tests of a file, and what is wrong with them; its rules must be right."""
    rules, problems = read(text)
    if problems:
        return [], problems
    file = read_tests(PATH, text.encode(), rules)
    return plan_tests(
        file.tests,
        file.document,
        rules=with_what_they_need(rules, file.own),
        own=file.own,
        catalogue=CATALOGUE,
        recordings=lambda name: f"{name!r} is not there",
    )
