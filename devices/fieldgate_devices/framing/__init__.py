"""Where in a stream of bytes one message ends and the next begins; one file per framing."""

from fieldgate_devices.framing.framer import Frame, Framer
from fieldgate_devices.framing.make import UnknownFraming, framing_names, make_framer, options_class
from fieldgate_devices.framing.options import FramingOptions
from fieldgate_devices.framing.spec import FramingSpec, framer_of, read_framing

__all__ = [
    "Frame",
    "Framer",
    "FramingOptions",
    "FramingSpec",
    "UnknownFraming",
    "framer_of",
    "framing_names",
    "make_framer",
    "options_class",
    "read_framing",
]
