"""What becomes of JSON that no profile names: one flat mapping of fields, all numbers floats.

The law: the fields depend on the bytes alone, so that the same message gives the same fields whenever it is flattened.
They stand in the order of their names, whatever order the message has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec

from fieldgate_devices.decoders.decoder import Undecodable
from fieldgate_devices.decoders.json_text import has_space_before_colon, is_member_name, parse
from fieldgate_devices.fields import json_value
from fieldgate_devices.names import FreeNames, NameMaker

__all__ = ["Flattener", "Raw", "flat_fields", "flatten", "walk"]

VALUE: Final = "value"  # the field of a payload that is one value

Raw = tuple[str | int, ...]

_MAX_FIELDS: Final = 512
_EXACT: Final = 1 << 53  # whole numbers beyond are no longer exact as floats
_PLAIN: Final = Annotated[float, msgspec.Meta(gt=-_EXACT, lt=_EXACT)] | str | bool
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
    """Return the fields of a JSON payload as a JSON text, in the order of their names.

    None where they cannot be had (duplicate keys, too many).
    """
    try:
        fields = flat_fields(parse(payload))
    except (Undecodable, ValueError):
        return None
    return _encode({name: fields[name][0] for name in sorted(fields)})


class Flattener:
    """`flatten` for the messages of one device, which mostly have the same members: those are known after the first."""

    __slots__ = ("_guesses", "_members", "_read")

    def __init__(self) -> None:
        self._read: FlatRead | None = None
        self._members: dict[str, bool] = {}  # that were there, and whether always
        self._guesses = 0

    def __call__(self, payload: bytes) -> bytes | None:
        """See `flatten`."""
        if self._read is not None and (flat := self._read(payload)) is not None:
            return flat
        if self._guesses < _MAX_GUESSES and len(payload) <= _SHORT:
            self._guess(payload)
        return flatten(payload)

    def _guess(self, payload: bytes) -> None:
        self._guesses += 1
        try:
            members = _decode_flat(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        known = self._members
        known = {raw: known.get(raw, not known) and raw in members for raw in (known | members)}
        if 0 < len(known) <= _MAX_FIELDS:
            self._members = known
            self._read = _flat_reader(frozenset(known.items()))


FlatRead = Callable[[bytes], "bytes | None"]
"""Reads mappings with certain members, all of them plain values; None for any other payload."""


@lru_cache(maxsize=256)
def _flat_reader(known: frozenset[tuple[str, bool]]) -> FlatRead | None:
    """Return the reader of mappings with these members, each with whether it must be there; None where there is none.

    That is so where two would get the same name, or msgspec takes no such name.
    """
    named = sorted((_names.of((raw,)), raw, is_needed) for raw, is_needed in known)
    names = [name for name, _, _ in named]
    if len(set(names)) < len(names) or not all(is_member_name(raw) for _, raw, _ in named):
        return None
    kind = msgspec.defstruct(
        "Message",
        [(name, _PLAIN) if is_needed else (name, _PLAIN | None, None) for name, _, is_needed in named],
        rename={name: raw for name, raw, _ in named},
        omit_defaults=True,
        kw_only=True,
        gc=False,
    )
    decode, values_of = msgspec.json.Decoder(kind).decode, msgspec.structs.astuple
    has_own_names = all(name == raw for name, raw, _ in named)
    has_all = all(is_needed for _, _, is_needed in named)
    fields = msgspec.defstruct("Fields", [(name, Any, None) for name in names], omit_defaults=True, gc=False)
    count = len(named)

    def read(payload: bytes) -> bytes | None:
        try:
            message = decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        members = count if has_all else count - values_of(message).count(None)
        # as many colons as members: each is there once, and no other is (`has_duplicate_keys`)
        if payload.count(b":") != members and (payload.count(b'":') != members or has_space_before_colon(payload)):
            return None
        return _encode(message if has_own_names else fields(*values_of(message)))

    return read


def _plain(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and -_EXACT <= value <= _EXACT:
        return float(value)
    return json_value(value)
