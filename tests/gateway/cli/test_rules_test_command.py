"""``fieldgate rules test``: what it prints, what it writes for a CI server, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from devices_cli_kit import error_of, fieldgate
from fieldgate_devices.recording import RECORDING_HEAD, Heard, recording_line
from rules_cli_kit import furnish

START_NS = 1_767_225_600 * 10**9
PROFILE = """\
profile: boiler
match: {mqtt: "site/{device}/telemetry"}
fields:
  temperature: {type: float, unit: °C, min: -40, max: 150}
  state: {type: enum, values: [idle, heating, fault]}
"""
RULES = """\
rules:
  - id: overheat
    on: {profile: boiler}
    when: temperature > 80
    for: 30s
    do:
      - alert: {severity: critical, text: "{device} is at {temperature} °C"}
"""
PASSING = """\
tests:
  - name: hot for half a minute
    given: {device: b1, temperature: 85}
    expect: {at: 30s, rule: overheat, alert: critical, text: b1 is at 85 °C}
    expect_none: true
  - name: not hot
    given: {device: b1, temperature: 75}
    until: 1h
    expect_none: true
"""
FAILING = """\
tests:
  - name: too early
    given: {device: b1, temperature: 85}
    until: 1m
    expect: {at: 29s, rule: overheat, alert: critical}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with profiles and rules."""
    furnish(tmp_path, monkeypatch, profile=PROFILE)
    return tmp_path


def rules(folder: Path, text: str, name: str = "rules.d/boiler.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_all_files_of_the_folder_are_tested(folder):
    """Without an argument it is what the gateway would run."""
    rules(folder, RULES + PASSING)
    rules(folder, RULES.replace("overheat", "other"), "rules.d/untested.yaml")

    ended = fieldgate("rules", "test")

    assert ended.output == (
        f"{folder}/rules.d/boiler.yaml: 2 tests\n2 files, 2 tests: all passed\n"
    )  # fmt: skip
    assert ended.exit_code == 0


def test_a_failure_says_what_was_expected_what_came_and_where_the_line_is(folder):
    path = rules(folder, RULES + FAILING)

    ended = fieldgate("rules", "test", str(path))

    assert ended.exit_code == 1
    lines = ended.output.splitlines()
    assert lines[:6] == [
        "FAILED  too early",
        f"  {path}:12:13: expected, and did not come:",
        "      29s  overheat  alert critical",
        "    the nearest that came:",
        '      30s  overheat  b1  alert critical "b1 is at 85 °C"',
        "        at: 30s, not 29s",
    ]
    assert lines[-4:] == [
        "  everything that came, in order:",
        '    30s  overheat  b1  alert critical "b1 is at 85 °C"',
        f"{path}: 1 test, 1 failed",
        "1 file, 1 test: 1 failed",
    ]


def test_a_broken_file_is_told_with_all_its_problems_and_the_others_run(folder):
    """Exit code 2: a CI server must not take a typing error for a failure of the rule."""
    good = rules(folder, RULES + PASSING)
    bad = rules(folder, RULES.replace("overheat", "b").replace("temperature >", "temprature >"), "bad/b.yaml")
    worse = rules(
        folder, RULES.replace("overheat", "c") + FAILING.replace("29s", "29").replace("overheat", "d"), "c.yaml"
    )

    ended = fieldgate("rules", "test", str(good), str(bad), str(worse))

    assert ended.exit_code == 2
    assert f"{bad}:4:11: unknown field 'temprature'; did you mean 'temperature'?" in ended.output
    assert f"{worse}:12:18: at: 29 has no unit" in ended.output
    assert ended.output.endswith("3 files, 2 tests: 2 files cannot be used as written\n")


def test_a_test_that_asks_for_what_no_rule_does_is_broken_too(folder):
    path = rules(folder, RULES + FAILING.replace("rule: overheat", "rule: overheet"))

    ended = fieldgate("rules", "test", str(path))

    assert ended.exit_code == 2
    assert f"{path}:12:29: rule: no rule 'overheet' is tested here; did you mean 'overheat'?" in ended.output


def test_verbose_shows_what_came_in_tests_that_pass(folder):
    rules(folder, RULES + PASSING)

    ended = fieldgate("rules", "test", "-v")

    assert ended.output.splitlines()[:5] == [
        "passed  hot for half a minute",
        "  everything that came, in order:",
        '    30s  overheat  b1  alert critical "b1 is at 85 °C"',
        "passed  not hot",
        "  nothing came",
    ]


def test_tests_are_chosen_by_name(folder):
    """Whoever mends one test runs that one."""
    rules(folder, RULES + PASSING)

    assert fieldgate("rules", "test", "--name", "*half*").output.endswith("1 file, 1 test: all passed\n")
    ended = fieldgate("rules", "test", "--name", "nothing")
    assert ended.exit_code == 2
    assert "no test is called 'nothing'" in ended.output


def test_a_ci_server_gets_xml_and_programs_get_json(folder):
    rules(folder, RULES + PASSING + FAILING.removeprefix("tests:\n"))

    ended = fieldgate("rules", "test", "--junit", "report.xml", "--json")

    assert ended.exit_code == 1
    facts = json.loads(ended.stdout)
    assert facts["ok"] is False
    (file,) = facts["files"]
    assert [(one["name"], one["passed"]) for one in file["tests"]] == [
        ("hot for half a minute", True), ("not hot", True), ("too early", False),
    ]  # fmt: skip
    (failure,) = file["tests"][2]["failures"]
    assert (failure["kind"], failure["line"], failure["differences"]) == ("missing", 20, ["at: 30s, not 29s"])
    assert file["tests"][2]["effects"][0]["text"] == "b1 is at 85 °C"
    root = ElementTree.parse(folder / "report.xml").getroot()
    assert [one.get("name") for one in root.iter("testcase") if one.find("failure") is not None] == ["too early"]


def test_the_xml_may_go_to_stdout_and_is_all_that_goes_there(folder):
    rules(folder, RULES + PASSING)

    assert ElementTree.fromstring(fieldgate("rules", "test", "--junit", "-").stdout.encode()).get("tests") == "2"


def test_a_report_that_cannot_be_written_is_an_error(folder):
    """A CI server that finds no report would show the last one."""
    rules(folder, RULES + PASSING)

    assert error_of(fieldgate("rules", "test", "--junit", "no/where.xml")) == (
        "no/where.xml: cannot be written: no such file or directory"
    )


def test_a_recording_beside_the_file_is_replayed(folder):
    """What an installer has recorded becomes a test."""
    messages = [
        Heard(START_NS + at_s * 10**9, "listen:1883", "site/b7/telemetry", b'{"temperature":%d,"state":"idle"}' % t)
        for at_s, t in ((0, 70), (10, 85), (20, 86), (50, 84))
    ]
    (folder / "rules.d/monday.jsonl").write_bytes(RECORDING_HEAD + b"".join(map(recording_line, messages)))
    test = """\
