"""Find a decoder by its name and make it from its options.

Ours are imported when a profile first uses them, because some bring a library of several megabytes. Other people's
are found by the entry point group ``fieldgate.decoders``: the name of the entry point is the decoder's, and what it
loads is its options class, a subclass of `DecoderOptions`, whose ``make`` returns the decoder.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from fieldgate_devices.decoders.decoder import Decoder
from fieldgate_devices.decoders.foreign import ForeignDecoder
from fieldgate_devices.decoders.options import DecoderOptions
from fieldgate_devices.decoders.wrapped import WrappedDecoder

__all__ = ["BUILT_IN", "ENTRY_POINTS", "UnknownDecoder", "decoder_names", "make_decoder", "options_class"]

ENTRY_POINTS: Final = "fieldgate.decoders"

BUILT_IN: Final[Mapping[str, str]] = {
    "binary": "binary_options:BinaryOptions",
    "cbor": "cbor:CborOptions",
    "csv": "csv_rows:CsvOptions",
    "dsmr": "dsmr:DsmrOptions",
    "form": "form:FormOptions",
    "influx": "influx:InfluxOptions",
    "json": "json_records:JsonOptions",
    "key_value": "pairs:PairsOptions",
    "msgpack": "msgpack:MsgpackOptions",
    "nmea": "nmea:NmeaOptions",
    "regex": "pattern:RegexOptions",
    "senml": "senml:SenmlOptions",
    "sml": "sml:SmlOptions",
    "value": "single:ValueOptions",
}


class UnknownDecoder(ValueError):
    """There is no decoder of that name, or the one that is installed cannot be used."""


def decoder_names() -> list[str]:
    """The names of all decoders, ours and those that are installed."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINTS))})


def options_class(name: str) -> type[DecoderOptions]:
    """Return the class that declares the options of the decoder.

    Raises:
        UnknownDecoder: there is no such decoder; the message names what is most like it.
    """
    built_in = BUILT_IN.get(name)
    if built_in is None:
        return _load(_entry_point(name))
    module, _, attribute = built_in.partition(":")
    found: object = getattr(import_module(f"fieldgate_devices.decoders.{module}"), attribute)
    if not (isinstance(found, type) and issubclass(found, DecoderOptions)):
        raise TypeError(f"{attribute} is no DecoderOptions")
    return found


def make_decoder(name: str, options: DecoderOptions | Mapping[str, object] | None = None) -> Decoder:
    """Make the decoder, with what unpacks its bytes before it where the options ask for that.

    Raises:
        UnknownDecoder: there is no decoder ``name``.
        ValueError: the options are not right (pydantic's ValidationError, which is one).
    """
    kind = options_class(name)
    made = options if isinstance(options, kind) else kind.model_validate({} if options is None else options)
    decoder = made.make()
    if name not in BUILT_IN:
        decoder = ForeignDecoder(decoder, name=name)
    return WrappedDecoder(decoder, options=made) if made.is_wrapped else decoder


def _entry_point(name: str) -> EntryPoint:
    found = entry_points(group=ENTRY_POINTS, name=name)
    if found:
        return next(iter(found))
    known = decoder_names()
    guess = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    hint = f"did you mean {guess[0]!r}?" if guess else f"there are {', '.join(known)}"
    raise UnknownDecoder(f"unknown decoder {name[:80]!r}; {hint}")


def _load(point: EntryPoint) -> type[DecoderOptions]:
    """What an installed package offers as a decoder."""
    try:
        found: object = point.load()
    except (ImportError, AttributeError) as error:
        raise UnknownDecoder(f"decoder {point.name!r} ({point.value}) cannot be loaded: {error}") from error
    if not (isinstance(found, type) and issubclass(found, DecoderOptions)):
        raise UnknownDecoder(f"decoder {point.name!r} ({point.value}) is no subclass of DecoderOptions")
    return found
