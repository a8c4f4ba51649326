"""What authors write, for tests: files of the library, examples and blocks of the guide, read as a gateway does."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from fieldgate_devices.builtin import BuiltinProfiles
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.event import Stamp
from fieldgate_devices.reading import read_catalogue
from fieldgate_rules.engine import Engine
from fieldgate_rules.reading import ReadRules, read_rules
from fieldgate_rules.rule import RuleSet
from fieldgate_rules.tester.result import report_lines
from fieldgate_rules.tester.session import read_tests, run_tests
from rules_tables import EXAMPLES

__all__ = ["authors_catalogue", "failures_in", "read_files"]


@cache
def authors_catalogue() -> Catalogue:
    """The profiles that come with Fieldgate, and those of the examples."""
    own = {path.name: path.read_bytes() for path in (EXAMPLES / "devices.d").glob("*.yaml")}
    catalogue, files = read_catalogue(BuiltinProfiles(), own)
    assert [str(problem) for file in files for problem in file.problems] == []
    return catalogue


def read_files(files: Mapping[str, str]) -> ReadRules:
    """Read files of rules, by path."""
    return read_rules({path: text.encode() for path, text in files.items()}, authors_catalogue())


def failures_in(text: str, path: str, others: Mapping[str, str] | None = None) -> str:
    """Run the tests of a file that is right; return what failed, as an author is told, empty where all passed."""
    read = read_files({**(others or {}), path: text})
    assert read.is_valid, [str(problem) for problem in read.problems]
    file = read_tests(path, text.encode(), read.rules)
    found = run_tests(file, read.rules, authors_catalogue(), make=_engine, recordings=lambda name: f"no {name!r}")
    assert [str(problem) for problem in found.problems] == []
    assert len(found.results) == len(file.tests) > 0
    return "\n".join(line for one in found.results if not one.is_passed for line in report_lines(one))


def _engine(rules: RuleSet, gateway: str, stamp: Stamp, os_boot: str) -> Engine:
    return Engine(rules, gateway=gateway, stamp=stamp, os_boot=os_boot)
