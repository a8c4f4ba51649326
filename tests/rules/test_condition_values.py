"""What conditions are, case by case: what an author reads in LANGUAGE.md and relies on."""

from __future__ import annotations

import inspect
import itertools
import sys

import pytest

from condition_kit import BOOT_S, ON_ANYTHING, ON_BOILERS, condition, expression, facts, problems, scope, value_of
from fieldgate_rules.condition import Reads

THREE = {"true": True, "false": False, "unknown": None}
AND = {
    ("true", "true"): "true", ("true", "false"): "false", ("true", "unknown"): "unknown",
    ("false", "true"): "false", ("false", "false"): "false", ("false", "unknown"): "false",
    ("unknown", "true"): "unknown", ("unknown", "false"): "false", ("unknown", "unknown"): "unknown",
}  # fmt: skip
OR = {
    ("true", "true"): "true", ("true", "false"): "true", ("true", "unknown"): "true",
    ("false", "true"): "true", ("false", "false"): "false", ("false", "unknown"): "unknown",
    ("unknown", "true"): "true", ("unknown", "false"): "unknown", ("unknown", "unknown"): "unknown",
}  # fmt: skip


def given(*truths: str):
    return facts({name: THREE[truth] for name, truth in zip("abcd", truths, strict=False) if truth != "unknown"})


@pytest.mark.parametrize(("word", "table"), [("and", AND), ("or", OR)])
@pytest.mark.parametrize("pair", list(AND), ids=str)
def test_and_and_or_are_three_valued(word, table, pair):
    """Unknown is no false: a missing field must not let 'not' or 'or' make a rule fire, nor hide one that must."""
    assert expression(f"a {word} b").evaluate(given(*pair)) is THREE[table[pair]]


@pytest.mark.parametrize("word", ["and", "or"])
@pytest.mark.parametrize("count", [3, 4])
def test_longer_rows_are_as_pairs_one_after_the_other(word, count):
    """Rows of two and three have closures of their own."""
    table = AND if word == "and" else OR
    row = expression(f" {word} ".join("abcd"[:count]))
    for truths in itertools.product(THREE, repeat=count):
        wanted = truths[0]
        for other in truths[1:]:
            wanted = table[wanted, other]

        assert row.evaluate(given(*truths)) is THREE[wanted], truths


def test_not_leaves_unknown_unknown():
    assert [expression("not a").evaluate(given(one)) for one in THREE] == [False, True, None]


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">=", "==", "!="])
def test_a_comparison_with_something_missing_is_unknown(sign):
    """`flow != 3` is not true of a device that has said no flow."""
    for text in (f"flow {sign} 3", f"3 {sign} flow", f"flow {sign} other", f"flow + 1 {sign} 3"):
        assert value_of(text) is None, text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7 // 2 + x * 0", 3),
        ("-7 // 2 + x * 0", -4), ("7 % -3 + x * 0", -2), ("7 / 2 + x * 0", 3.5), ("x + 0.5", 5.5),
        ("2 + x * 3", 17), ("(2 + x) * 3", 21), ("-x", -5), ("- - x", 5), ("+x", 5), ("x / 0.1 * 0 + 1", 1.0),
        ("10 if x > 3 else 20", 10), ("x > 3 if x < 9 else x > 90", True),
        ("1 < x <= y < 9", True), ("1 < x < y < 9", False),
        ("x in [4, 5]", True), ("x in [5.0]", True), ("x not in [4, 5]", False), ("x == 5.0", True),
        ("x in (4, 6)", False),
        ('s == "on"', True), ("s == 'on'", True), ('s in ["on", "off"]', True), ("b", True), ("not b", False),
        ("b == true", True), ("b == False", False), ("b != true", False), ('"o" "n" == s', True), ('s == r"on"', True),
        ("x == 0x5", True), ("x == 5_0 - 45", True), ("1e1 > x", True), ('"on" == s and x > 3', True),
    ],
)  # fmt: skip
def test_what_is_written_is_what_python_makes_of_it(text, value):
    """Authors know this arithmetic from elsewhere."""
    found = value_of(text, facts({"x": 5, "y": 5, "s": "on", "b": True}))

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("x / y > 1", {"x": 1, "y": 0}), ("x // y > 1", {"x": 1, "y": 0.0}), ("x % y > 1", {"x": 1.5, "y": -0.0}),
        ("x * x > 1", {"x": 1e200}),
        ("x + x > 1", {"x": 1.7e308}), ("x / y > 1", {"x": 1e300, "y": 1e-300}),
        ("x - y > 1", {"x": 10**308, "y": -(10**308)}), ("x * x * x * x * x > 1", {"x": 2**250}),
        ("delta(x) > 1", {"x": 10**308}), ("rate(x) > 1", {"x": 10**308}), ("x > y", {"x": 1}),
    ],
    ids=str,
)  # fmt: skip
def test_a_division_by_zero_and_what_is_too_large_are_unknown(text, fields):
    """A device that sends 0 must not be able to stop a rule with an error."""
    assert value_of(text, facts(fields, prev={"x": -(10**308)})) is None


