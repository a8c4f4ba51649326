"""From the values that one member of some messages had to the field of a profile that takes all of them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

__all__ = ["FieldDraft", "Raw", "Seen", "collect", "draft_field", "path_text"]

Raw = tuple[str, ...]

MAX_FIELDS: Final = 200
_MAX_DEPTH: Final = 6
_MAX_ENUM: Final = 10
_EXACT: Final = 1e15
_INT_BITS: Final = 63
_NO_READING: Final = frozenset(
    {"", "n/a", "na", "nan", "none", "null", "unknown", "unavailable", "-", "--", "---", "err", "error"}
)
_SENTINELS: Final = (-127, -999, -9999, -32768, 32767, 65535)
_MEASURES: Final = re.compile(
    r"temp|hum|press|volt|curr|power|watt|level|flow|speed|wind|rain|dist|weight|height|lat|lon|alt|co2|pm|lux|light|"
    r"moist|angle|freq|energy|volume|value|soil|dew|factor|consum|setpoint|target|brightness|illum"
)
_COUNTERS: Final = re.compile(r"uptime|count|total|energy|seq|packet|runtime|sum|kwh|boot|frame|impulse|pulse")
_NAMES: Final = re.compile(
    r"(^|_)(id|name|model|ip|mac|ssid|host|hostname|version|firmware|fw|serial|sn|uuid|msg|text)$"
)
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9 _/-]{0,23}")
_NUMBER: Final = re.compile("[0-9]+")
_PLAIN_STEP: Final = re.compile(r'[^."\[\]]+')
_UNITS: Final = (
    (re.compile(r"(temp\w*|dew\w*)_?(c|celsius)$|_celsius$"), "°C"),
    (re.compile(r"(temp\w*|dew\w*)_?(f|fahrenheit)$|_fahrenheit$"), "°F"),
    (re.compile(r"^(rel_?|relative_?)?hum(idity)?\w*$|_(pct|percent)$"), "%"),
    (re.compile(r"_hpa$"), "hPa"),
    (re.compile(r"_kpa$"), "kPa"),
    (re.compile(r"_mv$"), "mV"),
    (re.compile(r"_(v|volts?)$"), "V"),
    (re.compile(r"_ma$"), "mA"),
    (re.compile(r"_(a|amps?)$"), "A"),
    (re.compile(r"_(w|watts?)$"), "W"),
    (re.compile(r"_kwh$"), "kWh"),
    (re.compile(r"_wh$"), "Wh"),
    (re.compile(r"_mm$"), "mm"),
    (re.compile(r"_km_?h$"), "km/h"),
    (re.compile(r"_m_?s$"), "m/s"),
    (re.compile(r"_ppm$"), "ppm"),
    (re.compile(r"(^|_)rssi$"), "dBm"),
)
_RANGES: Final = (  # of what everybody measures, wide enough for what a sensor can say
    (re.compile(r"temp.*_?(f|fahrenheit)$"), -60.0, 300.0),
    (re.compile(r"temp"), -50.0, 150.0),
    (re.compile(r"^(rel_?|relative_?)?hum|_(pct|percent)$"), 0.0, 100.0),
    (re.compile(r"(^|_)rssi$"), -150.0, 0.0),
)


@dataclass(slots=True)
class Seen:
    """What stood at one place: values without null, and in how many readings there was one."""

    values: list[object] = field(default_factory=list)
    nulls: int = 0


@dataclass(frozen=True, slots=True)
class FieldDraft:
    """A field as it will stand in the profile, in the order of its keys. ``needs_lenient``: texts stand for numbers."""

    spec: Mapping[str, Any]
    needs_lenient: bool = False


def collect(records: Sequence[Mapping[str, Any]]) -> tuple[dict[Raw, Seen], list[str]]:
    """Return what stands where, in the order of appearance; and what is left out because it is sometimes a mapping."""
    seen: dict[Raw, Seen] = {}
    inner: set[Raw] = set()
    for record in records:
        _walk(record, (), seen, inner)
    notes = []
    for raw in [one for one in seen if one in inner]:
        values = [one for one in seen[raw].values if one != {}]
        below = [one for one in seen if len(one) > len(raw) and one[: len(raw)] == raw]
        if not values:
            del seen[raw]
            continue
        for one in below:
            del seen[one]
        if not all(isinstance(one, list) for one in values):
            del seen[raw]
            notes.append(f"{path_text(raw)} is a mapping in some messages and a value in others: left out")
    return seen, notes


def _walk(value: Mapping[str, Any], at: Raw, seen: dict[Raw, Seen], inner: set[Raw]) -> None:
    for key, below in value.items():
        raw = (*at, key)
        if isinstance(below, dict) and below and len(raw) < _MAX_DEPTH:
            inner.add(raw)
            _walk(below, raw, seen, inner)
            continue
        one = seen.setdefault(raw, Seen())
        if below is None:
            one.nulls += 1
        else:
            one.values.append(below)


def path_text(raw: Raw) -> str:
    """The path of a profile that leads there."""
    return ".".join(_step(one) for one in raw)


def _step(name: str) -> str:
    if _PLAIN_STEP.fullmatch(name) and name != "*":
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def draft_field(name: str, values: Sequence[object], *, is_always: bool, is_text: bool) -> FieldDraft | str:
    """Return the field for these values, at least one; or why there is none. ``is_text``: the decoder gives texts."""
    made = _of_kind(name, values, is_text=is_text)
    if isinstance(made, str) or is_always:
        return made
    return FieldDraft({**made.spec, "optional": True}, made.needs_lenient)


def _of_kind(name: str, values: Sequence[object], *, is_text: bool) -> FieldDraft | str:
    objects = [one for one in values if isinstance(one, dict | list)]
    bools = [one for one in values if isinstance(one, bool)]
    texts = [one for one in values if isinstance(one, str)]
    numbers = [one for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(objects) == len(values):
        return FieldDraft({"type": "object"})
    if len(bools) == len(values):
        return FieldDraft({"type": "bool"})
    if objects or bools or len(texts) + len(numbers) < len(values):
        return "its values are of several kinds"
    if is_text and texts and all(one.lower() in {"true", "false"} for one in texts) and not numbers:
        return FieldDraft({"type": "bool"})
    read = [_number(one) for one in texts]
    nothing = sorted({text for text, number in zip(texts, read, strict=True) if number is None})
    found = [*numbers, *(one for one in read if one is not None)]
    is_named = _NAMES.search(name) is not None or any(map(_is_code, texts))
    if found and not (is_named and texts) and all(text.strip().lower() in _NO_READING for text in nothing):
        if any(not math.isfinite(_float(one)) for one in found):
            return "a number is too large"
        spec = _numeric(name, found, nothing)
        return FieldDraft(spec, needs_lenient=bool(texts) and not is_text and len(found) > len(numbers))
    if numbers:
        return FieldDraft({"type": "string"}, needs_lenient=not is_text)
    return FieldDraft(_textual(name, texts))


def _number(text: str) -> int | float | None:
    """As a lenient field reads it."""
    if len(text) > 32:
        return None
    try:
        stripped = text.strip()
        number = int(stripped) if stripped.lstrip("+-").isdecimal() else float(stripped)
    except ValueError:
        return None
    return number if math.isfinite(_float(number)) else None


def _float(number: int | float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _is_code(text: str) -> bool:
    """Digits that are no quantity: ``0042``."""
    return text.isdecimal() and ((len(text) > 1 and text[0] == "0") or len(text) > 15)


def _textual(name: str, texts: Sequence[str]) -> dict[str, Any]:
    kinds = sorted(set(texts))  # whichever was said first: the same messages make the same draft
    is_numbered = len({_NUMBER.sub("", one) for one in kinds}) < len(kinds)  # names, of which there are more
    is_enum = not is_numbered and 1 < len(kinds) <= _MAX_ENUM and len(texts) >= max(3, 2 * len(kinds) - 1)
    if is_enum and _NAMES.search(name) is None and all(_WORD.fullmatch(one) for one in kinds):
        return {"type": "enum", "values": kinds}
    return {"type": "string"}


def _numeric(name: str, numbers: Sequence[int | float], nothing: Sequence[str]) -> dict[str, Any]:
    sentinels = [one for one in _SENTINELS if _is_sentinel(name, one, numbers)]
    real = [one for one in numbers if one not in sentinels]
    is_whole = all(isinstance(one, int) and one.bit_length() <= _INT_BITS for one in numbers)
    spec: dict[str, Any] = {"type": "int" if is_whole and _MEASURES.search(name) is None else "float"}
    unit = next((unit for pattern, unit in _UNITS if pattern.search(name)), "")
    if unit:
        spec["unit"] = unit
    low, high = _range(name, [float(one) for one in real])
    spec |= {key: _short(bound) for key, bound in (("min", low), ("max", high)) if bound is not None}
    if sentinels or nothing:
        spec["no_reading"] = [*sentinels, *nothing]
    return spec


def _short(number: float) -> int | float:
    return int(number) if number.is_integer() else number


def _is_sentinel(name: str, sentinel: int, numbers: Sequence[int | float]) -> bool:
    if sentinel not in numbers or (sentinel == -127 and "temp" not in name):
        return False
    others = [one for one in numbers if one not in _SENTINELS]
    return bool(others) and all(abs(one) < abs(sentinel) * 0.8 for one in others)


def _range(name: str, numbers: Sequence[float]) -> tuple[float | None, float | None]:
    """Least and greatest with room for what was not seen: ten times what the values spread, in round numbers."""
    low, high = min(numbers), max(numbers)
    if max(abs(low), abs(high)) > _EXACT:
        return None, None
    for pattern, known_least, known_most in _RANGES:
        if pattern.search(name) and known_least <= low and high <= known_most:
            return known_least, known_most
    room = max(10 * (high - low), abs(high), abs(low), 1.0)
    least = 0.0 if low >= 0 else -_rounded_up(room - low)
    is_counter = _COUNTERS.search(name) is not None or (
        len(numbers) > 2 and all(after > before for before, after in pairwise(numbers))
    )
    most = None if is_counter and low >= 0 else _rounded_up(high + room) if high > 0 else 0.0
    return least, most


def _rounded_up(number: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50 …"""
    power = 10.0 ** math.floor(math.log10(number))
    rounded = next(step for step in (1.0, 2.0, 5.0, 10.0, 100.0) if step * power >= number) * power
    return float(f"{rounded:.6g}")
