"""The tests in our own files of rules: library, examples, blocks of the pages; each one a test of pytest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.reading import read_catalogue
from fieldgate_rules.reading import read_rules
from fieldgate_rules.rule import RuleSet
from fieldgate_rules.tester import Recording, TestedFile, TestResult, is_error, read_tests, run_tests
from fieldgate_rules.tester.engines import make_engine
from guide_blocks import blocks
from rule_files_kit import authors_catalogue
from rules_tables import EXAMPLES, LIBRARY, RULES

__all__ = ["RULE_FILES", "TESTS_PAGE", "cases", "catalogue_of", "result_of", "tested"]

BLOCKS = [one for one in blocks() if one.has_tests and one.problems is None]
TESTS_PAGE = (RULES / "TESTS.md").read_text(encoding="utf-8")
_PAGE_BLOCKS = dict(re.findall(r"<!-- (profile|run) -->\n```yaml\n(.*?)```", TESTS_PAGE, re.DOTALL))

RULE_FILES: dict[str, str] = {
    **{f"library/{path.name}": path.read_text(encoding="utf-8") for path in sorted(LIBRARY.glob("*.yaml"))},
    **{f"examples/{path.name}": path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.glob("*.yaml"))},
    **{f"guide/{one.name}": one.text for one in BLOCKS},
    "TESTS.md": _PAGE_BLOCKS["run"],
}
"""What is run, by what it is called."""


def cases() -> list[tuple[str, str]]:
    """File and name of each test."""
    files = {label: read_tests(label, text.encode(), RuleSet()) for label, text in RULE_FILES.items()}
    return [(label, one.name) for label, file in files.items() for one in file.tests]


@cache
def catalogue_of(label: str) -> Catalogue:
    """The profiles that a file is read with."""
    if label != "TESTS.md":
        return authors_catalogue()
    return read_catalogue({}, {"boiler.yaml": _PAGE_BLOCKS["profile"].encode()})[0]


@cache
def tested(label: str) -> TestedFile:
    """What came of the tests of a file; it must be right."""
    content = RULE_FILES[label].encode()
    others = next((one.others for one in BLOCKS if f"guide/{one.name}" == label), {})
    catalogue = catalogue_of(label)
    files = {**{path: text.encode() for path, text in others.items()}, label: content}
    read = read_rules(files, catalogue)
    assert [str(one) for one in read.problems if is_error(one)] == []
    found = run_tests(
        read_tests(label, content, read.rules),
        read.rules,
        catalogue,
        make=make_engine,
        recordings=lambda name: _beside(label, name),
    )
    assert [str(one) for one in found.problems] == []
    return found


def _beside(label: str, name: str) -> Recording | str:
    path = (EXAMPLES if label.startswith("examples/") else LIBRARY) / name
    return Recording(name, lambda: _pieces(path)) if path.exists() else f"{name!r} is not there"


def _pieces(path: Path) -> Iterator[bytes]:
    yield path.read_bytes()


def result_of(label: str, name: str) -> TestResult:
    """What came of one test."""
    return next(one for one in tested(label).results if one.name == name)
