"""The fast way for the most frequent kind of profile: one JSON mapping, fields by plain paths, the device in the topic.

`compile_fast` answers None for any other profile. What it makes gives exactly the bytes that `Contract` gives, or None
for a message that `Contract` must look at: one that breaks the contract, is of an older version, or is unusual JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Annotated, Any, Final, Literal

import msgspec

from fieldgate_devices.breach import Breach
from fieldgate_devices.contract import Contract
from fieldgate_devices.decoders.decoder import Undecodable
from fieldgate_devices.decoders.json_text import has_space_before_colon, parse
from fieldgate_devices.fields import FieldReader
from fieldgate_devices.paths import ABSENT, read_path
from fieldgate_devices.profile import FieldSpec

__all__ = ["FastRead", "compile_fast"]

FastRead = Callable[[bytes], "tuple[bytes, int | None] | None"]
"""Payload in; fields as JSON and the device's own time out, or None: ask the contract."""

_INT_MIN: Final = -(1 << 63)
_INT_MAX: Final = (1 << 63) - 1  # msgspec's bounds; whole numbers beyond go the long way
_MAX_BYTES: Final = 1 << 16

_Tree = dict[str, "tuple[str, Any] | _Tree"]
"""Members by their name in the message: where the value goes and its type, or the members below."""


def compile_fast(contract: Contract) -> FastRead | None:
    """Return the fast reader of a contract, or None where its profile needs the long way."""
    profile = contract.profile
    if (
        profile.decode not in ({"json": None}, {"json": {}})
        or profile.lenient
        or profile.other_fields != "drop"
        or profile.version_from is not None
        or profile.repeated
        or profile.no_reading
        or contract.has_variants
        or any(step.when for step in profile.upgrade.values())
        or not contract.device_name.is_of_topic
        or not contract.readers
    ):
        return None
    tree: _Tree = {}
    places: list[str] = []
    specials: list[tuple[int, FieldReader]] = []
    for number, reader in enumerate(contract.readers):
        spec = profile.fields[reader.name]
        if (
            spec.raw_unit is not None
            or spec.unit_from is not None
            or spec.unfit != "refuse"
            or spec.first_of
            or spec.absent_if
        ):
            return None
        kind = _kind(spec)
        names = reader.paths[0].names if len(reader.paths) == 1 else None
        if kind is None or names is None or not _plant(tree, names, kind):
            return None
        places.append(_place(names))
        if _is_special(spec):
            specials.append((number, reader))
    if profile.time is not None:
        names = read_path(profile.time.from_).names
        if names is None or not _plant(tree, names, (Any, True)):
            return None
        places.append(_place(names))
    return _reader(contract, tree, places, specials)


def _kind(spec: FieldSpec) -> tuple[Any, bool] | None:
    """The type to decode a field as, and whether it may be missing; None where that cannot be said."""
    may_lack = spec.optional or spec.default is not None
    if _is_special(spec) and spec.type != "object":
        return Any, may_lack
    match spec.type:
        case "float":
            return Annotated[float, msgspec.Meta(ge=spec.min, le=spec.max)], may_lack
        case "int":
            low = _INT_MIN if spec.min is None else spec.min
            high = _INT_MAX if spec.max is None else spec.max
            if not (low == int(low) and high == int(high) and low >= _INT_MIN and high <= _INT_MAX):
                return None
            return Annotated[int, msgspec.Meta(ge=int(low), le=int(high))], may_lack
        case "bool":
            return bool, may_lack
        case "string":
            return str, may_lack
        case "enum" if all(isinstance(one, str) for one in spec.values):
            return Literal[tuple(spec.values)], may_lack
        case _:
            return None


def _is_special(spec: FieldSpec) -> bool:
    """Whether a decoded value must go through the field's own reader."""
    return bool(spec.map or spec.no_reading) or any(one is not None for one in (spec.default, spec.scale, spec.offset))


def _place(names: tuple[str, ...]) -> str:
    return ".".join(f"m{name.encode().hex()}" for name in names)


def _plant(tree: _Tree, names: tuple[str, ...], kind: tuple[Any, bool]) -> bool:
    """Add a value to the tree; False where another value is in the way, or msgspec takes no such name."""
    if any(not name.isprintable() or '"' in name or "\\" in name for name in names):
        return False
    for name in names[:-1]:
        below = tree.setdefault(name, {})
        if not isinstance(below, dict):
            return False
        tree = below
    if names[-1] in tree:
        return False
    tree[names[-1]] = kind
    return True


def _struct(tree: _Tree) -> tuple[type[msgspec.Struct], int]:
    """The type that decodes ``tree``, and how many mappings lie below it."""
    fields: list[Any] = []
    count = 0
    for raw, below in tree.items():
        name = f"m{raw.encode().hex()}"
        if isinstance(below, dict):
            inside, inner = _struct(below)
            fields.append((name, inside))
            count += 1 + inner
        elif below[1]:
            fields.append((name, _or_none(below[0]), None))
        else:
            fields.append((name, below[0]))
    required_first = sorted(fields, key=len)
    rename = {f"m{raw.encode().hex()}": raw for raw in tree}
    return msgspec.defstruct("Message", required_first, rename=rename, gc=False), count


def _or_none(kind: Any) -> Any:
    return kind | None


def _reader(contract: Contract, tree: _Tree, places: list[str], specials: list[tuple[int, FieldReader]]) -> FastRead:
    kind, mappings = _struct(tree)
    decode = msgspec.json.Decoder(kind).decode
    names = [reader.name for reader in contract.readers]
    make = msgspec.defstruct("Fields", [(name, Any, None) for name in names], omit_defaults=True, gc=False)
    encode = msgspec.json.Encoder().encode
    has_optional = any(may_lack for _, may_lack in _leaves(tree))
    # all of a message's members, in their order: a third of the time
    values_of = _values_of(places) if mappings or has_optional else msgspec.structs.astuple
    expected = mappings + len(places)
    read_time = contract.read_time

    def read(payload: bytes) -> tuple[bytes, int | None] | None:
        try:
            values = values_of(decode(payload))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        # As many members as there are values, so each is there once and nothing else is: see `has_duplicate_keys`.
        wanted = expected - values.count(None) if has_optional else expected
        if payload.count(b'":') != wanted or has_space_before_colon(payload):
            if len(payload) > _MAX_BYTES:
                return None
            try:
                parse(payload)
            except Undecodable:
                return None
        at_ns = None
        if read_time is not None:
            *values, at = values
            if at is not None:
                try:
                    at_ns = read_time(at)
                except (ValueError, OverflowError):
                    return None
        if specials:
            values = list(values)
            for number, reader in specials:
                try:
                    values[number] = _special(reader, values[number])
                except Breach:
                    return None
        return encode(make(*values)), at_ns

    return read


def _leaves(tree: _Tree) -> Iterator[tuple[Any, bool]]:
    for below in tree.values():
        if isinstance(below, dict):
            yield from _leaves(below)
        else:
            yield below


def _special(reader: FieldReader, raw: object) -> object:
    value = reader.absent("is missing") if raw is None else reader.value_of(raw)
    return None if value is ABSENT else value


def _values_of(places: list[str]) -> Callable[[Any], Any]:
    get = attrgetter(*places)
    return get if len(places) > 1 else lambda message: (get(message),)
