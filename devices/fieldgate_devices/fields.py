"""Turn one raw value of a message into the value of a field, or say how it breaks the contract.

The order: where it stands (``from``), what means no reading, ``map``, ``scale`` and ``offset``, the unit, the type, the
range.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from fieldgate_devices.breach import Breach, shown
from fieldgate_devices.conditions import Conditions
from fieldgate_devices.field_model import FieldSpec
from fieldgate_devices.members import Trail
from fieldgate_devices.paths import ABSENT, Path, read_path
from fieldgate_devices.units import Conversion, conversion, known_unit, units_like

__all__ = ["FieldReader", "NoReading", "finite", "json_value"]

_INT_MIN: Final = -(1 << 63)
_INT_MAX: Final = (1 << 64) - 1
_TRUTHS: Final = {
    **dict.fromkeys(("true", "on", "yes", "1"), True),
    **dict.fromkeys(("false", "off", "no", "0"), False),
}
_NOTHING: Final = object()  # no value was found yet; ABSENT is one that means no reading
_DECIMALS: Final = 10  # 215 * 0.1 is 21.5, not 21.500000000000004


class NoReading:
    """Raw values that mean that there is no reading; a number is meant however it is written."""

    __slots__ = ("_numbers", "_values")

    def __init__(self, values: Iterable[object]) -> None:
        self._values = frozenset((type(one), one) for one in values)
        self._numbers = [one for kind, one in self._values if kind in (int, float)]

    def means(self, raw: object) -> bool:
        """Whether ``raw`` is one of them."""
        if not self._values or isinstance(raw, dict | list | bytes):
            return False
        if (type(raw), raw) in self._values:
            return True
        number = raw
        if isinstance(raw, str) and len(raw) <= 32:  # a text of a text format
            try:
                number = float(raw)
            except ValueError:
                return False
        if isinstance(number, bool) or not isinstance(number, int | float):
            return False
        return number in self._numbers


class FieldReader:
    """One field of a profile.

    ``lenient``: numbers and truth values may be texts. ``no_reading`` is what the profile says for all members.
    """

    __slots__ = (
        "_absent_if", "_by_path", "_by_unit", "_convert", "_map", "_no_reading", "_offset", "_paths", "_scale", "_spec",
        "_unit_path", "default", "name",
    )  # fmt: skip

    def __init__(self, name: str, spec: FieldSpec, *, lenient: bool, no_reading: Iterable[object] = ()) -> None:
        self.name = name
        self._spec = spec
        self._paths: tuple[Path, ...] = tuple(map(read_path, spec.from_ or (name,)))
        self._no_reading = NoReading((*spec.no_reading, *no_reading))
        self._absent_if = [Conditions({path: wanted}) for path, wanted in spec.absent_if.items()]
        self._map = spec.map
        self._scale = spec.scale
        self._offset = spec.offset
        self._by_path, self._by_unit = _conversions(spec)
        self._unit_path = read_path(spec.unit_from) if spec.unit_from is not None else None
        self.default = ABSENT if spec.default is None else spec.default
        self._convert: Callable[[object], object] = getattr(self, f"_as_{spec.type}")
        if lenient and spec.type in _LENIENT:
            strict, read = self._convert, _LENIENT[spec.type]
            self._convert = lambda value: strict(read(value))

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where its value may stand."""
        return self._paths

    def read(self, record: object, captures: Mapping[str, str], claimed: set[Trail] | None = None) -> object:
        """Return the value, or `ABSENT` where the contract allows that there is none.

        Adds to ``claimed`` the ways to what is this field's: what it is read from, and would be read from otherwise.

        Raises:
            Breach: the message is not what the profile says.
        """
        if self._absent_if and any(one.hold(record) for one in self._absent_if):
            self._claim_all(record, claimed)
            return self.default
        value, how = _NOTHING, "is missing"
        for path in self._paths:
            raw = path.find(record, captures)
            if raw is ABSENT:
                continue
            if raw is None:
                how = "is null"
                continue
            fits = True
            if value is _NOTHING or claimed is not None:
                try:
                    one = self.value_of(raw, self.unit_of(path.text, record))
                except Breach:
                    if self._spec.unfit == "refuse" and value is _NOTHING:
                        raise
                    fits, how = self._spec.unfit == "refuse" or self.drops(raw), ""
                else:
                    value = one if value is _NOTHING else value
            if claimed is not None and fits and (trail := path.locate(record)) is not None:
                claimed.add(trail)
        if value is not _NOTHING:
            return value
        return self.absent(how) if how else self.default

    def _claim_all(self, record: object, claimed: set[Trail] | None) -> None:
        if claimed is not None:
            claimed.update(trail for path in self._paths if (trail := path.locate(record)) is not None)

    def drops(self, unfit: object) -> bool:
        """Whether a value that does not fit is left out: lists and mappings have names of their own, and are kept."""
        return self._spec.unfit == "absent" and not isinstance(unfit, dict | list)

    def absent(self, how: str) -> object:
        """Return what the field is where there is no value; see `read`."""
        if self.default is ABSENT and not self._spec.optional:
            raise Breach("missing", f"{self.name} {how}")
        return self.default

    def unit_of(self, path: str, record: object) -> Conversion | None:
        """Return what makes a number that stands at ``path`` of the record one in the field's unit."""
        if self._unit_path is not None:
            said = self._unit_path.find(record, {})
            unit = known_unit(said) if isinstance(said, str) else None
            if unit in self._by_unit:
                return self._by_unit[unit]
        return self._by_path.get(path) or self._by_path.get("")

    def value_of(self, raw: object, convert: Conversion | None = None) -> object:
        """Return the value for what stands in the message, not null; see `read`. ``convert`` is for its unit."""
        if self._no_reading.means(raw):
            return self.default
        if self._map and isinstance(raw, str | int | float | bool):
            raw = self._map.get(_as_key(raw), raw)
            if raw is None:
                return self.absent("is mapped to null")
        if self._scale is not None or self._offset is not None or convert is not None:
            raw = self._scaled(raw, convert)
        value = self._convert(raw)
        if self._spec.type in {"float", "int"}:
            self._check_range(value)
        return value

    def _scaled(self, raw: object, convert: Conversion | None) -> object:
        number = _LENIENT["float"](raw) if isinstance(raw, str) else raw
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise Breach("wrong_type", f"{self.name} is {shown(raw)}, not a number")
        scaled = finite(number, self.name) * (1.0 if self._scale is None else self._scale) + (self._offset or 0.0)
        if convert is not None and math.isfinite(scaled):
            scaled = convert(scaled)
        if not math.isfinite(scaled):
            raise Breach("out_of_range", f"{self.name} is {shown(raw)}, which is too large")
        return round(scaled, _DECIMALS)

    def _check_range(self, value: Any) -> None:
        low, high = self._spec.min, self._spec.max
        if low is not None and value < low:
            raise Breach("out_of_range", f"{self.name} is {value:g}, below its min of {low:g}")
        if high is not None and value > high:
            raise Breach("out_of_range", f"{self.name} is {value:g}, above its max of {high:g}")

    # -- types --------------------------------------------------------------------------------------------------------

    def _as_float(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Breach("wrong_type", f"{self.name} is {shown(value)}, not a number")
        return finite(value, self.name)

    def _as_int(self, value: object) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise Breach("wrong_type", f"{self.name} is {shown(value)}, not a whole number")
        if not _INT_MIN <= value <= _INT_MAX:
            raise Breach("out_of_range", f"{self.name} is {shown(value)}, which takes more than 64 bits")
        return value

    def _as_bool(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise Breach("wrong_type", f"{self.name} is {shown(value)}, neither true nor false")
        return value

    def _as_string(self, value: object) -> str:
        if not isinstance(value, str):
            raise Breach("wrong_type", f"{self.name} is {shown(value)}, not a text")
        return value

    def _as_enum(self, value: object) -> object:
        for one in self._spec.values:
            if type(one) is type(value) and one == value:
                return value
        allowed = ", ".join(map(str, self._spec.values[:12]))
        raise Breach("not_allowed", f"{self.name} is {shown(value)}; allowed: {allowed}")

    def _as_object(self, value: object) -> object:
        if not isinstance(value, dict | list):
            raise Breach("wrong_type", f"{self.name} is {shown(value)}, neither a mapping nor a list")
        return json_value(value)


def _conversions(spec: FieldSpec) -> tuple[dict[str, Conversion], dict[str, Conversion]]:
    """What converts to the field's unit: by path ("" for all), and by the units that ``unit_from`` may say."""
    raw = spec.raw_unit
    by_path = {"": raw} if isinstance(raw, str) else dict(raw or {})
    said = units_like(spec.unit) if spec.unit_from is not None else []
    return (
        {path: conversion(unit, spec.unit) for path, unit in by_path.items()},
        {unit: conversion(unit, spec.unit) for unit in said},
    )


def json_value(value: object) -> object:
    """Return a value that JSON can hold: bytes become base64, whole numbers of more than 64 bits and the like texts."""
    if isinstance(value, dict):
        return {str(key): json_value(below) for key, below in value.items()}
    if isinstance(value, list):
        return [json_value(one) for one in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not _INT_MIN <= value <= _INT_MAX:
        return hex(value)
    return value


def _as_key(raw: str | int | float | bool) -> str:
    return str(raw).lower() if isinstance(raw, bool) else str(raw)


def finite(value: int | float, name: str) -> float:
    """Return the number as a float.

    Raises:
        Breach: it is too large for one, or none.
    """
    try:
        number = float(value)
    except OverflowError as error:
        raise Breach("out_of_range", f"{name} is {shown(value)}, which is too large") from error
    if not math.isfinite(number):
        raise Breach("out_of_range", f"{name} is {number}, not a finite number")
    return number


def _read_number(value: object) -> object:
    if not isinstance(value, str) or len(value) > 64:
        return value
    text = value.strip()
    if "_" in text:  # Python's own way to write a number
        return value
    try:
        return int(text) if text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        return value


def _read_truth(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool) and value in (0, 1):
        return bool(value)
    return _TRUTHS.get(value.strip().lower(), value) if isinstance(value, str) else value


def _read_text(value: object) -> object:
    return _as_key(value) if isinstance(value, int | float) else value


_LENIENT: Final[dict[str, Callable[[object], object]]] = {
    "float": _read_number,
    "int": _read_number,
    "bool": _read_truth,
    "string": _read_text,
}
