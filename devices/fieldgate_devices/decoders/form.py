"""``application/x-www-form-urlencoded``, as weather stations (Ecowitt) and webhooks send it [WHATWG URL 5.1]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_plus

from fieldgate_devices.decoders.decoder import Record, Undecodable, excerpt
from fieldgate_devices.decoders.limits import MAX_VALUES, checked
from fieldgate_devices.decoders.options import DecoderOptions
from fieldgate_devices.decoders.texts import read_text

__all__ = ["FormDecoder", "FormOptions"]

_MAX_BYTES: Final = 256 * 1024  # each may be a coded character


class FormOptions(DecoderOptions):
    """A form has no options of its own."""

    def make(self) -> FormDecoder:
        """Return the decoder."""
        return FormDecoder()


class FormDecoder:
    """Reads a form; ``?`` before it, as in a query, is passed over."""

    is_text = True

    def decode(self, payload: bytes, captures: Mapping[str, str]) -> list[Record]:
        """Return one record; an empty value is None.

        Raises:
            Undecodable: a part has no '=', a name comes twice, or it is not UTF-8 when decoded.
        """
        text = read_text(payload, encoding="utf-8", limit_bytes=_MAX_BYTES).strip().removeprefix("?")
        if text.count("&") > MAX_VALUES:
            raise Undecodable(f"the form has more than {MAX_VALUES} values")
        record: Record = {}
        for part in text.split("&"):
            name, sign, value = part.partition("=")
            if not part:
                continue
            if not sign or not name:
                raise Undecodable(f"no name and '=' in {excerpt(part)}")
            try:
                name = unquote_plus(name, errors="strict")
                value = unquote_plus(value, errors="strict")
            except UnicodeDecodeError:
                raise Undecodable(f"not UTF-8 when decoded: {excerpt(part)}") from None
            if name in record:
                raise Undecodable(f"{excerpt(name)} comes twice")
            record[name] = value or None
        return checked([record] if record else [])