@pytest.mark.parametrize(
    ("text", "fields"),
    [("x > 3", {"x": "5"}), ("x > 3", {"x": True}), ("x", {"x": 1}), ('x == "1"', {"x": 1}), ("x == true", {"x": 1}),
     ("not x", {"x": 0}), ("x in [1, 2]", {"x": True}), ("x + 1 > 0", {"x": [1]}), ("lower(x) == 'a'", {"x": 5})],
    ids=str,
)  # fmt: skip
def test_a_value_of_another_kind_is_unknown(text, fields):
    """1 is not true, '5' is no number: what a device without a profile sends is guessed at by nobody."""
    assert (condition(text, ON_ANYTHING)).evaluate(facts(fields)) is None


def test_a_field_with_values_of_several_kinds_is_compared_as_it_is():
    for value, wanted in (("low", True), (0, False), (True, False), (None, None)):
        assert condition('level == "low"').evaluate(facts({"level": value})) is wanted
        assert condition('level in ["low", 7 - 7]').evaluate(facts({"level": value})) is (
            wanted or (value == 0 if value is not None else None)
        )


def test_what_a_device_said_before_an_update_of_its_profile_is_unknown_where_it_no_longer_fits():
    """Stored values outlive the contract that they kept."""
    assert (
        condition("delta(temperature) > 5").evaluate(facts({"temperature": 20.0}, prev={"temperature": "12"})) is None
    )
    assert condition("prev.alarm").evaluate(facts(prev={"alarm": "on"})) is None
    assert condition("has(prev.alarm)").evaluate(facts(prev={"alarm": "on"})) is False


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('uptime > "30m"', True), ('uptime > "2h"', False), ('uptime == "1h"', True), ('age(prev.flow) == "1m"', True),
        ('temperature > "70 °C"', True), ('temperature == "71.5°C"', True), ('temperature > "70 C"', True),
        ('pressure >= "2 bar"', True), ('max(temperature, "80 °C") == 80', True), ('uptime + "30m" > "80m"', True),
        ('temperature > convert(outside, "°C")', True), ('convert(temperature, "K") > 344.6', True),
        ('temperature - back > 5', True), ('delta(temperature) * 1.8 > 2', True), ('now - starts > "1d"', True),
    ],
)  # fmt: skip
def test_quantities_are_in_the_unit_of_what_they_stand_beside(text, value):
    """`"30m"` beside hours is half an hour."""
    fields = {
        "temperature": 71.5,
        "outside": 50.0,
        "back": 60.0,
        "uptime": 1.0,
        "pressure": 2.0,
        "flow": 1.0,
        "starts": 0,
    }

    assert condition(text).evaluate(facts(fields, prev={"flow": 2.0, "temperature": 70.0})) is value


def test_a_difference_of_temperatures_is_no_temperature():
    """10 °C more is not 50 °F more."""
    assert problems('convert(temperature - back, "°F") > 18')[0].startswith("this has no known unit")
    assert problems('convert(delta(temperature), "°F") > 18')[0].startswith("this has no known unit")
    assert problems('convert(temperature + 2, "°F") > 90') == []


def test_values_of_other_devices_are_read_by_name():
    given = facts(last={("m1", "power"): 900.0, ("m2", "mode"): "eco"}, ago_s=120)

    assert condition('last("m1", "power") > 800 and last("m2", "mode") == "eco"').evaluate(given) is True
    assert condition('age(last("m1", "power")) > "1m"').evaluate(given) is True
    assert condition('last("m3", "power") > 800').evaluate(given) is None


def test_what_an_expression_reads_is_known_before_it_is_asked():
    """The engine finds the rules of an event by it."""
    reads = condition(
        'temperature > prev.back and rate(flow) > 1 and last("m1", "power") > 3 and hour(now) > 6 and device != "x"'
    ).reads

    assert reads == Reads(
        fields=frozenset({"temperature", "flow"}),
        prev=frozenset({"back", "flow"}),
        last=frozenset({("m1", "power")}),
        device=True,
        time=True,
    )
    assert condition("delta(flow) > 1").reads == Reads(frozenset({"flow"}), frozenset({"flow"}))
    assert condition("age(prev.flow) > 3").reads.time


