"""Texts with expressions in them: alerts, topics, arguments of commands."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from condition_kit import ON_BOILERS, facts, here, scope, template
from condition_strategies import facts as any_facts
from fieldgate_rules.condition import Reads, read_template

HOT = facts({"temperature": 85.04, "state": "heating", "starts": 1_234_567, "alarm": True, "message": "a {b} c"})


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{device} is at {temperature:.1f} °C", "boiler-7 is at 85.0 °C"),
        ("{temperature}", "85.04"),
        ("{temperature:.0f}", "85"),
        ("{temperature / 100:.1%}", "85.0%"),
        ("{temperature:.2e}", "8.50e+01"),
        ("{starts:,d} {starts:,.1f} {starts}", "1,234,567 1,234,567.0 1234567"),
        ("{temperature:d} {temperature:+.1f}", "85 +85.0"),
        ("{temperature - 5.04} {0.1 + 0.2}", "80 0.3"),
        ("{starts * starts * starts}", "1.88167230229e+18"),
        ("{flow} L/min, {prev.flow:.1f}", "? L/min, ?"),
        ("{alarm} {not alarm}", "true false"),
        ("{{}} {{device}} {{{device}}}", "{} {device} {boiler-7}"),
        ("it's {state}, isn't it", "it's heating, isn't it"),
        ('{state if alarm else "a:b}"}', "heating"),
        ('{"a:b}" if alarm else state}', "a:b}"),
        ("{message}", "a {b} c"),
        ("no expression", "no expression"),
        ("", ""),
        ('{convert(temperature, "°F"):.1f} °F', "185.1 °F"),
    ],
)
def test_a_template_gives_this_text(text, wanted):
    assert template(text).text_for(HOT) == wanted


def test_what_a_device_says_is_never_evaluated():
    """A message with braces in it is a message."""
    hostile = facts({"message": "{device} {temperature:.1f} {0} %s {__import__('os')}"})

    assert template("{message}").text_for(hostile) == "{device} {temperature:.1f} {0} %s {__import__('os')}"


def test_a_template_that_is_one_expression_has_a_value():
    """`target: "{temperature - 5}"` sends a number to a device, not a text."""
    assert template("{starts + 1}").only.evaluate(HOT) == 1_234_568
    assert template("{starts:d}").only is None
    assert template(" {starts}").only is None
    assert template("{starts}{starts}").only is None


def test_a_template_reads_what_its_expressions_read():
    assert template("{device}: {temperature} {prev.flow} {state}").reads == Reads(
        fields=frozenset({"temperature", "state"}), prev=frozenset({"flow"}), device=True
    )


def test_a_text_is_cut_at_4_kib():
    long = facts({"message": "€" * 5_000})

    assert len(template("{message}{message}").text_for(long).encode()) <= 4_096


def test_an_expression_knows_its_place_in_the_file():
    (only,) = template("at {flow} now").expressions

    assert str(only.explain(facts()).where) == "c.yaml:1:5"


def test_too_much_in_one_template_is_refused():
    """A template is asked as often as its rule fires."""
    said = [one.message for one in read_template(here("{message}" * 100), ON_BOILERS).problems]

    assert said == ["the expressions take up to 15200 steps together; allowed: 1150"]
    assert read_template(here("x" * 1_025), ON_BOILERS).problems[0].message.startswith("1025 characters are too many")


FORMS = st.sampled_from([".0f", ".9e", ",", "+", "+,.3%", "d", ",d", "f", "%", ".9f"])


@settings(max_examples=150)
@given(st.sampled_from(["x", "x * 1", "-x", "default(x, y)", "prev.x"]), FORMS, any_facts(), st.data())
def test_a_format_raises_for_no_value(text, form, given, data):
    """Whatever kind of value a device without a profile sends."""
    made = template(f"{{{text}:{form}}}", scope())
    values = list(given.fields.values()) or [None]
    chosen = data.draw(st.sampled_from(values))
    before = {name: one.value for name, one in given.prev.items()}

    shown = made.text_for(facts({"x": chosen}, prev=before))

    assert isinstance(shown, str)
    assert len(shown.encode(errors="replace")) <= 4_096
