"""Fields of a fixed size, one after the other: one call of bitstruct for all of them.

``big``: the first field is in the highest bits of the first byte. ``little``: it is in the lowest bits, and goes on
in the lowest of the next byte. That is the same as the fields in reverse in the bytes in reverse, and read so.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from fieldgate_devices.decoders.binary_options import Item
from fieldgate_devices.decoders.binary_state import Scope, State
from fieldgate_devices.decoders.binary_types import BinaryType, ByteOrder
from fieldgate_devices.decoders.decoder import Record, Undecodable, Value, excerpt
from fieldgate_devices.decoders.texts import Encoding

try:
    from bitstruct import c as bitstruct  # type: ignore[import-untyped]  # it has no types
except ImportError:  # a machine without the compiled half: the same functions, in Python
    import bitstruct

__all__ = ["FixedFields", "check_equal", "sized"]

Convert = Callable[[Any], Value]
_FLOATS: Final = {16: "e", 32: "f", 64: "d"}


class FixedFields:
    """A run of fields and gaps that makes whole bytes."""

    def __init__(
        self, items: Sequence[Item], *, byte_order: ByteOrder, encoding: Encoding, is_nan_absent: bool
    ) -> None:
        self._size = sum(item.parsed_type.bits for item in items) // 8
        self._is_reversed = byte_order == "little"
        self._label = next((item.name for item in reversed(items) if item.name is not None), "what is skipped")
        formats: list[str] = []
        names: list[str] = []
        self._converts: list[tuple[str, Convert]] = []
        self._equals = [(item.name, item.equals) for item in items if item.name is not None and item.equals is not None]
        for item in reversed(items) if self._is_reversed else items:
            kind = item.parsed_type
            if item.name is None:
                formats.append(f"p{kind.bits}")
                continue
            form, convert = _field(kind, byte_order=byte_order, encoding=encoding, is_nan_absent=is_nan_absent)
            formats.append(form)
            names.append(item.name)
            if convert is not None:
                self._converts.append((item.name, convert))
        self._names = names[::-1] if self._is_reversed else names  # as the layout has them
        self._has_places = any("{" in name for name in names)
        self._unpack = bitstruct.compile("".join(formats)).unpack if names else None

    def read(self, state: State, scope: Scope) -> None:
        """Take the fields from the payload into ``scope``.

        Raises:
            Undecodable: the payload ends before, or a value is none.
        """
        raw = state.take(self._size, self._label)
        if self._unpack is None:
            return
        values: Sequence[Value] = self._unpack(raw[::-1])[::-1] if self._is_reversed else self._unpack(raw)
        state.spend(len(values))
        found: Record = dict(zip(self._names, values, strict=True))
        for name, convert in self._converts:
            found[name] = convert(found[name])
        for name, wanted in self._equals:
            check_equal(name, found[name], wanted)
        scope.add({scope.named(name): value for name, value in found.items()} if self._has_places else found)


def check_equal(name: str, value: Value, wanted: int | str) -> None:
    """Refuse any value but one.

    Raises:
        Undecodable: it is another.
    """
    if value != wanted:
        raise Undecodable(f"{name} is {excerpt(str(value))}; {wanted!r} is expected")


def sized(raw: bytes, *, kind: str, encoding: Encoding) -> Value:
    """A field of bytes, text or hex, as a value.

    Raises:
        Undecodable: the text is not in that encoding.
    """
    if kind == "bytes":
        return raw
    if kind == "hex":
        return raw.hex()
    try:
        return raw.partition(b"\0")[0].decode(encoding).rstrip(" ")
    except UnicodeDecodeError:
        raise Undecodable(f"a text is not {encoding.upper()}: {excerpt(raw)}") from None


def _field(
    kind: BinaryType, *, byte_order: ByteOrder, encoding: Encoding, is_nan_absent: bool
) -> tuple[str, Convert | None]:
    """How bitstruct reads the field, and what is to be made of that."""
    bits = kind.bits
    is_swapped = kind.order not in (None, byte_order)
    if kind.is_raw:
        turned = byte_order == "little"
        return f"r{bits}", lambda raw: sized(raw[::-1] if turned else raw, kind=kind.kind, encoding=encoding)
    if kind.kind == "f":
        check = _absent_if_nan if is_nan_absent else _finite
        if is_swapped:
            code = f"<{_FLOATS[bits]}"
            return f"r{bits}", lambda raw: check(struct.unpack(code, raw)[0])
        return f"f{bits}", check
    if kind.kind == "bcd":
        return (f"r{bits}", lambda raw: _digits(int.from_bytes(raw, "little"))) if is_swapped else (f"u{bits}", _digits)
    if is_swapped:
        is_signed = kind.kind == "i"
        return f"r{bits}", lambda raw: int.from_bytes(raw, "little", signed=is_signed)
    return {"u": f"u{bits}", "i": f"s{bits}", "bool": "b1"}[kind.kind], None


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise Undecodable(f"a number is {'not a number (NaN)' if math.isnan(number) else 'infinite'}")
    return number


def _absent_if_nan(number: float) -> float | None:
    return None if math.isnan(number) else _finite(number)


def _digits(packed: int) -> int:
    digits = f"{packed:x}"
    if not digits.isdigit():
        raise Undecodable(f"0x{digits} is no binary-coded decimal")
    return int(digits)
