"""Prepared cases of "why did it not fire": a file of rules with what is given, and what an explanation must name.

Each file of ``why/`` has two documents. One are the rules, with one test whose ``given`` happens; the other says what
must be found: ``outcome``, the ``key`` that stopped it, ``at`` line and column of the clause or value, and ``says``,
which the line must hold; ``device``, ``did`` and ``part`` where they matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.event import Stamp
from fieldgate_devices.reading import read_catalogue
from fieldgate_rules.engine import Engine
from fieldgate_rules.explain import Heard, Report, explain
from fieldgate_rules.reading import read_rules
from fieldgate_rules.rule import RuleSet
from fieldgate_rules.tester.messages import Messages
from fieldgate_rules.tester.plan import plan_tests
from fieldgate_rules.tester.run import Run
from fieldgate_rules.tester.session import read_tests
from fieldgate_rules.tester.timeline import Spoken, Timeline

__all__ = ["CASES", "Case", "Played", "play"]

FOLDER = Path(__file__).parent / "rules" / "why"
CASES = sorted(FOLDER.glob("*.yaml"))


def _catalogue() -> Catalogue:
    files = {path.name: path.read_bytes() for path in (FOLDER / "devices.d").glob("*.yaml")}
    catalogue, read = read_catalogue({}, files)
    assert not [problem for one in read for problem in one.problems]
    return catalogue


CATALOGUE = _catalogue()


def make(rules: RuleSet, gateway: str, stamp: Stamp, os_boot: str) -> Engine:
    """An engine as the gateway makes one."""
    return Engine(rules, gateway=gateway, stamp=stamp, os_boot=os_boot)


@dataclass
class Played:
    """Rules after all that was given has happened."""

    run: Run
    rules: RuleSet
    heard: list[Heard]

    def report(self, device: str | None = None) -> Report:
        """Why the first rule did what it did."""
        engine = self.run.engine
        assert isinstance(engine, Engine)
        rule = self.rules.rules[0]
        return explain(engine, rule, device=device, event=None, heard=self.heard, stamp=self.run.clock.stamp)


@dataclass(frozen=True)
class Case:
    """A file of ``why/``."""

    path: Path
    rules: bytes
    expected: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Case:
        head, _, tail = path.read_bytes().partition(b"\n---\n")
        return cls(path, head + b"\n", YAML(typ="safe").load(tail))


def play(content: bytes, path: str) -> Played:
    """Let happen what the only test of a file of rules gives."""
    read = read_rules({path: content}, CATALOGUE)
    assert read.is_valid, read.problems
    file = read_tests(path, content, read.rules)
    (plan,), problems = plan_tests(
        file.tests, file.document, rules=read.rules, own=file.own, catalogue=CATALOGUE, recordings=lambda name: name
    )
    assert not [one for one in problems if not one.is_warning], problems
    run = Run(read.rules, plan.start_ns, make)
    heard: dict[tuple[str, str], Heard] = {}
    for at_ns, some in groupby(Timeline(plan.entries, Messages(CATALOGUE)), key=lambda one: one.at_ns):
        run.advance(at_ns)
        happenings = list(some)
        for one in happenings:
            for said in one.action.said if isinstance(one.action, Spoken) else ():
                address = said.address
                heard[address.type, address.device] = Heard(address.device, address.type, said.lane)
        run.happen(happenings)
    run.advance(plan.until_ns)
    return Played(run, read.rules, list(heard.values()))
