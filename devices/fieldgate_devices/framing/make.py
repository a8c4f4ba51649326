"""Find a framing by its name and make a framer from its options.

A framing is imported when a port first uses it: some bring a library.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import Final

from fieldgate_devices.framing.framer import Framer
from fieldgate_devices.framing.options import FramingOptions

__all__ = ["FRAMINGS", "UnknownFraming", "framing_names", "make_framer", "options_class"]

FRAMINGS: Final[Mapping[str, str]] = {
    "cobs": "cobs:CobsOptions",
    "dsmr": "dsmr:DsmrOptions",
    "fixed": "fixed:FixedOptions",
    "gnss": "gnss:GnssOptions",
    "idle_gap": "idle_gap:IdleGapOptions",
    "length_prefixed": "length_prefixed:LengthPrefixedOptions",
    "lines": "lines:LinesOptions",
    "mbus": "mbus:MbusOptions",
    "modbus_rtu": "idle_gap:ModbusRtuOptions",
    "nmea": "gnss:NmeaOptions",
    "slip": "slip:SlipOptions",
    "sml": "sml:SmlOptions",
    "start_end": "start_end:StartEndOptions",
    "ubx": "ubx:UbxOptions",
    "wmbus": "wmbus:WmbusOptions",
}


class UnknownFraming(ValueError):
    """There is no framing of that name."""


def framing_names() -> list[str]:
    """The names of all framings."""
    return sorted(FRAMINGS)


def options_class(name: str) -> type[FramingOptions]:
    """Return the class that declares the options of the framing.

    Raises:
        UnknownFraming: there is no such framing; the message names what is most like it.
    """
    place = FRAMINGS.get(name)
    if place is None:
        matches = difflib.get_close_matches(name.lower(), FRAMINGS, n=1, cutoff=0.6)
        hint = f"did you mean {matches[0]!r}?" if matches else f"there are {', '.join(framing_names())}"
        raise UnknownFraming(f"unknown framing {name[:80]!r}; {hint}")
    module, _, attribute = place.partition(":")
    found: object = getattr(import_module(f"fieldgate_devices.framing.{module}"), attribute)
    if not (isinstance(found, type) and issubclass(found, FramingOptions)):
        raise TypeError(f"{attribute} is no FramingOptions")
    return found


def make_framer(name: str, options: FramingOptions | Mapping[str, object] | None = None) -> Framer:
    """Make a framer for one port.

    Raises:
        UnknownFraming: there is no framing ``name``.
        ValueError: the options are not right (pydantic's ValidationError, which is one).
    """
    kind = options_class(name)
    made = options if isinstance(options, kind) else kind.model_validate({} if options is None else options)
    return made.make()
