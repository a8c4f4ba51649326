"""What the options of every decoder have in common: how its bytes are packed into the message."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from fieldgate_devices.decoders.decoder import Decoder
from fieldgate_devices.decoders.path import Path
from fieldgate_devices.files.section import Section

__all__ = ["DecoderOptions", "PathText"]


def _check_path(text: str) -> str:
    Path.parse(text)
    return text


PathText = Annotated[str, AfterValidator(_check_path)]


class DecoderOptions(Section):
    """Options that every decoder takes. They apply in this order: `of`, `text`, `compression`, then the decoder."""

    of: PathText | None = Field(
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

    @property
    def is_wrapped(self) -> bool:
        """Whether something is to be unpacked before the decoder can read."""
        return bool(self.of or self.text or self.compression)

    @abstractmethod
    def make(self) -> Decoder:
        """Return a decoder that works by these options; nothing is left to find wrong."""
