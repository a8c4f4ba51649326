"""A folder of rules of which one file has changed: the others are not read again, and the answer is the same."""

from __future__ import annotations

import random

import pytest

from fieldgate_devices.catalogue import Catalogue
from fieldgate_rules.reading import Known, ReadRules, RulesReader, read_rules
from rule_engine_kit import CATALOGUE

HOT = """\
rules:
  - id: hot
    on: {profile: boiler}
    when: temperature > 80
    do: [{alert: {text: "{device} is at {temperature:.1f}"}}]
"""
COLD = HOT.replace("hot", "cold").replace("> 80", "< 10")
LOGS = """\
rules:
  - {id: heard, on: {rule: cold}, do: [{log: "{rule} {firing}"}]}
"""
MAKES = """\
rules:
  - {id: makes, on: {profile: boiler}, do: [{emit: {type: warm, fields: {heat: "{temperature}"}}}]}
"""
WIDE = MAKES.replace("makes", "wide").replace("heat:", "more: 1, heat:")
LOOSE = MAKES.replace("makes", "loose").replace("boiler", "generic").replace("heat:", "more: '{any}', heat:")
WHOLE = MAKES.replace("makes", "whole").replace("temperature", "starts")
PARTS = MAKES.replace("makes", "parts").replace("temperature", "starts / 2")
TAKES = """\
rules:
  - {id: takes, on: {profile: warm}, when: heat > 3, do: [{log: "{heat}"}]}
"""
HALF = TAKES.replace("heat > 3", "heat == 2.5")
TAGGED = """\
rules:
  - {id: tagged, on: {tag: cellar}, when: flow > 3, do: [{log: "{flow}"}]}
"""
TAGS = "tags: {cellar: [b1, b2]}\n"
TEMPLATE = """\
templates:
  limit:
    parameters: {most: {type: number}}
    on: {profile: boiler}
    when: temperature > most
    do: [{log: "{temperature} of {most}"}]
"""
USES = """\
rules:
  - {id: uses, use: limit, with: {most: 5}}
"""
FIRST = """\
rules:
  - {id: first, on: {profile: boiler}, do: [{set: {note: "one"}}]}
"""
SECOND = FIRST.replace("first", "second")
EARLY = """\
rules:
  - {id: early, on: {rule: late}, do: [{log: "{device}"}]}
"""
LATE = EARLY.replace("late", "x").replace("early", "late").replace("x", "early")
DROPS = """\
rules:
  - {id: drops, on: {profile: boiler}, do: [{drop: true}]}
"""
FILLER = "# nothing but words, so that what changes is the lesser part of all that there is\n" * 12


def shown(read: ReadRules) -> list[object]:
    """All that can be seen of a reading."""
    rules = [
        (
            one.id, one.spec, one.where, one.places, one.fingerprint, one.triggers, one.reads, one.emits,
            one.when and (one.when.text, one.when.shape, one.when.steps),
            [(action.where, [text.placed.where(3) for text in action.texts.values()]) for action in one.actions],
        )
        for one in read.rules.rules
    ]  # fmt: skip
    return [rules, [str(one) for one in read.problems], list(read.templates), read.used]


def files_of(**files: str) -> dict[str, bytes]:
    return {f"{name}.yaml": text.encode() for name, text in sorted(files.items())} | {"z.yaml": FILLER.encode()}


def test_only_the_changed_file_is_read_and_rules_of_the_others_are_the_very_same() -> None:
    """Ten thousand rules in twenty files: to change one of them is not to wait for all."""
    reader = RulesReader()
    before = reader.read(files_of(a=HOT, b=COLD, c=LOGS, d=TAKES, e=MAKES), CATALOGUE)
    assert reader.files_read == 6

    changed = files_of(a=HOT.replace("80", "90"), b=COLD, c=LOGS, d=TAKES, e=MAKES)
    after = reader.read(changed, CATALOGUE)

    assert reader.files_read == 1
    assert shown(after) == shown(read_rules(changed, CATALOGUE)) != shown(before)
    assert after.rules.rules[1] is before.rules.rules[1]
    assert [one.when.text for one in after.rules.rules if one.id == "hot" and one.when] == ["temperature > 90"]


def test_a_rule_is_read_again_with_the_template_of_a_file_that_has_not_changed() -> None:
    reader, changed = RulesReader(), files_of(a=TEMPLATE, b=USES.replace("5", "6"))
    reader.read(files_of(a=TEMPLATE, b=USES), CATALOGUE)

    assert shown(reader.read(changed, CATALOGUE)) == shown(read_rules(changed, CATALOGUE))
    assert reader.files_read == 1


def test_a_file_may_come_and_go_and_lines_may_move() -> None:
    reader = RulesReader()
    reader.read(files_of(a=HOT, b=COLD), CATALOGUE)
    for files in (
        files_of(a="\n\n" + HOT, b=COLD),
        files_of(a=HOT, b=COLD, c=DROPS),
        files_of(b=COLD),
        files_of(a=HOT),
    ):
        assert shown(reader.read(files, CATALOGUE)) == shown(read_rules(files, CATALOGUE))
        assert reader.files_read <= 2


