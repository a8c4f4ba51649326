"""What rules remember over stops, kills and other boots, on a virtual clock: ``state/restarts.yaml``."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldgate_rules.engine import Engine
from fieldgate_rules.explain import why_not
from fieldgate_rules.reading import read_rules
from fieldgate_rules.tester import session
from fieldgate_rules.tester.junit import TestedFile
from rule_why_kit import CATALOGUE, make

FILE = Path(__file__).parent / "restarts" / "restarts.yaml"
CONTENT = FILE.read_bytes()
RULES = read_rules({FILE.name: CONTENT}, CATALOGUE)
TESTS = session.read_tests(FILE.name, CONTENT, RULES.rules)


def outcome_of(name: str) -> TestedFile:
    """What came of one test of the file."""
    return session.run_tests(
        TESTS,
        RULES.rules,
        CATALOGUE,
        make=make,
        recordings=lambda _: "there are none",
        is_wanted=lambda one: one == name,
        why=why_not(RULES.rules),
    )


@pytest.mark.parametrize("name", [one.name for one in TESTS.tests])
def test_rules_go_on_where_they_were(name: str) -> None:
    """The claim is the name of the test in the file."""
    file = outcome_of(name)

    assert [str(one) for one in (*RULES.problems, *file.problems) if not one.is_warning] == []
    (result,) = file.results
    assert [str(one) for one in result.failures] == []


def test_an_engine_that_restores_nothing_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: without what was saved the timer never fires."""
    monkeypatch.setattr(Engine, "restore", lambda *_, **__: None)

    (result,) = outcome_of(TESTS.tests[0].name).results

    assert result.failures


def test_an_engine_that_takes_the_downtime_for_nothing_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: boot times of another boot mean nothing in this one."""
    from fieldgate_rules import restart

    name = next(one.name for one in TESTS.tests if "both times are known" in one.name)
    monkeypatch.setattr(restart.Restart, "move", lambda self, at_s: at_s)

    (result,) = outcome_of(name).results

    assert result.failures
