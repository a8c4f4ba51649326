"""Broken on purpose: each mistake that the language could have is noticed by comparison with the slow interpreter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest

from condition_kit import ON_BOILERS, PROFILES, facts, here, problems
from condition_reference import UNKNOWN, Reference
from fieldgate_rules.condition import Facts, comparing, comparisons, lint, read_condition, reads, time_functions
from fieldgate_rules.condition import compiler as compiler_module

REFERENCE = Reference(PROFILES["boiler"])
TEXTS = [
    "temperature > 80 and flow > 2", "temperature > 80 or flow > 2", "not (flow > 2)", "not alarm", "flow > 2",
    "temperature > 80 and flow > 2 and alarm", "0 < flow < count < 80",
    "flow / back > 1", "flow % back == 0",
    "default(flow, 5) > 2", "default(door, true)", "(flow > 2 if alarm else temperature > 80)",
    "flow * 1e300 * 1e300 > 1",
    'contains(message, "x")', "mode not in [1, 2]", "mode in [1, 2]",
    "has(alarm)", "has(flow)", "count + 1 > 1",
    'state != "idle"', "temperature > 80 and flow > 2 and alarm and door", "rate(temperature) > 0", "delta(flow) > 0",
    'between(now, "22:00", "06:00")', 'uptime > "30m"', "-flow < 0", 'matches(message, "^a")', "age(prev.flow) > 3",
    "prev.count > 0", "temperature > 80 and flow > 2 and back > 1",
]  # fmt: skip
EVENTS = [
    facts(), facts({"temperature": 85.0}), facts({"temperature": 20.0}), facts({"temperature": 85.0, "flow": 3.0}),
    facts({"flow": 0.0, "back": 0.0, "door": False, "mode": 3, "count": -1}),
    facts({"flow": 1.0, "alarm": False, "door": True, "mode": 1, "count": 3}), facts({"count": -5}),
    facts({"flow": 5.0, "back": 2.0, "alarm": True, "temperature": 90.0, "state": "idle"}, prev={"flow": 4.0}),
    facts({"temperature": 20.0, "flow": 3.0, "back": 2.0}),
    facts({"temperature": 90.0}, prev={"temperature": 2, "count": True}),
    facts({"flow": True, "count": True, "alarm": 1, "message": "a" * 5_000 + "x", "uptime": 0.5}),
    facts({"flow": "3", "count": "3", "alarm": "yes", "message": "ax", "state": "fault", "uptime": 0.51}, wall_s=None),
    facts({"temperature": 85.0, "flow": 3.0, "alarm": True}, wall_s=1_767_582_000.0),
    facts({"flow": 90.0, "temperature": 20.0}, prev={"flow": "x", "temperature": None}, ago_s=0.0),
]  # fmt: skip


def differences() -> Iterator[tuple[str, Facts, object, object]]:
    """Where closures made now say something else than the slow interpreter."""
    for text in TEXTS:
        read = read_condition(here(text), ON_BOILERS)
        assert read.expression is not None, (text, read.problems)
        for one in EVENTS:
            value, wanted = read.expression.evaluate(one), REFERENCE.value(text, one)
            if (None if wanted is UNKNOWN else wanted) is not value:
                yield text, one, value, wanted


def test_without_a_mutant_there_is_no_difference():
    """Control."""
    assert list(differences()) == []


def unknown_is_false(make: Callable) -> Callable:
    """A closure that says false where it should say unknown."""

    def made(*arguments):
        run = make(*arguments)
        return lambda given: run(given) or False

    return made


def unknown_is_true(make: Callable) -> Callable:
    def made(*arguments):
        run = make(*arguments)
        return lambda given: True if (value := run(given)) is None else value

    return made


def zero_for_unknown(make: Callable) -> Callable:
    """A closure that says 0 where it should say unknown."""

    def made(*arguments):
        run = make(*arguments)
        return lambda given: 0 if (value := run(given)) is None else value

    return made


def unfounded(clause, general):
    """A fast way that answers whenever one clause can be answered."""
    name, kind, compare, wanted = clause
    return lambda given: compare(one, wanted) if type(one := given.fields.get(name)) is kind else general(given)


def eager(parts):
    """`and` that ends at the first clause that is not true."""

    def run(given):
        value = True
        for part in parts:
            value = part(given)
            if value is not True:
                break
        return value

    return run


MUTANTS = {
    "unknown and true is false": (compiler_module, "_both", unknown_is_false(compiler_module._both)),
    "true, true and unknown is false": (compiler_module, "_all_three", unknown_is_false(compiler_module._all_three)),
    "and ends at what is unknown": (compiler_module, "_all_of", eager),
    "the fast way looks at the last clause only": (
        comparing, "_two_fused", lambda first, second, general: unfounded(second, general),
    ),
    "the fast way of three looks at the last clause only": (
        comparing, "_three_fused", lambda first, second, third, general: unfounded(third, general),
    ),
    "unknown or false is false": (compiler_module, "_any_of", unknown_is_false(compiler_module._any_of)),
    "not unknown is true": (compiler_module, "_not", unknown_is_true(compiler_module._not)),
    "missing > 2 is false": (comparing, "_NUMBERS", {**comparing._NUMBERS, ">": unknown_is_false(comparing._greater)}),
    "missing != text is true": (
        comparing,
        "_texts",
        lambda name, wanted, *, is_equal: lambda given: (given.fields.get(name) == wanted) is is_equal,
    ),
    "a chain with a gap is false": (comparing, "_chain", unknown_is_false(comparing._chain)),
    "missing not in a list is true": (comparing, "looking_up", unknown_is_true(comparing.looking_up)),
    "a division by 0 is 0": (compiler_module, "_arithmetic", zero_for_unknown(compiler_module._arithmetic)),
    "infinity is a number": (compiler_module, "MAX_NUMBER", math.inf),
    "a default for what is 0": (
        compiler_module, "_default", lambda part, fallback: lambda given: part(given) or fallback(given),
    ),
    "an unknown test chooses the other": (
        compiler_module,
        "_choice",
        lambda then, test, otherwise: lambda given: then(given) if test(given) else otherwise(given),
    ),
    "texts are not cut": (compiler_module, "cut", lambda text: text),
    "true is 1": (
        reads, "known_number", lambda value: value if isinstance(value, int | float) and value is not None else None,
    ),
    "any value is true or false": (reads, "_known_truth", lambda value: None if value is None else bool(value)),
    "what is there is known": (
        compiler_module, "_has", lambda node, part: lambda given: given.fields.get(node.name) is not None,
    ),
    "a rate without time": (compiler_module, "_rate", unknown_is_false(compiler_module._rate)),
    "the age of what never came is 0": (compiler_module, "_age", lambda node: lambda given: 60.0),
    "a negative is what it was": (compiler_module, "_negative", lambda part: part),
    "the night has no end": (
        time_functions, "read_time_of_day", lambda text: 0 if text == "06:00" else 22 * 60,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_noticed(monkeypatch, name):
    """A check that nothing can fail checks nothing."""
    module, attribute, mutant = MUTANTS[name]
    monkeypatch.setattr(module, attribute, mutant)
    if module is comparing and attribute == "looking_up":
        monkeypatch.setattr(compiler_module, attribute, mutant)

    assert list(differences())


def test_the_reader_takes_what_is_possible_and_refuses_what_is_not():
    """Control."""
    assert problems("temperature >= 150") == []
    assert problems('state == "heatin"') != []
    assert problems("flow > 80 and flow < 20") != []


def test_a_reader_that_is_too_strict_or_too_lax_is_noticed(monkeypatch):
    ask = comparisons.can_be_true
    with monkeypatch.context() as broken:
        broken.setattr(comparisons, "can_be_true", lambda sign, left, right: ask(sign[0], left, right))
        assert problems("temperature >= 150") != []
    with monkeypatch.context() as broken:
        broken.setattr(comparisons, "_check_value", lambda *arguments: None)
        assert problems('state == "heatin"') != ["state is never 'heatin'; did you mean 'heating'?"]
    with monkeypatch.context() as broken:
        broken.setattr(lint, "_conflicts", lambda *arguments, **more: iter(()))
        assert problems("flow > 80 and flow < 20") == []
