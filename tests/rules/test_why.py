"""Why did it not fire? Each prepared case names clause, value and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldgate_rules.explain import report_lines
from rule_why_kit import CASES, Case, play


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_the_line_that_stopped_it_is_named(path: Path) -> None:
    """The file of each case says what it is about."""
    case = Case.read(path)
    wanted = case.expected

    report = play(case.rules, path.name).report(wanted.get("device"))

    said = "\n".join(report_lines(report))
    assert report.stopped is not None, said
    found = {"outcome": report.outcome, "key": report.stopped.key, "at": report.stopped.where.short}
    assert found == {name: wanted[name] for name in found}, said
    assert wanted["says"] in report.stopped.text, said
    assert f"{path.name}:{wanted['at']}: " in said
    if part := wanted.get("part"):
        assert part["says"] in next(one.text for one in report.parts if one.key == part["key"]), said
    if did := wanted.get("did"):
        assert did["state"] == next(one.state for one in report.did if one.number == did["number"]), said


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 12


def test_an_explanation_that_blames_the_whole_condition_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: that it is false is what the author knows already."""
    monkeypatch.setattr("fieldgate_rules.explain.parts.culprits", lambda clause: (clause,))
    path = next(path for path in CASES if path.stem == "false-clause-in-a-later-line")

    with pytest.raises(AssertionError):
        test_the_line_that_stopped_it_is_named(path)
