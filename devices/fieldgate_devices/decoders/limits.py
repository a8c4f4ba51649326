"""How much a message may hold, whatever its format, and the one walk that checks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fieldgate_devices.decoders.decoder import Record, Undecodable, Value

__all__ = [
    "MAX_DEPTH",
    "MAX_DIGITS",
    "MAX_PAYLOAD_BYTES",
    "MAX_RECORDS",
    "MAX_VALUES",
    "MAX_VALUES_OF_MESSAGE",
    "Allowance",
    "check_payload",
    "check_record_count",
    "checked",
    "measure",
]

MAX_PAYLOAD_BYTES: Final = 1024 * 1024
"""What any decoder looks at; several have a lower limit of their own."""
MAX_DEPTH: Final = 32
"""Lists and mappings within each other."""
MAX_RECORDS: Final = 1_000
"""Readings of one message."""
MAX_VALUES: Final = 4_096
"""Values of one record, on all its levels."""
MAX_VALUES_OF_MESSAGE: Final = 32_768
"""Values of all records of a message together; each costs about a microsecond or two."""
MAX_DIGITS: Final = 64
"""Digits of a whole number."""

_HUGE: Final = 10**MAX_DIGITS


class Allowance:
    """How many values a message may still have, for a decoder that makes them one after the other."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MAX_VALUES_OF_MESSAGE

    def spend(self, values: int) -> None:
        """Count values.

        Raises:
            Undecodable: there are more than `MAX_VALUES_OF_MESSAGE`.
        """
        self._left -= values
        if self._left < 0:
            raise Undecodable(f"the message holds more than {MAX_VALUES_OF_MESSAGE} values")


def check_payload(payload: bytes, *, limit_bytes: int = MAX_PAYLOAD_BYTES) -> None:
    """Refuse an empty payload, and one that is larger than a decoder looks at.

    Raises:
        Undecodable: it is one of the two.
    """
    if not payload:
        raise Undecodable("the payload is empty")
    if len(payload) > limit_bytes:
        raise Undecodable(f"the payload has {len(payload)} bytes; this decoder reads {limit_bytes} at most")


def check_record_count(count: int) -> None:
    """Refuse a message with too many readings, before they are made.

    Raises:
        Undecodable: there are more than `MAX_RECORDS`.
    """
    if count > MAX_RECORDS:
        raise Undecodable(f"the message holds more than {MAX_RECORDS} readings")


def checked(records: list[Record]) -> list[Record]:
    """Return ``records``, which must be at least one and within all limits.

    Raises:
        Undecodable: there is none, or a limit is passed.
    """
    if not records:
        raise Undecodable("the message holds no reading")
    check_record_count(len(records))
    total = 0
    for record in records:
        count = len(record) if _is_flat(record) else _count(record)
        if count > MAX_VALUES:
            raise Undecodable(f"a reading holds more than {MAX_VALUES} values")
        total += count
        if total > MAX_VALUES_OF_MESSAGE:
            raise Undecodable(f"the message holds more than {MAX_VALUES_OF_MESSAGE} values")
    return records


def measure(value: Value) -> int:
    """Return how many keys ``value`` has, all levels together, having checked depth, count and numbers.

    Raises:
        Undecodable: a limit is passed, or a number is none (NaN, infinite).
    """
    level: Sequence[Value] = [value]
    depth = keys = values = 0
    while level:
        depth += 1
        below: list[Value] = []
        for one in level:
            kind = type(one)
            if kind is dict:
                keys += len(one)  # type: ignore[arg-type]  # mypy does not narrow by type()
                below.extend(one.values())  # type: ignore[union-attr]
            elif kind is list:
                below.extend(one)  # type: ignore[arg-type]
            elif (kind is float and one - one != 0) or (kind is int and not -_HUGE < one < _HUGE):  # type: ignore[operator]
                raise Undecodable(_what_is_wrong(one))
        values += len(below)
        if values > MAX_VALUES_OF_MESSAGE:
            raise Undecodable(f"the message holds more than {MAX_VALUES_OF_MESSAGE} values")
        if depth > MAX_DEPTH and any(type(one) is dict or type(one) is list for one in level):
            raise Undecodable(f"lists and mappings are nested deeper than {MAX_DEPTH} levels")
        level = below
    return keys


def _what_is_wrong(number: Value) -> str:
    if isinstance(number, int):
        return f"a whole number has more than {MAX_DIGITS} digits"
    return f"a number is {'not a number (NaN)' if number != number else 'infinite'}"


def _is_flat(record: Record) -> bool:
    kinds = set(map(type, record.values()))
    return dict not in kinds and list not in kinds


def _count(record: Record) -> int:
    count = 0
    pending: list[Value] = [record]
    while pending and count <= MAX_VALUES:
        one = pending.pop()
        if isinstance(one, dict):
            count += len(one)
            pending.extend(one.values())
        elif isinstance(one, list):
            count += len(one)
            pending.extend(one)
    return count
