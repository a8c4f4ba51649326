"""``fieldgate rules test``: run the tests that stand in files of rules, on a virtual clock."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fieldgate.cli.options import AsJson, ConfigFile, written_config
from fieldgate.cli.profile_sources import Profiles, say_what_is_not_in_use, why
from fieldgate.cli.progress import Progress
from fieldgate.cli.recording_files import recordings_beside
from fieldgate.cli.rules_app import rules_app
from fieldgate.cli.rules_groups import RuleGroup, nothing_there, profiles_for, rule_groups
from fieldgate.cli.words import count, safe
from fieldgate.errors import FieldgateError
from fieldgate_devices.files.document import Problem
from fieldgate_rules.explain import why_not
from fieldgate_rules.reading import read_rules
from fieldgate_rules.tester import (
    TestedFile,
    TestResult,
    is_error,
    junit_xml,
    read_tests,
    report_lines,
    run_tests,
    when,
)
from fieldgate_rules.tester.engines import make_engine

__all__: list[str] = []  # the command adds itself

_FAILED: Final = 1
_BROKEN: Final = 2
_TELL_EVERY: Final = 1024  # moments of a test


class ReportNotWritten(FieldgateError):
    """The file for the CI cannot be written."""


@rules_app.command("test", short_help="Run the tests in files of rules, on a virtual clock; JUnit for CI.")
def run_the_tests(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE|FOLDER", help="Default: the folder of the configuration (rules.path)."),
    ] = None,
    name: Annotated[str, typer.Option(metavar="GLOB", help="Only tests with such a name.")] = "*",
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the results as JUnit XML, too; - is stdout.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Also tests that pass, and everything that rules did in them.")
    ] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Run the tests that stand in files of rules: what is given, and what must come of it.

    Profiles are the built-in ones and those of the configuration; without one, those in a devices.d beside the files.
    The same tests give the same results, byte for byte. Ends with 0 when all have passed, with 1 when one has not,
    with 2 when a file or a test cannot be used as written.
    """
    loaded = written_config(config)
    profiles = profiles_for(loaded, paths or ())
    say_what_is_not_in_use(profiles)
    is_quiet = as_json or str(junit) == "-"
    session = _Session(profiles, name, Progress(is_quiet=is_quiet))
    files: list[TestedFile] = []
    for group in rule_groups(paths or (), loaded.config.rules.path):
        for file in session.run(group):
            files.append(file)
            if not is_quiet:
                _print(file, is_verbose=verbose)
    if not session.is_any_wanted:
        raise typer.BadParameter(f"no test is called {name!r}", param_hint="--name")
    if junit is not None:
        _write(junit, junit_xml(files))
    if as_json:
        typer.echo(json.dumps(_facts(files, is_verbose=verbose), indent=2, ensure_ascii=False))
    elif not is_quiet:
        folder = loaded.config.rules.path
        typer.echo(_verdict(files) if files else f"{folder}: {nothing_there(folder)}")
    broken, failed = any(one.is_broken for one in files), any(one.failed for one in files)
    raise typer.Exit(_BROKEN if broken else _FAILED if failed else 0)


class _Session:
    """Runs the tests of one group of files after the other."""

    def __init__(self, profiles: Profiles, name: str, progress: Progress) -> None:
        self.is_any_wanted = name == "*"
        self._catalogue = profiles.catalogue
        self._name = name
        self._progress = progress
        self._moments = 0

    def run(self, group: RuleGroup) -> Iterator[TestedFile]:
        """Yield what came of each file that is asked for, in the order of their names."""
        read = read_rules(group.contents, self._catalogue)
        problems: dict[str, list[Problem]] = {}
        for one in (*group.unreadable, *read.problems):
            problems.setdefault(one.where.path, []).append(one)
        for path in dict.fromkeys([*group.tested, *(one.where.path for one in group.unreadable)]):
            wrong = problems.get(path, [])
            if any(map(is_error, wrong)) or path not in group.contents:
                yield TestedFile(path, tuple(wrong), ())
                continue
            yield run_tests(
                read_tests(path, group.contents[path], read.rules),
                read.rules,
                self._catalogue,
                make=make_engine,
                recordings=recordings_beside(Path(path)),
                why=why_not(read.rules),
                is_wanted=self._is_wanted,
                on_moment=self._on_moment,
            )

    def _is_wanted(self, name: str) -> bool:
        is_wanted = fnmatchcase(name, self._name)
        self.is_any_wanted = self.is_any_wanted or is_wanted
        return is_wanted

    def _on_moment(self, name: str, at_ns: int) -> None:
        self._moments += 1
        if self._moments % _TELL_EVERY == 0:
            self._progress.tell(f"{name}: {when(at_ns // 10**9 * 10**9)} …")


def _print(file: TestedFile, *, is_verbose: bool) -> None:
    for problem in file.problems:
        typer.echo(safe(str(problem)))
    if not file.results:
        if is_verbose and not file.is_broken:
            typer.echo(f"{file.path}: no tests")
        return
    for result in file.results:
        if is_verbose or not result.is_passed or result.problems:
            for line in report_lines(result, is_verbose=is_verbose):
                typer.echo(safe(line))
    failed = f", {file.failed:,} failed" if file.failed else ""
    typer.echo(f"{file.path}: {count(len(file.results), 'test')}{failed}")


def _verdict(files: Sequence[TestedFile]) -> str:
    tests, failed = sum(len(one.results) for one in files), sum(one.failed for one in files)
    broken = sum(one.is_broken for one in files)
    said = [f"{failed:,} failed"] if failed else []
    if broken:
        said.append(f"{count(broken, 'file')} cannot be used as written")
    elif not failed:
        said.append("all passed" if tests else "there is nothing to run")
    return f"{count(len(files), 'file')}, {count(tests, 'test')}: {', '.join(said)}"


def _facts(files: Sequence[TestedFile], *, is_verbose: bool) -> dict[str, Any]:
    return {
        "ok": not any(one.is_broken or one.failed for one in files),
        "files": [
            {
                "path": one.path,
                "problems": [str(problem) for problem in one.problems],
                "tests": [_result_facts(result, is_verbose=is_verbose) for result in one.results],
            }
            for one in files
        ],
    }


def _result_facts(result: TestResult, *, is_verbose: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": result.name,
        "line": result.where.line,
        "passed": result.is_passed,
        "problems": [str(problem) for problem in result.problems],
        "failures": [
            {
                "kind": one.kind,
                "path": one.where.path,
                "line": one.where.line,
                "column": one.where.column,
                "expected": one.expected or None,
                "got": [outcome.to_json() for outcome in one.got],
                "nearest": None if one.nearest is None else one.nearest.to_json(),
                "differences": list(one.differences),
                "why": list(one.why),
            }
            for one in result.failures
        ],
    }
    if is_verbose or result.failures:
        facts["effects"] = [outcome.to_json() for outcome in result.outcomes]
    return facts


def _write(path: Path, text: str) -> None:
    if str(path) == "-":
        sys.stdout.write(text)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ReportNotWritten(f"{path}: cannot be written: {why(error)}") from error
