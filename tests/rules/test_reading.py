"""Files of rules in, rules that can be run out."""

from __future__ import annotations

import pytest

from fieldgate_devices.builtin import builtin_profiles
from fieldgate_devices.files.location import Location
from fieldgate_devices.reading import read_catalogue
from fieldgate_rules.condition import Facts, expression
from fieldgate_rules.reading import library_names, read_rules
from fieldgate_rules.rule import CronTrigger, EventTrigger, EveryTrigger, GatewayTrigger, RuleTrigger
from reading_kit import EXAMPLES, catalogue, read, rule, said

LIBRARY = EXAMPLES.parent / "fieldgate_rules/library"
OVERHEAT = """\
rules:
  - id: hot
    on: {profile: boiler}
    when: temperature > limit
    parameters: {limit: 80}
    for: 30s
    until: temperature < limit - 5
    do:
      - alert: {severity: critical, text: "{device} is at {temperature:.1f} °C", fields: {limit: "{limit}"}}
      - command: {device: "{device}", set_target: {target: "{temperature - 20}"}}
        if: state != "fault"
"""


def test_a_rule_has_its_conditions_texts_and_values_ready_to_be_asked():
    hot = rule(OVERHEAT)
    facts = Facts({"temperature": 85.25, "state": "idle"}, "b1", 1.0)

    alert, command = hot.actions
    assert hot.when.evaluate(facts) is True
    assert hot.until.evaluate(facts) is False
    assert alert.texts["text"].text_for(facts) == "b1 is at 85.2 °C"
    assert alert.texts["key"].text_for(facts) == "b1"
    assert alert.fields["limit"].value_for(facts) == 80
    assert command.condition.evaluate(facts) is True
    assert command.texts["device"].text_for(facts) == "b1"
    assert command.fields["target"].value_for(facts) == 65.25
    assert hot.reads.fields == {"temperature", "state"}
    assert hot.reads.device


def test_every_key_has_its_place():
    """Explain names the line that stopped a rule."""
    hot = rule(OVERHEAT)

    assert hot.place("when") == Location("r.yaml", 4, 11)
    assert hot.place("for") == Location("r.yaml", 6, 10)
    assert hot.place("on[0].profile") == Location("r.yaml", 3, 19)
    assert hot.place("do[1].if") == Location("r.yaml", 11, 13)
    assert hot.place("throttle") == hot.where == Location("r.yaml", 2, 9)
    assert hot.when.explain(Facts({}, "b1", 1.0)).where == Location("r.yaml", 4, 11)


def test_all_kinds_of_triggers_are_read():
    made = rule(
        "tags: {yard: [gate, 'shed-*']}\n"
        "rules:\n"
        "  - id: all-of-them\n"
        "    on:\n"
        "      - {device: 'b-*', profile: boiler, lane: high}\n"
        "      - {tag: yard}\n"
        "      - {rule: all-of-them}\n"
        "      - {gateway: buffer_above, above: 60}\n"
        "      - {every: 5m}\n"
        "      - {cron: '0 6 * * mon-fri', zone: Europe/Berlin}\n"
        "    do: {log: hello}\n"
    )

    events, tagged, of_rule, gateway, every, cron = made.triggers
    assert isinstance(events, EventTrigger)
    assert events.takes("boiler", "b-1", 0)
    assert not events.takes("boiler", "b-1", 1)
    assert not events.takes("meter", "b-1", 0)
    assert tagged.takes("generic", "shed-2", 1)
    assert not tagged.takes("generic", "house", 1)
    assert of_rule == RuleTrigger(frozenset({"all-of-them"}))
    assert gateway == GatewayTrigger(frozenset({"buffer_above"}), 60)
    assert every == EveryTrigger(300.0)
    assert isinstance(cron, CronTrigger)
    assert cron.zone.key == "Europe/Berlin"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda one: one.stem)
def test_every_example_is_right(path):
    own = {str(one): one.read_bytes() for one in (EXAMPLES / "devices.d").glob("*.yaml")}
    profiles, _ = read_catalogue(builtin_profiles(), own)

    assert [str(one) for one in read_rules({path.name: path.read_bytes()}, profiles).problems] == []


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("*.yaml")), ids=lambda one: one.stem)
def test_every_file_of_the_library_is_right(path):
    assert path.stem in library_names()
    assert [str(one) for one in read_rules({path.name: path.read_bytes()}, catalogue()).problems] == []


def test_a_rule_with_a_problem_is_left_out_and_hides_no_other():
    """One slip must not cost the other rules of the file, nor their messages."""
    lines = "".join(
        f"  - id: r{number}\n    on: {{profile: boiler}}\n    when: temprature > {number}\n    do: [{{log: x}}]\n"
        for number in range(50)
    )
    got = read(f"rules:\n{lines}  - id: fine\n    on: {{profile: boiler}}\n    do: [{{log: x}}]\n")

    assert [one.id for one in got.rules.rules] == ["fine"]
    assert len(got.problems) == 50
    assert not got.is_valid


