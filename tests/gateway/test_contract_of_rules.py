"""The contract of what rules make: what the engine emits, as the encoder sends it, is what is exported."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contract_export_kit import envelopes, validator
from fieldgate.contract_export import Kind, all_kinds, derived_kinds, everything_schema, profile_document
from fieldgate_devices.event import Extra
from fieldgate_rules.effects import Decided
from fieldgate_rules.tester.chosen import with_what_they_need
from rule_engine_kit import CATALOGUE, World, rules_of

RULES = """
rules:
  - id: warmth
    on: {profile: boiler}
    window:
      size: 60s
      values: {mean: {avg: temperature}, n: {count: true}, area: {integral: temperature, per: 1h, unit: "°C·h"}}
  - id: hot
    on: {profile: boiler}
    when: temperature > 80
    do:
      - alert: {severity: warning, text: "{temperature} is hot"}
      - emit: {type: excess, version: 3, fields: {over: "{temperature - 80}", word: much}}
"""


def kinds_of(rules: str) -> list[Kind]:
    profiles = (one.profile for one in CATALOGUE.contracts.values())
    return all_kinds(profiles, derived_kinds(rules_of(rules)))


def kind_of(rules: str, type_: str) -> Kind:
    (kind,) = [one for one in kinds_of(rules) if one.name == type_]
    return kind


class Keeping(World):
    """A world that keeps the events that rules make, with the cause that the gateway writes on them."""

    def _note(self, decided: Decided | None) -> Decided | None:
        for one in () if decided is None else decided.derived:
            extra = None if one.cause is None else Extra(cause="00000000000000ff-7")
            numbered = msgspec.structs.replace(one.event, seq=len(self.done) + 1, extra=extra)
            self.done.append((self.at_ns / 1e9, one.event.address.type, numbered))
        return decided


def made(rules: str) -> list[dict[str, Any]]:
    """The envelopes of what the rules make of some readings."""
    world = Keeping(rules)
    for second, temperature in ((5, 20.0), (15, 90.5), (30, 95), (45, 21.0), (70, 22.0)):
        world.say({"temperature": temperature}, at_s=second)
    world.to(200)
    return envelopes([event for _, _, event in world.done])


def complaints(rules: str, found: list[dict[str, Any]]) -> list[str]:
    everything = validator(everything_schema(kinds_of(rules), gateway="plant-7"))
    return [error.message[:200] for one in found for error in everything.iter_errors(one)]


def test_what_rules_make_keeps_the_contract_that_is_exported() -> None:
    """Whoever takes events upstream checks them by it, and would refuse what it does not name."""
    found = made(RULES)

    assert {one["type"] for one in found} == {"fieldgate.warmth", "fieldgate.excess", "fieldgate.alert"}
    assert {one["data"]["state"] for one in found if one["type"] == "fieldgate.alert"} >= {"raised", "resolved"}
    assert any("cause" in one for one in found)
    assert complaints(RULES, found) == []


@pytest.mark.parametrize(
    ("type_", "spoilt"),
    [
        ("warmth", {"mean": "warm"}),
        ("warmth", {"n": 1.5}),
        ("warmth", {"other": 1}),
        ("excess", {"over": "much"}),
        ("alert", {"state": "gone"}),
    ],
)
def test_what_does_not_keep_it_is_noticed(type_: str, spoilt: dict[str, Any]) -> None:
    """The control."""
    found = next(one for one in made(RULES) if one["type"] == f"fieldgate.{type_}")

    assert complaints(RULES, [{**found, "data": {**found["data"], **spoilt}}])


def test_a_contract_without_rules_does_not_take_what_they_make() -> None:
    """The control of the kinds themselves."""
    without = "rules: [{id: other, on: {profile: boiler}, do: [{log: x}]}]"

    assert complaints(without, [one for one in made(RULES) if one["type"] != "fieldgate.alert"])


def test_figures_have_their_units_and_the_document_the_name_that_events_say() -> None:
    """``dataschema`` of an event leads to it."""
    document = profile_document(kind_of(RULES, "warmth"))

    units = {name: one.get("x-unit") for name, one in document["properties"].items()}
    assert units == {"mean": "°C", "n": None, "area": "°C·h", "start": None, "end": None, "partial": None}
    assert {one["dataschema"] for one in made(RULES) if one["type"] == "fieldgate.warmth"} == {document["$id"]}


@pytest.mark.parametrize("key", ["enabled: false", "mode: shadow"])
def test_a_rule_that_makes_nothing_has_no_contract(key: str) -> None:
    """The document is of what this gateway emits."""
    rules = f"rules: [{{id: w, {key}, on: {{profile: boiler}}, window: {{size: 60s, values: {{n: {{count: true}}}}}}}}]"

    assert derived_kinds(rules_of(rules)) == []


TWO = """
rules:
  - {id: a, on: {profile: boiler}, do: [{emit: {type: both, fields: {x: 1, only_a: yes}}}]}
  - {id: b, on: {profile: boiler}, do: [{emit: {type: both, version: 2, fields: {x: "{temperature / 2}"}}}]}
