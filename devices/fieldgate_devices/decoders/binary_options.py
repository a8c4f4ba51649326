"""How a binary layout is written in a profile, and everything about it that can be wrong before a message comes.

A layout is a list of items, read one after the other. An item is one of

    {name: temperature, type: i16}            a field; u1…u64, i2…i64, f16, f32, f64, bool, bytes6, text8, hex6, bcd4;
                                              le or be at the end (u16le) where it differs from byte_order
    {skip: u4}                                bits or bytes that mean nothing
    {at: 12}                                  go on at this byte of the group (of the payload where there is no group)
    {repeat: rest, layout: [...]}             a group, again and again (also a number, or the field that holds it)
    {choose: kind, when: {1: [...], 2: [...]}}   the layout that fits the value of an earlier field
    {optional: [...]}                         read where the payload goes on, else left out
    {sum: total, of: {high: 256, low: 1}}     a value made of earlier fields, each times a factor

Names that begin with ``_`` serve the layout and are not in the record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from fieldgate_devices.decoders.binary_types import PLACE, BinaryType, ByteOrder, parse_type
from fieldgate_devices.decoders.decoder import Decoder
from fieldgate_devices.decoders.options import DecoderOptions
from fieldgate_devices.decoders.texts import Encoding
from fieldgate_devices.files.section import Section

__all__ = ["BinaryOptions", "Item"]

MAX_ITEMS: Final = 1_000
_MAX_LEVELS: Final = 8
_MAX_FACTOR: Final = 1e18
_NAME: Final = re.compile(r"[^{}\s]+")
_KINDS: Final = ("name", "skip", "at", "repeat", "choose", "optional", "sum")


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(PLACE.sub("x", name)):
        raise ValueError(f"{name!r} is not a name; write it without blanks and braces, save {{field}} for a value")
    return name


def _check_type(text: str) -> str:
    parse_type(text)
    return text


NameText = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_check_name)]
TypeText = Annotated[str, Field(max_length=16), AfterValidator(_check_type)]
Length = int | str
Items = Annotated[tuple["Item", ...], Field(strict=False)]


class Item(Section):
    """One item of a layout."""

    name: NameText | None = Field(
        default=None,
        description="name of a field, or of the list that a repeated group becomes",
        examples=["temperature"],
    )
    type: TypeText | None = Field(default=None, description="how the field is stored", examples=["i16", "u12", "f32le"])
    length: Length | None = Field(
        default=None, description="bytes of a field (bytes, text, hex) or of what is chosen: a number, a field, or rest"
    )
    equals: int | str | None = Field(default=None, description="the only value that the field may have")
    skip: TypeText | None = Field(
        default=None, description="what to pass over, written as a type", examples=["u4", "bytes2"]
    )
    at: Length | None = Field(default=None, description="the byte to go on at: a number, or the field that holds it")
    repeat: Length | None = Field(default=None, description="how often: a number, the field that holds it, or rest")
    records: bool = Field(default=False, description="each repetition of the group is a reading of its own")
    layout: Items | None = Field(default=None, min_length=1, description="the items of the group")
    choose: str | None = Field(default=None, description="the earlier field whose value chooses")
    when: dict[int | str, Items] | None = Field(default=None, min_length=1, description="the layout for each value")
    otherwise: Literal["refuse", "ignore"] = Field(
        default="refuse", description="for any other value: refuse the payload, or go on (after length, if given)"
    )
    optional: Items | None = Field(default=None, min_length=1, description="what may be missing at the end")
    sum: NameText | None = Field(default=None, description="name of the value made of others")
    of: dict[str, int | float] | None = Field(
        default=None, min_length=1, description="earlier fields and their factors"
    )
    negative: str | None = Field(default=None, description="the earlier field that is not 0 where the sum is negative")

    @property
    def kind(self) -> str:
        """Which of the kinds of item this is: the key that only that kind has."""
        written = [kind for kind in _KINDS if kind != "name" and getattr(self, kind) is not None]
        return written[0] if written else "name"

    @property
    def parsed_type(self) -> BinaryType:
        """The type of a field, or of what is skipped."""
        return parse_type(self.type or self.skip or "")

    @property
    def inner(self) -> Iterator[Sequence[Item]]:
        """The layouts within this one."""
        yield from (layout for layout in (self.layout, self.optional, *(self.when or {}).values()) if layout)

    @model_validator(mode="after")
    def _check(self) -> Item:
        kinds = [kind for kind in _KINDS if getattr(self, kind) is not None]
        kind = self.kind
        if not kinds or (len(kinds) > 1 and set(kinds) != {"name", "repeat"}):
            raise ValueError(f"an item has one of {', '.join(_KINDS)}; this one has {' and '.join(kinds) or 'none'}")
        allowed = {
            "name": {"type", "length", "equals"},
            "repeat": {"name", "type", "layout", "records"},
            "choose": {"when", "otherwise", "length"},
            "sum": {"of", "negative"},
        }.get(kind, set())
        if extra := sorted(self.model_fields_set - allowed - {kind}):
            raise ValueError(f"{extra[0]} does not belong to an item with {kind}")
        if kind == "name":
            self._check_field()
        elif kind == "repeat":
            self._check_group()
        elif kind == "choose" and self.when is None:
            raise ValueError("choose needs when: {VALUE: [items], …}")
        elif kind == "sum":
            self._check_sum()
        elif kind == "skip" and not self.parsed_type.bits:
            raise ValueError("skip needs a size, such as u4 or bytes2")
        elif kind == "at" and isinstance(self.at, int) and self.at < 0:
            raise ValueError("at counts from 0")
        return self

    def _check_field(self) -> None:
        if self.type is None:
            raise ValueError(f"{self.name} has no type")
        if not self.parsed_type.bits and self.length is None:
            raise ValueError(f"{self.type} needs a size: {self.type}8, or a length (a number, a field, or rest)")
        if self.parsed_type.bits and self.length is not None:
            raise ValueError(f"{self.type} has its size already; length is for bytes, text and hex without one")

    def _check_sum(self) -> None:
        if self.of is None:
            raise ValueError("sum needs of: {field: factor, …}")
        if bad := next((factor for factor in self.of.values() if not abs(factor) <= _MAX_FACTOR), None):
            raise ValueError(f"{bad} is no factor; allowed: -1e18 to 1e18")

    def _check_group(self) -> None:
        if (self.layout is None) == (self.type is None):
            raise ValueError("repeat needs either layout or type")
        if self.type is not None and (self.name is None or self.parsed_type.bits % 8 or not self.parsed_type.bits):
            raise ValueError("repeat with a type needs a name and a type of whole bytes")
        if self.records and (self.name is not None or self.layout is None):
            raise ValueError("records goes with a layout and without a name")
        if isinstance(self.repeat, int) and self.repeat < 1:
            raise ValueError("repeat is at least 1")


class BinaryOptions(DecoderOptions):
    """The layout of a binary payload."""

    byte_order: ByteOrder = Field(
        default="big",
        description="big: fields fill bytes from their highest bit; little: from their lowest, as in C on most devices",
    )
    layout: Items = Field(min_length=1, description="the items, in the order in which they are read")
    rest: Literal["refuse", "ignore"] = Field(
        default="refuse", description="what becomes of a payload that goes on after the layout"
    )
    nan: Literal["refuse", "absent"] = Field(
        default="refuse", description="what a floating-point NaN means: the payload is wrong, or there is no value"
    )
    encoding: Encoding = Field(default="utf-8", description="how the characters of text fields are encoded")

    @field_validator("layout")
    @classmethod
    def _check_layout(cls, layout: tuple[Item, ...]) -> tuple[Item, ...]:
        _Checker().check(layout, frozenset(), where="", is_repeated=False)
        return layout

    def make(self) -> Decoder:
        """Return the decoder."""
        from fieldgate_devices.decoders.binary_decoder import BinaryDecoder  # with bitstruct, for those who use it

        return BinaryDecoder(self)


class _Checker:
    """Looks at a layout as a whole: whole bytes, names known before they are used, none twice.

    ``where`` is the way to the layout: "item 3, item 2, " is in the third item's second.
    """

    def __init__(self) -> None:
        self._items = 0

    def check(self, layout: Sequence[Item], known: frozenset[str], *, where: str, is_repeated: bool) -> frozenset[str]:
        """Return the names that may be read after the layout."""
        if where.count(",") >= _MAX_LEVELS:
            raise ValueError(f"layouts are nested deeper than {_MAX_LEVELS} levels")
        names: set[str] = set()
        within: set[str] = set()
        bits = 0
        for number, item in enumerate(layout, start=1):
            here = f"{where}item {number}"
            self._items += 1
            if self._items > MAX_ITEMS:
                raise ValueError(f"the layout has more than {MAX_ITEMS} items")
            if _is_fixed(item):
                bits += item.parsed_type.bits
            elif item.kind != "sum":
                _check_whole_bytes(bits, f"{here} ({item.kind})")
            _check_uses(item, known | names | within, here)
            if item.records and is_repeated:
                raise ValueError(f"{here}: a group with records stands within another group")
            is_group = item.kind == "repeat"
            for inner in item.inner:
                found = self.check(
                    inner, known | names | within, where=f"{here}, ", is_repeated=is_repeated or is_group
                )
                within |= frozenset() if is_group else found
            name = item.sum or item.name
            if name in names:
                raise ValueError(f"{here}: {name!r} comes twice in one layout")
            if name is not None:
                names.add(name)
        _check_whole_bytes(bits, f"the end of {where[:-2] or 'the layout'}")
        return frozenset(names | within)


def _is_fixed(item: Item) -> bool:
    return item.kind == "skip" or (item.kind == "name" and item.length is None)


def _check_whole_bytes(bits: int, where: str) -> None:
    if bits % 8:
        raise ValueError(f"the fields before {where} make {bits} bits, no whole bytes; add {{skip: u{8 - bits % 8}}}")


def _check_uses(item: Item, known: frozenset[str] | set[str], where: str) -> None:
    used = [text for text in (item.length, item.at, item.repeat) if isinstance(text, str) and text != "rest"]
    used += [text for text in (item.choose, item.negative) if text is not None]
    used += [*(item.of or {}), *PLACE.findall(item.name or ""), *PLACE.findall(item.sum or "")]
    if missing := next((name for name in used if name not in known), None):
        raise ValueError(f"{where}: {missing!r} is no field before it; there are {', '.join(sorted(known)) or 'none'}")
