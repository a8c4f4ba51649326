"""What one HTTP connection sends, on its way into the flow: checked, numbered, handed over, answered when safe.

Laws of this file:

- A message is answered with success only when the intake has settled it (P1), in the order of the requests.
- Nothing is held back for an intake that is closed: the sender is told to come again, and keeps its message.
- Local subscribers get a message before the flow sees it, as they do of an MQTT client.
- Headers are not kept, but for the trace that they name: a message is its topic and the bytes of the body.
- The gateway's own events, come back through somebody's webhook, are answered, counted and dropped.

No I/O, no clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from fieldgate.ingest.answer_line import AnswerLine
from fieldgate.ingest.echo import EchoGuard, looks_like_ours
from fieldgate.ingest.event_filter import EventFilter, TopicRefused, client_seed, content_id
from fieldgate.ingest.http_answer import come_again
from fieldgate.ingest.http_request import HttpRefusal
from fieldgate.ingest.source import Intake, Received
from fieldgate.ingest.window_watch import WindowWatch
from fieldgate.mqtt.local_broker import LocalBroker
from fieldgate.mqtt.packets import Publish
from fieldgate.mqtt.session_roles import Rights
from fieldgate.mqtt.violation import Violation
from fieldgate_devices.event import Trace
from fieldgate_devices.trace_context import read_trace

__all__ = ["HttpInbox", "HttpTally", "InboxTerms", "Place"]

_OVERHEAD_BYTES: Final = 64  # what an event costs beside its text while it waits
_MAX_IN_FLIGHT: Final = 100  # requests of one connection that may wait for their answers
_QOS: Final = 1  # with which local subscribers get it at most
_NO_EVENT: Final = (
    "what is sent to this path is no event: 'events' leaves its topic out, or a profile names it as a command"
)


class HttpTally:
    """Counters that all connections of a listener share."""

    __slots__ = ("bad_traces", "bytes", "echoes", "events", "refused", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.bad_traces = 0  # events whose traceparent or tracestate is none; it was left out
        self.events = 0
        self.bytes = 0  # of topics and bodies of events
        self.echoes = 0  # sent upstream by this very gateway, and brought back: no events
        self.refused: Counter[str] = Counter()  # requests answered with 4xx and 5xx, by the code of the answer


class InboxTerms(msgspec.Struct, frozen=True):
    """What all connections of a listener share; ``source`` is its name."""

    source: str
    intake: Intake
    broker: LocalBroker
    event_filter: EventFilter
    lane: int
    max_unsettled_bytes: int
    tally: HttpTally
    guard: EchoGuard | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message goes: its topic, and what of its content id is known before its body."""

    topic: str
    topic_seed: int
    client_seed: int


class HttpInbox:
    """The `Settler` of one connection; its generation is its life. ``flushed`` is called when answers became due."""

    def __init__(self, terms: InboxTerms, flushed: Callable[[], None]) -> None:
        self.line = AnswerLine()
        self.source = terms.source
        self._terms = terms
        self._flushed = flushed
        self._window = WindowWatch()
        self._received: list[Received] = []
        self._traces: dict[int, Trace] | None = None  # by place in ``received``
        self._routed: list[Publish] = []
        self._first = 0  # position of the first in ``received``
        self._user: str | None = None
        self._client_seed = 0

    # Settler

    def settled(self, first: int, count: int) -> None:
        """See `Settler`."""
        self.line.settled(first, count)

    def flush(self) -> None:
        """See `Settler`."""
        self._flushed()

    # for the session

    def place(self, topic: str, user: str, rights: Rights | None) -> Place:
        """Say where a message of ``user`` to ``topic`` goes.

        Raises:
            HttpRefusal: nowhere.
        """
        terms = self._terms
        try:
            seed = terms.event_filter.seed(topic)
        except TopicRefused as refused:
            raise HttpRefusal(403, "topic", str(refused)) from None
        except Violation as violation:
            raise HttpRefusal(400, "topic", str(violation)) from None
        if rights is not None and not rights.may_publish(topic):
            raise HttpRefusal(403, "not_authorized", "the user may not publish to the topic of this path")
        if seed is None:
            raise HttpRefusal(404, "no_event", _NO_EVENT)
        self.check_open()
        if user != self._user:
            self._user, self._client_seed = user, client_seed(f"http:{user}")
        return Place(topic, seed, self._client_seed)

    def check_open(self) -> None:
        """Raise `HttpRefusal` while the flow takes nothing more."""
        if not self._terms.intake.is_open():
            raise come_again(503, "full", "no more can be made safe at the moment")

    def take(
        self, place: Place, payload: bytes, answer: bytes, *, said: Sequence[tuple[str, str]] = (), now_s: float
    ) -> None:
        """Take a message; ``answer`` leaves when it is safe. ``said`` are the headers that name its trace."""
        terms = self._terms
        if terms.guard is not None and looks_like_ours(payload) and terms.guard.is_in(payload):
            terms.tally.echoes += 1
            self.line.add_ready(answer)
            return
        topic = place.topic
        hash_ = content_id(client_seed=place.client_seed, topic_seed=place.topic_seed, packet_id=0, payload=payload)
        text_bytes = len(topic) + len(payload)
        position = self.line.add_waiting(answer, size_bytes=text_bytes + _OVERHEAD_BYTES, now_s=now_s)
        if not self._received:
            self._first = position
        if said:
            self._note_trace(said)
        self._received.append(Received(topic, payload, hash_, text_bytes))
        if terms.broker.is_listening:
            self._routed.append(Publish(topic, payload, _QOS))
        terms.tally.events += 1
        terms.tally.bytes += text_bytes

    def _note_trace(self, said: Sequence[tuple[str, str]]) -> None:
        trace, is_bad = read_trace(said)
        if is_bad:
            self._terms.tally.bad_traces += 1
        if trace is not None:
            self._traces = self._traces or {}
            self._traces[len(self._received)] = trace

    def hand_over(self, now_s: float) -> None:
        """Give what one read has brought to subscribers and to the flow."""
        terms, received, routed = self._terms, self._received, self._routed
        if routed:
            self._routed = []
            terms.broker.route(routed, "", now_s)
            terms.broker.flush()
        if received:
            self._received = []
            if self._traces:
                traces, self._traces = self._traces, None
                terms.intake.accept(received, self, self._first, lane=terms.lane, traces=traces)
            else:
                terms.intake.accept(received, self, self._first, lane=terms.lane)
        if self.is_full or (received and self._window.is_full(self.line.in_flight)):
            terms.intake.stalled()

    @property
    def is_full(self) -> bool:
        """Whether so much waits that nothing more is to be read."""
        return self.line.size_bytes > self._terms.max_unsettled_bytes or self.line.in_flight > _MAX_IN_FLIGHT

    @property
    def has_room(self) -> bool:
        """Whether it is worth reading on after that."""
        return (
            self.line.size_bytes <= self._terms.max_unsettled_bytes // 2 and self.line.in_flight <= _MAX_IN_FLIGHT // 2
        )
