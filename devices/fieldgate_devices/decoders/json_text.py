"""A JSON text to plain values, by msgspec, with the checks that msgspec leaves out.

Refused, with the reason: what is not UTF-8 (a byte order mark and UTF-16 too), what JSON does not know (NaN,
Infinity), numbers out of range, keys that occur twice in one object, lone surrogates, more depth, values or digits
than ``limits.py`` allows. What passes can be encoded again without loss, except whole numbers past 64 bits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final, cast

import msgspec

from fieldgate_devices.decoders.decoder import Undecodable, Value, excerpt
from fieldgate_devices.decoders.limits import MAX_DEPTH, MAX_DIGITS, MAX_VALUES_OF_MESSAGE, check_payload, measure

__all__ = ["has_duplicate_keys", "has_space_before_colon", "is_json", "is_member_name", "parse", "why_not_utf8"]

_decode: Final = msgspec.json.Decoder().decode
_scan: Final = msgspec.json.Decoder(msgspec.Raw).decode  # checks the whole text and copies nothing
_spaced: Final = re.compile(rb"[ \t\r\n]:").search

_MARKS: Final = {
    b"\xef\xbb\xbf": "a byte order mark",
    b"\xff\xfe": "the byte order mark of UTF-16",
    b"\xfe\xff": "the byte order mark of UTF-16",
}


class _TwiceError(Exception):
    """A key occurs twice."""


def is_json(payload: bytes) -> bool:
    """Whether ``payload`` is one JSON text in UTF-8 that can stand in an envelope as it is.

    No byte order mark, no NaN or Infinity, no lone surrogate (RFC 8259 sections 6 to 8); nesting that exhausts
    the interpreter's stack counts as no JSON.
    """
    try:
        _scan(payload)
        if not payload.isascii():
            payload.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def parse(payload: bytes) -> Value:
    """Return what the text says.

    Raises:
        Undecodable: it is no JSON text, or passes a limit.
    """
    check_payload(payload)
    if payload.count(b"[") + payload.count(b"{") > MAX_VALUES_OF_MESSAGE:  # even where some stand in texts
        raise Undecodable(f"the message holds more than {MAX_VALUES_OF_MESSAGE} lists and objects")
    try:
        value = cast("Value", _decode(payload))
    except UnicodeDecodeError:
        raise Undecodable(why_not_utf8(payload)) from None
    except RecursionError:
        raise Undecodable(f"lists and mappings are nested deeper than {MAX_DEPTH} levels") from None
    except msgspec.ValidationError:
        raise Undecodable(f"a number is out of range: more than {MAX_DIGITS} digits, or beyond 1.8e308") from None
    except msgspec.DecodeError as error:
        raise Undecodable(_why_not_json(payload, str(error))) from None
    if has_duplicate_keys(payload, measure(value)):
        raise Undecodable("a key occurs twice in one object")
    return value


def has_duplicate_keys(payload: bytes, distinct_keys: int) -> bool:
    """Whether an object of a valid JSON text has a key twice; ``distinct_keys`` is how many keys its parsed value has.

    Most texts are cleared by counting. Where no colon has whitespace before it, each member of an object brings one
    ``":`` (and a text value that holds an escaped quote may bring more). So there are at least as many of these as
    members, and at least as many members as distinct keys: if the first number equals the last, none is repeated.
    """
    if payload.count(b'":') == distinct_keys and not has_space_before_colon(payload):
        return False
    try:
        json.loads(payload, object_pairs_hook=_refuse_twice, parse_int=len, parse_float=len)  # numbers do not matter
    except _TwiceError:
        return True
    return False


def has_space_before_colon(payload: bytes) -> bool:
    """Whether a colon has whitespace before it, within texts too."""
    # Most payloads have no whitespace at all; whole numbers, since bytes in bytes takes ten times as long.
    return (0x20 in payload or 0x0A in payload or 0x09 in payload or 0x0D in payload) and (_spaced(payload) is not None)


def is_member_name(name: str) -> bool:
    """Whether msgspec's types can have a member that is called so in JSON."""
    return name.isprintable() and '"' not in name and "\\" not in name


def why_not_utf8(payload: bytes) -> str:
    """Why the bytes are no UTF-8 text, with the place."""
    if (mark := _mark_of(payload)) is not None:
        return f"the payload begins with {mark}; plain UTF-8 is read"
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        return f"the payload is not UTF-8: byte 0x{payload[error.start]:02x} at position {error.start}"
    return "the payload is not UTF-8"


def _refuse_twice(pairs: Sequence[tuple[str, object]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise _TwiceError


def _mark_of(payload: bytes) -> str | None:
    return next((words for mark, words in _MARKS.items() if payload.startswith(mark)), None)


def _why_not_json(payload: bytes, complaint: str) -> str:
    if (mark := _mark_of(payload)) is not None:
        return f"the payload begins with {mark}; plain UTF-8 is read"
    if b"\x00" in payload[:4]:
        return "the payload is not UTF-8 text (binary, UTF-16 or UTF-32)"
    return f"not JSON: {complaint.removeprefix('JSON is malformed: ')}; it begins with {excerpt(payload)}"
