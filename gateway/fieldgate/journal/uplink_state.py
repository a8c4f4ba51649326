"""What the journal keeps of an uplink: where its cursors stand, and its accounts (P4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from fieldgate.journal.gaps import Hole
from fieldgate.journal.times import Correction
from fieldgate_devices.event import LANES, Event

__all__ = ["LaneState", "Route", "UplinkState", "decode_states", "encode_states", "first_state", "highest_seq"]


class Route(msgspec.Struct, frozen=True):
    """What the outbox must know of an uplink. ``is_wanted`` is None where it gets every event."""

    name: str
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
    equation of P4 can fail.
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


def first_state(route: Route, stored_to: Sequence[int]) -> UplinkState:
    """The state of an uplink that was never seen before."""
    state = UplinkState()
    if route.starts_at_oldest:
        state.uncounted = [(0, last) for last in stored_to]
    else:
        state.lanes = [LaneState(last) for last in stored_to]
    return state


def encode_states(states: dict[str, UplinkState]) -> dict[str, bytes]:
    """Return the states as the journal stores them."""
    return {name: msgspec.msgpack.encode(state) for name, state in states.items()}


def decode_states(stored: dict[str, bytes]) -> dict[str, UplinkState]:
    """Return the states that the journal stored."""
    return {name: msgspec.msgpack.decode(state, type=UplinkState) for name, state in stored.items()}


def highest_seq(states: dict[str, UplinkState]) -> int:
    """Return the highest sequence number that any stored cursor speaks of; a new run must begin above it."""
    lanes = [lane for state in states.values() for lane in state.lanes]
    return max((max([lane.floor, *(last for _, last in lane.done)]) for lane in lanes), default=0)
