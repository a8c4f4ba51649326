"""The templates that come with Fieldgate: each is right, documented, usable in three lines, and has tests."""

from __future__ import annotations

import json

import pytest

from rule_files_kit import failures_in, read_files
from rules_tables import LIBRARY, plain, templates

TEMPLATES = list(templates())
NAMES = [name for _, name, _ in TEMPLATES]
VALUES = {"field": "value", "number": 12, "text": "value", "truth": True, "duration": "1m", "list": []}


@pytest.mark.parametrize(("path", "name", "template"), TEMPLATES, ids=NAMES)
class TestTemplate:
    def test_is_the_only_one_of_its_file_and_has_its_name(self, path, name, template):
        modeline = path.read_text(encoding="utf-8").splitlines()[0]

        assert list(plain(path)["templates"]) == [name] == [path.stem]
        assert (path.parent / modeline.partition("$schema=")[2]).is_file()

    def test_says_what_it_is_for_and_what_each_parameter_means(self, path, name, template):
        assert template["description"].rstrip().endswith(".")
        for key, spec in template.get("parameters", {}).items():
            assert spec["description"].endswith("."), key

    def test_is_usable_in_three_lines(self, path, name, template):
        """Id, use, what it is on and what must be given: whoever needs more will not use it."""
        needed = {
            key: VALUES[spec["type"]] for key, spec in template.get("parameters", {}).items() if "default" not in spec
        }
        rule = {"id": "mine", "use": name, **({} if "on" in template else {"on": {"device": "d"}}), "with": needed}

        read = read_files({"mine.yaml": json.dumps({"rules": [rule]})})

        assert [str(problem) for problem in read.problems] == []
        assert [one.id for one in read.rules.rules] == ["mine"]

    def test_its_file_is_right(self, path, name, template):
        """It is read as a file of the user, as it is when it was ejected."""
        read = read_files({path.name: path.read_text(encoding="utf-8")})

        assert [str(problem) for problem in read.problems] == []

    def test_does_what_its_own_tests_say(self, path, name, template):
        assert any(rule.get("use") == name for rule in plain(path)["rules"])
        assert failures_in(path.read_text(encoding="utf-8"), path.name) == ""

    def test_an_alert_says_how_it_ends_and_whom_it_tells(self, path, name, template):
        """Who was woken wants to know that it is over; severity and webhooks are the user's to choose."""
        for action in template.get("do", ()):
            if "alert" in action:
                alert = action["alert"]
                assert alert["severity"] == "{severity}"
                assert alert["notify"] == "{notify}"
                assert alert["resolved"] != alert["text"]


def test_the_library_has_what_the_guide_promises():
    wanted = {
        "threshold", "overheat", "stuck-sensor", "silence", "battery-low", "door-left-open", "leak",
        "pump-short-cycling", "energy", "downsampling", "rate-of-rise", "deadband", "motion-at-night", "implausible",
        "uplink-down", "heartbeat",
    }  # fmt: skip

    assert wanted <= {path.stem for path in LIBRARY.glob("*.yaml")}
