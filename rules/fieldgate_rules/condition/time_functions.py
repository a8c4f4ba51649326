"""Functions of the time: hours and days of the rule's time zone. While nobody knows the time, they are unknown."""

from __future__ import annotations

import re
from datetime import datetime, tzinfo
from typing import Final

from fieldgate_rules.condition.facts import Value
from fieldgate_rules.condition.nodes import Call, Literal, Node
from fieldgate_rules.condition.shapes import TRUTH, Kind, Shape
from fieldgate_rules.condition.wants import Example, Function, Parameter, Use, Wants, Wrong

__all__ = ["DAYS", "TIME_FUNCTIONS", "read_time_of_day"]

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_TIME: Final = Parameter("time", Wants.NUMBER)
_TIME_OF_DAY: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_NO_TIME: Final = "it is no time of the years 1970 to 9998"
_LAST_S: Final = 253_370_764_800  # 9999: whatever the zone, its local time is one that datetime has


def read_time_of_day(text: str) -> int:
    """Return minutes since midnight.

    Raises:
        ValueError: it is not written as HH:MM.
    """
    match = _TIME_OF_DAY.fullmatch(text)
    if match is None:
        raise ValueError(f'{text!r} is not a time of day; write it as "06:30" or "22:00"')
    return int(match[1]) * 60 + int(match[2])


def _local(at_s: float, zone: tzinfo) -> datetime | None:
    return datetime.fromtimestamp(at_s, zone) if 86_400 <= at_s < _LAST_S else None


def _call(use: Use, name: str, shape: Shape, run: object) -> Call:
    assert callable(run)
    time = use.arguments[0]
    if time.shape.unit not in ("", "s"):
        raise Wrong(time.span, f"a time is in seconds since 1970; this is in {time.shape.unit}")
    return Call(use.span, shape, name, use.arguments[:1], run, steps=24, why=_NO_TIME)


def _hour(use: Use) -> Node:
    zone = use.zone

    def run(at_s: float) -> Value | None:
        local = _local(at_s, zone)
        return None if local is None else local.hour

    return _call(use, "hour", Shape(Kind.NUMBER, is_whole=True).within(0, 23), run)


def _weekday(use: Use) -> Node:
    zone = use.zone

    def run(at_s: float) -> Value | None:
        local = _local(at_s, zone)
        return None if local is None else DAYS[local.weekday()]

    return _call(use, "weekday", Shape(Kind.TEXT, values=DAYS), run)


def _between(use: Use) -> Node:
    zone = use.zone
    _, first, last = use.arguments
    assert isinstance(first, Literal)
    assert isinstance(last, Literal)
    begin, end = read_time_of_day(str(first.value)), read_time_of_day(str(last.value))
    if begin == end:
        raise Wrong(last.span, f"from {first.value} to {last.value} there is no time between")

    def run(at_s: float) -> Value | None:
        local = _local(at_s, zone)
        if local is None:
            return None
        minute = local.hour * 60 + local.minute
        return begin <= minute < end if begin < end else minute >= begin or minute < end

    return _call(use, "between", TRUTH, run)


TIME_FUNCTIONS: Final = (
    Function("hour", (_TIME,), "number", "The hour of the day, 0 to 23.", (Example("hour(now)", 10),), _hour),
    Function(
        "weekday",
        (_TIME,),
        "text",
        f"The day of the week: {', '.join(DAYS)}.",
        (Example('weekday(now) in ["sat", "sun"]', False),),
        _weekday,
    ),
    Function(
        "between",
        (_TIME, Parameter("from", Wants.TIME_OF_DAY), Parameter("to", Wants.TIME_OF_DAY)),
        "truth",
        "Whether the time of day is `from` or later, and before `to`; past midnight where `from` is the later one.",
        (Example('between(now, "22:00", "06:00")', False), Example('between(now, "09:30", "12:00")', True)),
        _between,
    ),
)
