"""``local``: what is kept for the clients of all listeners together."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fieldgate_devices.files.quantities import Duration, Size, parse_duration, parse_size
from fieldgate_devices.files.section import Section

__all__ = ["LocalConfig"]


class LocalConfig(Section):
    """Local delivery."""

    max_sessions: int = Field(
        1000,
        ge=0,
        le=1_000_000,
        description="Sessions of clients that are away; the one that is away longest ends first.",
    )
    max_session_expiry: Annotated[float, Duration("1m", "3650d")] = Field(
        parse_duration("7d"),
        description="A client that is away longer finds its session gone, whatever it asked for; MQTT 5 clients are "
        "told.",
    )
    max_subscriptions: int = Field(
        50_000,
        ge=1,
        le=10_000_000,
        description="Subscriptions of all clients, with eight levels each on average (10,000 in all are always "
        "allowed); one more is refused (0x97).",
    )
    max_queued: Annotated[int, Size("0B", "1TiB")] = Field(
        parse_size("16MiB"),
        description="Bytes that wait for all clients that are away; beyond it new messages for them are dropped.",
    )
    max_retained: int = Field(
        10_000, ge=0, le=10_000_000, description="Topics with a retained message; those of further topics are not kept."
    )
    max_retained_size: Annotated[int, Size("0B", "1TiB")] = Field(
        parse_size("8MiB"),
        description="Bytes of all retained messages and the levels of their topics; beyond it none is kept.",
    )
