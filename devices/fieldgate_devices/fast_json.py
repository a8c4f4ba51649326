"""The fast way for the most frequent kind of profile: one JSON mapping, fields by plain paths, the device in the topic.

`compile_fast` answers None for any other profile. What it makes gives exactly the bytes that `Contract` gives, or None
for a message that `Contract` must look at: one that breaks the contract, is of an older version, or is unusual JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Annotated, Any, Final, Literal, Protocol

import msgspec

from fieldgate_devices.breach import Breach
from fieldgate_devices.contract import Contract
from fieldgate_devices.decoders.decoder import Undecodable
from fieldgate_devices.decoders.json_text import has_space_before_colon, is_member_name, parse
from fieldgate_devices.field_model import FieldSpec
from fieldgate_devices.fields import FieldReader
from fieldgate_devices.paths import ABSENT, read_path

__all__ = ["Fast", "Known", "compile_fast"]


class Known(Protocol):
    """A message that was decoded, for whoever wants a field of it and not all: None where there is no such field."""

    def get(self, name: str, /) -> object:
        """Return the value, as the fields that were written have it."""


class Fast(msgspec.Struct, frozen=True, gc=False, eq=False):
    """Payload in; fields as JSON out, or None: ask the contract. One of ``plain`` and ``timed`` at most is there.

    ``timed`` is for a profile that says where a message has the device's own time, and returns that too. ``many`` is
    ``plain`` for all messages of a read at once, in half the time, and what they say as well; None where one of them
    needs another look.
    """

    plain: Callable[[bytes], bytes | None] | None = None
    timed: Callable[[bytes], tuple[bytes, int | None] | None] | None = None
    many: Callable[[list[bytes]], tuple[list[bytes], Sequence[Known]] | None] | None = None


_INT_MIN: Final = -(1 << 63)
_INT_MAX: Final = (1 << 63) - 1  # msgspec's bounds; whole numbers beyond go the long way
_MAX_BYTES: Final = 1 << 16
_MAX_OTHERS: Final = 64  # members that are known though no field names them
_MAX_CHANGES: Final = 16  # of what is known
_NOT_OURS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_One = float | str | bool | None
_OTHER: Final = _One | dict[str, _One] | list[_One] | msgspec.UnsetType

_Tree = dict[str, "tuple[str, Any] | _Tree"]
"""Members by their name in the message: where the value goes and its type, or the members below."""


def compile_fast(contract: Contract) -> Fast | None:
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
    if not all(map(is_member_name, names)):
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
    """The type that decodes ``tree``, its members in their order, and how many mappings lie below it."""
    fields: list[Any] = []
    count = 0
    for raw, below in tree.items():
        name = f"m{raw.encode().hex()}"
        if isinstance(below, dict):
            inside, inner = _struct(below)
            fields.append((name, inside))
            count += 1 + inner
        elif below[0] is _OTHER:
            fields.append((name, _OTHER, msgspec.UNSET))
        elif below[1]:
            fields.append((name, _or_none(below[0]), None))
        else:
            fields.append((name, below[0]))
    rename = {f"m{raw.encode().hex()}": raw for raw in tree}
    namespace = {"get": _getter(tree)}
    return msgspec.defstruct("Message", fields, rename=rename, kw_only=True, gc=False, namespace=namespace), count


def _getter(names: Iterable[str]) -> Callable[[Any, str], object]:
    """The method by which a message gives its members."""
    attributes = {name: f"m{name.encode().hex()}" for name in names}

    def get(self: Any, name: str, /) -> object:
        try:
            return getattr(self, attributes[name])
        except KeyError:
            return None

    return get


def _or_none(kind: Any) -> Any:
    return kind | None


class _Shape:
    """What is decoded of messages: the members of ``tree``, and others that have come so far.

    The law: no member may stand twice. Each brings a colon at least, so in a message with as many colons as members
    that were decoded each is there once and nothing else is. What the messages of a device hold beyond its profile
    is mostly the same; once known it is decoded, and counted, too.
    """

    __slots__ = (
        "_changes", "_has_optional", "_own", "_places", "_tree", "decode", "decode_lines", "is_exact",
        "members", "values_of",
    )  # fmt: skip

    def __init__(self, tree: _Tree, places: list[str]) -> None:
        self._tree = tree
        self._places = [*places]
        self._own = len(places)
        self._has_optional = any(may_lack for _, may_lack in _leaves(tree))
        self._changes = 0
        self._build()

    def _build(self) -> None:
        kind, mappings = _struct(self._tree)
        decoder = msgspec.json.Decoder(kind)
        self.decode, self.decode_lines = decoder.decode, decoder.decode_lines
        # all of a message's members, in their order: a third of the time
        self.values_of = _values_of(self._places) if mappings else msgspec.structs.astuple
        self.members = mappings + len(self._places)  # of a message that lacks none
        self.is_exact = not self._has_optional and len(self._places) == self._own

    def read(self, payload: bytes) -> tuple[Any, ...] | None:
        """Return the values of ``places``; None for a message that the contract must look at."""
        try:
            values = self.values_of(self.decode(payload))
        except _NOT_OURS:
            return None
        members = self.members
        if not self.is_exact:
            members -= self._lacking(values)
            values = values[: self._own]
        return values if payload.count(b":") == members or self.is_sound(payload, members) else None

    def _lacking(self, values: tuple[Any, ...]) -> int:
        lacking = values[: self._own].count(None) if self._has_optional else 0
        for one in values[self._own :]:
            if one is msgspec.UNSET:
                lacking += 1
            elif one.__class__ is dict:
                lacking -= len(one)
        return lacking

    def is_sound(self, payload: bytes, members: int) -> bool:
        """Whether no member stands twice, though there are more colons than members that are known."""
        if payload.count(b'":') == members and not has_space_before_colon(payload):
            return True  # see `has_duplicate_keys`
        if len(payload) > _MAX_BYTES:
            return False
        try:
            value = parse(payload)
        except Undecodable:
            return False
        if self._changes < _MAX_CHANGES and self._learn(self._tree, value, ()):
            self._changes += 1
            self._build()
        return True

    def _learn(self, tree: _Tree, value: Any, at: tuple[str, ...]) -> bool:
        """Add what is not known yet; return whether there was any such thing."""
        has_changed = False
        for name, below in value.items():
            known = tree.get(name)
            if isinstance(known, dict):
                has_changed |= self._learn(known, below, (*at, name))
            elif (
                known is None
                and _is_shallow(below)
                and len(self._places) < self._own + _MAX_OTHERS
                and _plant(tree, (name,), (_OTHER, True))
            ):
                self._places.append(_place((*at, name)))
                has_changed = True
        return has_changed


def _is_shallow(value: object) -> bool:
    """Whether it is of the type `_OTHER`."""
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not any(isinstance(one, dict | list) for one in below)


def _reader(contract: Contract, tree: _Tree, places: list[str], specials: list[tuple[int, FieldReader]]) -> Fast:
    shape = _Shape(tree, places)
    names = [reader.name for reader in contract.readers]
    make = msgspec.defstruct(
        "Fields",
        [(f"m{name.encode().hex()}", Any, None) for name in names],
        rename={f"m{name.encode().hex()}": name for name in names},
        namespace={"get": _getter(names)},
        omit_defaults=True,
        gc=False,
    )
    encode = msgspec.json.Encoder().encode
    decode, values_of, members = shape.decode, shape.values_of, shape.members  # while the shape is exact
    decode_lines, encode_lines = shape.decode_lines, msgspec.json.Encoder().encode_lines
    has_own_names = list(tree) == names
    read_time = contract.read_time

    def plain(payload: bytes) -> bytes | None:
        if specials or not shape.is_exact:
            values = shape.read(payload)
            if values is not None and specials:
                values = _with_specials(values, specials)
            return None if values is None else encode(make(*values))
        try:  # as in `shape.read`; the time of its call is saved, for this is what most messages are
            message = decode(payload)
        except _NOT_OURS:
            return None
        if payload.count(b":") != members and not shape.is_sound(payload, members):
            return None
        return encode(message) if has_own_names else encode(make(*values_of(message)))

    def many(payloads: list[bytes]) -> tuple[list[bytes], Sequence[Known]] | None:
        if not shape.is_exact:
            return None
        count = len(payloads)
        joined = b"\n".join(payloads)
        try:
            messages = decode_lines(joined)
        except _NOT_OURS:
            return None
        # As many line ends as it takes to part them, so that no message has one; as many values, so that each is one.
        if len(messages) != count or joined.count(b"\n") != count - 1 or joined.count(b":") != count * members:
            return None
        known: list[Any] = messages if has_own_names else [make(*values_of(message)) for message in messages]
        texts = encode_lines(known).split(b"\n")
        del texts[-1]  # what follows the last line end
        return texts, known

    def timed(payload: bytes) -> tuple[bytes, int | None] | None:
        values = shape.read(payload)
        if values is None or read_time is None:
            return None
        *fields, at = values
        try:
            at_ns = None if at is None else read_time(at)
        except (ValueError, OverflowError):
            return None
        found = _with_specials(fields, specials)
        return None if found is None else (encode(make(*found)), at_ns)

    if read_time is not None:
        return Fast(timed=timed)
    return Fast(plain=plain, many=None if specials or not shape.is_exact else many)


def _with_specials(values: Sequence[Any], specials: list[tuple[int, FieldReader]]) -> tuple[Any, ...] | None:
    found = [*values]
    try:
        for number, reader in specials:
            found[number] = _special(reader, found[number])
    except Breach:
        return None
    return tuple(found)


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
