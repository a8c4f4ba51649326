"""From the bytes of a message to records of raw values; what the names mean is for the contract to say."""

from fieldgate_devices.decoders.decoder import Decoder, Record, Undecodable, Value
from fieldgate_devices.decoders.make import UnknownDecoder, decoder_names, make_decoder, options_class
from fieldgate_devices.decoders.options import DecoderOptions

__all__ = [
    "Decoder",
    "DecoderOptions",
    "Record",
    "Undecodable",
    "UnknownDecoder",
    "Value",
    "decoder_names",
    "make_decoder",
    "options_class",
]