def test_hours_are_those_of_the_time_zone_and_of_its_summer():
    """A rule for the night counts in local time."""
    summer = facts(wall_s=1_782_856_800.0)  # 30 June 2026, 22:00 UTC
    berlin = scope(zone="Europe/Berlin")

    assert value_of("hour(now)", summer) == 22
    assert value_of("hour(now)", summer, berlin) == 0
    assert value_of("weekday(now)", summer) == "tue"
    assert value_of("weekday(now)", summer, berlin) == "wed"
    assert value_of('between(now, "22:00", "06:00")', summer, berlin) is True
    assert value_of('between(now, "06:00", "22:00")', summer, berlin) is False


def test_while_nobody_knows_the_time_what_depends_on_it_is_unknown():
    """A gateway without a clock battery starts in 1970."""
    early = facts({"x": 1}, prev={"x": 1}, wall_s=None)

    for text in ("hour(now) > 6", 'weekday(now) == "mon"', 'between(now, "22:00", "06:00")', "now > 5"):
        assert value_of(text, early) is None, text
    assert value_of('age(prev.x) > "30s"', early) is True  # by the clock that nobody sets


@pytest.mark.parametrize("at_s", [0.0, -1.0, 1e300, 253_402_300_799.0, float(2**63)])
def test_a_number_that_is_no_time_has_no_hour(at_s):
    assert value_of("hour(x)", facts({"x": at_s})) is None


def test_a_change_is_against_the_last_event_that_had_the_field():
    given = facts({"level": 40.0}, prev={"level": 41.5}, ago_s=90)

    assert value_of("delta(level)", given) == -1.5
    assert value_of("rate(level)", given) == pytest.approx(-1.5 / 90)
    assert value_of('rate(level, "1h")', given) == pytest.approx(-60.0)
    assert value_of("rate(level)", facts({"level": 40.0}, prev={"level": 41.5}, ago_s=0)) is None
    assert value_of("rate(level)", facts({"level": 40.0})) is None
    assert value_of("age(prev.level)", facts(prev={"level": 1}, ago_s=-3)) == 0.0


def test_texts_are_looked_at_up_to_4_kib():
    """Whatever a device sends, looking at it takes a bounded time."""
    for text in ("x" * 4096, "€" * 1365 + "x", "ä" * 2048, "x" * 4093 + "€"):
        assert value_of("length(m)", facts({"m": text + "needle"})) == len(text)
        assert value_of('contains(m, "needle")', facts({"m": text + "needle"})) is False
        assert value_of('matches(m, "needle")', facts({"m": text + "needle"})) is False
        assert value_of("m == other", facts({"m": text + "needle", "other": text + "more"})) is True
    assert value_of('contains(m, "needle")', facts({"m": "x" * 4000 + "needle"})) is True
    assert value_of('lower(m) == "x"', facts({"m": "İ" * 5000})) is False
    assert len(value_of("lower(m)", facts({"m": "İ" * 5000})).encode()) <= 4096


def test_a_text_that_is_no_utf_8_is_looked_at_all_the_same():
    """JSON can hold half a character."""
    given = facts({"m": "\ud800" * 5000, "n": "a\ud800"})

    assert value_of('contains(m, "a")', given) is False
    assert value_of('matches(n, "^a")', given) is True


def test_a_field_may_have_the_name_of_a_function():
    assert value_of("rate > 3 and round(rate) == 5 and min > 1", facts({"rate": 5.2, "min": 2})) is True


def test_parameters_stand_for_their_value():
    """Templates of rules are filled with them; a clause that they decide is no mistake."""
    where = scope("boiler", parameters={"limit": 80, "state_wanted": "heating", "at_night_only": False})
    given = facts({"temperature": 85.0, "state": "heating"})

    assert condition("temperature > limit and state == state_wanted", where).evaluate(given) is True
    assert condition('at_night_only == false or between(now, "22:00", "06:00")', where).evaluate(given) is True
    assert condition("temperature > limit * 2.5", where).evaluate(given) is False
    assert condition("not at_night_only and temperature > limit", where).evaluate(given) is True
    assert problems('temperature > "limit"', where) == ["'limit' is a text, not a number"]


def test_a_field_that_only_some_profiles_have_is_asked_for_first():
    both = scope("boiler", "meter")

    assert problems("power > 3", both) == [
        "profile 'boiler' has no field 'power'; say that it may be missing: has(power)"
    ]
    for text in (
        "has(power) and power > 3",
        "default(power, 0) > 3",
        "power > 3 or not has(power)",
        "has(prev.power) and delta(power) > 3",
        "default(power * 2 + delta(power), 0) > 3",
    ):
        assert problems(text, both) == [], text
    assert problems("temperature > 399", both) == []


def test_a_profile_that_keeps_what_it_does_not_name_asks_for_the_same():
    hub = scope("hub")

    assert problems("kitchen_temperature > 30", hub) == []
    assert problems("rssi > -70", hub) == []
    assert "keeps what it does not name" in problems("battery < 20", hub)[0]
    assert condition("has(battery) and battery < 20", hub).evaluate(facts({"battery": 5})) is True
    assert condition('default(name, "") == "hall"', hub).evaluate(facts({"name": 5})) is False


