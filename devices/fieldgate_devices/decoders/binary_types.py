"""How a field of a binary layout is stored: ``u12``, ``i16le``, ``f32``, ``text8``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["PLACE", "BinaryType", "ByteOrder", "parse_type"]

ByteOrder = Literal["big", "little"]

PLACE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""Where the value of an earlier field stands in a name."""

_TYPE: Final = re.compile(r"(u|i|f|bool|bytes|text|hex|bcd)([0-9]{1,5})?(le|be)?")
_SIZES: Final = {
    "u": (1, 64),
    "i": (2, 64),
    "f": (16, 64),
    "bytes": (1, 4096),
    "text": (1, 4096),
    "hex": (1, 64),
    "bcd": (1, 16),
}
_HINT: Final = (
    "allowed: u1 to u64, i2 to i64, f16, f32, f64, bool, bytesN, textN, hexN (N bytes), bcdN (N digits); "
    "le or be after the size of a number"
)


@dataclass(frozen=True, slots=True)
class BinaryType:
    """``kind`` is u, i, f, bool, bytes, text, hex or bcd; ``bits`` is 0 where the length is said elsewhere."""

    kind: str
    bits: int
    order: ByteOrder | None

    @property
    def is_raw(self) -> bool:
        """Whether the bytes stay in the order in which they stand."""
        return self.kind in {"bytes", "text", "hex"}


def parse_type(text: str) -> BinaryType:
    """Read a type as people write it.

    Raises:
        ValueError: there is no such type, or not of that size.
    """
    match = _TYPE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a type; {_HINT}")
    kind, size, order = match.groups()
    if kind == "bool":
        if size or order:
            raise ValueError("bool has neither size nor byte order; it is one bit")
        return BinaryType("bool", 1, None)
    if size is None and kind in {"bytes", "text", "hex"} and order is None:
        return BinaryType(kind, 0, None)
    low, high = _SIZES[kind]
    if size is None or not low <= int(size) <= high or (kind == "f" and int(size) not in {16, 32, 64}):
        raise ValueError(f"{text!r} is not a type; {_HINT}")
    bits = int(size) * {"bcd": 4}.get(kind, 1 if kind in {"u", "i", "f"} else 8)
    if order is not None and (kind in {"bytes", "text", "hex"} or bits % 8):
        raise ValueError(f"{text!r}: le and be are for numbers of whole bytes")
    return BinaryType(kind, bits, {"le": "little", "be": "big", None: None}[order])
