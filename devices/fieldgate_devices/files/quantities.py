"""Durations, sizes and rates as people write them: ``200ms``, ``256KiB``, ``500/s``.

Parsing and formatting are exact inverses: what `format_duration` writes, `parse_duration` reads as the same
number. A number without a unit is refused in a file (is it seconds or milliseconds?); only a size may be a
plain number of bytes. The classes at the end are pydantic annotations that parse, check the range and
describe the form in the JSON Schema.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Final, cast

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

__all__ = [
    "Duration",
    "Quantity",
    "Rate",
    "Size",
    "about_size",
    "format_duration",
    "format_rate",
    "format_size",
    "parse_duration",
    "parse_rate",
    "parse_size",
]

_NUMBER: Final = r"[0-9]{1,15}(?:\.[0-9]{1,20})?"
_DURATION_UNITS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}  # in milliseconds
_SIZE_UNITS: Final = {
    "TiB": 2**40,
    "TB": 10**12,
    "GiB": 2**30,
    "GB": 10**9,
    "MiB": 2**20,
    "MB": 10**6,
    "KiB": 2**10,
    "kB": 10**3,
    "KB": 10**3,
    "B": 1,
}
_RATE_UNITS: Final = {"s": 1, "m": 60, "h": 3600}
_DURATION: Final = re.compile(rf"({_NUMBER})(ms|s|m|h|d)")
_SIZE: Final = re.compile(rf"({_NUMBER})({'|'.join(_SIZE_UNITS)})")
_RATE: Final = re.compile(rf"({_NUMBER})/(s|m|h)")

_DURATION_HINT: Final = "write a number and its unit without a space, such as 200ms, 5s, 10m, 24h, 7d"
_SIZE_HINT: Final = "write a number and its unit without a space, such as 256KiB, 500MB, 2GB"
_RATE_HINT: Final = "write events per second, minute or hour, such as 500/s, 30/m"


def parse_duration(text: str) -> float:
    """Return seconds.

    Raises:
        ValueError: ``text`` is not a duration; the message says what one looks like.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration; {_DURATION_HINT}")
    return float(Decimal(match[1]) * _DURATION_UNITS[match[2]] / 1000)


def format_duration(duration_s: float) -> str:
    """Return the shortest exact text, in the largest unit that needs no fraction."""
    exact_ms = Decimal(repr(duration_s)) * 1000
    if exact_ms:
        for unit, unit_ms in _DURATION_UNITS.items():
            if exact_ms % unit_ms == 0:
                return f"{exact_ms / unit_ms:.0f}{unit}"
    return f"{_plain(exact_ms / 1000)}s"


def parse_size(text: str) -> int:
    """Return bytes.

    Raises:
        ValueError: ``text`` is not a size or not a whole number of bytes.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size; {_SIZE_HINT}")
    size_bytes = Decimal(match[1]) * _SIZE_UNITS[match[2]]
    if size_bytes % 1:
        raise ValueError(f"{text!r} is not a whole number of bytes; {_SIZE_HINT}")
    return int(size_bytes)


def format_size(size_bytes: int) -> str:
    """Return the exact text in the largest unit that needs no fraction."""
    for unit, unit_bytes in _SIZE_UNITS.items():
        if size_bytes >= unit_bytes and size_bytes % unit_bytes == 0:
            return f"{size_bytes // unit_bytes}{unit}"
    return "0B"


def about_size(size_bytes: float) -> str:
    """Return a size as people read it: ``512 B``, ``1.2 MB``."""
    if size_bytes < 1000:
        return f"{size_bytes:.0f} B"
    for unit in ("kB", "MB", "GB"):
        size_bytes /= 1000
        if size_bytes < 1000:
            return f"{size_bytes:.1f} {unit}"
    return f"{size_bytes / 1000:.1f} TB"


def parse_rate(text: str) -> float:
    """Return events per second.

    Raises:
        ValueError: ``text`` is not a rate.
    """
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a rate; {_RATE_HINT}")
    return float(Decimal(match[1]) / _RATE_UNITS[match[2]])


def format_rate(events_per_s: float) -> str:
    """Return the text per second, or per minute or hour where only that is exact."""
    for unit, unit_s in _RATE_UNITS.items():
        count = round(Decimal(repr(events_per_s)) * unit_s)
        if float(Decimal(count) / unit_s) == events_per_s:
            return f"{count}/{unit}"
    return f"{_plain(Decimal(repr(events_per_s)))}/s"


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True)
class Quantity(ABC):
    """A pydantic annotation: parses the text, keeps it within ``minimum`` … ``maximum`` (written the same way)."""

    minimum: str
    maximum: str

    wanted: ClassVar[str]
    pattern: ClassVar[str]
    takes_numbers: ClassVar[bool] = False

    @staticmethod
    @abstractmethod
    def parse(text: str) -> float:
        """Read the text."""

    @staticmethod
    @abstractmethod
    def format(quantity: float) -> str:
        """Write the text."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(self.format, when_used="json"),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        text = {"type": "string", "pattern": f"^{self.pattern}$"}
        return {"anyOf": [text, {"type": "integer", "minimum": 0}]} if self.takes_numbers else text

    def _validate(self, written: object, info: ValidationInfo) -> float:
        is_number = isinstance(written, int | float) and not isinstance(written, bool)
        if isinstance(written, str):
            quantity = self.parse(written)
        elif is_number and (self.takes_numbers or info.context is None):  # code, unlike a file, may give numbers
            quantity = cast("float", written)
        elif is_number:
            raise ValueError(f"{written!r} has no unit; {self.wanted}")
        else:
            raise ValueError(f"{written!r} is not a {type(self).__name__.lower()}; {self.wanted}")
        if not self.parse(self.minimum) <= quantity <= self.parse(self.maximum):
            raise ValueError(f"{written!r} is out of range; allowed: {self.minimum} to {self.maximum}")
        return quantity


class Duration(Quantity):
    """``Annotated[float, Duration("1s", "1h")]``: seconds."""

    wanted = _DURATION_HINT
    pattern = r"[0-9]+(\.[0-9]+)?(ms|s|m|h|d)"

    @staticmethod
    def parse(text: str) -> float:
        """Return seconds."""
        return parse_duration(text)

    @staticmethod
    def format(quantity: float) -> str:
        """Return the shortest exact text."""
        return format_duration(quantity)


class Size(Quantity):
    """``Annotated[int, Size("1KiB", "1GiB")]``: bytes. A plain whole number is bytes too."""

    wanted = _SIZE_HINT
    pattern = r"[0-9]+(\.[0-9]+)?([kKMGT]?B|[KMGT]iB)"
    takes_numbers = True

    @staticmethod
    def parse(text: str) -> int:
        """Return bytes."""
        return parse_size(text)

    @staticmethod
    def format(quantity: float) -> str:
        """Return the shortest exact text."""
        return format_size(int(quantity))

    def _validate(self, written: object, info: ValidationInfo) -> int:
        if isinstance(written, float):
            raise ValueError(f"{written!r} is not a size; {self.wanted}")
        return int(super()._validate(written, info))


class Rate(Quantity):
    """``Annotated[float, Rate("1/h", "1000/s")]``: events per second."""

    wanted = _RATE_HINT
    pattern = r"[0-9]+(\.[0-9]+)?/(s|m|h)"

    @staticmethod
    def parse(text: str) -> float:
        """Return events per second."""
        return parse_rate(text)

    @staticmethod
    def format(quantity: float) -> str:
        """Return the exact text."""
        return format_rate(quantity)
