"""What a condition may be at most. Bounds are checked when it is read, so that running it needs no budget."""

from __future__ import annotations

from typing import Final

__all__ = [
    "MAX_CHARACTERS",
    "MAX_LEVELS",
    "MAX_NUMBER",
    "MAX_PATTERN",
    "MAX_STEPS",
    "MAX_TEXT_BYTES",
    "cut",
    "finite",
]

MAX_CHARACTERS: Final = 1_024
"""Characters of a condition or template."""
MAX_LEVELS: Final = 32
"""How deep operators, calls and choices may be nested."""
MAX_PATTERN: Final = 128
"""Characters of a regular expression."""
MAX_TEXT_BYTES: Final = 4_096
"""Bytes of a text, as UTF-8, that a function looks at; what is behind them does not count."""
MAX_STEPS: Final = 1_150
"""What a condition may cost at most, each time. A step is 85 ns at most where three comparisons take 0.5 µs."""
MAX_NUMBER: Final = 1.7976931348623157e308
"""A number beyond is unknown, whole or not."""

_SURELY_SHORT: Final = MAX_TEXT_BYTES // 4


def cut(text: str) -> str:
    """Return the beginning of ``text`` that takes `MAX_TEXT_BYTES` at most, whole characters."""
    length = len(text)
    if length <= _SURELY_SHORT or (length <= MAX_TEXT_BYTES and text.isascii()):
        return text
    beginning = text[:MAX_TEXT_BYTES]
    encoded = beginning.encode("utf-8", "replace")
    return beginning if len(encoded) <= MAX_TEXT_BYTES else encoded[:MAX_TEXT_BYTES].decode("utf-8", "ignore")


def finite(number: float) -> float | None:
    """Return ``number``, or None where it is too large or none at all."""
    return number if -MAX_NUMBER <= number <= MAX_NUMBER else None