def test_a_condition_on_what_a_rule_emits_is_checked_against_it():
    """Whatever the order in which the two stand."""
    reader = "  - id: weak\n    on: {profile: heat}\n    when: power < 500 and powr > 1\n    do: [{log: x}]\n"
    emit = "{type: heat, fields: {power: '{temperature * 2}'}}"
    maker = f"  - id: made\n    on: {{profile: boiler}}\n    do: [{{emit: {emit}}}]\n"

    assert said(f"rules:\n{reader}{maker}") == ["r.yaml:4:27: unknown field 'powr'; did you mean 'power'?"]
    assert [one.id for one in read(f"rules:\n{maker}{reader.replace('powr', 'power')}").rules.rules] == ["made", "weak"]


def test_a_window_emits_its_figures_with_their_units():
    made = rule(
        "rules:\n  - id: hour\n    on: {profile: boiler}\n"
        "    window:\n      size: 1h\n      having: n > 3\n"
        "      values: {mean: {avg: temperature}, used: {integral: power, per: 1h}, n: {count: true},"
        " bad: {count: alarm}, state: {last: state}}\n"
    )

    (kind,) = made.emits
    assert (kind.type, kind.version) == ("hour", 1)
    assert {name: (spec.type, spec.unit) for name, spec in kind.fields.items()} == {
        "mean": ("float", "°C"),
        "used": ("float", "Wh"),
        "n": ("int", ""),
        "bad": ("int", ""),
        "state": ("string", ""),
        "start": ("string", ""),
        "end": ("string", ""),
        "partial": ("bool", ""),
    }
    assert [one.kind for one in made.actions] == ["emit"]
    assert made.having.evaluate(Facts({"n": 4}, "b1", 1.0)) is True
    assert made.reads.fields == {"temperature", "power", "alarm", "state"}


def test_the_fingerprint_changes_with_the_meaning_and_not_with_words_about_it():
    """A rule that keeps it keeps its timers and alerts over a reload."""
    same = OVERHEAT.replace("    for: 30s\n", "    # remark\n    description: of boilers\n    for: 30s\n")

    assert rule(OVERHEAT).fingerprint == rule(same).fingerprint
    assert rule(OVERHEAT).fingerprint != rule(OVERHEAT.replace("limit: 80", "limit: 81")).fingerprint
    assert rule(OVERHEAT).fingerprint != rule(OVERHEAT.replace("30s", "31s")).fingerprint
    tagged = "tags: {yard: [%s]}\nrules:\n  - {id: x, on: {tag: yard}, do: [{log: x}]}\n"
    assert rule(tagged % "a").fingerprint != rule(tagged % "b").fingerprint


def test_a_tag_is_names_of_devices_in_any_file_and_profiles_that_bear_it():
    """The same rules serve plants with other devices."""
    own = {"p.yaml": b"profile: soil\ntags: yard\nmatch: {mqtt: 'soil/{device}'}\nfields: {moisture: {type: float}}\n"}
    profiles, _ = read_catalogue(builtin_profiles(), own)
    rules = b"rules:\n  - {id: dry, on: {tag: yard}, when: moistre < 3, do: [{log: x}]}\n"
    shed, gate = b"tags: {yard: shed}\n", b"tags: {yard: ['gate-*']}\n"

    alone = read_rules({"r.yaml": rules}, profiles)
    made = read_rules({"r.yaml": rules.replace(b"stre", b"sture"), "a.yaml": shed, "b.yaml": gate}, profiles)
    (trigger,) = made.rules.rules[0].triggers
    assert [str(one) for one in alone.problems] == ["r.yaml:2:38: unknown field 'moistre'; did you mean 'moisture'?"]
    heard = [("soil", "x"), ("generic", "shed"), ("ruuvi", "gate-7"), ("ruuvi", "x")]
    assert [trigger.takes(type_, device, 1) for type_, device in heard] == [True, True, True, False]


def test_rules_that_are_alike_are_read_once(monkeypatch):
    """Ten thousand rules must be read in seconds."""
    asked = []
    whole = expression.check_expression
    monkeypatch.setattr(
        expression, "check_expression", lambda *args, **more: asked.append(args) or whole(*args, **more)
    )
    one = "  - {id: r%d, on: {profile: boiler}, when: temperature > 80, do: [{log: '{device} %d'}]}\n"
    got = read("rules:\n" + "".join(one % (number, number) for number in range(200)))

    assert len(got.rules.rules) == 200
    assert len(asked) == 1
    assert got.rules.rules[199].when.placed.where(0) == Location("r.yaml", 201, 45)
