"""Templates: parameters in conditions, texts and values, what a rule writes instead, and whose mistake it is."""

from __future__ import annotations

import gc

from fieldgate_rules.condition import Facts, Reading
from fieldgate_rules.reading import library_names
from reading_kit import read, rule, said

MINE = """\
templates:
  mine:
    parameters:
      field: {type: field, default: temperature}
      limit: {type: number, min: 0}
      hold: {type: duration, default: 30s}
      what: {type: text, default: "{field}"}
      told: {type: list, default: []}
      is_on: {type: truth, default: true}
      bad: {type: text, values: [info, warning, critical], default: warning}
    when: field > limit and delta(field) > 1 and prev.field < limit and is_on
    for: "{hold}"
    changed: "{field}"
    do:
      - alert:
          severity: "{bad}"
          text: "{device}: {what} is {field:.1f}, above {limit} for {hold}"
          fields: {value: "{field}", limit: "{limit}", told: "{told}"}
          notify: "{told}"
"""
USE = "rules:\n  - id: r1\n    use: mine\n    on: {profile: boiler}\n    with: {limit: 80}\n"
HOT = Facts({"temperature": 85.0, "power": 90.0}, "b1", 10.0, prev={"temperature": Reading(70.0, 5.0)})


def test_a_parameter_is_a_name_in_conditions_and_texts_and_a_value_anywhere_else():
    made = rule(MINE + USE)

    (alert,) = made.actions
    assert made.when.evaluate(HOT) is True
    assert made.spec.for_ == 30.0
    assert made.spec.changed == ("temperature",)
    assert alert.spec.alert.severity == "warning"
    assert alert.texts["text"].text_for(HOT) == "b1: temperature is 85.0, above 80 for 30s"
    assert {name: leaf.value_for(HOT) for name, leaf in alert.fields.items()} == {
        "value": 85.0,
        "limit": 80,
        "told": [],
    }


def test_a_field_is_the_one_that_was_given_also_of_before_and_in_functions():
    made = rule(MINE + USE.replace("{limit: 80}", "{limit: 80, field: power, hold: 2m, bad: critical, is_on: false}"))

    assert made.spec.changed == ("power",)
    assert made.spec.for_ == 120.0
    assert made.when.evaluate(HOT) is False
    assert made.reads.prev == {"power"}
    assert made.reads.fields == {"power"}
    assert made.actions[0].spec.alert.severity == "critical"


def test_what_a_rule_writes_takes_the_place_of_what_the_template_says():
    made = rule(f"{MINE}{USE}    when: alarm and field > limit\n    do: [{{log: 'instead of {{what}}'}}]\n")

    assert made.when.text == "alarm and field > limit"
    assert [one.kind for one in made.actions] == ["log"]
    assert made.actions[0].texts["text"].text_for(HOT) == "instead of temperature"
    assert made.spec.for_ == 30.0


def test_a_rule_may_give_names_to_values_without_a_template():
    made = rule(
        "rules:\n  - id: r1\n    on: {profile: boiler}\n    parameters: {limit: 80, times: 3}\n"
        "    when: temperature > limit\n    count: {at_least: '{times}', within: 1m}\n    do: [{log: x}]\n"
    )

    assert made.spec.count.at_least == 3
    assert made.when.evaluate(HOT) is True


def test_a_field_that_the_devices_do_not_have_is_the_mistake_of_who_gave_it():
    text = MINE + USE.replace("{limit: 80}", "{limit: 80, field: temprature}")

    assert said(text) == ["r.yaml:24:30: field: unknown field 'temprature'; did you mean 'temperature'?"]


def test_a_template_of_another_file_is_used_and_one_of_your_own_takes_the_place_of_the_librarys():
    own = MINE.replace("  mine:", "  threshold:")

    assert rule(USE.replace("mine", "threshold"), own).spec.changed == ("temperature",)
    assert read(USE.replace("mine", "threshold"), own).templates["threshold"].where.path == "r2.yaml"


def test_the_same_template_in_two_files_is_said():
    assert said(MINE + USE, MINE) == ["r2.yaml:2:3: there is a template 'mine' in r.yaml:2:3 already"]


def test_a_template_that_is_wrong_says_so_once_and_its_rules_say_nothing():
    """A hundred rules that use it would say the same a hundred times."""
    text = MINE.replace("    for:", "    foor:")

    assert said(text + USE + USE.split("\n", 1)[1].replace("r1", "r2")) == [
        "r.yaml:12:5: unknown key 'foor'; did you mean 'for'?"
    ]


def test_a_mistake_within_a_template_says_who_uses_it():
    text = MINE.replace("and is_on", "and is_of")

    assert said(text + USE) == [
        "r.yaml:9:7: warning: 'is_on' is used nowhere in template 'mine'",
        "r.yaml:11:73: unknown field 'is_of'; known: temperature, outside, state, flow, power, alarm, message"
        " (used in r.yaml:22:10)",
    ]


def test_the_library_has_what_the_issue_asks_for():
    wanted = {"threshold", "stuck-sensor", "silence", "battery-low", "door-left-open", "leak", "pump-short-cycling",
              "energy", "downsampling"}  # fmt: skip

    assert wanted <= set(library_names())


def test_facts_about_templates_are_kept_for_lists():
    got = read(MINE + USE)

    assert got.used == {"r1": "mine"}
    assert list(got.templates["mine"].parameters) == ["field", "limit", "hold", "what", "told", "is_on", "bad"]
    assert got.templates["mine"].parameters["limit"].min == 0


def test_one_plain_value_may_stand_in_the_place_of_a_list():
    """As it may wherever a rule itself has ``notify``."""
    made = rule(MINE + USE.replace("limit: 80", "limit: 80, told: pager"))

    assert made.actions[0].spec.alert.notify == ("pager",)


def test_what_is_wrong_in_a_template_says_which_field_was_meant():
    """The author of the rule knows ``state``; ``field`` is a word of whoever wrote the template."""
    assert "(field is state)" in said(MINE + USE.replace("limit: 80", "limit: 80, field: state"))[0]


def test_reading_leaves_the_collector_of_garbage_as_it_was():
    assert gc.isenabled()
    read(MINE + USE)
    assert gc.isenabled()
    gc.disable()
    try:
        read(MINE + USE)
        assert not gc.isenabled()
    finally:
        gc.enable()
