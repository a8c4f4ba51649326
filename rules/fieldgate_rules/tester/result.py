"""What came of a test, and how a person is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from fieldgate_devices.files.document import Problem
from fieldgate_devices.files.location import Location
from fieldgate_rules.tester.expectation import Expectation, match_all
from fieldgate_rules.tester.outcome import Outcome
from fieldgate_rules.tester.plan import Plan

__all__ = ["Failure", "TestResult", "failures_of", "is_error", "report_lines"]

_SHOWN: Final = 40
_LOOKED_AT: Final = 5_000  # outcomes among which the nearest is looked for
_KINDS: Final = {
    "missing": "expected, and did not come:",
    "surplus": "it came more often than expected:",
    "unwanted": "it must not come, and came:",
    "error": "a rule failed:",
}


def is_error(problem: Problem) -> bool:
    """Whether it is to be mended before anything can be run."""
    return not (problem.is_warning or problem.is_note)


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that is not as a test says.

    ``where`` is the expectation, ``expected`` its line. ``got`` are outcomes that are too many; ``nearest`` is what is
    most like what did not come, ``differences`` what keeps them apart, ``why`` what the rule says of it.
    """

    kind: Literal["missing", "surplus", "unwanted", "error"]
    where: Location
    expected: str
    got: tuple[Outcome, ...] = ()
    nearest: Outcome | None = None
    differences: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    expectation: Expectation | None = None

    @property
    def message(self) -> str:
        """In one line."""
        what = _KINDS[self.kind].rstrip(":")
        if self.nearest is not None:
            return (
                f"{self.where}: {what}: {self.expected}; nearest: {self.nearest.line} ({'; '.join(self.differences)})"
            )
        return f"{self.where}: {what}: {self.expected or self.got[0].line}"

    def lines(self) -> Iterator[str]:
        """In as many as a person needs."""
        yield f"{self.where}: {_KINDS[self.kind]}"
        if self.expected:
            yield f"    {self.expected}"
        yield from (f"  + {one.line}" for one in self.got[:_SHOWN])
        if len(self.got) > _SHOWN:
            yield f"  + … {len(self.got) - _SHOWN:,} more"
        if self.nearest is not None:
            yield "  the nearest that came:"
            yield f"    {self.nearest.line}"
            yield from (f"      {one}" for one in self.differences)
        elif self.kind == "missing":
            yield "  nothing like it came"
        yield from (f"  {'     ' if number else 'why: '}{line}".rstrip() for number, line in enumerate(self.why))


@dataclass(frozen=True, slots=True)
class TestResult:
    """``problems`` are mistakes in what the test is given, warnings too; with one that is no warning it has not run."""

    __test__ = False  # for pytest

    name: str
    where: Location
    failures: tuple[Failure, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def is_broken(self) -> bool:
        """Whether it could not be run as written."""
        return any(map(is_error, self.problems))

    @property
    def is_passed(self) -> bool:
        """Whether everything is as the test says."""
        return not self.failures and not self.is_broken


def failures_of(plan: Plan, outcomes: Sequence[Outcome]) -> list[Failure]:
    """Return what is not as the test says, the expectations first."""
    matched = match_all(plan.expected, outcomes)
    failures = [_missing(plan.expected[number], lacking, matched.left) for number, lacking in matched.missing.items()]
    for number, more in matched.surplus.items():
        one = plan.expected[number]
        failures.append(Failure("surplus", one.where, one.line, tuple(more), expectation=one))
    unwanted = [(one, tuple(outcome for outcome in matched.left if one.takes(outcome))) for one in plan.unwanted]
    failures += [Failure("unwanted", one.where, one.line, got, expectation=one) for one, got in unwanted if got]
    if plan.nothing_else and matched.left:
        failures.append(Failure("unwanted", plan.where_nothing_else, "", tuple(matched.left)))
    return sorted(failures, key=lambda one: one.where)


def _missing(one: Expectation, lacking: int, left: Sequence[Outcome]) -> Failure:
    wanted = one.spec.count or 1
    had = f"  (came {wanted - lacking} times)" if wanted > 1 else ""
    nearest = _nearest(one, left)
    differences = () if nearest is None else tuple(found.text for found in one.differences(nearest))
    return Failure("missing", one.where, one.line + had, (), nearest, differences, expectation=one)


def _nearest(one: Expectation, left: Sequence[Outcome]) -> Outcome | None:
    """The outcome with the fewest differences; none where all of them are something else altogether."""

    def strangeness(outcome: Outcome) -> tuple[int, float]:
        apart_s = abs(outcome.at_ns / 1e9 - one.about_s) if one.about_s is not None else 0.0
        return sum(found.weight for found in one.differences(outcome)), apart_s

    best = min(left[:_LOOKED_AT], key=strangeness, default=None)
    return best if best is not None and strangeness(best)[0] < 32 else None


def report_lines(result: TestResult, *, is_verbose: bool = False) -> Iterator[str]:
    """Say what came of a test: all of it where it failed, one line where it did not."""
    verdict = "passed" if result.is_passed else "BROKEN" if result.is_broken else "FAILED"
    yield f"{verdict}  {result.name}"
    yield from (f"  {one}" for one in result.problems)
    for failure in result.failures:
        yield from (f"  {line}".rstrip() for line in failure.lines())
    if not result.is_broken and (is_verbose or result.failures):
        yield "  everything that came, in order:" if result.outcomes else "  nothing came"
        shown = result.outcomes if is_verbose else result.outcomes[:_SHOWN]
        yield from (f"    {one.line}" for one in shown)
        if len(shown) < len(result.outcomes):
            yield f"    … {len(result.outcomes) - len(shown):,} more (-v shows all)"