def test_events_of_no_profile_have_any_name():
    some = scope("boiler", is_open=True)

    assert condition("temperature > 500 or tank > 3", some).evaluate(facts({"tank": 5})) is True
    assert problems("Tank > 3", some)[0].startswith("'Tank' is not a field name")


def test_the_age_of_what_came_in_this_event_is_no_question():
    assert value_of("age(prev.level)", facts({"level": 1}, prev={"level": 2}, ago_s=5)) == 5.0
    assert BOOT_S > 0


def test_the_same_condition_is_asked_again_and_again_with_the_same_answer():
    """Nothing is remembered between two events."""
    asked = condition('temperature > 80 and matches(message, "a+") and state in ["idle", "fault"]', ON_BOILERS)
    given = facts({"temperature": 85, "message": "aa", "state": "idle"})

    assert {asked.evaluate(given) for _ in range(100)} == {True}
    assert asked.evaluate(facts({"temperature": 85, "message": "b", "state": "idle"})) is False


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">=", "==", "!="])
@pytest.mark.parametrize(
    "value", [79, 80, 81, 79.5, 80.0, 80.5, True, "80", None, [80], 10**400], ids=lambda one: str(one)[:9]
)
def test_a_field_beside_a_number_has_a_closure_of_its_own_that_says_the_same(sign, value):
    """The fast way and the long way are one language."""
    given = facts({"x": value})
    is_number = type(value) in (int, float) and value != 10**400

    wanted = eval(f"value {sign} 80") if is_number else None
    assert value_of(f"x {sign} 80", given) is wanted
    assert value_of(f"x * 1 {sign} 80", given) is wanted
    assert value_of(f"80 {sign} x", given) is (eval(f"80 {sign} value") if is_number else None)


def test_texts_of_two_names_are_compared_up_to_4_kib():
    for text in ("m != other", "not (m == other)"):
        assert value_of(text, facts({"m": "a", "other": "b"}), ON_ANYTHING) is True
        assert value_of(text, facts({"m": "x" * 5_000, "other": "x" * 4_999})) is False
    asked = condition("message != label")
    assert asked.evaluate(facts({"message": "x" * 5_000, "label": "x" * 4_999})) is False
    assert asked.evaluate(facts({"message": "a", "label": "b"})) is True


def test_a_choice_between_values_of_no_known_kind_is_read_as_what_it_stands_beside():
    given = facts({"a": 5, "b": "5", "yes": True, "no": False})

    assert value_of("(a if yes else b) > 3", given) is True
    assert value_of("(a if no else b) > 3", given) is None
    assert value_of('default(missing, b) == "5"', given) is True


def test_a_value_of_another_device_that_may_not_exist_is_guarded_by_its_own_name():
    hubs = scope("hub")
    kind = hubs.kinds[0]
    where = type(hubs)(kinds=hubs.kinds, kind_of=lambda device: kind)

    assert "keeps what it does not name" in problems('last("h2", "load") > 3', where)[0]
    assert problems('has(last("h2", "load")) and last("h2", "load") > 3', where) == []


def test_units_by_another_name_are_the_same():
    """`F` in one profile is `°F` in another."""
    where = scope("odd")

    assert problems("indoor > outdoor", where) == []
    assert problems('indoor > "70 °F"', where) == []
    assert problems('tank in ["20 L", 30]', where) == []


@pytest.mark.parametrize(
    "text", ["-" * 300 + "x > 3", "not " * 200 + "x", "x" + "+x" * 200 + " > 3"], ids=["minus", "not", "sum"]
)
def test_a_deep_condition_is_refused_where_the_stack_is_nearly_full_too(text):
    """Rules are read from deep within a program."""
    depth = len(inspect.stack())
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 60)
    try:
        said = problems(text, ON_ANYTHING)
    finally:
        sys.setrecursionlimit(limit)

    assert said == ["this is nested too deep; allowed: 32 levels"]


def test_a_value_beyond_its_range_that_a_profile_keeps_can_be_asked_for():
    """`unfit: other` leaves what does not fit to the other fields, which may have the same name."""
    keeping = scope("keeping")

    assert problems('default(level, 0) > 200 and default(state, "") == "odd"', keeping) == []
    assert problems('level > 200 and state == "odd"', keeping) == []
    assert condition("level > 200", keeping).evaluate(facts({"level": 250})) is True
    assert condition("level > 200", keeping).evaluate(facts({"level": "odd"})) is None


def test_an_expression_that_is_always_the_same_says_so():
    """A threshold that is a literal needs no asking."""
    assert expression("60 * 5").literal == 300
    assert expression("x + 1").literal is None
    assert expression("limit", scope(parameters={"limit": 7})).literal == 7