"""


def test_two_rules_that_emit_one_type_have_one_contract_that_takes_both() -> None:
    """The fields of both, a number where one of them says a whole one, and either version."""
    kind = kind_of(TWO, "both")

    assert kind.dataschemas == ["urn:fieldgate:both:2", "urn:fieldgate:both:1"]
    assert kind.data["properties"]["x"]["type"] == "number"
    assert {one["dataschema"] for one in made(TWO)} == set(kind.dataschemas)
    assert complaints(TWO, made(TWO)) == []
    assert complaints(TWO, [{**made(TWO)[0], "dataschema": "urn:fieldgate:both:3"}])


TWICE = """
rules:
  - id: a
    on: {profile: boiler}
    do:
      - emit: {type: both, fields: {x: "{temperature / 2}", first: 1}}
      - emit: {type: both, fields: {x: 7, second: "{device}"}}
      - emit: {type: both, version: 2, fields: {x: 8}}
  - {id: b, on: {device: b1}, do: [{emit: {type: both, fields: {second: "{anything}", third: true}}}]}
  - {id: c, on: {profile: both}, when: x > 3.5 and third, do: [{log: x}]}
"""


def test_one_rule_that_emits_a_type_twice_has_a_contract_that_takes_both() -> None:
    """The last of them alone would call x whole, not know the others' fields, and refuse version 1."""
    kind = kind_of(TWICE, "both")
    fields = {name: one["type"] for name, one in kind.data["properties"].items()}

    assert complaints(TWICE, made(TWICE)) == []
    assert kind.dataschemas == ["urn:fieldgate:both:2", "urn:fieldgate:both:1"]
    assert fields == {"x": "number", "first": "integer", "third": "boolean"}, "of `second` nobody knows what it is"
    assert kind.data["additionalProperties"] is True
    assert rules_of(TWICE).kinds["both"].fields.keys() == fields.keys()


def test_who_rests_on_a_type_is_tested_with_all_that_emit_it() -> None:
    """With the last of them alone, events that the gateway makes would be missing in the test."""
    needed = with_what_they_need(rules_of(TWICE), ["c"])

    assert [rule.id for rule in needed.rules] == ["a", "b", "c"]


def test_fields_of_no_known_kind_are_not_refused() -> None:
    """Of a device without a profile nobody knows what its values are."""
    rules = """
rules:
  - id: w
    on: {device: "meter-*"}
    window: {size: 60s, values: {n: {count: true}, newest: {last: state}}}
"""
    kind = kind_of(rules, "w")

    assert "newest" not in kind.data["properties"]
    assert kind.data["additionalProperties"] is True
    assert kind_of(RULES, "warmth").data["additionalProperties"] is False
