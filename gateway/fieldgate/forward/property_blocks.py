"""MQTT 5 property blocks put together from parts that are bytes already [MQTT5 2.2.2]."""

from __future__ import annotations

from typing import Final

from fieldgate.mqtt.codec import encode_properties
from fieldgate.mqtt.packets import Properties

__all__ = ["LENGTHS", "block_length", "properties_body", "with_first"]

_MAX_CACHED: Final = 10_000
LENGTHS: Final[dict[int, bytes]] = {}
"""What `block_length` remembers; hot loops look here first."""


def properties_body(properties: Properties) -> bytes:
    """Return the encoded properties without their length."""
    block = encode_properties(properties)
    return block[_length_size(block) :]


def block_length(size: int) -> bytes:
    """Return the Variable Byte Integer that begins a block of ``size`` bytes [MQTT5 1.5.5]; remembered."""
    parts = bytearray()
    left = size
    while left > 0x7F:
        parts.append(left & 0x7F | 0x80)
        left >>= 7
    parts.append(left)
    if len(LENGTHS) >= _MAX_CACHED:
        LENGTHS.clear()
    return LENGTHS.setdefault(size, bytes(parts))


def with_first(block: bytes, first: bytes) -> bytes:
    """Return ``block`` with another encoded property, ``first``, before the others."""
    at = _length_size(block)
    return b"%b%b%b" % (block_length(len(block) - at + len(first)), first, block[at:])


def _length_size(block: bytes) -> int:
    at = 0
    while block[at] > 0x7F:
        at += 1
    return at + 1