tests:
  - name: monday
    given: {at: 1m, recording: monday.jsonl}
    expect: {at: 100s, rule: overheat, device: b7, alert: critical}
    expect_none: true
"""
    rules(folder, RULES + test)

    ended = fieldgate("rules", "test")

    assert ended.exit_code == 0, ended.output


def test_a_broken_recording_is_a_broken_test_with_its_own_lines(folder):
    (folder / "rules.d/monday.jsonl").write_bytes(RECORDING_HEAD + b'{"at": "yesterday"}\n')
    path = rules(folder, RULES + PASSING.replace("device: b1, temperature: 75", "recording: monday.jsonl"))

    ended = fieldgate("rules", "test")

    assert ended.exit_code == 2
    assert f"{path.with_name('monday.jsonl')}:2:1: the line has no 'source'" in ended.output


def test_a_file_of_the_folder_knows_the_rest_of_the_folder(folder):
    """Templates and tags are for all files; a rule may be on what another file's rule emits."""
    rules(folder, "tags: {hot: [b1]}\n", "rules.d/tags.yaml")
    path = rules(folder, RULES.replace("profile: boiler", "profile: boiler, tag: hot") + PASSING)

    assert fieldgate("rules", "test", str(path)).exit_code == 0
    assert fieldgate("rules", "test", "rules.d/boiler.yaml").exit_code == 0


def test_without_a_configuration_profiles_lie_beside_the_rules(folder):
    """An example, or a folder in a repository, is tested where it is."""
    (folder / "fieldgate.yaml").unlink()
    (folder / "rules.d").rmdir()
    (folder / "devices.d").rename(folder / "else")
    rules(folder, RULES + PASSING, "examples/boiler.yaml")
    (folder / "else").rename(folder / "examples/devices.d")

    assert fieldgate("rules", "test", "examples/boiler.yaml").exit_code == 0
    assert fieldgate("rules", "test", "examples").exit_code == 0


def test_no_rules_at_all_is_no_failure(folder):
    said = fieldgate("rules", "test")

    assert (said.exit_code, said.output) == (0, f"{folder}/rules.d: no rules\n")


def test_a_file_that_is_not_there_is_said(folder):
    ended = fieldgate("rules", "test", "nowhere.yaml")

    assert ended.exit_code == 2
    assert "nowhere.yaml:1:1: the file cannot be read: no such file or directory" in ended.output


def test_two_runs_give_the_same_bytes_whatever_the_hash_seed(folder):
    """A report that changes without a reason is read by nobody."""
    many = "".join(
        RULES.removeprefix("rules:\n").replace("overheat", f"overheat-{number}").replace("30s", f"{number}s")
        for number in range(1, 12)
    )
    failing = FAILING.replace("rule: overheat, ", "").replace("device: b1", "device: [b3, b1, b2]")
    rules(folder, "rules:\n" + many + failing + "    expect_none: {alert: critical}\n")
    command = [sys.executable, "-c", "from fieldgate.cli import main; main()", "rules", "test", "-v", "--junit", "-"]
    found = []
    for seed in ("0", "1", "4711"):
        ended = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONHASHSEED": seed}, check=False)
        assert ended.returncode == 1, ended.stderr
        found.append(ended.stdout)

    assert found[0] == found[1] == found[2]
    assert found[0].count(b"overheat-7") > 3
