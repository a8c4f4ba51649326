"""What an uplink is sent besides what it gets in order: gap events, parked events once more, and replays.

Gap events and replays stand in no account of P4; what becomes of a parked event is told to `fieldgate.journal.shelf`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from fieldgate.forward.uplink import Shipment
from fieldgate.journal.gaps import GapLine, gap_event
from fieldgate.journal.window import Batch, holds_publishes
from fieldgate_devices.event import Event

__all__ = ["ExtraBatch", "Extras"]


class ExtraBatch(Batch):
    """A gap event, a parked event to be tried again, or kept events that a person asked for once more.

    ``is_stored``: see `Shipment`.
    """

    __slots__ = ("done", "given", "is_gap", "is_retry", "is_stored")

    def __init__(
        self, events: Sequence[Event], *, is_gap: bool = False, is_retry: bool = False, is_stored: bool = False
    ) -> None:
        super().__init__(events, b"")
        self.has_publishes = holds_publishes(events)
        self.is_gap = is_gap
        self.is_retry = is_retry
        self.is_stored = is_stored
        self.given = 0
        self.done = 0


class Extras:
    """One gap event is on its way at a time; then come retries, and replays when nothing else is left to send."""

    def __init__(self, gaps: GapLine, *, gateway: str) -> None:
        self.replayed = 0
        self._gaps = gaps
        self._gateway = gateway
        self._gap_out: ExtraBatch | None = None
        self.replays: deque[ExtraBatch] = deque()
        self.retries: list[ExtraBatch] = []

    @property
    def replay_backlog(self) -> int:
        """How many events of replays are not acknowledged yet."""
        return sum(len(batch.events) - batch.done for batch in self.replays)

    def replay(self, events: Sequence[Event], *, is_stored: bool) -> None:
        """Send kept events once more."""
        self.replays.append(ExtraBatch(events, is_stored=is_stored))

    def take_gap(self, shipments: list[Shipment]) -> int:
        """Append the gap event that is to be told next; return how many (0 or 1)."""
        hole = self._gaps.next()
        if hole is None or self._gap_out is not None:
            return 0
        batch = self._gap_out = ExtraBatch([gap_event(hole, gateway=self._gateway)], is_gap=True)
        shipments.append(Shipment(batch, batch.events, 0, 1))
        return 1

    def retry(self, events: Sequence[Event]) -> None:
        """Send parked events once more, each by itself."""
        self.retries += [ExtraBatch([event], is_retry=True, is_stored=True) for event in events]

    def cancel_retry(self, run: int, seq: int) -> None:
        """Do not send a parked event after all; what is on its way is not stopped by that."""
        self.retries = [one for one in self.retries if (one.events[0].stamp.run, one.events[0].seq) != (run, seq)]

    def take_retries(self, limit: int, shipments: list[Shipment]) -> int:
        """Append up to ``limit`` parked events; return how many."""
        ready = [batch for batch in self.retries if not batch.given][: max(0, limit)]
        for batch in ready:
            batch.given = 1
            shipments.append(Shipment(batch, batch.events, 0, 1, batch.is_stored, batch.has_publishes))
        return len(ready)

    def take_replay(self, limit: int, shipments: list[Shipment]) -> None:
        """Append up to ``limit`` events of replays."""
        for batch in self.replays:
            start, stop = batch.given, min(len(batch.events), batch.given + limit)
            if start < stop:
                shipments.append(Shipment(batch, batch.events, start, stop, batch.is_stored, batch.has_publishes))
                batch.given = stop
                limit -= stop - start
            if limit <= 0:
                break

    def done(self, batch: ExtraBatch, count: int) -> bool:
        """The far side has ``count`` events of ``batch``, or refuses them; return whether the state has changed."""
        if batch.is_gap:
            if batch is not self._gap_out:
                return False
            self._gap_out = None
            self._gaps.told()
            return True
        if batch.is_retry:
            self.retries = [one for one in self.retries if one is not batch]
            return True
        batch.done += count
        self.replayed += count
        while self.replays and self.replays[0].done >= len(self.replays[0].events):
            self.replays.popleft()
        return False

    def put_back(self) -> None:
        """Everything that is outstanding is to be sent again."""
        self._gap_out = None
        self.replayed -= sum(batch.done for batch in self.replays)  # they are counted when they arrive again
        for batch in (*self.replays, *self.retries):
            batch.given = batch.done = 0
