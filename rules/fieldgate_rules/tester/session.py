"""Run the tests of a file: each on a virtual clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.event import Stamp
from fieldgate_devices.files.document import Document, read_yaml
from fieldgate_rules.engine import Engine
from fieldgate_rules.model import TestSpec
from fieldgate_rules.reading.sections import read_file
from fieldgate_rules.rule import RuleSet
from fieldgate_rules.tester.chosen import active, with_what_they_need
from fieldgate_rules.tester.engines import Make
from fieldgate_rules.tester.junit import TestedFile
from fieldgate_rules.tester.messages import Messages
from fieldgate_rules.tester.outcome import Outcome
from fieldgate_rules.tester.plan import Plan, Recordings, plan_tests
from fieldgate_rules.tester.result import Failure, TestResult, failures_of, is_error
from fieldgate_rules.tester.run import Run
from fieldgate_rules.tester.timeline import Restarted, Timeline

__all__ = ["MAX_OUTCOMES", "TestFile", "Why", "read_tests", "run_tests"]

MAX_OUTCOMES: Final = 100_000
_MAX_WHYS: Final = 5
_NS: Final = 10**9

Why = Callable[[Engine, str, "str | None", Stamp], Sequence[str]]
"""Says in lines why a rule did nothing up to now (for a device; None: for any). Asked when it should have."""
Progress = Callable[[str, int], None]
"""Is told at each moment of a test: its name, and how far it is, in ns."""


@dataclass(frozen=True, slots=True)
class TestFile:
    """A file with tests. ``own`` are the ids of its rules; none: it is about all rules."""

    __test__ = False  # for pytest

    path: str
    document: Document
    tests: Sequence[TestSpec]
    own: Collection[str]


def run_tests(
    file: TestFile,
    rules: RuleSet,
    catalogue: Catalogue,
    *,
    make: Make,
    recordings: Recordings,
    is_wanted: Callable[[str], bool] = lambda name: True,
    why: Why | None = None,
    on_moment: Progress = lambda name, at_ns: None,
) -> TestedFile:
    """Return what came of the tests whose name is wanted. ``rules`` are all that were read with the file."""
    own = frozenset(file.own) or frozenset(rule.id for rule in rules.rules)
    needed = active(with_what_they_need(rules, own))
    plans, problems = plan_tests(
        file.tests, file.document, rules=needed, own=own, catalogue=catalogue, recordings=recordings
    )
    results: list[TestResult] = []
    if not any(map(is_error, problems)):
        tester = _Tester(needed, own, catalogue, make, why, on_moment)
        results = [tester.result(plan) for plan in plans if is_wanted(plan.name)]
    return TestedFile(file.path, tuple(problems), tuple(results))


def read_tests(path: str, content: bytes, rules: RuleSet) -> TestFile:
    """Return the tests of a file that was read without problems; ``rules`` are all that were read with it."""
    own = [rule.id for rule in rules.rules if rule.where.path == path]
    return TestFile(path, read_yaml(content, path), read_file(path, content).spec.tests, own)


class _TooMuch(Exception):
    """The rules did more than anybody would look through."""


class _Tester:
    """Runs tests of the same rules."""

    def __init__(
        self,
        rules: RuleSet,
        own: frozenset[str],
        catalogue: Catalogue,
        make: Make,
        why: Why | None,
        on_moment: Progress,
    ) -> None:
        self._rules = rules
        self._make = make
        self._own = own
        self._catalogue = catalogue
        self._why = why
        self._on_moment = on_moment

    def result(self, plan: Plan) -> TestResult:
        """Return what came of one test."""
        timeline = Timeline(plan.entries, Messages(self._catalogue))
        run = self._run(plan)
        failures: list[Failure] = []
        try:
            self._play(run, plan, timeline, None)
        except _TooMuch:
            said = f"the rules did more than {MAX_OUTCOMES:,} things; make the test shorter"
            failures.append(Failure("error", plan.where, said))
        run.finish()
        failures += [Failure("error", plan.where, f"{rule}: {said}") for rule, said in sorted(run.errors.items())]
        problems = tuple(sorted(timeline.problems))
        outcomes = tuple(self._of_own(run.outcomes))
        if not failures:
            failures = self._explained(plan, timeline, failures_of(plan, outcomes))
        return TestResult(plan.name, plan.where, tuple(failures), outcomes, problems)

    def _run(self, plan: Plan) -> Run:
        kills = [one.action for one in plan.entries if isinstance(one.action, Restarted) and one.action.spec.kill]
        return Run(self._rules, plan.start_ns, self._make, is_killed=bool(kills))

    def _of_own(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        return [one for one in outcomes if not self._own.isdisjoint(one.rules)]

    def _play(self, run: Run, plan: Plan, timeline: Timeline, stop_ns: int | None) -> None:
        """Let it all happen; up to ``stop_ns``, and what happens right then, where that is given."""
        end_ns = stop_ns if stop_ns is not None else None if plan.is_open_end else plan.until_ns
        for at_ns, some in groupby(timeline, key=lambda one: one.at_ns):
            if end_ns is not None and at_ns > end_ns:
                break
            if at_ns < run.clock.at_ns:  # the gateway is down
                continue
            run.advance(at_ns)
            run.happen(list(some))
            self._on_moment(plan.name, at_ns)
            if len(run.outcomes) > MAX_OUTCOMES:
                raise _TooMuch
        last_ns = plan.until_ns if stop_ns is None else stop_ns
        run.advance(max(last_ns, run.clock.at_ns))

    def _explained(self, plan: Plan, timeline: Timeline, failures: Sequence[Failure]) -> list[Failure]:
        """The failures, with why nothing came where something should have: asked at that moment, in another run."""
        told = 0
        explained = []
        for failure in failures:
            one = failure.expectation
            if self._why is not None and one is not None and failure.kind == "missing" and one.spec.rule is not None:
                told += 1
                if told <= _MAX_WHYS:
                    run = self._run(plan)
                    self._play(run, plan, timeline, None if one.about_s is None else round(one.about_s * _NS))
                    said = self._why(run.engine, one.spec.rule, one.spec.device, run.clock.stamp)
                    failure = replace(failure, why=tuple(said))
            explained.append(failure)
        return explained
