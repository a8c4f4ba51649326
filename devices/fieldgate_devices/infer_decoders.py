"""Which decoder reads all of some messages: the first of the likely ones that does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from fieldgate_devices.decoders.decoder import Decoder, Record, Undecodable
from fieldgate_devices.decoders.make import make_decoder

__all__ = ["DecoderGuess", "guess_decoder"]

DecoderGuess = tuple[str, dict[str, Any], Decoder, list[list[Record]]]
"""Name, options, the decoder, and the records of each message."""

_DELIMITERS: Final = (";", "\t", ",", "|", " ")
_NUMBER: Final = re.compile(rb"\s*[-+]?[0-9]+([.,][0-9]+)?\s*")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_ ./%°-]{0,40}")
_MAX_COLUMNS: Final = 200


def guess_decoder(payloads: Sequence[bytes]) -> DecoderGuess | None:
    """Return the decoder that reads every payload, or None."""
    for name, options in _likely(payloads):
        decoder = make_decoder(name, options)
        try:
            records = [decoder.decode(payload, {}) for payload in payloads]
        except Undecodable:
            continue
        if all(records):
            return name, options, decoder, records
    return None


def _likely(payloads: Sequence[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Decoders in the order in which they are tried; each is asked only where its messages look like it."""
    first = payloads[0].lstrip()
    if all((one.lstrip()[:1] == b"[" and b'"n"' in one) or b'"bn"' in one for one in payloads):
        yield "senml", {}
    if first[:1] in {b"{", b"["}:
        yield "json", {}
        yield "json", {"lines": True}
    if first[:1] in {b"$", b"!"}:
        yield "nmea", {}
    if first[:1] == b"/":
        yield "dsmr", {"version": "any"}
    if all(_is_scalar(one) for one in payloads):
        yield "value", {"format": "json"}
    if all(_is_text(one) for one in payloads):
        yield from _texts([one.decode() for one in payloads])
        return
    if all(one[:1] and one[0] >> 5 in {4, 5} for one in payloads):
        yield "cbor", {}
    yield "msgpack", {}


def _is_scalar(payload: bytes) -> bool:
    text = payload.strip()
    return text in {b"true", b"false"} or (_NUMBER.fullmatch(text) is not None and b"," not in text)


def _is_text(payload: bytes) -> bool:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char in "\r\n\t" for char in text)


def _texts(texts: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    if all("=" in one and "&" in one for one in texts):
        yield "form", {}
    if all("=" in one for one in texts):
        yield "key_value", {}
    if all(":" in one and "\n" not in one.strip() for one in texts):
        yield "key_value", {"equals": ":"}
    for delimiter in _DELIMITERS:
        columns = _columns(texts, delimiter)
        if columns is not None:
            yield "csv", {"delimiter": delimiter, **columns}
    yield "value", {}


def _columns(texts: Sequence[str], delimiter: str) -> dict[str, Any] | None:
    """How the columns are named, where all lines have the same number of them, more than one."""
    lines = [[line.split() if delimiter == " " else line.split(delimiter) for line in one.splitlines() if line.strip()]
             for one in texts]  # fmt: skip
    if not all(lines):
        return None
    widths = {len(line) for one in lines for line in one}
    if len(widths) != 1 or not 1 < (width := next(iter(widths))) <= _MAX_COLUMNS:
        return None
    if not any(_NUMBER.fullmatch(value.encode()) for one in lines for value in one[-1]):
        return None  # prose
    heads = [one[0] for one in lines]
    if all(len(one) > 1 for one in lines) and all(head == heads[0] for head in heads):
        names = [name.strip().strip('"') for name in heads[0]]
        if all(map(_NAME.fullmatch, names)) and len(set(names)) == width:
            return {"header": True}
    return {"columns": [f"column_{number}" for number in range(1, width + 1)]}
