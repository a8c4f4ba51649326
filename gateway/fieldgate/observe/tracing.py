"""Spans of messages that are recorded: where each was, from the listener to the uplinks.

Laws of this file:

- A message is recorded if its device says so (the sampled flag of its ``traceparent``), or, where the device says
  nothing of a trace, by chance; decided once, when it is received, for everything that comes of it.
- What the gateway does later is a child of the span ``receive``, whose id is kept with the event (`Trace.span`): over a
  restart, too.
- Times are those of the OS boot, set against the event's own wall clock: a clock that is set meanwhile makes no span
  begin before its parent. After a restart they are those of the clock of then.

Core: time and chance are arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random

import msgspec

from fieldgate.observe.span import Span, SpanSink
from fieldgate_devices.event import Event, Stamp, Trace
from fieldgate_devices.trace_context import new_span_id, new_trace, trace_id

__all__ = ["Sampler", "TracedRead", "Tracer", "event_facts", "recorded"]


class Sampler:
    """Chooses some of many by chance, with one draw per choice and none per message."""

    def __init__(self, share: float, rng: Random) -> None:
        self._share = share
        self._rng = rng
        self._skip = self._draw() if share > 0 else 0

    def chosen(self, count: int) -> Sequence[int]:
        """Return which of the next ``count`` are chosen."""
        if self._share <= 0:
            return ()
        if self._skip >= count:
            self._skip -= count
            return ()
        places = []
        while self._skip < count:
            places.append(self._skip)
            self._skip += 1 + self._draw()
        self._skip -= count
        return places

    def _draw(self) -> int:
        """How many are passed over before the next: a geometric distribution."""
        if self._share >= 1:
            return 0
        return int(math.log(1.0 - self._rng.random()) / math.log1p(-self._share))


class Tracer:
    """Makes the spans of one process, whose random id is ``run``. ``boot_ns`` and ``wall_ns`` tell the time now.

    ``over_rate`` counts messages that are not recorded although they were to be: there were too many in a second.
    """

    def __init__(
        self,
        sink: SpanSink,
        *,
        sample: float,
        rate_per_s: float,
        run: int,
        rng: Random,
        boot_ns: Callable[[], int],
        wall_ns: Callable[[], int],
    ) -> None:
        self._sink = sink
        self._sampler = Sampler(sample, rng)
        self.over_rate = 0
        self._budget = self._rate_per_s = max(1.0, rate_per_s)
        self._budget_at_ns = 0
        self._run = run
        self._rng = rng
        self._boot_ns = boot_ns
        self._wall_ns = wall_ns

    def begin(
        self, topics: Sequence[str], source: str, stamp: Stamp, traces: Mapping[int, Trace] | None
    ) -> TracedRead | None:
        """A read of messages with these topics begins; None if none of them is recorded."""
        places = self._sampler.chosen(len(topics))
        if not places and not traces:
            return None
        all_traces = dict(traces or {})
        wanted = [place for place, trace in all_traces.items() if trace.is_sampled]
        wanted += [place for place in places if place not in all_traces]
        recorded = wanted[: self._spend(len(wanted), stamp.boot_ns)]
        if not recorded:
            return None
        for place in recorded:
            if (said := all_traces.get(place)) is None:
                all_traces[place] = new_trace(self._rng)
            else:
                all_traces[place] = msgspec.structs.replace(said, span=new_span_id(self._rng))
        return TracedRead(self, all_traces, {place: topics[place] for place in sorted(recorded)}, source, stamp)

    def _spend(self, wanted: int, now_ns: int) -> int:
        """Return how many of so many messages the rate allows."""
        if not wanted:
            return 0
        earned = (now_ns - self._budget_at_ns) / 1e9 * self._rate_per_s
        self._budget, self._budget_at_ns = min(self._rate_per_s, self._budget + earned), now_ns
        allowed = wanted if self._budget >= wanted else int(self._budget)
        self._budget -= allowed
        self.over_rate += wanted - allowed
        return allowed

    def now_ns(self, stamp: Stamp) -> int:
        """The time now, as an event of this stamp has it."""
        if stamp.run != self._run:
            return self._wall_ns()
        return stamp.wall_ns + self._boot_ns() - stamp.boot_ns

    def put(self, spans: Sequence[Span]) -> None:
        """Hand spans on."""
        self._sink.put(spans)

    def child(
        self, name: str, trace: Trace, start_ns: int, end_ns: int, facts: Mapping[str, str | int], **more: object
    ) -> Span:
        """Return a span within what was received; ``more`` is as `Span` has it."""
        span = Span(name, trace_id(trace), new_span_id(self._rng), trace.span, start_ns, end_ns, facts=facts)
        return msgspec.structs.replace(span, state=trace.state, **more)

    def stored(self, events: Iterable[Event]) -> None:
        """These events are on the disk by now, since they were taken."""
        spans = []
        for event in events:
            trace = recorded(event)
            if trace is not None:
                stamp = event.stamp
                spans.append(self.child("commit", trace, stamp.wall_ns, self.now_ns(stamp), event_facts(event)))
        if spans:
            self.put(spans)


class TracedRead:
    """The spans of one read, some of whose messages are recorded; ``traces`` are those of all of them."""

    __slots__ = ("_decoded_ns", "_recorded", "_source", "_stamp", "_tracer", "traces")

    def __init__(
        self, tracer: Tracer, traces: dict[int, Trace], recorded: dict[int, str], source: str, stamp: Stamp
    ) -> None:
        self.traces = traces
        self._tracer = tracer
        self._recorded = recorded
        self._source = source
        self._stamp = stamp
        self._decoded_ns = 0

    def decoded(self) -> None:
        """The messages were decoded."""
        self._decoded_ns = self._tracer.now_ns(self._stamp)

    def decided(self, made: Sequence[tuple[Event, Event]]) -> None:
        """Rules were asked; ``made`` are events that they made, each with the one that it comes of."""
        tracer, start_ns, decoded_ns = self._tracer, self._stamp.wall_ns, self._decoded_ns
        end_ns = tracer.now_ns(self._stamp)
        spans: list[Span] = []
        for place, topic in self._recorded.items():
            trace = self.traces[place]
            said_parent = trace.parent[36:52]
            facts = {"fieldgate.source": self._source, "messaging.destination.name": topic}
            spans += (
                Span(
                    "receive", trace_id(trace), trace.span, "" if said_parent == trace.span else said_parent, start_ns,
                    end_ns, "consumer", facts, state=trace.state,
                ),
                tracer.child("decode", trace, start_ns, decoded_ns, {}),
                tracer.child("rules", trace, decoded_ns, end_ns, {}),
            )  # fmt: skip
        for event, cause in made:
            trace_of_event, trace_of_cause = recorded(event), recorded(cause)
            if trace_of_event is not None and trace_of_cause is not None:
                span = tracer.child("emit", trace_of_cause, decoded_ns, end_ns, event_facts(event))
                spans.append(msgspec.structs.replace(span, id=trace_of_event.span))
        tracer.put(spans)


def recorded(event: Event) -> Trace | None:
    """The trace of an event, if spans are made of it."""
    extra = event.extra
    return None if extra is None or extra.trace is None or not extra.trace.span else extra.trace


def event_facts(event: Event) -> dict[str, str | int]:
    """What every span of one event says of it."""
    address = event.address
    facts: dict[str, str | int] = {"fieldgate.device": address.device, "cloudevents.event_type": address.type}
    if event.seq:
        facts["cloudevents.event_id"] = f"{event.stamp.run:016x}-{event.seq}"
    return facts
