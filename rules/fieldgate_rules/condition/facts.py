"""What a condition is asked about: one event, and what was heard before it.

The caller owns all of it and changes none of it while a condition runs. Numbers are finite: no JSON holds others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

__all__ = ["Closure", "Facts", "Reading", "Value"]

Value = int | float | bool | str
"""What an expression can be; None stands for unknown."""

_NOTHING: Final[Mapping[str, Reading]] = MappingProxyType({})
_NOBODY: Final[Mapping[tuple[str, str], Reading]] = MappingProxyType({})


class Reading(NamedTuple):
    """An earlier value of a field, and when it came: seconds on the scale of `Facts.boot_s`."""

    value: object
    boot_s: float


class Facts(msgspec.Struct, gc=False):
    """``fields`` are those of the event, as JSON has them.

    ``prev`` are the values that the same device had before it, by field; ``last`` those of any device, by device and
    field. Both need hold only what the rules in force read (`Reads`). ``boot_s`` is when the event came, on a clock
    that is never set; ``wall_s`` is UTC in seconds since 1970, None while nobody knows it.
    """

    fields: Mapping[str, object]
    device: str
    boot_s: float
    wall_s: float | None = None
    prev: Mapping[str, Reading] = _NOTHING
    last: Mapping[tuple[str, str], Reading] = _NOBODY


Closure = Callable[[Facts], Value | None]
"""A compiled expression: never raises, returns None for unknown."""
