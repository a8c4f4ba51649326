"""What the decoders of texts share: their encoding, and numbers as other countries write them."""

from __future__ import annotations

import re
from typing import Final, Literal

from pydantic import Field

from fieldgate_devices.decoders.decoder import Undecodable, Value
from fieldgate_devices.decoders.json_text import parse, why_not_utf8
from fieldgate_devices.decoders.limits import MAX_PAYLOAD_BYTES, check_payload
from fieldgate_devices.decoders.options import DecoderOptions

__all__ = ["MAX_LINES", "Encoding", "TextOptions", "json_or_text", "plain_text", "read_text", "with_point"]

MAX_LINES: Final = 10_000
"""Lines of a payload, those that say nothing too."""

Encoding = Literal["utf-8", "latin-1"]

_WITH_COMMA: Final = re.compile(r"[+-]?[0-9]{1,64},[0-9]{1,64}(?:[eE][+-]?[0-9]{1,3})?")
_MARK: Final = "\N{ZERO WIDTH NO-BREAK SPACE}"


class TextOptions(DecoderOptions):
    """Options of decoders that read a text."""

    encoding: Encoding = Field(default="utf-8", description="how the characters are encoded")


def read_text(payload: bytes, *, encoding: Encoding, limit_bytes: int = MAX_PAYLOAD_BYTES) -> str:
    """Return the payload as a text.

    Raises:
        Undecodable: it is empty, too large or not in that encoding, or begins with a byte order mark.
    """
    check_payload(payload, limit_bytes=limit_bytes)
    if max(payload.count(b"\n"), payload.count(b"\r")) > MAX_LINES:
        raise Undecodable(f"the payload has more than {MAX_LINES} lines")
    if encoding == "latin-1":
        return payload.decode("latin-1")
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        raise Undecodable(why_not_utf8(payload)) from None
    if text.startswith(_MARK):
        raise Undecodable(why_not_utf8(payload))
    return text


def plain_text(payload: bytes, *, encoding: Encoding = "utf-8") -> str:
    """Return a payload that is one value, without the blanks around it.

    Raises:
        Undecodable: see `read_text`; or there is nothing else.
    """
    text = read_text(payload, encoding=encoding).strip(" \t\r\n\x00")
    if not text:
        raise Undecodable("the payload holds blanks only")
    return text


def json_or_text(payload: bytes) -> Value:
    """Return what a payload says in JSON; one that is none, and does not begin like a list or an object, is a text.

    Raises:
        Undecodable: it is neither.
    """
    try:
        return parse(payload)
    except Undecodable:
        if payload.lstrip()[:1] in (b"{", b"["):
            raise
        return plain_text(payload)


def with_point(text: str) -> str:
    """``21,5`` as ``21.5``; what is no number with a decimal comma stays as it is."""
    return text.replace(",", ".") if _WITH_COMMA.fullmatch(text) else text
