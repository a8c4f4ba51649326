"""What the journal keeps of an uplink: where its cursors stand, and its accounts (P4)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from fieldgate.journal.gaps import Hole
from fieldgate.journal.times import Correction
from fieldgate_devices.event import LANES, Event

__all__ = [
    "NOBODY_NAME",
    "LaneState",
    "Route",
    "UplinkState",
    "adopt_states",
    "decode_states",
    "encode_states",
    "highest_seq",
]

NOBODY_NAME: Final = ""
"""The state that keeps what comes while no uplink is configured."""


class Route(msgspec.Struct, frozen=True):
    """What the outbox must know of an uplink.

    ``is_wanted`` is None where it gets every event; ``filter`` is the same as a text, to know it again.
    """

    name: str
    filter: str = ""
    is_required: bool = True
    is_live_first: bool = False
    is_wanted: Callable[[Event], bool] | None = None
    starts_at_oldest: bool = True
    max_size_bytes: int | None = None
    max_age_s: float | None = None


class LaneState(msgspec.Struct, array_like=True):
    """A cursor as it is stored."""

    floor: int = 0
    done: list[tuple[int, int]] = []


class UplinkState(msgspec.Struct):
    """Cursors and accounts of one uplink as they are stored with each commit.

    ``pending`` counts events that lie on disk and are not done; it is kept apart from ``routed`` so that the
    equation of P4 can fail. ``uncounted`` is per lane what lay on disk when this uplink, or its filter, was new, as
    (after, last): nobody counted that for it when it was accepted; it is counted as it is read. ``filter`` is the
    filter that the counts were made with. ``counted_to`` is per lane the highest number on disk with this state, -1
    where that is not known: what was stored after it, and lost together with newer states, is in no count.
    """

    lanes: list[LaneState] = msgspec.field(default_factory=lambda: [LaneState() for _ in LANES])
    routed: int = 0
    delivered: int = 0
    pending: int = 0
    ledger: dict[str, int] = {}
    gaps: list[Hole] = []
    corrections: list[Correction] = []
    may_have_sent_unsynced: bool = False
    uncounted: list[tuple[int, int]] = msgspec.field(default_factory=lambda: [(0, 0) for _ in LANES])
    filter: str = ""
    counted_to: list[int] = msgspec.field(default_factory=lambda: [-1 for _ in LANES])

    @property
    def is_counted(self) -> bool:
        """Whether everything on disk that this uplink is to get stands in ``routed``."""
        return all(after >= last for after, last in self.uncounted)

    def count_read(self, lane: int, wanted: Sequence[Event], *, through_seq: int) -> None:
        """Count what is found on disk up to ``through_seq``, where it was not counted before."""
        after, last = self.uncounted[lane]
        if after >= last:
            return
        count = sum(1 for event in wanted if after < event.seq <= last)
        self.routed += count
        self.pending += count
        self.uncounted[lane] = (max(after, min(through_seq, last)), last)

    def count_lost(self, lane: int, seqs: Sequence[int]) -> None:
        """Take events that lay on disk and that this uplink never gets out of ``pending``; the ledger has them."""
        after, last = self.uncounted[lane]
        uncounted = sum(1 for seq in seqs if after < seq <= last)
        self.routed += uncounted
        self.pending -= len(seqs) - uncounted

    def count_again(self, stored_to: Sequence[int]) -> None:
        """Forget what was counted of the disk, because it is not what this uplink is to get now; it is counted anew."""
        self.routed -= self.pending
        self.pending = 0
        self.uncounted = [(lane.floor, last) for lane, last in zip(self.lanes, stored_to, strict=True)]


def adopt_states(
    routes: Sequence[Route], states: dict[str, UplinkState], stored_to: Sequence[int]
) -> dict[str, UplinkState]:
    """Return the state with which each uplink of this configuration goes on, from what the journal kept.

    The first uplinks take over what was kept for nobody in particular. What was stored while there was no uplink, or
    before this uplink or its filter was as it is now, is counted as it is read.
    """
    nobody = states.get(NOBODY_NAME)
    adopted: dict[str, UplinkState] = {}
    for route in routes:
        own = states.get(route.name)
        if own is None and nobody is not None and route.starts_at_oldest:
            own = msgspec.msgpack.decode(msgspec.msgpack.encode(nobody), type=UplinkState)
        elif own is None:
            own = _first_state(route, stored_to)
        elif nobody is not None and route.name != NOBODY_NAME:
            own.count_again(stored_to)
        if own.filter != route.filter:
            own.count_again(stored_to)
            own.filter = route.filter
        adopted[route.name] = own
    return adopted


def _first_state(route: Route, stored_to: Sequence[int]) -> UplinkState:
    """The state of an uplink that was never seen before."""
    state = UplinkState(filter=route.filter, counted_to=list(stored_to))
    if route.starts_at_oldest:
        state.uncounted = [(0, last) for last in stored_to]
    else:
        state.lanes = [LaneState(last) for last in stored_to]
    return state


def encode_states(states: dict[str, UplinkState]) -> dict[str, bytes]:
    """Return the states as the journal stores them."""
    return {name: msgspec.msgpack.encode(state) for name, state in states.items()}


def decode_states(stored: dict[str, bytes]) -> dict[str, UplinkState]:
    """Return the states that the journal stored, without any that cannot be read."""
    states: dict[str, UplinkState] = {}
    for name, state in stored.items():
        with contextlib.suppress(msgspec.MsgspecError):
            states[name] = msgspec.msgpack.decode(state, type=UplinkState)
    return states


def highest_seq(states: dict[str, UplinkState]) -> int:
    """Return the highest sequence number that any stored cursor speaks of; a new run must begin above it."""
    lanes = [lane for state in states.values() for lane in state.lanes]
    return max((max([lane.floor, *(last for _, last in lane.done)]) for lane in lanes), default=0)
