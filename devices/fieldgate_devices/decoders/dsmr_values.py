"""The values of a line of a DSMR telegram: ``(000123.456*kWh)``, ``(161129200000W)(00981.443*m3)``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, assert_never
from zoneinfo import ZoneInfo

from fieldgate_devices.decoders.decoder import Record, Undecodable, Value, excerpt
from fieldgate_devices.decoders.dsmr_table import Code

__all__ = ["values_of"]

_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,16}(?:\.[0-9]{1,16})?")
_TIME: Final = re.compile(r"([0-9]{12})([SW])?")
_THOUSANDTHS: Final = frozenset({"W", "Wh", "var", "varh", "VA", "VAh"})  # of what most meters write: kW, kWh …
_SUMMER: Final = timezone(timedelta(hours=2))
_WINTER: Final = timezone(timedelta(hours=1))
_NEVER: Final = "632525252525"  # bytes ff as a time: a meter on the bus that was not heard, a month without a peak
_OLD_READING: Final = 7  # groups of a gas reading before DSMR 4


def values_of(code: Code, groups: list[str]) -> Value:
    """Return what the groups in parentheses say.

    Raises:
        Undecodable: they are not what that code has.
    """
    match code.shape:
        case "value":
            values = [_value(kind, group) for kind, group in zip(code.kinds, groups, strict=False)]
            return values[0] if len(values) == 1 else list(values)
        case "reading":
            return _reading(groups)
        case "peaks":
            return _peaks(groups)
        case "log":
            return _log(groups)
        case _:
            assert_never(code.shape)


def _reading(groups: list[str]) -> Record:
    """Time, value and unit of another meter's reading; no value where it was never heard."""
    if len(groups) == _OLD_READING:
        return {"time": _time(groups[0]), "value": _number(groups[6]), "unit": groups[5] or None}
    if len(groups) != 2:
        raise Undecodable(f"a reading has 2 groups (7 before DSMR 4), not {len(groups)}")
    number, _, unit = groups[1].partition("*")
    value = None if groups[0].startswith(_NEVER) else _number(number)
    return {"time": _time(groups[0]), "value": value, "unit": unit or None}


def _peaks(groups: list[str]) -> list[Value]:
    """Highest demand of past months (Belgium): a count, two codes, then month, time and value of each."""
    count = _count(groups)
    if len(groups) != (3 + 3 * count if count else len(groups)):
        raise Undecodable(f"{count} peaks do not fit {len(groups)} groups")
    return [
        {"month": _time(month), "time": _time(time), "value": _number(number.partition("*")[0])}
        for month, time, number in zip(*[iter(groups[3 : 3 + 3 * count])] * 3, strict=True)
    ]


def _log(groups: list[str]) -> list[Value]:
    """Long power failures: a count, a code, then end and duration of each."""
    count = _count(groups)
    if count and len(groups) != 2 + 2 * count:
        raise Undecodable(f"{count} entries do not fit {len(groups)} groups")
    return [
        {"time": _time(end), "value": _number(duration.partition("*")[0])}
        for end, duration in zip(*[iter(groups[2 : 2 + 2 * count])] * 2, strict=True)
    ]


def _count(groups: list[str]) -> int:
    text = groups[0]
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 3:
        raise Undecodable(f"{excerpt(text)} is no count")
    return int(text)


def _value(kind: str, group: str) -> Value:
    text, _, unit = group.partition("*")
    if not text.strip("\xff"):  # a text that was never written
        return None
    if kind == "timestamp":
        return _time(text)
    if kind == "Decimal":
        number = _number(text)
        return round(number / 1000, 10) if number is not None and unit in _THOUSANDTHS else number
    if kind == "int":
        number = _number(text)
        return int(number) if number is not None else None
    return group


def _number(text: str) -> float | None:
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        raise Undecodable(f"{excerpt(text)} is no number")
    return float(text)


def _time(text: str) -> str | None:
    """``161129200000W`` as ISO 8601 in UTC: W is winter time (UTC+1), S summer time (UTC+2).

    Before DSMR 4 the letter is missing; then the calendar of the Netherlands decides.
    """
    match = _TIME.fullmatch(text)
    if text.startswith(_NEVER) or not text.strip("0-"):
        return None  # a meter that does not know
    if match is None:
        raise Undecodable(f"{excerpt(text)} is no time")
    zone = {"S": _SUMMER, "W": _WINTER, None: ZoneInfo("Europe/Amsterdam")}[match[2]]
    try:
        at = datetime.strptime(match[1], "%y%m%d%H%M%S").replace(tzinfo=zone)
    except ValueError:
        if not match[1].strip("0"):
            return None
        raise Undecodable(f"{excerpt(text)} is no time") from None
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"
