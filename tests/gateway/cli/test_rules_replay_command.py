"""``fieldgate rules replay`` of a recording: what is compared with what, and what is said of it.

Of the journal, running and stopped: ``tests/whole/test_rules_replay.py``.
"""

from __future__ import annotations

import json
from pathlib import Path

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
"""
OVERHEAT = """\
  - id: overheat
    on: {profile: boiler}
    when: temperature > 80
    for: 30s
    do: [{alert: {severity: critical, text: "{device} is hot"}}]
"""
COLD = """\
  - id: cold
    on: {profile: boiler}
    when: temperature < 10
    do: [{log: "{device} is cold"}]
"""


def message(at_s: int, temperature: float, device: str = "b1") -> Heard:
    payload = json.dumps({"temperature": temperature}).encode()
    return Heard(START_NS + at_s * 10**9, "listen:1883", f"site/{device}/telemetry", payload)


MESSAGES = [message(0, 70), message(10, 85), message(60, 86), message(90, 60), message(100, 5, "b2"), message(200, 70)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with a profile, two rules in force, and a recording."""
    furnish(tmp_path, monkeypatch, profile=PROFILE)
    (tmp_path / "rules.d/hot.yaml").write_text("rules:\n" + OVERHEAT, encoding="utf-8")
    (tmp_path / "rules.d/cold.yaml").write_text("rules:\n" + COLD, encoding="utf-8")
    (tmp_path / "r.jsonl").write_bytes(RECORDING_HEAD + b"".join(map(recording_line, MESSAGES)))
    return tmp_path


def replayed(*args: str) -> str:
    ended = fieldgate("rules", "replay", *args, "--recording", "r.jsonl")
    assert ended.exit_code == 0, (ended.output, ended.exception)
    return ended.stdout


def test_the_same_file_makes_no_difference(folder):
    """Control: the rules in force against themselves."""
    assert replayed("rules.d/hot.yaml").splitlines()[:6] == [
        "rules.d/hot.yaml against the rules in force: 6 events of 2 devices, 2026-01-01T00:00:00Z to "
        "2026-01-01T00:03:20Z",
        "",
        "rule      in force  with FILE  same  added  gone  changed",
        "overheat         2          2     2      0     0        0",
        "",
        "no difference",
    ]


def test_a_longer_time_makes_alerts_later_or_none_of_them(folder):
    """The question before every change: how often will it be quiet, or too late?"""
    (folder / "new.yaml").write_text("rules:\n" + OVERHEAT.replace("30s", "60s"), encoding="utf-8")
    (folder / "quiet.yaml").write_text("rules:\n" + OVERHEAT.replace("30s", "10m"), encoding="utf-8")

    later, quiet = replayed("new.yaml"), replayed("quiet.yaml")

    assert "overheat         2          2     1      0     0        1" in later
    assert (
        'changed  2026-01-01T00:00:40Z  overheat  b1  alert critical "b1 is hot"\n'
        '     now 2026-01-01T00:01:10Z  overheat  b1  alert critical "b1 is hot"\n'
    ) in later
    assert "overheat         2          0     0      0     2        0" in quiet
    assert 'gone     2026-01-01T00:00:40Z  overheat  b1  alert critical "b1 is hot"\n' in quiet


def test_a_file_of_that_name_is_replaced_as_a_whole(folder):
    """A rule that is no longer in it is gone."""
    (folder / "new").mkdir()
    (folder / "new/cold.yaml").write_text("rules:\n" + COLD.replace("id: cold", "id: freezing"), encoding="utf-8")

    said = replayed("new/cold.yaml")

    assert "cold             1          0     0      0     1        0" in said
    assert "freezing         0          1     0      1     0        0" in said
    assert "overheat" not in said


def test_a_rule_of_that_id_is_replaced_wherever_it_stands(folder):
    (folder / "new.yaml").write_text("rules:\n" + COLD.replace("< 10", "< 61"), encoding="utf-8")

    said = replayed("new.yaml")

    assert "cold         1          2     1      1     0        0" in said
    assert 'added    2026-01-01T00:01:30Z  cold  b1  log info "b1 is cold"' in said


