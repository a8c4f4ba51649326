"""``devices``: contracts of devices, and what becomes of messages that keep none."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from fieldgate.config.section import FilePath
from fieldgate_devices.files.quantities import Rate, Size, parse_rate, parse_size
from fieldgate_devices.files.section import Section

__all__ = ["DeadLettersConfig", "DevicesConfig"]


class DeadLettersConfig(Section):
    """Messages that are no events and are kept for a person to look at."""

    max_size: Annotated[int, Size("1MB", "100MB")] = Field(
        parse_size("16MB"),
        description="Most bytes of disk for them, beside the journal's; the oldest go first. No message of more than a "
        "thirty-second part of it is kept.",
    )
    rate: Annotated[float, Rate("1/h", "1000/s")] = Field(
        parse_rate("10/s"),
        description="How many are kept of one topic, and ten times as many of all together; what comes above it is "
        "acknowledged, counted and not kept.",
    )

    @property
    def largest_bytes(self) -> int:
        """The largest message that is kept, topic and all."""
        return self.max_size // 32


class DevicesConfig(Section):
    """What devices may say."""

    path: FilePath = Field(
        default_factory=lambda: Path("devices.d"),
        description="Folder of your device profiles, *.yaml. Default: devices.d beside this file.",
        examples=["devices.d"],
        validate_default=True,
    )
    unknown: Literal["accept", "quarantine", "reject"] = Field(
        "accept",
        description="What becomes of a message that no profile matches. 'accept': an event, as it is; 'quarantine': a "
        "dead letter; 'reject': acknowledged, counted and thrown away.",
    )
    max_devices: int = Field(
        5000,
        ge=1,
        le=100_000,
        description="Most devices that are remembered ('fieldgate devices status'); whoever was heard the longest ago "
        "is forgotten first. Each may take 8 KB of memory on average.",
    )
    dead_letters: DeadLettersConfig = Field(
        default_factory=DeadLettersConfig,
        description="What is kept of messages that are no events: 'fieldgate dead-letters'.",
    )
