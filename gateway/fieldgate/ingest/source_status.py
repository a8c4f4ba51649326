"""What a source says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fieldgate.net.broker_connection import ConnectionState

__all__ = ["SourceStatus"]


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """Where a source is, why, since when it is connected or is not (boot time), and counters of this process.

    ``received`` counts messages, of which ``events`` became one; ``joined`` were sent again by the broker while the
    first copy was on its way, ``skipped_retained`` are replays of what was known, ``looped`` the gateway's own events,
    ``not_events`` those of other topics, ``unsaved`` were dropped with their connection while nothing could be stored
    (the broker sends them again, but for QoS 0). ``kept_s`` is how long the broker keeps what comes while nobody reads,
    where that is less than was asked for. Of the ``subscriptions`` that are wanted so many are ``subscribed``;
    ``refused`` and ``lowered`` are by topic filter: why it is not granted, and the lower QoS that is. ``login`` says
    why another login that was configured is not in use.
    """

    state: ConnectionState
    reason: str
    since_s: float
    version: Literal["3.1.1", "5"] | None
    received: int
    events: int
    joined: int
    skipped_retained: int
    looped: int
    not_events: int
    unsaved: int
    unacknowledged: int
    is_paused: bool
    reconnects: int
    kept_s: int | None
    subscriptions: int
    subscribed: int
    refused: dict[str, str]
    lowered: dict[str, int]
    login: str = ""