def test_programs_get_all_of_it(folder):
    (folder / "new.yaml").write_text("rules:\n" + OVERHEAT.replace("30s", "60s"), encoding="utf-8")

    facts = json.loads(replayed("new.yaml", "--json"))

    assert (facts["events"], facts["devices"], facts["same"]) == (6, 2, False)
    assert facts["rules"] == {
        "overheat": {"in_force": 2, "with_file": 2, "same": 1, "added": 0, "gone": 0, "changed": 1}
    }
    (difference,) = facts["differences"]
    assert difference["kind"] == "changed"
    assert difference["before"]["at"] == "2026-01-01T00:00:40.000000000Z"
    assert difference["after"]["at"] == "2026-01-01T00:01:10.000000000Z"


def test_the_first_differences_are_shown_and_all_on_demand(folder):
    each = COLD.replace("temperature < 10", "temperature > 0").replace("id: cold", "id: each\n    fires: each")
    (folder / "new.yaml").write_text("rules:\n" + each, encoding="utf-8")

    few, everything = replayed("new.yaml"), replayed("new.yaml", "--all")

    assert few.count("\nadded ") == 3
    assert "… 3 more (--all shows them)" in few
    assert everything.count("\nadded ") == 6


def test_what_cannot_be_known_is_said(folder):
    """An answer that looks complete and is not would be believed."""
    (folder / "rules.d/drop.yaml").write_text(
        "rules:\n  - id: few\n    on: {profile: boiler}\n    when: temperature < 0\n    do: [{drop: true}]\n"
    )
    (folder / "rules.d/bad.yaml").write_text("rules:\n  - id: bad\n    on: {profile: boilr}\n    do: [{log: x}]\n")
    (folder / "new.yaml").write_text(
        "rules:\n  - id: lamp\n    mode: shadow\n    on: {gateway: uplink_down}\n    do: [{log: x}]\n"
    )

    said = replayed("new.yaml").partition("what this cannot know:\n")[2].splitlines()

    assert said[:2] == [
        "- timers, windows and earlier values begin empty at 2026-01-01T00:00:00Z",
        "- events that rules in force have dropped are not stored: few",
    ]
    assert said[2] == "- uplinks and the buffer are as if nothing had ever happened to them: lamp"
    assert said[3] == "- rules in shadow mode are shown as if they acted: lamp"
    assert said[4].startswith(f"- this rule of the folder is not in force: {folder}/rules.d/bad.yaml:3:19: ")


def test_a_file_that_cannot_be_used_is_not_replayed(folder):
    (folder / "new.yaml").write_text("rules:\n" + OVERHEAT.replace("temperature >", "temprature >"), encoding="utf-8")

    ended = fieldgate("rules", "replay", "new.yaml", "--recording", "r.jsonl")

    assert ended.exit_code == 2
    assert ended.stderr == "new.yaml:4:11: unknown field 'temprature'; did you mean 'temperature'?\n"


def test_a_recording_that_is_none_is_told(folder):
    (folder / "not.jsonl").write_text("hello\n")

    ended = fieldgate("rules", "replay", "rules.d/hot.yaml", "--recording", "not.jsonl")

    assert ended.exit_code == 2
    assert ended.stderr.startswith("not.jsonl:1:1: this is no recording: the first line does not say so")
    missing = fieldgate("rules", "replay", "rules.d/hot.yaml", "--recording", "nowhere.jsonl")
    assert error_of(missing) == "recording: 'nowhere.jsonl' is not there"


def test_without_a_journal_there_is_nothing_to_replay(folder):
    (folder / "fieldgate.yaml").write_text(f"gateway: {{id: g}}\njournal: {{path: {folder}/state}}\n")

    assert "there is no journal yet" in error_of(fieldgate("rules", "replay", "rules.d/hot.yaml"))


def test_a_recording_is_taken_whole(folder):
    ended = fieldgate("rules", "replay", "rules.d/hot.yaml", "--since", "1h", "--recording", "r.jsonl")

    assert ended.exit_code == 2
    assert "a recording is taken whole" in ended.output
