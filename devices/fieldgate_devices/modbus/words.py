"""Between registers and values: bytes in the order in which the device keeps them.

A register is 16 bits, big-endian on the wire (Modbus Application Protocol V1.1b3, 4.2). How several make one value is
each maker's own choice: ``word_order`` and ``byte_order``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Final, Literal

__all__ = ["FORMATS", "WORDS", "bytes_of", "float32_as_written", "number_of", "text_of", "words_of"]

FORMATS: Final = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}
WORDS: Final = {name: struct.calcsize(f">{code}") // 2 for name, code in FORMATS.items()}
_FLOAT32_DIGITS: Final = (6, 7, 8)  # nine are always enough

Order = Literal["big", "little"]


def bytes_of(words: Sequence[int], *, word_order: Order, byte_order: Order) -> bytes:
    """Return the value's bytes, the most significant first."""
    ordered = words if word_order == "big" else tuple(reversed(words))
    return b"".join(word.to_bytes(2, byte_order) for word in ordered)


def words_of(content: bytes, *, word_order: Order, byte_order: Order) -> tuple[int, ...]:
    """Return the registers that hold these bytes: the inverse of `bytes_of`."""
    words = [int.from_bytes(content[place : place + 2], byte_order) for place in range(0, len(content), 2)]
    return tuple(words) if word_order == "big" else tuple(reversed(words))


def number_of(content: bytes, kind: str) -> int | float:
    """Return the number of this type. A float32 has the digits that tell it from its neighbours, and no more."""
    number: int | float = struct.unpack(f">{FORMATS[kind]}", content)[0]
    return float32_as_written(number) if kind == "float32" else number


def float32_as_written(number: float) -> float:
    """Return the shortest decimal that is this float32: 230.1, where its exact value is 230.10000610351562."""
    if not math.isfinite(number):
        return number
    exact = struct.pack(">f", number)
    for digits in _FLOAT32_DIGITS:
        short = float(f"{number:.{digits}g}")
        try:
            if struct.pack(">f", short) == exact:
                return short
        except OverflowError:  # rounded up beyond what a float32 can be
            continue
    return float(f"{number:.9g}")


def text_of(content: bytes) -> str:
    """Return the text without what fills it up. What is no UTF-8 is taken for Latin-1."""
    kept = content.split(b"\0", 1)[0]
    try:
        text = kept.decode()
    except UnicodeDecodeError:
        text = kept.decode("latin-1")
    return text.strip()
