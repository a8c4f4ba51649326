"""What the options of every decoder have in common: how its bytes are packed into the message."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

from pydantic import Field, model_validator

from fieldgate_devices.decoders.decoder import Decoder
from fieldgate_devices.decoders.place import PlaceText
from fieldgate_devices.files.section import Section

__all__ = ["DecoderOptions"]


class DecoderOptions(Section):
    """Options that every decoder takes. They apply in this order: `of`, `text`, `compression`, then the decoder."""

    of: PlaceText | None = Field(
        default=None,
        description="path of the member of a JSON message that holds the payload (a text, or a list of bytes)",
        examples=["uplink_message.frm_payload"],
    )
    around: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="with `of`: the name under which every record bears the JSON message around the payload",
        examples=["message"],
    )
    text: Literal["hex", "base64"] | None = Field(default=None, description="how the bytes are written as text")
    compression: Literal["gzip", "zlib", "zstd"] | None = Field(
        default=None, description="how the bytes are compressed; they are unpacked up to 1 MiB"
    )

    @model_validator(mode="after")
    def _check_around(self) -> DecoderOptions:
        if self.around is not None and self.of is None:
            raise ValueError("around needs of: it names the message around the payload")
        return self

    @property
    def is_wrapped(self) -> bool:
        """Whether something is to be unpacked before the decoder can read."""
        return bool(self.of or self.text or self.compression)

    @property
    def captures(self) -> frozenset[str]:
        """The parts of the topic that the decoder needs; a profile's match must name them."""
        return frozenset()

    @abstractmethod
    def make(self) -> Decoder:
        """Return a decoder that works by these options; nothing is left to find wrong."""
