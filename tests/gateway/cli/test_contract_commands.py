"""``fieldgate contract`` of a gateway with rules."""

from __future__ import annotations

import json

from devices_cli_kit import error_of, fieldgate


def test_the_commands_print_it(folder) -> None:
    """A person asks for it by the type; a slip is told."""
    (folder / "rules.d").mkdir()
    (folder / "rules.d/w.yaml").write_text(
        'rules: [{id: warmth, on: {device: "m-*"}, window: {size: 60s, values: {n: {count: true}}}}]\n'
    )

    one = json.loads(fieldgate("contract", "jsonschema", "warmth").stdout)
    everything = json.loads(fieldgate("contract", "jsonschema").stdout)
    document = json.loads(fieldgate("contract", "asyncapi").stdout)

    assert one["$id"] == "urn:fieldgate:warmth:1"
    assert {"warmth", "alert", "rules"} <= set(everything["$defs"])
    assert "warmth" in document["components"]["schemas"]
    assert "did you mean 'warmth'" in error_of(fieldgate("contract", "jsonschema", "warmt"))


def test_problems_of_rules_are_told_and_the_others_are_printed(folder) -> None:
    """A contract that lacks something without a word is taken for whole."""
    (folder / "rules.d").mkdir()
    path = folder / "rules.d/w.yaml"
    path.write_text("rules: [{id: w, on: {profile: nothing_such}, do: [{log: x}]}]\n")

    result = fieldgate("contract", "jsonschema")

    assert f"{path}:1:" in result.stderr
    assert "generic" in json.loads(result.stdout)["$defs"]
