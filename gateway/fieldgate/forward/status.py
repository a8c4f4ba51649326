"""What an uplink says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from fieldgate.net.broker_connection import ConnectionState

__all__ = ["UP", "CommandStatus", "UplinkState", "UplinkStatus"]

UplinkState: TypeAlias = 'ConnectionState | Literal["ready"]'
"""``ready``: nothing is amiss with an uplink that keeps no connection."""
UP: Final = frozenset({"connected", "ready"})
"""The states in which an uplink takes events."""


@dataclass(frozen=True, slots=True)
class CommandStatus:
    """Commands that come over an uplink, and answers to them; counters of this process.

    ``refused`` are those that reached no desk, ``joined`` were sent again by the server while their first copy waited,
    ``waiting`` are not acknowledged yet. ``problem`` says why none can come, ``answer_refused`` what became of the last
    answer that the server does not take.
    """

    filter: str
    subscribed: bool
    problem: str
    received: int
    refused: int
    joined: int
    waiting: int
    answered: int
    answers_waiting: int
    answers_dropped: int
    answer_refused: str


@dataclass(frozen=True, slots=True)
class UplinkStatus:
    """Where an uplink is, why, since when it is connected or is not (boot time), and counters of this process.

    ``acked`` and ``parked`` count events, ``sent`` (for the first time), ``retries``, ``in_flight`` and ``stray_acks``
    messages; ``size_bytes`` is what was sent for the first time. ``quiet`` says what holds up sending although it is
    connected, empty where nothing does. ``login`` says why another login that was configured is not in use.
    """

    state: UplinkState
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
    commands: CommandStatus | None = None
    login: str = ""
