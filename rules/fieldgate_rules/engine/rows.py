"""State as rows: (rule, group, kind) and msgpack, each with the time at which it was saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from fieldgate_rules.condition.bounds import MAX_NUMBER
from fieldgate_rules.engine.moment import Moment
from fieldgate_rules.restart import ALIVE, Saved

__all__ = ["ALIVE", "STATE", "VALUES", "Row", "RowKey", "Rows", "decode_row", "encode_body", "encode_row"]

STATE: Final = "state"
VALUES: Final = "values"

RowKey = tuple[str, str, str]
Rows = Mapping[RowKey, bytes | None]


class Row(msgspec.Struct, array_like=True):
    """``fingerprint`` is that of the rule, empty where it is of none."""

    fingerprint: str
    saved: Saved
    body: dict[str, Any]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Row)


def encode_body(body: dict[str, Any]) -> bytes:
    """Return the bytes of what a row holds, without its time."""
    try:
        return _encoder.encode(body)
    except OverflowError:
        return _encoder.encode(_small(body))


def _small(tree: Any) -> Any:
    """The same with numbers that msgpack has: JSON has integers of any size."""
    match tree:
        case dict():
            return {name: _small(one) for name, one in tree.items()}
        case list() | tuple():
            return [_small(one) for one in tree]
        case int() if not -(1 << 63) <= tree < 1 << 64:
            return float(tree) if -MAX_NUMBER <= tree <= MAX_NUMBER else None
        case _:
            return tree


def encode_row(fingerprint: str, now: Moment, os_boot: str, body: dict[str, Any]) -> bytes:
    """Return the bytes of a row."""
    row = Row(fingerprint, Saved(now.boot_s, now.wall_s, os_boot), body)
    try:
        return _encoder.encode(row)
    except OverflowError:
        row.body = _small(body)
        return _encoder.encode(row)


def decode_row(data: bytes) -> Row | None:
    """Return what the bytes say; None where they are none of this version."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None
