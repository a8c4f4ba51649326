"""Device times: texts and numbers as devices write them, to UTC in nanoseconds since 1970."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ["EARLIEST_NS", "TIME_FORMATS", "TimeReader", "check_time_format", "check_zone", "time_reader"]

EARLIEST_NS: Final = 946_684_800 * 10**9  # 2000: a clock before it was never set
_LATEST_NS: Final = 9_223_372_036 * 10**9  # in 2262: what a signed number of 64 bits holds
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS_NS: Final = {"unix_s": 10**9, "unix_ms": 10**6, "unix_us": 10**3, "unix_ns": 1}
TIME_FORMATS: Final = ("iso8601", *_UNITS_NS)
_MAX_TEXT: Final = 64

TimeReader = Callable[[object], "int | None"]
"""Returns UTC in ns; None for a clock that was never set (before 2000). Raises ValueError for what is no time."""


def check_zone(name: str) -> str:
    """Return ``name`` if it is a time zone of the IANA database, else raise ValueError."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a time zone; write one such as UTC or Europe/Berlin") from error
    return name


def check_time_format(text: str) -> str:
    """Return ``text`` if it is a name in `TIME_FORMATS` or a strptime pattern that gives a date."""
    if text in TIME_FORMATS:
        return text
    if "%" not in text:
        raise ValueError(
            f"{text!r} is not a format of times; allowed: {', '.join(TIME_FORMATS)}, or one such as '%d.%m.%Y %H:%M'"
        )
    try:
        sample = datetime(2026, 11, 26, 13, 5, 7, tzinfo=UTC)
        datetime.strptime(sample.strftime(text), text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a format of times: {error}") from error
    return text


def time_reader(form: str, zone: str) -> TimeReader:
    """Return the function for a checked format and zone; the zone counts where the text names none."""
    unit_ns = _UNITS_NS.get(form)
    if unit_ns is not None:
        return lambda value: _of_number(value, unit_ns)
    where = ZoneInfo(zone)
    if form == "iso8601":
        return lambda value: _of_datetime(_iso(value), where)
    return lambda value: _of_datetime(_parse(value, form), where)


def _of_number(value: object, unit_ns: int) -> int | None:
    if isinstance(value, str) and len(value) <= _MAX_TEXT:
        try:
            value = float(value) if "." in value or "e" in value.lower() else int(value)
        except ValueError as error:
            raise ValueError(f"{_shown(value)} is not a number") from error
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{_shown(value)} is not a number")
    if abs(value) > _LATEST_NS:
        raise ValueError(f"{_shown(value)} lies after the year 2262")
    if isinstance(value, float):
        whole = math.floor(value)
        fraction_us = round((value - whole) * unit_ns / 1000)  # a float holds no more of it
        return _within(whole * unit_ns + fraction_us * 1000)
    return _within(value * unit_ns)


def _iso(value: object) -> datetime:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise ValueError(f"{_shown(value)} is not a time")
    try:
        return datetime.fromisoformat(value.strip())
    except ValueError as error:
        raise ValueError(f"{_shown(value)} is not a time in ISO 8601") from error


def _parse(value: object, form: str) -> datetime:
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ValueError(f"{_shown(value)} is not a time")
    try:
        return datetime.strptime(str(value)[:_MAX_TEXT].strip(), form)
    except ValueError as error:
        raise ValueError(f"{_shown(value)} is not a time as {form!r} writes it") from error


def _of_datetime(at: datetime, zone: tzinfo) -> int | None:
    if at.tzinfo is None:
        at = at.replace(tzinfo=zone)
    try:
        since = at - _EPOCH
    except OverflowError as error:
        raise ValueError("the time is out of range") from error
    return _within((since // timedelta(microseconds=1)) * 1000)


def _within(at_ns: int) -> int | None:
    if at_ns > _LATEST_NS:
        raise ValueError("the time lies after the year 2262")
    return at_ns if at_ns >= EARLIEST_NS else None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
