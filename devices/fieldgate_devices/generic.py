"""What becomes of JSON that no profile names: one flat mapping of fields, all numbers floats.

The law: the fields depend on the bytes alone, so that the same message gives the same fields whenever it is flattened.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from typing import Any, Final

import msgspec

from fieldgate_devices.decoders.decoder import Undecodable
from fieldgate_devices.decoders.json_text import has_space_before_colon, parse
from fieldgate_devices.fields import json_value
from fieldgate_devices.names import FreeNames, NameMaker

__all__ = ["Flattener", "Raw", "flat_fields", "flatten", "walk"]

VALUE: Final = "value"  # the field of a payload that is one value

Raw = tuple[str | int, ...]

_MAX_FIELDS: Final = 512
_EXACT: Final = 1 << 53  # whole numbers beyond are no longer exact as floats
_names = NameMaker()
_encode = msgspec.json.Encoder().encode
_decode_flat = msgspec.json.Decoder(dict[str, float | str | bool | None]).decode
_SHORT: Final = 4096  # longer messages go the long way
_MAX_GUESSES: Final = 16  # of what members the messages of a device have


def walk(value: object, at: Raw = ()) -> Iterator[tuple[Raw, object]]:
    """Yield every value that is neither a mapping nor a list, or an empty one, with the raw names that lead to it."""
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from walk(below, (*at, key))
    elif isinstance(value, list) and value:
        for number, below in enumerate(value):
            yield from walk(below, (*at, number))
    else:
        yield at, value


def flat_fields(value: object, *, taken: Collection[str] = ()) -> dict[str, tuple[object, Raw]]:
    """Return the fields of a decoded payload: their value, and the raw names that lead to it.

    ``taken`` are names that belong to other fields. Null is no value. Raises ValueError where it gives too many fields.
    """
    fields: dict[str, tuple[object, Raw]] = {}
    names = FreeNames(taken)
    for raw, one in walk(value):
        if one is None or one in ({}, []):
            continue
        name = names.of(_names.of(raw) if raw else VALUE)
        fields[name] = (_plain(one), raw)
        if len(fields) > _MAX_FIELDS:
            raise ValueError(f"it gives more than {_MAX_FIELDS} fields")
    return fields


def flatten(payload: bytes) -> bytes | None:
    """Return the fields of a JSON payload as a JSON text; None where they cannot be had (duplicate keys, too many)."""
    try:
        fields = flat_fields(parse(payload))
    except (Undecodable, ValueError):
        return None
    return _encode({name: value for name, (value, _) in fields.items()})


class Flattener:
    """`flatten` for the messages of one device, which mostly have the same members: those are known after the first."""

    __slots__ = ("_guesses", "_read")

    def __init__(self) -> None:
        self._read: FlatRead | None = None
        self._guesses = 0

    def __call__(self, payload: bytes) -> bytes | None:
        """See `flatten`."""
        if self._read is not None and (flat := self._read(payload)) is not None:
            return flat
        if self._guesses < _MAX_GUESSES and len(payload) <= _SHORT:
            self._guesses += 1
            try:
                members = _decode_flat(payload)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                members = {}
            self._read = _flat_reader(tuple(members)) if members else None
        return flatten(payload)


FlatRead = Callable[[bytes], "bytes | None"]
"""Reads mappings with certain members, all of them plain values; None for any other payload."""


@lru_cache(maxsize=256)
def _flat_reader(raw: tuple[str, ...]) -> FlatRead | None:
    """Return the reader of mappings with these members; None where two of them would get the same name."""
    names = [_names.of((name,)) for name in raw]
    if len(raw) > _MAX_FIELDS or len(set(names)) < len(names):
        return None
    fields = msgspec.defstruct("Fields", [(name, Any) for name in names], gc=False)
    count = len(raw)

    def read(payload: bytes) -> bytes | None:
        try:
            members = _decode_flat(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        # in this order too: the bytes must be those of `flatten`, which keeps the message's
        if tuple(members) != raw or payload.count(b'":') != count or has_space_before_colon(payload):
            return None
        values = members.values()
        for one in values:
            if one is None or (one.__class__ is float and not -_EXACT < one < _EXACT):
                return None
        return _encode(fields(*values))

    return read


def _plain(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and -_EXACT <= value <= _EXACT:
        return float(value)
    return json_value(value)
