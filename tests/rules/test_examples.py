"""``rules/examples``: complete files, each right as it stands, each with tests that pass."""

from __future__ import annotations

import re

import pytest

from rule_files_kit import failures_in, read_files
from rules_tables import EXAMPLES, plain

FILES = sorted(EXAMPLES.glob("*.yaml"))
SAMPLE = EXAMPLES.parents[1] / "deploy/config/rules.d/sample.yaml"
SCHEMA = "../../deploy/config/rules.schema.json"


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_an_example_is_right(path):
    """No problem and no warning: it is what others copy."""
    read = read_files({path.name: path.read_text(encoding="utf-8")})

    assert [str(problem) for problem in read.problems] == []
    assert [one.id for one in read.rules.rules] == [rule["id"] for rule in plain(path)["rules"]]


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_the_tests_of_an_example_pass(path):
    assert failures_in(path.read_text(encoding="utf-8"), path.name) == ""


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_an_example_says_what_it_is_and_carries_the_editors_modeline(path):
    first, blank, said, *_ = path.read_text(encoding="utf-8").splitlines()

    assert first == f"# yaml-language-server: $schema={SCHEMA}"
    assert blank == "#"
    assert re.match("# [A-Z]", said)
    assert (path.parent / SCHEMA).exists()


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_rule_of_an_example_is_named_in_a_test_of_it(path):
    """A rule that no test names may be anything."""
    written = plain(path)
    tested = str(written["tests"])

    for rule in written["rules"]:
        assert f"'{rule['id']}'" in tested or rule.get("mode") == "shadow", rule["id"]


def test_the_sample_for_installers_does_nothing_and_is_right_without_its_marks():
    """Who takes away the '#' in front of a rule must not have to repair it."""
    written = SAMPLE.read_text(encoding="utf-8")
    without = re.sub(r"^#(?=[a-z]|  |$)", "", written, flags=re.MULTILINE)

    assert read_files({"sample.yaml": written}).rules.rules == ()
    assert read_files({"sample.yaml": written}).problems == ()
    assert [one.id for one in read_files({"sample.yaml": without}).rules.rules][-1] == "boiler-hot"
    assert failures_in(without, "sample.yaml") == ""


def test_a_rule_that_means_something_else_fails_its_tests():
    """The control: the tests of an example would notice."""
    path = EXAMPLES / "boiler-overheat.yaml"
    written = path.read_text(encoding="utf-8")

    for was, becomes in (("for: 30s", "for: 40s"), ("> 80", "> 86"), ("target: 20}}\ntests", "target: 21}}\ntests")):
        assert written.count(was) == 1
        assert failures_in(written.replace(was, becomes), path.name) != ""


def test_the_boiler_is_that_of_the_design():
    """Its rule and its first test are those from which all of this was made."""
    written = plain(EXAMPLES / "boiler-overheat.yaml")

    assert written["rules"] == [
        {
            "id": "boiler-overheat",
            "on": {"profile": "boiler"},
            "when": 'temperature > 80 and state != "fault"',
            "for": "30s",
            "until": "temperature < 75",
            "do": [
                {"alert": {"severity": "critical", "text": "{device} is at {temperature} °C"}},
                {"command": {"device": "{device}", "set_target": {"target": 20}}},
            ],
        }
    ]
    assert written["tests"][0] == {
        "name": "fires once after 30 s",
        "given": [
            {"at": "0s", "device": "b1", "temperature": 85, "state": "heating"},
            {"at": "31s", "device": "b1", "temperature": 85, "state": "heating"},
        ],
        "expect": [{"at": "30s", "rule": "boiler-overheat", "alert": "critical"}],
    }