OTHERS = {
    "a rule that others wait for is gone": ({"a": HOT, "b": COLD, "c": LOGS}, {"b": COLD.replace("cold", "mild")}),
    "an id stands twice": ({"a": HOT, "b": COLD}, {"b": COLD.replace("cold", "hot")}),
    "what is emitted is of another kind": ({"a": MAKES, "b": TAKES}, {"a": MAKES.replace("{temp", "at {temp")}),
    "nothing is emitted any more": ({"a": MAKES, "b": TAKES}, {"a": HOT}),
    "another emits the same with more": ({"b": COLD, "d": TAKES, "e": MAKES}, {"b": WIDE}),
    "a tag stands for other devices": ({"a": TAGS, "b": TAGGED}, {"a": TAGS.replace("b2", "b3")}),
    "a template is another one": ({"a": TEMPLATE, "b": USES}, {"a": TEMPLATE.replace("> most", "< most")}),
    "a template is gone": ({"a": TEMPLATE, "b": USES}, {"a": HOT}),
    "a template comes": ({"a": HOT, "b": COLD}, {"b": TEMPLATE}),
    "what is emitted may be anything": ({"b": COLD, "d": TAKES, "e": MAKES}, {"b": LOOSE}),
    "of two that emit the same the other counts": ({"a": HOT, "b": WHOLE, "c": PARTS}, {"a": HALF}),
    "a template is used no more": ({"a": TEMPLATE, "b": USES}, {"b": COLD}),
    "another rule sets the same": ({"a": HOT, "b": SECOND}, {"a": FIRST}),
    "another rule drops it all": ({"a": HOT, "b": SECOND}, {"a": DROPS}),
    "rules go round in a circle": ({"a": EARLY, "b": LATE}, {"b": LATE.replace("rule: early", "profile: boiler")}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_a_changed_file_says_to_the_others_is_heard(name: str) -> None:
    """There and back: the unchanged file's rules, or what is said of them, are others each time."""
    base, change = OTHERS[name]
    before, after = files_of(**base), files_of(**base | change)
    reader = RulesReader()
    reader.read(before, CATALOGUE)

    for files in (after, before, after):
        assert shown(reader.read(files, CATALOGUE)) == shown(read_rules(files, CATALOGUE))


def test_another_catalogue_or_other_uplinks_make_all_of_it_another_reading() -> None:
    reader, files = RulesReader(), files_of(a=HOT, b=COLD.replace("alert: {", "alert: {notify: pager, "))
    assert reader.read(files, CATALOGUE, Known({"pager": "webhook"})).is_valid

    for catalogue, known in ((CATALOGUE, Known({"other": "webhook"})), (Catalogue(), Known({"pager": "webhook"}))):
        read = reader.read(files, catalogue, known)
        assert not read.is_valid
        assert shown(read) == shown(read_rules(files, catalogue, known))


def test_after_a_mistake_the_mended_file_is_compared_with_the_rules_in_force() -> None:
    reader = RulesReader()
    good, bad = files_of(a=HOT, b=COLD), files_of(a=HOT.replace("temperature > 80", "temprature > 80"), b=COLD)
    in_force = reader.read(good, CATALOGUE)
    assert not reader.read(bad, CATALOGUE).is_valid
    assert reader.files_read == 3

    again = reader.read(files_of(a=HOT.replace("80", "81"), b=COLD), CATALOGUE)

    assert reader.files_read == 1
    assert again.is_valid
    assert again.rules.rules[1] is in_force.rules.rules[1]


POOLS = {
    "a": [HOT, HOT.replace("80", "70"), f"\n\n{HOT}", HOT.replace("temperature >", "temprature >")],
    "b": [COLD, COLD.replace("10", "11"), COLD.replace("10", "12"), ""],
    "c": [LOGS, ""],
    "d": [MAKES, MAKES.replace("ture}", "ture + 1}"), MAKES.replace("{temp", "at {temp"), f"# so\n{MAKES}"],
    "e": [TAKES, WIDE],
    "f": [TAGS, TAGS.replace("b2", "b3")],
    "g": [TEMPLATE, TEMPLATE.replace("> most", "< most")],
    "h": [USES, USES.replace("5", "6"), SECOND, TAGGED],
    "i": [EARLY, DROPS, ""],
    "j": [LATE, FIRST, LATE.replace("rule: early", "profile: boiler"), SECOND.replace("second", "third")],
}


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_changed_the_answer_is_that_of_a_reading_from_the_start(seed: int) -> None:
    """The control is in the numbers: some are read in part, some in whole, and some are not right."""
    rng = random.Random(seed)
    files, reader = {name: pool[0] for name, pool in POOLS.items()}, RulesReader()
    in_part = in_whole = invalid = 0
    for _ in range(30):
        for name in rng.sample(sorted(POOLS), rng.choice((1, 1, 2))):
            files[name] = rng.choice(POOLS[name])
        contents = files_of(**files)
        read = reader.read(contents, CATALOGUE)
        assert shown(read) == shown(read_rules(contents, CATALOGUE))
        in_part += reader.files_read < len(contents)
        in_whole += reader.files_read == len(contents)
        invalid += not read.is_valid
    assert min(in_part, in_whole, invalid) >= 3
