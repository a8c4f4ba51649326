"""The contract between an uplink's feed and the outbox that it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fieldgate.journal.gaps import Hole
from fieldgate.journal.parking import Parking
from fieldgate.journal.records import ParkedHead
from fieldgate.journal.window import Batch
from fieldgate_devices.event import Stamp

__all__ = ["FeedHost"]


class FeedHost(Protocol):
    """What a feed asks of its outbox."""

    gateway: str
    parking: Parking

    def acknowledged(self, batch: Batch, start: int, stop: int, *, nobody_wants: bool) -> None:
        """An uplink has ``events[start:stop]`` of a batch that is in memory."""

    def changed(self) -> None:
        """Something is to be done at the next turn: a read, a save, a commit."""

    def now_stamp(self) -> Stamp:
        """Return a stamp of now."""

    def uplink_went(self, *, down: bool) -> None:
        """An uplink went down, or came back."""

    def booked(self, uplink: str, hole: Hole) -> None:
        """An uplink never gets some events; to be entered in the ledger with the next commit."""

    def parked_went(self, heads: Sequence[ParkedHead]) -> None:
        """Parked events, of any uplink, had to go for newer ones."""
