"""Closures against a second, slow implementation of the language: the same values, whatever is asked of whatever."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from condition_kit import ON_BOILERS, PROFILES, expression, here, scope
from condition_reference import UNKNOWN, Reference
from condition_strategies import bounded_texts, facts, few_facts, number_texts, odd, text_texts, texts, truth_texts
from fieldgate_rules.condition import Facts, Reading, read_condition, read_expression, read_template

BOILER = Reference(PROFILES["boiler"])
ANYTHING = Reference(None)
MANY = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def same(one: object, other: object) -> bool:
    """Whether two values are the same one, of the same kind."""
    if other is UNKNOWN:
        return one is None
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, float) and isinstance(other, float) and math.isnan(other):
        return False
    return one == other


def check(text: str, given: Facts, reference: Reference, where) -> None:
    read = read_expression(here(text), where)
    assume(read.expression is not None)
    value = read.expression.evaluate(given)
    wanted = reference.value(text, given)
    event(f"{type(value).__name__}")
    assert same(value, wanted), (text, value, wanted)
    assert read.expression.explain(given).value == value


@MANY
@given(truth_texts(3), facts())
def test_a_condition_is_what_the_slow_interpreter_says(text, given):
    """True, false or unknown: a rule fires on one of the three, and never for a wrong reason."""
    check(text, given, BOILER, ON_BOILERS)


@MANY
@given(number_texts(3), facts())
def test_a_number_is_what_the_slow_interpreter_says(text, given):
    """Overflow and division by zero are unknown, everything else is Python's own arithmetic."""
    check(text, given, BOILER, ON_BOILERS)


@MANY
@given(text_texts(2), facts())
def test_a_text_is_what_the_slow_interpreter_says(text, given):
    check(text, given, BOILER, ON_BOILERS)


@MANY
@given(
    truth_texts(2).filter(lambda text: "convert" not in text and '"5m"' not in text and "uptime" not in text), facts()
)
def test_without_a_profile_each_value_is_taken_for_what_it_is(text, given):
    """Devices without a profile send what they like."""
    check(text, given, ANYTHING, scope())


@MANY
@given(truth_texts(3), st.dictionaries(st.sampled_from(list(PROFILES["boiler"].fields)), odd | texts))
def test_no_value_makes_a_condition_raise(text, fields):
    """Not even numbers that no JSON can hold."""
    read = read_condition(here(text), ON_BOILERS)
    assume(read.expression is not None)
    for worse in (
        {},
        {"temperature": math.nan, "count": math.inf, "flow": -math.inf, "starts": 10**400, "message": b"a"},
    ):
        given = {**fields, **worse}
        before = {name: Reading(value, math.nan if worse else 0.0) for name, value in given.items()}
        for wall_s in (None, math.nan, math.inf, -1e300):
            value = read.expression.evaluate(Facts(given, "d", 0.0, wall_s, before))
            assert value in (True, False, None)
            read.expression.explain(Facts(given, "d", 0.0, wall_s, before))


TOKENS = [
    "temperature", "state", "alarm", "prev.", "prev", "last(", "(", ")", "and", "or", "not", "in", "[", "]", ",", "<",
    "==", "!=", "+", "-", "*", "/", "%", "**", "5", "1e308", '"a"', "'", '"', "\\", "if", "else", "has(", "min(",
    "matches(", "true", "None", "lambda", ":", ":=", "=", "#", "\n", " ", "{", "}", "é", "\u2028", "convert(", '"°F"',
    "now", "for", "x", ".", "0x", "5m", "f'", "await", "yield", "\x00", "\ud800",
]  # fmt: skip


@settings(max_examples=300)
@given(st.lists(st.sampled_from(TOKENS), max_size=25).map(" ".join) | st.text(max_size=60))
def test_whatever_is_written_is_read_or_refused_at_a_place_in_it(text):
    """An author's typing error is a message, never a traceback."""
    for read in (read_condition, read_expression, read_template):
        found = read(here(text), ON_BOILERS)
        for problem, span in zip(found.problems, found.spans, strict=True):
            assert 0 <= span.start <= len(text)
            assert span.end >= span.start
            assert problem.message
            assert "\n" not in problem.message


VERDICTS = {"this is never true": True, "this is never false": False, "this is always true": False}
SIGNS = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])


@MANY
@given(bounded_texts(2), SIGNS, bounded_texts(0), st.lists(few_facts(), min_size=3, max_size=3))
def test_what_is_called_never_true_is_never_true(left, sign, right, many):
    """A rule that could fire must not be refused as one that cannot."""
    text = f"{left} {sign} {right}"
    said = [problem.message.split(":")[0] for problem in read_condition(here(text), ON_BOILERS).problems]
    event(str(said)[:30])
    if len(said) != 1 or said[0] not in VERDICTS:
        return

    for one in many:
        assert BOILER.value(text, one) is not VERDICTS[said[0]], (text, one)


CLAUSES = st.builds(
    "{}{} {} {}".format,
    st.sampled_from(["", "", "not "]),
    st.sampled_from(["count", "starts"]),
    SIGNS,
    st.integers(0, 3),
)


@MANY
@given(
    st.lists(CLAUSES, min_size=2, max_size=4), st.sampled_from([" and ", " or "]), st.integers(-1, 4), st.integers(0, 4)
)
def test_clauses_that_are_said_to_exclude_each_other_do(clauses, word, count, starts):
    """And with small numbers a chance is not missed by chance."""
    text = word.join(clauses)
    said = [problem.message for problem in read_condition(here(text), ON_BOILERS).problems]
    event(str(said)[:30])
    if not said or not all("together with" in one for one in said):
        return

    for half in (0, 0.5):
        facts = Facts({"count": count + half, "starts": starts + half}, "b", 0.0)
        assert BOILER.value(text, facts) is not (word == " and "), (text, facts)


@pytest.mark.parametrize("text", ["temperature > 80", "count + 1 > 2 or has(flow)"])
def test_the_comparison_notices_a_difference(text):
    """Control: the two are not the same code."""
    given = Facts({"temperature": 85.0, "count": 5}, "b", 0.0)

    assert BOILER.value(text, given) is True
    assert not same(not expression(text).evaluate(given), BOILER.value(text, given))
