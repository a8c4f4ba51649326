"""What becomes of JSON that no profile names: one flat mapping of fields, all numbers floats.

The law: the fields depend on the bytes alone, so that the same message gives the same fields whenever it is flattened.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

import msgspec

from fieldgate_devices.decoders.decoder import Undecodable
from fieldgate_devices.decoders.json_text import parse
from fieldgate_devices.fields import json_value
from fieldgate_devices.names import NameMaker, free_name

__all__ = ["Raw", "flat_fields", "flat_json", "walk"]

VALUE: Final = "value"  # the field of a payload that is one value

Raw = tuple[str | int, ...]

_MAX_FIELDS: Final = 512
_EXACT: Final = 1 << 53  # whole numbers beyond are no longer exact as floats
_names = NameMaker()
_encode = msgspec.json.Encoder().encode


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
    for raw, one in walk(value):
        if one is None or one in ({}, []):
            continue
        name = _names.of(raw) if raw else VALUE
        if name in fields or name in taken:
            name = free_name(name, {*fields, *taken})
        fields[name] = (_plain(one), raw)
        if len(fields) > _MAX_FIELDS:
            raise ValueError(f"it gives more than {_MAX_FIELDS} fields")
    return fields


def flat_json(payload: bytes) -> bytes | None:
    """Return the fields of a JSON payload as a JSON text; None where they cannot be had (duplicate keys, too many)."""
    try:
        fields = flat_fields(parse(payload))
    except (Undecodable, ValueError):
        return None
    return _encode({name: value for name, (value, _) in fields.items()})


def _plain(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and -_EXACT <= value <= _EXACT:
        return float(value)
    return json_value(value)
