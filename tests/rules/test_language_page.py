"""``rules/LANGUAGE.md``: its tables are those of the code, its examples are true, nothing is left out."""

from __future__ import annotations

import re
import textwrap

import pytest

from condition_kit import BOOT_S, expression, facts, profile, said_of_file
from fieldgate_devices.files.location import Location
from fieldgate_rules.condition import EventKind, Scope
from fieldgate_rules.condition.functions import FUNCTIONS, OTHER_NAMES
from fieldgate_rules.condition.wants import Wants
from language_tables import MARK, PAGE, filled

TEXT = PAGE.read_text()
EXAMPLES = [(one.text, one) for function in FUNCTIONS.values() for one in function.examples]
FIELDS = """\
profile: page
match: {mqtt: "a/{device}"}
fields:
  temperature: {type: float, unit: °C, optional: true}
  level: {type: float, optional: true}
  flow: {type: float, optional: true}
  supply: {type: float, unit: °C, optional: true}
  back: {type: float, unit: °C, optional: true}
  state: {type: string, optional: true}
  message: {type: string, optional: true}
"""


def test_the_tables_are_those_of_the_code():
    """`python tests/language_tables.py` writes them."""
    assert filled(TEXT) == TEXT
    assert {match["name"] for match in MARK.finditer(TEXT)} == {"truths", "functions", "limits"}


@pytest.mark.parametrize(("text", "example"), EXAMPLES, ids=[text for text, _ in EXAMPLES])
def test_an_example_of_a_function_is_true(text, example):
    where = Scope(kinds=(EventKind.of(profile(FIELDS)),))
    given = facts(example.fields, prev=example.prev, ago_s=example.ago_s, wall_s=example.wall_s)

    value = expression(text, where).evaluate(given)

    assert value == pytest.approx(example.value) if isinstance(example.value, float) else value == example.value
    assert example.ago_s < BOOT_S


def test_every_function_has_an_example_and_a_meaning():
    """One that is added without them is noticed here."""
    for name, function in FUNCTIONS.items():
        assert function.examples, name
        assert function.meaning.endswith("."), name
        assert all(f"{name}(" in example.text for example in function.examples), name
        assert f"| `{function.signature}` |" in TEXT, name


def test_every_kind_of_argument_is_said_in_words():
    used = {one.wants for function in FUNCTIONS.values() for one in function.parameters}

    assert used == set(Wants)


def test_what_is_shown_to_programmers_runs():
    """Whoever builds on the language begins there."""
    (code,) = re.findall(
        r"((?:^    .*\n|^\n)+)\Z", (PAGE.parent / "fieldgate_rules/README.md").read_text(), re.MULTILINE
    )
    content = "when: level > 3\n"
    names = {"text": "level > 3", "content": content, "where": Location("r.yaml", 1, 7), "profile": profile(FIELDS)}
    names["facts"] = facts({"level": 5.0})

    exec(textwrap.dedent(code), names)

    assert names["read"].problems == []
    assert names["read"].expression.evaluate(names["facts"]) is True


def test_no_name_of_another_language_is_one_of_ours():
    assert not OTHER_NAMES.keys() & FUNCTIONS.keys()


def test_the_conditions_at_the_top_of_the_page_are_right():
    content = TEXT.split("## Three truths")[0]
    lines = re.findall(r"^    ((?:when|text): .*)$", content, re.MULTILINE)
    assert len(lines) == 4

    for line in lines:
        assert said_of_file(f"{line.replace('level', 'flow')}\n") == [], line


@pytest.mark.parametrize(
    "text", ["temperature > 200", 'state == "heatin"', 'state != "idle" or state != "fault"', "flow / 0 > 1"]
)
def test_what_the_page_calls_a_mistake_is_one(text):
    assert said_of_file(f"when: {text}\n") != []
