"""The JSON Schema of files of rules: current, right about what can be read, and against what cannot."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from fieldgate_devices.files.document import read_yaml
from fieldgate_devices.files.model_tree import key_names
from fieldgate_rules.model import RULES_TREE
from fieldgate_rules.rules_schema import SCHEMA_FILE, editor_line, rules_schema, schema_text

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path for folder in ("rules/examples", "rules/fieldgate_rules/library") for path in (ROOT / folder).glob("*.yaml")
)
VALIDATOR = jsonschema.Draft202012Validator(rules_schema())
REFUSED = ["unknown-key-of-rule", "key-of-another-section", "no-id", "bad-id", "duration-without-unit", "mode",
           "unknown-gateway-event", "unknown-key-of-file", "field-name", "rules-no-list", "count-of-one",
           "alert-without-text", "alert-severity"]  # fmt: skip


def test_the_committed_schema_is_that_of_the_models():
    """`fieldgate rules schema > deploy/config/rules.schema.json` makes it."""
    assert (ROOT / "deploy/config" / SCHEMA_FILE).read_text(encoding="utf-8") == schema_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_schema_takes_every_file_that_comes_with_fieldgate(path):
    """An editor must not underline what is right."""
    value = read_yaml(path.read_bytes(), path.name).root.value()

    assert [error.message for error in VALIDATOR.iter_errors(value)] == []
    assert path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=")


@pytest.mark.parametrize("name", REFUSED)
def test_the_schema_refuses_what_is_wrong_in_itself(name):
    path = Path(__file__).with_name("broken") / f"{name}.yaml"
    value = read_yaml(path.read_bytes(), path.name).root.value()

    assert list(VALIDATOR.iter_errors(value))


@pytest.mark.parametrize(
    "body",
    [
        "{on: {profile: a}, when: true, do: {log: hello}}",
        "{on: [{device: [a, b]}], changed: x, throttle: 5m, do: [{log: {text: 5}}]}",
        "{on: {device: a}, sequence: {within: 1m, steps: [a, {when: b}]}, do: [{command: {device: x, on: }}]}",
        "{on: {device: a}, parameters: {n: 3}, count: {at_least: '{n}', within: 1m}, do: [{alert: {text: x}}]}",
        "{on: {every: 5m}, window: , do: []}",
    ],
)
def test_the_schema_takes_short_forms(body):
    value = read_yaml(f"rules: [{{id: x, {body[1:]}]".encode(), "r.yaml").root.value()

    assert [error.message for error in VALIDATOR.iter_errors(value)] == []


def test_every_key_is_described():
    """What an editor shows beside it."""
    sections = {**rules_schema()["$defs"], "RuleFileSpec": rules_schema()}
    for key in RULES_TREE.all_keys():
        assert sections[key.owner.__name__]["properties"][key.name]["description"], key.path
    assert set(sections["RuleSpec"]["properties"]) == set(key_names(RULES_TREE.model_at(("rules", 0))))
    assert editor_line().endswith("./rules.schema.json\n")
