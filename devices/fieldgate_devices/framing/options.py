"""What the options of every framing have in common, and the forms in which they are written."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from fieldgate_devices.files.quantities import Duration, Size
from fieldgate_devices.files.section import Section
from fieldgate_devices.framing.framer import Framer

__all__ = ["BoundedOptions", "FramingOptions", "HexText", "Length", "PatientOptions", "TimedOptions"]

_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2}[ :]?)+")


def _check_hex(text: str) -> str:
    """Return the bytes as ``aa 55``."""
    if not _HEX.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is no bytes; write them in hexadecimal and in quotes, such as 'aa 55'")
    return bytes.fromhex(text.replace(":", " ")).hex(" ")


HexText = Annotated[str, Field(max_length=64), AfterValidator(_check_hex)]
Length = Annotated[int, Size("8B", "1MiB")]


class FramingOptions(Section):
    """How the frames of a port are found."""

    @abstractmethod
    def make(self) -> Framer:
        """Return a framer that works by these options; nothing is left to find wrong."""


class PatientOptions(FramingOptions):
    """Options of framings that know when a frame is not finished."""

    give_up_after: Annotated[float, Duration("10ms", "1h")] = Field(
        5.0,
        description="silence after which a frame that was begun and not finished is given up, and what came of it is "
        "searched for others",
    )


class TimedOptions(PatientOptions):
    """Options of framings that believe a length before they have seen the frame."""

    within: Annotated[float, Duration("100ms", "1h")] = Field(
        30.0,
        description="time within which a frame must be complete; a length that noise has promised holds back what is "
        "behind it no longer than that",
    )


class BoundedOptions(PatientOptions):
    """Options of framings whose frames have no length of their own."""

    max_length: Length = Field(4096, description="longest frame in bytes, as it comes; longer ones are refused")
