"""Which uplinks are to get an event: what their filters say, and what a rule has said of this one.

Most events nobody has routed. Whoever hands some over says so, so that no event's `Extra` is looked at otherwise. What
was stored of routed events is known as a range per lane, which goes with every uplink's state: where damage takes
events of it, even an uplink without a filter cannot say at once how many of them it was to get.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from fieldgate.journal.uplink_state import Route, UplinkState
from fieldgate.journal.window import Batch
from fieldgate_devices.event import LANES, Event

__all__ = ["Routing"]

_MAX_CACHED: Final = 10_000


class Routing:
    """The uplinks by number, as the bits of `Batch.waits` count them.

    ``is_even``: every uplink gets every event that no rule has routed. ``nowhere`` counts events that a rule routed to
    uplinks of which none takes them.
    """

    def __init__(self, routes: Sequence[Route], states: Iterable[UplinkState]) -> None:
        self._routes = routes
        self._has_filters = any(route.is_wanted is not None for route in routes if not route.is_told_only)
        self._common_bits = sum(1 << number for number, route in enumerate(routes) if not route.is_told_only)
        self._known: dict[tuple[object, int], int] = {}
        self.is_even = not self._has_filters and not any(route.is_told_only for route in routes)
        self.nowhere = 0
        self.chosen = [(0, 0) for _ in LANES]
        for state in states:
            for lane in LANES:
                self._join(lane, *state.chosen[lane])

    def waits(self, events: Sequence[Event], *, is_routed: bool) -> bytes:
        """Return for each event the bits of the uplinks that are to get it."""
        if is_routed:
            return bytes([self._bits_routed(event) for event in events])
        if self._has_filters:
            return bytes([self._bits_of(event) for event in events])
        return bytes((self._common_bits,)) * len(events)

    def note(self, batch: Batch) -> None:
        """A batch in which events are routed was taken."""
        for event, bits in zip(batch.events, batch.waits, strict=True):
            extra = event.extra
            if extra is not None:
                self.nowhere += extra.uplinks is not None and not bits
                batch.has_publishes |= extra.publish is not None
        self._join(batch.events[0].lane, batch.events[0].seq, batch.last_seq)

    def forget_through(self, floors: Sequence[int]) -> None:
        """Nobody wants anything of a lane up to its floor any more."""
        self.chosen = [
            (0, 0) if last <= floor else (max(first, floor + 1), last)
            for (first, last), floor in zip(self.chosen, floors, strict=True)
        ]

    def may_hold_routed(self, lane: int, first_seq: int, last_seq: int) -> bool:
        """Whether an event of that range may have been routed by a rule."""
        first, last = self.chosen[lane]
        return first <= last_seq and first_seq <= last

    def _bits_routed(self, event: Event) -> int:
        if event.extra is None:
            return self._bits_of(event)
        return sum(1 << number for number, route in enumerate(self._routes) if route.takes(event))

    def _bits_of(self, event: Event) -> int:
        """The bits of an event without an `Extra`, which depend on its address and lane alone."""
        key = (event.address, event.lane)
        bits = self._known.get(key)
        if bits is None:
            bits = 0
            for number, route in enumerate(self._routes):
                if not route.is_told_only and (route.is_wanted is None or route.is_wanted(event)):
                    bits |= 1 << number
            if len(self._known) >= _MAX_CACHED:
                self._known.clear()
            self._known[key] = bits
        return bits

    def _join(self, lane: int, first_seq: int, last_seq: int) -> None:
        first, last = self.chosen[lane]
        if last_seq:
            self.chosen[lane] = (min(first or first_seq, first_seq), max(last, last_seq))
