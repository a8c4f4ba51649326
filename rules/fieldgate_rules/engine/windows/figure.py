"""What is added up of one figure in one pane; panes are merged into windows."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from fieldgate_rules.rule import WindowValue

__all__ = ["Sum", "add", "merged", "result"]


class Sum(msgspec.Struct, array_like=True):
    """Of the values so far: how many, their sum (compensated, Neumaier), mean and squares (Welford), ends, area."""

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


def add(sum_: Sum, figure: WindowValue, value: Any) -> None:
    """Take one value; only what the figure needs is added up."""
    sum_.count += 1
    if sum_.first is None:
        sum_.first = value
    sum_.last = value
    if value is True or isinstance(value, str):
        return
    match figure.spec.function:
        case "avg" | "sum":
            before = sum_.total
            total = sum_.total = before + value
            sum_.rest += (before - total) + value if abs(before) >= abs(value) else (value - total) + before
        case "min":
            sum_.least = min(sum_.least, value)
        case "max":
            sum_.greatest = max(sum_.greatest, value)
        case "stddev":
            apart = value - sum_.mean
            sum_.mean += apart / sum_.count
            sum_.squares += apart * (value - sum_.mean)
        case _:
            pass


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
