"""The fields of the sentences of NMEA 0183 that are known by name.

Positions are degrees, south and west negative; one that cannot be (``8960.0000,N``) is None where there is no fix.
``time`` is given where a sentence has date and time; a leap second counts as the one before. A field that is empty or
not there is None; fields that later versions add are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from fieldgate_devices.decoders.decoder import Record, Undecodable, Value, excerpt

__all__ = ["values_of"]

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,16}(?:\.[0-9]{0,16})?|\.[0-9]{1,16})")
_TIME: Final = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})(\.[0-9]{1,9})?")
_ANGLE: Final = re.compile(r"([0-9]{1,3})([0-9]{2}(?:\.[0-9]{1,16})?)")
_DATE: Final = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})")
_CENTURY_FROM: Final = 80  # GPS began in 1980: two digits from here are of the last century


def _number(text: str) -> Value:
    if not _NUMBER.fullmatch(text):
        raise Undecodable(f"{excerpt(text)} is no number")
    return float(text)


def _whole(text: str) -> Value:
    if not text.isascii() or not text.isdigit() or len(text) > 16:
        raise Undecodable(f"{excerpt(text)} is no whole number")
    return int(text)


def _text(text: str) -> Value:
    return text


def _clock(text: str) -> Value:
    hours, minutes, seconds, fraction = _clock_parts(text)
    return f"{hours:02}:{minutes:02}:{seconds:02}{fraction}"


def _clock_parts(text: str) -> tuple[int, int, int, str]:
    match = _TIME.fullmatch(text)
    if match is None or int(match[1]) > 23 or int(match[2]) > 59 or int(match[3]) > 60:
        raise Undecodable(f"{excerpt(text)} is no time of day")
    return int(match[1]), int(match[2]), int(match[3]), match[4] or ""


Part = tuple[str, Callable[[str], Value]]
_SKIP: Final[Part] = ("", _text)
_LATITUDE: Final[Part] = ("latitude", _text)  # two fields each; see `_position`
_LONGITUDE: Final[Part] = ("longitude", _text)

_SENTENCES: Final[dict[str, tuple[Part, ...]]] = {
    "GGA": (
        ("time_of_day", _clock),
        _LATITUDE,
        _SKIP,
        _LONGITUDE,
        _SKIP,
        ("quality", _whole),
        ("satellites", _whole),
        ("hdop", _number),
        ("altitude_m", _number),
        _SKIP,
        ("geoid_separation_m", _number),
        _SKIP,
        ("correction_age_s", _number),
        ("correction_station", _text),
    ),
    "GNS": (
        ("time_of_day", _clock),
        _LATITUDE,
        _SKIP,
        _LONGITUDE,
        _SKIP,
        ("modes", _text),
        ("satellites", _whole),
        ("hdop", _number),
        ("altitude_m", _number),
        ("geoid_separation_m", _number),
        ("correction_age_s", _number),
        ("correction_station", _text),
        ("navigation_status", _text),
    ),
    "RMC": (
        ("time_of_day", _clock),
        ("status", _text),
        _LATITUDE,
        _SKIP,
        _LONGITUDE,
        _SKIP,
        ("speed_knots", _number),
        ("course_deg", _number),
        ("date", _text),
        ("variation_deg", _number),
        ("variation_direction", _text),
        ("mode", _text),
        ("navigation_status", _text),
    ),
    "GLL": (_LATITUDE, _SKIP, _LONGITUDE, _SKIP, ("time_of_day", _clock), ("status", _text), ("mode", _text)),
    "VTG": (
        ("course_deg", _number),
        _SKIP,
        ("course_magnetic_deg", _number),
        _SKIP,
        ("speed_knots", _number),
        _SKIP,
        ("speed_kmh", _number),
        _SKIP,
        ("mode", _text),
    ),
    "GSA": (
        ("selection", _text),
        ("fix", _whole),
        *(("", _text),) * 12,  # the satellites in use
        ("pdop", _number),
        ("hdop", _number),
        ("vdop", _number),
        ("system", _text),
    ),
    "GSV": (("messages", _whole), ("message", _whole), ("satellites_in_view", _whole)),
    "ZDA": (
        ("time_of_day", _clock),
        ("day", _whole),
        ("month", _whole),
        ("year", _whole),
        ("zone_hours", _number),
        ("zone_minutes", _number),
    ),
    "HDT": (("heading_deg", _number), _SKIP),
}

_NO_FIX: Final = {"GGA": (5, "0"), "RMC": (1, "V"), "GLL": (5, "V")}
"""Which field says that there is no fix, and how."""


def values_of(sentence: str, fields: Sequence[str]) -> Record | None:
    """Return the values of a sentence; None where it is not known.

    Raises:
        Undecodable: a field is not what it must be.
    """
    parts = _SENTENCES.get(sentence)
    if parts is None:
        return None
    values: Record = {}
    for place, (name, read) in enumerate(parts):
        text = fields[place] if place < len(fields) else ""
        if not name:
            continue
        try:
            if name in {"latitude", "longitude"}:
                values[name] = _position(text, fields[place + 1] if place + 1 < len(fields) else "", name)
            else:
                values[name] = read(text) if text else None
        except Undecodable as error:
            if name in {"latitude", "longitude"} and _has_no_fix(sentence, fields):
                values[name] = None  # receivers write something there that is no place
                continue
            raise Undecodable(f"{sentence}: {name}: {error.reason}") from None
    if sentence == "GSA":
        values["satellites_used"] = [_whole(one) for one in fields[2:14] if one]
    elif sentence == "GNS":  # one letter for each system of satellites
        values["status"] = "A" if str(values["modes"] or "").strip("N") else "V"
    elif sentence == "GSV":
        values["satellites_seen"] = _satellites(fields[3:])
    elif sentence in {"RMC", "ZDA"}:
        values["time"] = _time_of(sentence, values, fields)
    return values


def _has_no_fix(sentence: str, fields: Sequence[str]) -> bool:
    place, sign = _NO_FIX.get(sentence, (0, None))
    return place < len(fields) and fields[place] == sign


def _position(angle: str, side: str, name: str) -> Value:
    """Degrees and minutes (``4807.038,N``) as degrees."""
    if not angle and not side:
        return None
    match = _ANGLE.fullmatch(angle)
    sides, limit = ("NS", 90) if name == "latitude" else ("EW", 180)
    if match is None or len(side) != 1 or side not in sides:
        raise Undecodable(f"{excerpt(f'{angle},{side}')} is no {name}")
    minutes = float(match[2])
    degrees = int(match[1]) + minutes / 60
    if minutes >= 60 or degrees > limit:
        raise Undecodable(f"{excerpt(f'{angle},{side}')} is no {name}")
    return round(-degrees if side in "SW" else degrees, 9)


def _satellites(fields: Sequence[str]) -> list[Value]:
    """Groups of four; what is left over (a signal id since 4.10) is no satellite."""
    found: list[Value] = []
    for start in range(0, len(fields) - 3, 4):
        number, elevation, azimuth, strength = fields[start : start + 4]
        if number:
            satellite: Record = {
                "satellite": _whole(number),
                "elevation_deg": _number(elevation) if elevation else None,
                "azimuth_deg": _number(azimuth) if azimuth else None,
                "snr_db": _number(strength) if strength else None,
            }
            found.append(satellite)
    return found


def _time_of(sentence: str, values: Record, fields: Sequence[str]) -> Value:
    """Date and time in UTC, as ISO 8601; None where either is missing."""
    clock = fields[0] if fields else ""
    if sentence == "ZDA":
        day, month, year = values["day"], values["month"], values["year"]
    else:
        day, month, year = _date(str(values["date"] or ""))
    if not clock or not isinstance(day, int) or not isinstance(month, int) or not isinstance(year, int):
        return None
    hours, minutes, seconds, fraction = _clock_parts(clock)
    try:
        at = datetime(year, month, day, hours, minutes, min(seconds, 59), tzinfo=UTC)
    except ValueError:
        raise Undecodable(f"{sentence}: {year}-{month}-{day} is no date") from None
    return f"{at:%Y-%m-%dT%H:%M:%S}{fraction}Z" if year >= 1000 else None


def _date(text: str) -> tuple[Value, Value, Value]:
    if not text:
        return None, None, None
    match = _DATE.fullmatch(text)
    if match is None:
        raise Undecodable(f"RMC: date: {excerpt(text)} is no date")
    year = int(match[3])
    return int(match[1]), int(match[2]), year + (1900 if year >= _CENTURY_FROM else 2000)
