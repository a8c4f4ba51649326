"""Clauses that have a closure of their own say what they say one by one."""

from __future__ import annotations

import itertools

import pytest

from condition_kit import ON_ANYTHING, condition, facts

ODD = [85.0, 20.0, 85, 20, True, "on", "off", None, [1], 10**400]


@pytest.mark.parametrize("names", ["ab", "abc"])
def test_clauses_that_are_asked_together_say_what_they_say_one_by_one(names):
    """Two and three comparisons of fields with literals have a fast way of their own."""
    clauses = {"a": "a > 80", "b": 'b != "off"', "c": "c <= 80"}
    together = condition(" and ".join(clauses[name] for name in names), ON_ANYTHING)
    alone = [condition(clauses[name], ON_ANYTHING) for name in names]
    for values in itertools.product(ODD, repeat=len(names)):
        given = facts({name: value for name, value in zip(names, values, strict=True) if value is not None})
        truths = [one.evaluate(given) for one in alone]

        wanted = False if False in truths else None if None in truths else True
        assert together.evaluate(given) is wanted, values
