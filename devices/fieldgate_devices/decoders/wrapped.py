"""Unpack the bytes that a decoder reads: out of a member of a JSON message, from hex or base64, from compression.

Bounded like the decoders: a bomb is refused at the size that a decoder looks at.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Callable, Mapping
from typing import Final

import zstandard

from fieldgate_devices.decoders import json_text
from fieldgate_devices.decoders.decoder import Decoder, Record, Undecodable, Value, excerpt
from fieldgate_devices.decoders.limits import MAX_PAYLOAD_BYTES, check_payload, checked
from fieldgate_devices.decoders.options import DecoderOptions
from fieldgate_devices.decoders.place import Place
from fieldgate_devices.paths import ABSENT

__all__ = ["WrappedDecoder"]

_BLANKS: Final = b" \t\r\n"
_GZIP: Final = 16 + zlib.MAX_WBITS
_MAX_WINDOW_BYTES: Final = 8 * 1024 * 1024


class WrappedDecoder:
    """Unpacks, then lets ``decoder`` read."""

    def __init__(self, decoder: Decoder, *, options: DecoderOptions) -> None:
        self._decoder = decoder
        self._path = Place(options.of) if options.of is not None else None
        self._around = options.around
        self._steps: list[Callable[[bytes], bytes]] = []
        if options.text is not None:
            self._steps.append({"hex": _from_hex, "base64": _from_base64}[options.text])
        if options.compression is not None:
            self._steps.append({"gzip": _gunzip, "zlib": _inflate, "zstd": _unzstd}[options.compression])

    @property
    def is_text(self) -> bool:
        """As the decoder says."""
        return self._decoder.is_text

    def decode(self, payload: bytes, captures: Mapping[str, str]) -> list[Record]:
        """Unpack and read.

        Raises:
            Undecodable: it is not packed like that, or the decoder says so.
        """
        check_payload(payload)
        message: Value = None
        if self._path is not None:
            message = json_text.parse(payload)
            payload = _bytes_at(self._path, message)
        for step in self._steps:
            payload = step(payload)
        records = self._decoder.decode(payload, captures)
        if self._around is None or self._path is None:
            return records
        rest = self._path.without(message)
        return checked([{**record, self._around: rest} for record in records])


def _bytes_at(path: Place, message: Value) -> bytes:
    """The payload within the message: a text, or its bytes one by one."""
    found = path.find(message)
    if isinstance(found, str):
        return found.encode()
    if isinstance(found, list):
        try:
            return bytes(one if type(one) is int else -1 for one in found)
        except ValueError:
            raise Undecodable(f"the list at {path} holds something else than bytes (0 to 255)") from None
    raise Undecodable(f"there is no payload at {path}" if found is ABSENT else f"what is at {path} is no text")


def _from_hex(text: bytes) -> bytes:
    digits = text.translate(None, _BLANKS)
    try:
        return binascii.unhexlify(digits.removeprefix(b"0x"))
    except ValueError:
        raise Undecodable(f"not hexadecimal: {excerpt(text)}") from None


def _from_base64(text: bytes) -> bytes:
    """Either alphabet, padded or not [RFC 4648 4, 5]."""
    digits = text.translate(bytes.maketrans(b"-_", b"+/"), _BLANKS).rstrip(b"=")
    try:
        return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4), strict_mode=True)
    except ValueError:
        raise Undecodable(f"not base64: {excerpt(text)}") from None


def _gunzip(packed: bytes) -> bytes:
    return _unzlib(packed, wbits=_GZIP, name="gzip")


def _inflate(packed: bytes) -> bytes:
    return _unzlib(packed, wbits=zlib.MAX_WBITS, name="zlib")


def _unzlib(packed: bytes, *, wbits: int, name: str) -> bytes:
    unpacker = zlib.decompressobj(wbits)
    try:
        unpacked = unpacker.decompress(packed, MAX_PAYLOAD_BYTES + 1)
    except zlib.error:
        raise Undecodable(f"not {name}, or damaged") from None
    _check_unpacked(unpacked, is_complete=unpacker.eof, has_rest=bool(unpacker.unused_data), name=name)
    return unpacked


def _unzstd(packed: bytes) -> bytes:
    """One whole frame. What it says of its size is looked at first, because that much memory is taken for it."""
    try:
        if zstandard.frame_content_size(packed) > MAX_PAYLOAD_BYTES:
            raise Undecodable(f"unpacked, the zstd payload has more than {MAX_PAYLOAD_BYTES} bytes")
        unpacker = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
        return unpacker.decompress(packed, max_output_size=MAX_PAYLOAD_BYTES, allow_extra_data=False)
    except zstandard.ZstdError:
        raise Undecodable(f"not one frame of zstd, damaged, or unpacked more than {MAX_PAYLOAD_BYTES} bytes") from None


def _check_unpacked(unpacked: bytes, *, is_complete: bool, has_rest: bool, name: str) -> None:
    if len(unpacked) > MAX_PAYLOAD_BYTES:
        raise Undecodable(f"unpacked, the {name} payload has more than {MAX_PAYLOAD_BYTES} bytes")
    if not is_complete:
        raise Undecodable(f"the {name} payload is cut short")
    if has_rest:
        raise Undecodable(f"something follows the {name} payload")
