"""The contract between the outbox and an uplink.

The outbox decides what may be sent and remembers what was delivered; the uplink decides when it can take
more, and says what the far side has acknowledged. All calls happen on the event loop, never at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from fieldgate_devices.event import Event

__all__ = ["Feed", "Shipment", "Uplink"]


class Shipment(NamedTuple):
    """A run of consecutive events of one batch that the feed handed out: ``events[start:stop]``.

    ``batch`` is opaque to the uplink and goes back with `Feed.delivered`. ``is_stored`` marks events that
    passed later ones because of ``drain: live_first``. ``has_publishes``: some of the batch's events are messages that
    a rule sends as they are (`Extra.publish`); else none is.
    """

    batch: object
    events: Sequence[Event]
    start: int
    stop: int
    is_stored: bool = False
    has_publishes: bool = False


class Feed(Protocol):
    """One uplink's view of the outbox."""

    def take(self, max_events: int) -> list[Shipment]:
        """Hand out up to ``max_events`` events in the order in which they must be sent; empty when none is ready.

        What is handed out is not handed out again until `put_back`.
        """

    def joined(self, pieces: Sequence[tuple[object, int, int]]) -> None:
        """These runs of events (batch, start, stop) leave in one message."""

    def delivered(self, batch: object, start: int, stop: int) -> None:
        """The far side acknowledged ``events[start:stop]`` of ``batch``; any sub-range, in any order, each once."""

    def parked(self, batch: object, start: int, stop: int, reason: str) -> None:
        """The far side will never take these events: book them in the ledger and go on without them."""

    def expired(self, batch: object, start: int, stop: int) -> None:
        """Their publisher wants these events delivered no more: book them as expired and go on without them."""

    def put_back(self) -> None:
        """Everything handed out and neither delivered nor parked will be handed out again, oldest first."""

    def is_down(self, down: bool) -> None:
        """Say whether this uplink is known to be down; while it is, the outbox does not wait ``hold`` for it."""


class Uplink(Protocol):
    """One way out. ``pump`` runs it under the supervisor and restarts it when it fails."""

    name: str

    def kick(self) -> None:
        """Events may be ready: take and send what the window allows. Cheap when there is nothing to do."""

    async def run(self) -> None:
        """Connect, send, reconnect; returns only when cancelled. Raises for a fault that retrying cannot mend."""

    async def stop(self) -> None:
        """Say goodbye (DISCONNECT) within the caller's deadline."""
