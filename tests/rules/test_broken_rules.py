"""Broken files of rules: every line that must be said of each, with its place.

A file of ``broken/`` ends with these lines, behind ``#!``: line, column, message. ``r.yaml`` stands before them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldgate_rules.reading import Known, read_rules
from reading_kit import catalogue, read, said

FILES = sorted(Path(__file__).with_name("broken").glob("*.yaml"))
KNOWN = Known(
    uplinks={"cloud": "mqtt", "pager": "webhook", "loop": "self"}, devices={"b1": "boiler", "m1": "meter", "free": ""}
)
FINE = "rules:\n  - id: r1\n    on: {profile: boiler}\n    do: [{log: x}]\n"


def wanted(text):
    return [f"r.yaml:{line.removeprefix('#! ')}" for line in text.splitlines() if line.startswith("#! ")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_everything_that_is_wrong_is_said_with_its_place(path):
    """An author sees all of his slips at once, each where it stands."""
    text = path.read_text(encoding="utf-8")

    assert said(text, known=KNOWN) == wanted(text)


def test_there_are_many_and_each_says_something():
    """A file whose lines were lost would pass as one without a problem."""
    assert len(FILES) >= 45
    assert [path.stem for path in FILES if not wanted(path.read_text(encoding="utf-8"))] == []


def test_warnings_alone_keep_no_rule_out():
    text = (FILES[0].parent / "lint-until.yaml").read_text(encoding="utf-8")

    assert read(text, known=KNOWN).is_valid
    assert len(read(text, known=KNOWN).rules.rules) == 2


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_wrong_is_never_in_force(path):
    """A rule is in the set only if nothing is said of its lines but warnings."""
    text = path.read_text(encoding="utf-8")
    got = read(text, known=KNOWN)
    errors = [problem for problem in got.problems if not problem.is_warning]

    assert got.is_valid is (not errors)
    lines = text.splitlines()
    for rule in got.rules.rules:
        start = rule.where.line
        end = next(line for line, one in enumerate(lines, 1) if line > start and not one.startswith("    "))
        assert [one for one in errors if start <= one.where.line < end] == []


def test_a_file_of_ten_megabytes_is_refused_at_once():
    """Row 77: nobody waits for it, and nothing else is done with it."""
    (line,) = said("rules: []\n" + "# x\n" * 2_600_000)

    assert line == "r.yaml:1:1: the file has 10400010 bytes; allowed: 8388608 (8MiB)"


def test_bytes_that_are_no_text_are_refused_with_their_place():
    got = read_rules({"r.yaml": b"rules:\n  - id: \xff\n"}, catalogue())

    assert [str(one) for one in got.problems] == ["r.yaml:2:9: the byte 0xff is not UTF-8; save the file as UTF-8"]


def test_an_id_that_stands_in_two_files_is_said_of_the_second():
    assert said(FINE, FINE) == ["r2.yaml:2:9: there is a rule 'r1' in r.yaml:2:9 already"]


def test_a_file_that_cannot_be_read_hides_no_other():
    first, second = said("rules: [", FINE.replace("boiler", "boilr"))

    assert first.startswith("r.yaml:1:9: this is not YAML: ")
    assert second == "r2.yaml:3:19: there is no profile 'boilr', and no rule emits it; did you mean 'boiler'?"


def test_ten_thousand_rules_are_the_most():
    text = "rules:\n" + "  - {}\n" * 10_001

    assert said(text) == ["r.yaml:2:3: rules: a list has too many entries; 10000 at most"]
