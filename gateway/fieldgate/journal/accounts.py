"""Hold the accounts of P4 against the disk: is what an uplink's state calls pending what is really stored for it?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fieldgate.journal.history import Stored
from fieldgate.journal.intervals import IntervalSet
from fieldgate.journal.records import Loss, ReadHint
from fieldgate.journal.uplink_state import UplinkState, decode_states
from fieldgate_devices.event import LANES, Event

__all__ = ["PendingCount", "Wanted"]

_READ_BYTES: Final = 1 << 20

Wanted = Callable[[Event], bool]


@dataclass(slots=True)
class _Account:
    state: UplinkState
    is_wanted: Wanted
    done: list[IntervalSet]
    stored: int = 0

    def count(self, lane: int, events: list[Event]) -> None:
        floor, done = self.state.lanes[lane].floor, self.done[lane]
        uncounted = IntervalSet(self.state.lanes[lane].uncounted)
        for event in events:
            seq = event.seq
            if seq > floor and seq not in uncounted and seq not in done:
                self.stored += self.is_wanted(event)


class PendingCount:
    """Counts what is stored for each uplink of ``filters``; `step` by step, while nothing is committed."""

    def __init__(self, stored: Stored, filters: Mapping[str, Wanted]) -> None:
        states = decode_states(stored.uplink_states())
        self.losses: list[Loss] = []
        self._accounts = {
            name: _Account(states[name], is_wanted, [IntervalSet(lane.done) for lane in states[name].lanes])
            for name, is_wanted in filters.items()
            if name in states
        }
        self._stored = stored
        self._kept = Counter(head.uplink for head in stored.parked_heads())
        self._lane = 0
        self._after = self._first(0)
        self._hint: ReadHint | None = None

    def _first(self, lane: int) -> int:
        return min((account.state.lanes[lane].floor for account in self._accounts.values()), default=0)

    def step(self) -> bool:
        """Read about a megabyte; answers whether that was all."""
        if self._lane == len(LANES) or not self._accounts:
            return True
        result = self._stored.read(self._lane, self._after, max_bytes=_READ_BYTES, hint=self._hint)
        self._hint = result.hint
        self.losses += result.losses
        for block in result.blocks:
            for account in self._accounts.values():
                account.count(self._lane, block.events)
            self._after = max(self._after, block.info.last_seq)
        if not result.more:
            self._lane += 1
            self._hint = None
            self._after = self._first(self._lane) if self._lane < len(LANES) else 0
        return False

    def facts(self) -> list[dict[str, Any]]:
        """Return for each uplink what it has pending and parked by its own account, and what was found of either."""
        return [
            {
                "uplink": name,
                "pending": account.state.pending,
                "stored": account.stored,
                "parked": account.state.ledger.get("parked", 0),
                "parked_kept": self._kept[name],
            }
            for name, account in self._accounts.items()
        ]
