"""JUnit XML of results: what a CI server reads."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from fieldgate_devices.files.document import Problem
from fieldgate_devices.files.location import Location
from fieldgate_rules.tester.junit import TestedFile, junit_xml
from fieldgate_rules.tester.outcome import Outcome
from fieldgate_rules.tester.result import Failure, TestResult


def at(line: int) -> Location:
    return Location("rules.d/boiler.yaml", line, 5)


OUTCOME = Outcome(31 * 10**9, ("overheat",), "b1", "log", {"level": "info", "text": "is <hot> & \x1b[31mred\x00"})
FAILURE = Failure("missing", at(9), "30s  overheat  log info", (), OUTCOME, ("at: 31s, not 30s",), ("when: false",))
FILES = [
    TestedFile(
        "rules.d/boiler.yaml",
        (Problem(at(3), "device: nobody is on it", is_warning=True),),
        (
            TestResult("passes", at(5)),
            TestResult("fails & \"quotes\"\nover two lines", at(7), (FAILURE,), (OUTCOME,)),
            TestResult("is broken", at(12), problems=(Problem(at(13), "recording: there is none"),)),
        ),
    ),
    TestedFile("rules.d/pump.yaml", (Problem(Location("rules.d/pump.yaml", 2, 1), "unknown key 'wen'"),), ()),
]  # fmt: skip


def test_every_test_is_a_case_with_its_place():
    """Jenkins counts attributes, GitLab shows file and name; both mark what failed and why."""
    root = ElementTree.fromstring(junit_xml(FILES).encode())

    assert root.tag == "testsuites"
    assert [root.get(name) for name in ("tests", "failures", "errors")] == ["4", "1", "2"]
    suites = [[one.get(name) for name in ("name", "tests", "failures", "errors", "skipped")] for one in root]
    assert suites == [["rules.d/boiler.yaml", "3", "1", "1", "0"], ["rules.d/pump.yaml", "1", "0", "1", "0"]]
    cases = [(one.get("classname"), one.get("name"), one.get("file"), one.get("line")) for one in root.iter("testcase")]
    assert cases == [
        ("rules_d.boiler", "passes", "rules.d/boiler.yaml", "5"),
        ("rules_d.boiler", 'fails & "quotes"\nover two lines', "rules.d/boiler.yaml", "7"),
        ("rules_d.boiler", "is broken", "rules.d/boiler.yaml", "12"),
        ("rules_d.pump", "the file can be used", "rules.d/pump.yaml", "2"),
    ]


def test_a_failure_bears_its_message_and_the_whole_report():
    """Whoever reads the CI's page does not look into a terminal."""
    root = ElementTree.fromstring(junit_xml(FILES).encode())

    (failure,) = root.iter("failure")
    assert failure.get("type") == "failure"
    assert failure.get("message") == (
        'rules.d/boiler.yaml:9:5: expected, and did not come: 30s  overheat  log info; nearest: 31s  overheat  b1  '
        'log info "is <hot> & \\u001b[31mred\\u0000" (at: 31s, not 30s)'
    )  # fmt: skip
    assert failure.text is not None
    assert "why: when: false" in failure.text
    assert [one.get("message") for one in root.iter("error")] == [
        "rules.d/boiler.yaml:13:5: recording: there is none",
        "rules.d/pump.yaml:2:1: unknown key 'wen'",
    ]


@given(st.text(), st.text())
def test_no_text_of_a_device_makes_xml_that_is_none(name, said):
    """XML 1.0 section 2.2 has no control characters, not even escaped: a parser would refuse the whole file."""
    outcome = Outcome(0, ("r",), said, "drop", {})
    failure = Failure("unwanted", at(1), name, (outcome,))

    root = ElementTree.fromstring(junit_xml([TestedFile(name, (), (TestResult(name, at(1), (failure,)),))]).encode())

    assert [one.tag for one in root.iter()] == ["testsuites", "testsuite", "testcase", "failure"]
