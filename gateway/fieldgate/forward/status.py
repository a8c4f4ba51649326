"""What an uplink says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fieldgate.net.broker_connection import ConnectionState

__all__ = ["UplinkStatus"]


@dataclass(frozen=True, slots=True)
class UplinkStatus:
    """Where an uplink is, why, since when it is connected or is not (boot time), and counters of this process.

    ``acked`` and ``parked`` count events, ``sent`` (for the first time), ``retries``, ``in_flight`` and ``stray_acks``
    messages; ``size_bytes`` is what was sent for the first time. ``quiet`` says what holds up sending although it is
    connected, empty where nothing does.
    """

    state: ConnectionState
    reason: str
    quiet: str
    since_s: float
    version: Literal["3.1.1", "5"] | None
    in_flight: int
    sent: int
    acked: int
    retries: int
    reconnects: int
    parked: int
    stray_acks: int
    size_bytes: int
