"""What other rules would have done: two gateways side by side on a virtual clock, given the same, and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby

from fieldgate_rules.rule import RuleSet
from fieldgate_rules.tester.chosen import active
from fieldgate_rules.tester.comparison import Comparison
from fieldgate_rules.tester.engines import Make
from fieldgate_rules.tester.run import Run
from fieldgate_rules.tester.timeline import Happening

__all__ = ["Replay"]


class Replay:
    """``before`` are the rules in force, ``after`` the others, of which those in shadow mode act.

    Times of outcomes count from the first thing that happened, at ``first_ns`` (UTC in ns since 1970).
    """

    def __init__(self, before: RuleSet, after: RuleSet, make: Make, *, examples: int) -> None:
        self.comparison = Comparison(examples=examples)
        self.first_ns: int | None = None
        self.last_ns = 0
        self.moments = 0
        self._sets = before, active(after)
        self._make = make
        self._runs: tuple[Run, Run] | None = None

    def feed(self, happenings: Iterable[Happening], *, on_moment: Callable[[int], None] = lambda at_ns: None) -> None:
        """Let it happen, in the order in which it comes; times (UTC) that go back count as the latest before them."""
        for at_ns, some in groupby(happenings, key=lambda one: one.at_ns):
            at_ns = max(at_ns, self.last_ns)
            if self._runs is None:
                self.first_ns = at_ns
                self._runs = Run(self._sets[0], at_ns, self._make), Run(self._sets[1], at_ns, self._make)
            assert self.first_ns is not None
            self.last_ns = at_ns
            together = list(some)
            for run in self._runs:
                run.advance(at_ns - self.first_ns)
                run.happen(together)
            self._compare()
            self.moments += 1
            on_moment(at_ns)

    def end(self) -> None:
        """Nothing more happens."""
        self._compare()
        self.comparison.end()

    def _compare(self) -> None:
        if self._runs is None:
            return
        before, after = self._runs
        if before.outcomes or after.outcomes:
            self.comparison.feed(before.outcomes, after.outcomes)
            before.outcomes.clear()
            after.outcomes.clear()
