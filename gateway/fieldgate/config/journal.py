"""``journal``: the disk buffer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from fieldgate.config.places import default_state_folder
from fieldgate.config.section import FilePath
from fieldgate_devices.files.quantities import Duration, Size, parse_size
from fieldgate_devices.files.section import Section

__all__ = ["JournalConfig", "KeepConfig"]


def _nothing_for_zero(written: object) -> object:
    """``keep: 0`` is how a person says that nothing is kept."""
    return None if written == 0 and not isinstance(written, bool) else written


def _zero_too(schema: dict[str, Any]) -> None:
    schema["anyOf"].append({"const": 0})


class KeepConfig(Section):
    """How long delivered events are kept for replay; what comes first, age or size."""

    age: Annotated[float, Duration("1m", "3650d")] | None = Field(
        None, description="Keep events at most this long.", examples=["7d"]
    )
    size: Annotated[int, Size("1MiB", "1000TB")] | None = Field(
        None, description="Keep at most this many bytes of events; part of the journal's max_size.", examples=["500MB"]
    )


class JournalConfig(Section):
    """The disk buffer."""

    path: FilePath = Field(
        default_factory=default_state_folder,
        description="Folder of the journal. Default: $STATE_DIRECTORY, else /var/lib/fieldgate where it can be "
        "written, else ~/.local/state/fieldgate.",
        examples=["/var/lib/fieldgate"],
    )
    durability: Literal["relay", "journal"] = Field(
        "relay",
        description="'relay' writes only what the uplinks have not acknowledged within 'hold'; 'journal' writes "
        "every event. Either way nothing is acknowledged to a device before it is safe.",
    )
    hold: Annotated[float, Duration("0s", "10s")] = Field(
        0.2, description="How long an event may wait for the uplinks before it is written (durability: relay)."
    )
    commit_delay: Annotated[float, Duration("0s", "10s")] = Field(
        0.05,
        description="How long a write waits for more events to share it; longer, up to 500ms, while there are few.",
    )
    max_size: Annotated[int, Size("8MiB", "1000TB")] = Field(
        parse_size("2GB"), description="Most bytes of disk for the journal, everything included."
    )
    when_full: Literal["drop_oldest", "reject_new"] = Field(
        "drop_oldest",
        description="When max_size is reached: drop the oldest events of the lowest lane and say so upstream, or "
        "leave new events unacknowledged at the devices.",
    )
    keep: Annotated[KeepConfig | None, BeforeValidator(_nothing_for_zero)] = Field(
        None,
        description="Also keep delivered events, for replay; 0 keeps none. Every event is then written to flash: "
        "'fieldgate check' says what that costs.",
        examples=[0],
        json_schema_extra=_zero_too,
    )

    @property
    def hold_s(self) -> float:
        """``hold`` in seconds."""
        return self.hold

    @property
    def commit_delay_s(self) -> float:
        """``commit_delay`` in seconds."""
        return self.commit_delay

    @property
    def max_size_bytes(self) -> int:
        """``max_size`` in bytes."""
        return self.max_size
