"""The MQTT codec, 3.1.1 and 5: bytes to packets and back, without I/O.

It will not: keep session state, resolve topic aliases, decide what is allowed when, or know a broker. See
``codec_decode``, ``codec_encode``, ``properties`` and ``wire`` for what each promises.
"""

from __future__ import annotations

from fieldgate.mqtt.codec_decode import Decoder
from fieldgate.mqtt.codec_encode import PUBACKS, encode, encode_publish
from fieldgate.mqtt.properties import MAX_USER_PROPERTIES, encode_properties
from fieldgate.mqtt.wire import CodecError, MalformedPacket, PacketTooLarge

__all__ = [
    "MAX_USER_PROPERTIES", "PUBACKS", "CodecError", "Decoder", "MalformedPacket", "PacketTooLarge",
    "encode", "encode_properties", "encode_publish",
]  # fmt: skip
