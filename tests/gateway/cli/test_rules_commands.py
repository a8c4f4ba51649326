"""``fieldgate rules check``, ``list``, ``schema`` and ``eject``, as a person types them."""

from __future__ import annotations

import json

import pytest

from devices_cli_kit import error_of, fieldgate
from fieldgate_rules.rules_schema import schema_text
from reading_kit import BOILER

CONFIG = """\
journal: {path: state}
listen: []
uplinks:
  cloud: {mqtt: {url: "mqtt://127.0.0.1:1"}}
  pager: {webhook: {url: "https://alerts.example/x"}}
"""
RULES = """\
rules:
  - id: hot
    on: {profile: boiler}
    when: temperature > 80
    for: 30s
    do:
      - alert: {text: "{device} is hot", notify: [pager]}
      - route: [cloud]
  - id: warm
    description: Made of a template.
    mode: shadow
    use: threshold
    on: {device: "b-*"}
    with: {field: temperature, limit: 60, after: 1m}
  - id: clock
    enabled: false
    on: [{every: 5m}, {cron: "0 6 * * *"}]
    do: [{log: tick}]
"""


@pytest.fixture
def plant(tmp_path, monkeypatch):
    """A folder with a configuration, a profile and rules, in which the commands are typed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FIELDGATE_CONFIG", raising=False)
    (tmp_path / "devices.d").mkdir()
    (tmp_path / "rules.d").mkdir()
    (tmp_path / "fieldgate.yaml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "devices.d/boiler.yaml").write_text(BOILER, encoding="utf-8")
    (tmp_path / "rules.d/plant.yaml").write_text(RULES, encoding="utf-8")
    return tmp_path


def wrong(
    plant, text="rules:\n  - id: bad\n    on: {profile: boiler}\n    when: temprature > 80\n    do: [{route: clod}]\n"
):
    (plant / "rules.d/wrong.yaml").write_text(text, encoding="utf-8")


def test_rules_that_are_right_are_counted(plant):
    result = fieldgate("rules", "check")

    assert result.exit_code == 0
    assert result.output == f"{plant}/rules.d: 3 rules: ok\n"


def test_every_problem_has_its_line_and_a_caret_below_the_word(plant):
    """Names of uplinks are those of the configuration, fields those of the profiles."""
    wrong(plant)
    result = fieldgate("rules", "check")

    at = f"{plant}/rules.d/wrong.yaml"
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"{at}:4:11: unknown field 'temprature'; did you mean 'temperature'?",
        "        when: temprature > 80",
        "              ^^^^^^^^^^",
        f"{at}:5:18: there is no uplink 'clod'; did you mean 'cloud'?",
        "        do: [{route: clod}]",
        "                     ^^^^",
        "2 problems found",
    ]


def test_problems_for_programs(plant):
    wrong(plant)
    result = fieldgate("rules", "check", "--json")

    facts = json.loads(result.output)
    assert result.exit_code == 1
    assert not facts["ok"]
    assert facts["rules"] == ["hot", "warm", "clock"]
    assert facts["errors"][0] == {
        "path": f"{plant}/rules.d/wrong.yaml",
        "line": 4,
        "column": 11,
        "message": "unknown field 'temprature'; did you mean 'temperature'?",
    }


def test_a_warning_is_said_and_fails_nothing(plant):
    wrong(plant, "rules:\n  - id: odd\n    on: {profile: boiler}\n    parameters: {limit: 3}\n    do: [{log: x}]\n")
    result = fieldgate("rules", "check")

    assert result.exit_code == 0
    assert "wrong.yaml:4:18: warning: 'limit' is used nowhere" in result.output
    assert result.output.endswith("4 rules: ok\n")


def test_a_file_elsewhere_is_read_by_itself_and_one_of_the_folder_with_the_folder(plant):
    (plant / "other.yaml").write_text(RULES, encoding="utf-8")

    assert fieldgate("rules", "check", "other.yaml").output == "other.yaml: 3 rules: ok\n"
    wrong(plant, RULES)
    assert fieldgate("rules", "check", "rules.d/wrong.yaml").exit_code == 1


def test_a_missing_folder_is_one_without_rules(plant):
    """It is said to be missing: a slip in ``rules.path`` would look like a plant without rules."""
    (plant / "rules.d/plant.yaml").unlink()
    empty = fieldgate("rules", "check").output
    (plant / "rules.d").rmdir()

    assert empty == f"{plant}/rules.d: no rules\n"
    assert fieldgate("rules", "check").output == f"{plant}/rules.d: no rules: there is no such folder\n"
    assert fieldgate("rules", "check", "nowhere.yaml").exit_code == 1


def test_the_list_says_what_each_rule_is_on_and_where_it_stands(plant):
    lines = [line.split("  ") for line in fieldgate("rules", "list").output.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]

    at = f"{plant}/rules.d/plant.yaml"
    assert cells[0] == ["hot", "profile boiler", "temperature > 80; for 30s", "active", f"{at}:2"]
    assert cells[1][0] == "warm"
    assert cells[1][-2:] == ["shadow", f"{at}:9"]
    assert cells[2] == ["clock", "every 5m or cron 0 6 * * *", "always", "disabled", f"{at}:15"]


def test_the_list_for_programs_names_the_template(plant):
    facts = json.loads(fieldgate("rules", "list", "--json").output)

    assert [(one["id"], one["template"], one["does"]) for one in facts] == [
        ("hot", None, ["alert", "route"]),
        ("warm", "threshold", ["alert"]),
        ("clock", None, ["log"]),
    ]


def test_the_library_is_listed_with_its_parameters(plant):
    text = fieldgate("rules", "list", "--library").output
    facts = json.loads(fieldgate("rules", "list", "--library", "--json").output)

    assert "    hysteresis: number (0)  How far it must be back on the right side; in the field's unit.\n" in text
    assert "    severity: text, one of info, warning, critical (warning)  Severity of the alert.\n" in text
    assert {one["template"] for one in facts} >= {"threshold", "silence", "energy"}


def test_rules_with_problems_are_not_listed_and_that_is_said(plant):
    wrong(plant)
    result = fieldgate("rules", "list")

    assert "bad" not in result.stdout
    assert "2 problems: rules that have them are not listed" in result.stderr


def test_the_schema_is_printed(plant):
    assert fieldgate("rules", "schema").output == schema_text()


def test_an_ejected_template_takes_the_place_of_the_librarys(plant):
    target = plant / "rules.d/threshold.yaml"
    assert fieldgate("rules", "eject", "threshold", "--to", str(target)).output == f"{target}: written\n"
    text = target.read_text(encoding="utf-8")

    assert text.startswith("# yaml-language-server: $schema=./rules.schema.json\ntemplates:\n  threshold:\n")
    assert "tests:" not in text
    assert fieldgate("rules", "check").exit_code == 0
    target.write_text(text.replace("when: field >", "when: fild >"), encoding="utf-8")
    assert "unknown field 'fild'" not in fieldgate("rules", "check").output  # devices without a profile have any field
    target.write_text(text.replace("after}", "aftr}"), encoding="utf-8")
    assert f"{target}:" in fieldgate("rules", "check").output


def test_an_ejected_rule_needs_no_template_and_means_the_same(plant):
    text = fieldgate("rules", "eject", "warm").output
    (plant / "own.yaml").write_text(text, encoding="utf-8")

    assert "use:" not in text
    assert "when: 'temperature > limit if direction == \"above\" else temperature < limit'" in text
    assert "parameters: {limit: 60, direction: above, hysteresis: 0, " in text
    assert fieldgate("rules", "check", "own.yaml").output == "own.yaml: 1 rule: ok\n"


def test_nothing_is_written_over_a_file_and_a_name_that_is_none_is_said(plant):
    target = plant / "rules.d/plant.yaml"

    assert "is there already" in error_of(fieldgate("rules", "eject", "threshold", "--to", str(target)))
    assert target.read_text(encoding="utf-8") == RULES
    said = error_of(fieldgate("rules", "eject", "treshold"))
    assert said == "there is neither a template nor a usable rule 'treshold'; did you mean 'threshold'?"


def test_the_check_of_the_configuration_looks_into_the_rules(plant):
    """One command before a restart must be enough; what the gateway would leave out is not ok."""
    right = fieldgate("check")
    wrong(plant)
    refused = fieldgate("check")
    as_json = json.loads(fieldgate("check", "--json").stdout)

    assert (right.exit_code, right.stdout.splitlines()[-1]) == (0, "fieldgate.yaml: ok"), right.output
    assert refused.exit_code == 1
    assert f"{plant}/rules.d/wrong.yaml:4:11: unknown field 'temprature'; did you mean 'temperature'?" in refused.stdout
    assert [one["line"] for one in as_json["errors"]] == [4, 5]


def test_the_check_of_the_configuration_takes_a_folder_of_rules_that_is_missing_or_not_readable(plant):
    """No folder is no rules. A file that cannot be read would be left out at the start, and is a problem now."""
    (plant / "rules.d/plant.yaml").unlink()
    (plant / "rules.d/gone.yaml").symlink_to(plant / "nowhere")
    unreadable = fieldgate("check")
    (plant / "rules.d/gone.yaml").unlink()
    (plant / "rules.d").rmdir()
    missing = fieldgate("check")

    assert (unreadable.exit_code, "rules.d/gone.yaml:1:1: the file cannot be read" in unreadable.stdout) == (1, True)
    assert missing.exit_code == 0
