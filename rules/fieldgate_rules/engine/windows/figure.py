"""What is added up of one figure in one pane; panes are merged into windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from fieldgate_rules.condition import Closure, Facts
from fieldgate_rules.rule import WindowValue

__all__ = ["Adder", "Sum", "adder", "merged", "result"]


class Sum(msgspec.Struct, array_like=True):
    """Of the values so far: how many, their sum (compensated), mean and squares (Welford), ends, area."""

    count: int = 0
    total: float = 0.0
    rest: float = 0.0
    mean: float = 0.0
    squares: float = 0.0
    least: float = math.inf
    greatest: float = -math.inf
    first: Any = None
    last: Any = None
    area: float = 0.0


Adder = Callable[[Sum, Facts], None]
"""Takes one event into a sum."""


def adder(figure: WindowValue) -> Adder:
    """Return what takes one event into a sum; only what the figure needs is added up.

    It is asked for each event, so that what depends on the figure alone is decided here. The area of an integral is
    the window's: it goes over panes.
    """
    function = figure.spec.function
    if figure.of is None:
        return _count
    of = figure.of.evaluate
    if function == "count":
        return lambda sum_, facts: _count(sum_, facts) if of(facts) is True else None
    return _ADDERS.get(function, _ends)(of)


def _count(sum_: Sum, facts: Facts) -> None:
    del facts
    sum_.count += 1


def _total(of: Closure) -> Adder:
    def add(sum_: Sum, facts: Facts) -> None:
        value = of(facts)
        if type(value) is float or type(value) is int:
            sum_.count += 1
            before = sum_.total
            total = sum_.total = before + value
            added = total - before  # what the sum lost is exact, whichever of both is larger (Knuth's TwoSum)
            sum_.rest += (before - (total - added)) + (value - added)

    return add


def _least(of: Closure) -> Adder:
    def add(sum_: Sum, facts: Facts) -> None:
        value = of(facts)
        if type(value) is float or type(value) is int:
            sum_.count += 1
            if value < sum_.least:
                sum_.least = value

    return add


def _greatest(of: Closure) -> Adder:
    def add(sum_: Sum, facts: Facts) -> None:
        value = of(facts)
        if type(value) is float or type(value) is int:
            sum_.count += 1
            if value > sum_.greatest:
                sum_.greatest = value

    return add


def _spread(of: Closure) -> Adder:
    def add(sum_: Sum, facts: Facts) -> None:
        value = of(facts)
        if type(value) is float or type(value) is int:
            sum_.count += 1
            apart = value - sum_.mean
            sum_.mean += apart / sum_.count
            sum_.squares += apart * (value - sum_.mean)

    return add


def _first_and_last(of: Closure) -> Adder:
    """Of anything, not of numbers alone."""

    def add(sum_: Sum, facts: Facts) -> None:
        value = of(facts)
        if value is None:
            return
        sum_.count += 1
        if sum_.first is None:
            sum_.first = value
        sum_.last = value

    return add


def _ends(of: Closure) -> Adder:
    """Of numbers."""
    return _first_and_last(lambda facts: None if isinstance(value := of(facts), bool | str) else value)


_ADDERS: Final[Mapping[str, Callable[[Closure], Adder]]] = {
    "avg": _total,
    "sum": _total,
    "min": _least,
    "max": _greatest,
    "stddev": _spread,
    "first": _first_and_last,
    "last": _first_and_last,
}


def merged(sums: list[Sum]) -> Sum:
    """Return the sum of all, which are in the order of time."""
    whole = Sum()
    for one in sums:
        whole.area += one.area
        if not one.count:
            continue
        count = whole.count + one.count
        apart = one.mean - whole.mean
        whole.squares += one.squares + apart * apart * whole.count * one.count / count
        whole.mean += apart * one.count / count
        total = whole.total + one.total
        larger, smaller = (whole.total, one.total) if abs(whole.total) >= abs(one.total) else (one.total, whole.total)
        whole.rest += one.rest + ((larger - total) + smaller)
        whole.total = total
        whole.least, whole.greatest = min(whole.least, one.least), max(whole.greatest, one.greatest)
        whole.first = one.first if whole.first is None else whole.first
        whole.last = one.last
        whole.count = count
    return whole


def result(sum_: Sum, figure: WindowValue, before: Any) -> Any:
    """Return the figure; None where there is none. ``before`` is the last value of the window before."""
    function = figure.spec.function
    if function == "count":
        return sum_.count
    if function == "integral":
        per_s = figure.spec.per or 1.0
        return _finite(sum_.area / per_s)
    if not sum_.count:
        return None
    match function:
        case "avg":
            return _finite((sum_.total + sum_.rest) / sum_.count)
        case "sum":
            return _finite(sum_.total + sum_.rest)
        case "min":
            return sum_.least
        case "max":
            return sum_.greatest
        case "first":
            return sum_.first
        case "last":
            return sum_.last
        case "stddev":
            return 0.0 if sum_.squares <= 0.0 else _finite(math.sqrt(sum_.squares / sum_.count))
        case _:
            return _finite(sum_.last - (sum_.first if before is None else before))


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
