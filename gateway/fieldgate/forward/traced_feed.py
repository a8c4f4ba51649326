"""A feed that tells, of events whose trace is recorded, how long it took until the far side had them.

It stands between an uplink and the outbox where spans are made, and nowhere else: without tracing nothing here is
loaded. Each try is a span of its own; one that came to nothing says why. Core: no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from fieldgate.forward.uplink import Feed, Shipment
from fieldgate.observe.tracing import Tracer, event_facts, recorded
from fieldgate_devices.event import Event, Trace
from fieldgate_devices.trace_context import trace_id

__all__ = ["TracedFeed"]

_MAX_LINKS: Final = 32


class _Sent(msgspec.Struct, gc=False):
    """An event that an uplink has, since when, and which (trace, span) share its message."""

    event: Event
    trace: Trace
    start_ns: int
    links: Sequence[tuple[str, str]] = ()


class TracedFeed:
    """Implements `Feed`. Events that share a message are linked with each other."""

    def __init__(self, feed: Feed, tracer: Tracer, *, uplink: str) -> None:
        self._feed = feed
        self._tracer = tracer
        self._uplink = uplink
        self._out: dict[int, tuple[object, dict[int, _Sent]]] = {}  # by id of a batch, which is kept, and place

    def take(self, max_events: int) -> list[Shipment]:
        """See `Feed`."""
        shipments = self._feed.take(max_events)
        for shipment in shipments:
            events = shipment.events
            for place in range(shipment.start, shipment.stop):
                event = events[place]
                if event.extra is not None and (trace := recorded(event)) is not None:
                    _, sent = self._out.setdefault(id(shipment.batch), (shipment.batch, {}))
                    sent[place] = _Sent(event, trace, self._tracer.now_ns(event.stamp))
        return shipments

    def joined(self, pieces: Sequence[tuple[object, int, int]]) -> None:
        """See `Feed`."""
        sent: list[_Sent] = []
        for batch, start, stop in pieces:
            if self._out and (known := self._out.get(id(batch))) is not None:
                sent += [one for place in range(start, stop) if (one := known[1].get(place)) is not None]
        contexts = [(trace_id(one.trace), one.trace.span) for one in sent[:_MAX_LINKS]]
        for one in sent:
            one.links = contexts
        self._feed.joined(pieces)

    def delivered(self, batch: object, start: int, stop: int) -> None:
        """See `Feed`."""
        if self._out:
            self._tell(self._taken(batch, start, stop))
        self._feed.delivered(batch, start, stop)

    def parked(self, batch: object, start: int, stop: int, reason: str) -> None:
        """See `Feed`."""
        if self._out:
            self._tell(self._taken(batch, start, stop), problem=f"parked: {reason}")
        self._feed.parked(batch, start, stop, reason)

    def expired(self, batch: object, start: int, stop: int) -> None:
        """See `Feed`."""
        if self._out:
            self._tell(self._taken(batch, start, stop), problem="expired before it was sent")
        self._feed.expired(batch, start, stop)

    def put_back(self) -> None:
        """See `Feed`."""
        if self._out:
            sent = [one for _, of_batch in self._out.values() for one in of_batch.values()]
            self._out.clear()
            self._tell(sent, problem="not acknowledged; it is sent again")
        self._feed.put_back()

    def is_down(self, down: bool) -> None:
        """See `Feed`."""
        self._feed.is_down(down)

    def _taken(self, batch: object, start: int, stop: int) -> list[_Sent]:
        if (known := self._out.get(id(batch))) is None:
            return []
        _, of_batch = known
        sent = [one for place in range(start, stop) if (one := of_batch.pop(place, None)) is not None]
        if not of_batch:
            del self._out[id(batch)]
        return sent

    def _tell(self, sent: Sequence[_Sent], *, problem: str = "") -> None:
        if not sent:
            return
        spans = []
        for one in sent:
            facts = event_facts(one.event) | {"fieldgate.uplink": self._uplink}
            own = (trace_id(one.trace), one.trace.span)
            links = [other for other in one.links if other != own]
            end_ns = max(one.start_ns, self._tracer.now_ns(one.event.stamp))
            spans.append(
                self._tracer.child(
                    "forward", one.trace, one.start_ns, end_ns, facts, kind="producer", links=links, problem=problem
                )
            )
        self._tracer.put(spans)
