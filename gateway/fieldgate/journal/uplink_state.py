"""What the journal keeps of an uplink: where its cursors stand, and its accounts (P4)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from fieldgate.journal.gaps import Hole
from fieldgate.journal.times import Correction, TimeRules
from fieldgate_devices.event import LANES, Event, Extra

__all__ = [
    "NOBODY_NAME",
    "LaneState",
    "Route",
    "UplinkState",
    "decode_states",
    "encode_states",
    "highest_seq",
    "starting_state",
    "state_of_unknown",
]

NOBODY_NAME: Final = ""  # the row that keeps what came before the first uplink was configured


class Route(msgspec.Struct, frozen=True):
    """What the outbox must know of an uplink.

    ``is_wanted`` is None where it gets every event; ``filter`` is the same as a text, to know it again. One that
    ``is_told_only`` gets only the events that name it in their ``notify``; the others all but those that a rule routes
    elsewhere; its ``filter`` says that it is. `takes` says all of that together.
    """

    name: str
    filter: str = ""
    is_required: bool = True
    is_live_first: bool = False
    is_wanted: Callable[[Event], bool] | None = None
    starts_at_oldest: bool = True
    max_size_bytes: int | None = None
    max_age_s: float | None = None
    is_told_only: bool = False

    def takes(self, event: Event) -> bool:
        """Whether this uplink is to get ``event``."""
        return self.is_meant(event.extra) and (self.is_wanted is None or self.is_wanted(event))

    def is_meant(self, extra: Extra | None) -> bool:
        """Whether an event with that `Extra` may go here, whatever the filter says."""
        if self.is_told_only:
            return extra is not None and self.name in extra.notify
        return extra is None or extra.uplinks is None or self.name in extra.uplinks

    def chosen(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return those of ``events`` that this uplink is to get."""
        is_plain = self.is_wanted is None and not self.is_told_only
        if is_plain and not any(event.extra is not None for event in events):
            return events
        return [event for event in events if self.takes(event)]


class LaneState(msgspec.Struct, array_like=True):
    """A cursor as it is stored. ``uncounted`` are numbers of events that are not in ``routed`` before they are read."""

    floor: int = 0
    done: list[tuple[int, int]] = []
    uncounted: list[tuple[int, int]] = []


class UplinkState(msgspec.Struct):
    """Cursors and accounts of one uplink as they are stored with each commit.

    ``pending`` counts events that lie on disk and are not done; it is kept apart from ``routed`` so that the
    equation of P4 can fail. ``filter`` is the filter that the counts were made with. ``counted_to`` is per lane the
    highest number on disk with this state, -1 where that is not known: what was stored after it is in no count.
    ``unsure`` are ranges in which damage took a number of events that is not known yet. ``chosen`` is per lane the
    range that holds all stored events which rules routed, of whatever uplink (0, 0: there are none).
    """

    lanes: list[LaneState] = msgspec.field(default_factory=lambda: [LaneState() for _ in LANES])
    routed: int = 0
    delivered: int = 0
    pending: int = 0
    ledger: dict[str, int] = {}
    gaps: list[Hole] = []
    unsure: list[Hole] = []
    times: TimeRules = msgspec.field(default_factory=TimeRules)
    filter: str = ""
    counted_to: list[int] = msgspec.field(default_factory=lambda: [-1 for _ in LANES])
    chosen: list[tuple[int, int]] = msgspec.field(default_factory=lambda: [(0, 0) for _ in LANES])

    @property
    def corrections(self) -> list[Correction]:
        """Which times are corrected."""
        return self.times.corrections

    @property
    def is_counted(self) -> bool:
        """Whether ``routed`` and ``pending`` hold everything; a new uplink counts what it finds as it reads."""
        return not any(lane.uncounted for lane in self.lanes)


def starting_state(
    route: Route, states: dict[str, UplinkState], *, stored_to: Sequence[int], stored_boot: str
) -> UplinkState:
    """Return the state with which an uplink begins: its own, what was kept for whoever comes first, or a new one.

    ``stored_boot`` is the OS boot of everything that is stored; empty where there were several.
    """
    own, nobody = states.get(route.name), states.get(NOBODY_NAME)
    if own is None and nobody is not None and route.starts_at_oldest:
        state = _copy(nobody)
        if any(last for _, last in state.chosen):  # what was routed to this one is in no count of nobody's
            _count_again(state, stored_to)
    elif own is None:
        state = _first_state(route, states, stored_to, stored_boot)
    else:
        state = _copy(own)
        if nobody is not None and route.name != NOBODY_NAME:
            _add_losses(state, nobody)
            _count_again(state, stored_to)
    if state.filter != route.filter:
        state.filter = route.filter
        _count_again(state, stored_to)
    for lane, counted_to in enumerate(state.counted_to):
        if 0 <= counted_to < stored_to[lane]:  # a newer state was lost, and not all that was stored with it
            state.lanes[lane].uncounted.append((counted_to + 1, stored_to[lane]))
    return state


def _first_state(
    route: Route, states: dict[str, UplinkState], stored_to: Sequence[int], stored_boot: str
) -> UplinkState:
    """The state of an uplink that was never seen before; nobody begins where the first of all others stands."""
    state = UplinkState(filter=route.filter, counted_to=list(stored_to))
    state.times.os_boot = stored_boot
    for lane, last in enumerate(stored_to):
        floor = 0 if route.starts_at_oldest else last
        if route.name == NOBODY_NAME:
            floor = min((other.lanes[lane].floor for other in states.values()), default=0)
        state.lanes[lane] = LaneState(floor)
    _count_again(state, stored_to)
    return state


def _count_again(state: UplinkState, stored_to: Sequence[int]) -> None:
    """Forget what was counted of the disk: not all of it is what this uplink is to get now. It is counted as read."""
    state.routed -= state.pending
    state.pending = 0
    state.unsure = []
    for lane, last in zip(state.lanes, stored_to, strict=True):
        lane.uncounted = [(lane.floor + 1, last)] if lane.floor < last else []


def _add_losses(state: UplinkState, nobody: UplinkState) -> None:
    """What was given up while no uplink was configured would have gone to this one."""
    for reason, count in nobody.ledger.items():
        state.ledger[reason] = state.ledger.get(reason, 0) + count
        state.routed += count
    state.gaps += nobody.gaps
    floors = [max(lane.floor, other.floor) for lane, other in zip(state.lanes, nobody.lanes, strict=True)]
    for lane, floor in zip(state.lanes, floors, strict=True):
        lane.floor = floor


def _copy(state: UplinkState) -> UplinkState:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=UplinkState)


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


def state_of_unknown(stored_to: Sequence[int]) -> UplinkState:
    """Return what an uplink goes on with whose state cannot be read: it gets again what is stored, as it was sent."""
    state = UplinkState(counted_to=list(stored_to), chosen=[(min(1, last), last) for last in stored_to])
    state.times.may_have_sent_unsynced = True
    _count_again(state, stored_to)
    return state


def highest_seq(states: dict[str, UplinkState]) -> int:
    """Return the highest sequence number that any stored state speaks of; a new run must begin above it."""
    numbers = [0]
    for state in states.values():
        numbers.append(state.times.fixed_to)
        numbers += [one.last_seq for one in state.times.corrections]
        numbers += [hole.last_seq for hole in (*state.unsure, *state.gaps)]
        for lane in state.lanes:
            numbers += [lane.floor, *(last for _, last in lane.done), *(last for _, last in lane.uncounted)]
    return max(numbers)
