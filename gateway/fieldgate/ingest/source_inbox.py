"""What one connection of a source receives, on its way into the flow: numbered, handed over, acknowledged when safe.

Laws of this file:

- A message is acknowledged only when the intake has settled it (P1), in order of receipt [MQTT-4.6.0-2]; one that is
  no event, at once, but never before those that came before it.
- A message sent again (DUP) while its first copy still waits, on this connection or an earlier one of the session,
  joins that copy. Once acknowledged, what comes under its id is new.
- What the broker replays from its retained messages is an event only if it differs from what was last heard on that
  topic; a live message always is one. The subscriptions are made so that RETAIN tells the two apart (Retain As
  Published off, as in 3.1.1 [MQTT-3.3.1-12, 3.1.1: MQTT-3.3.1-9]).
- The gateway's own events, come back through a loop, are dropped.
- While the intake is closed messages are held here, unacknowledged, and count against ``max_unsettled_bytes``; over it
  nothing more is read.

No I/O, no clock. One pass per read: the loop in `_sort` binds its names locally and leaves everything unusual to
`_judge`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from xxhash import xxh3_64_intdigest

from fieldgate.ingest.echo import EchoGuard, looks_like_ours
from fieldgate.ingest.event_filter import client_seed
from fieldgate.ingest.event_line import EventLine
from fieldgate.ingest.inbox_batch import Batch
from fieldgate.ingest.last_seen import LastSeen
from fieldgate.ingest.source import Intake, Received
from fieldgate.ingest.source_topics import Place, SourceTopics
from fieldgate.ingest.window_watch import WindowWatch
from fieldgate.mqtt.ack_line import Owed
from fieldgate.mqtt.packets import Publish, Reason
from fieldgate.mqtt.violation import Violation

__all__ = ["SourceInbox", "SourceLimits", "SourceState", "SourceTally", "Throttle"]

_MAX_UNRELEASED: Final = 4096  # QoS 2 ids that a 3.1.1 broker may leave between PUBREC and PUBREL


class SourceLimits(msgspec.Struct, frozen=True):
    """A broker that exceeds ``receive_maximum`` is no longer read for now, in either version.

    MQTT 5 would have the connection end with 0x93 [MQTT5 4.9]. But mosquitto 2.0 sends more than that when a session
    resumes, and would do it again each time.
    """

    receive_maximum: int = 1000
    max_unsettled_bytes: int = 256 * 1024


class SourceTally:
    """Counters of a source over its life."""

    __slots__ = (
        "bad_traces",
        "bytes",
        "events",
        "joined",
        "looped",
        "not_events",
        "received",
        "skipped_retained",
        "unsaved",
    )

    def __init__(self) -> None:
        self.received = 0
        self.events = 0
        self.bytes = 0  # of topics and payloads of events
        self.joined = 0  # sent again while the first copy was still waiting
        self.skipped_retained = 0  # replayed, and known already
        self.looped = 0  # our own events, come back
        self.not_events = 0  # of a topic that makes none
        self.bad_traces = 0  # events whose traceparent or tracestate is none; it was left out
        self.unsaved = 0  # never handed over when their connection ended: QoS 0 among them is lost


class SourceState:
    """What a source remembers from one connection to the next, and what all its connections share."""

    def __init__(self, client_id: str, topics: SourceTopics, echo: EchoGuard, *, lane: int, name: str = "") -> None:
        self.name = name
        self.topics = topics
        self.echo = echo
        self.lane = lane
        self.client_seed = client_seed(client_id)
        self.tally = SourceTally()
        self.last_seen = LastSeen()
        self.owed: dict[int, Owed] = {}  # acknowledgements that earlier connections did not live to write
        self.unreleased: set[int] = set()  # QoS 2 ids between PUBREC and PUBREL

    def forget_session(self) -> None:
        """The broker has no session of ours: it sends nothing again, and its ids mean nothing."""
        self.owed.clear()
        self.unreleased.clear()


class Throttle(Protocol):
    """The connection that feeds the inbox."""

    def pause_reading(self) -> None:
        """Read nothing more from the broker for now."""

    def resume_reading(self) -> None:
        """Read on."""

    def kick(self) -> None:
        """Write the acknowledgements that are due."""


class SourceInbox:
    """Implements `ClientInbox`, and `Settler` for one connection; its generation is its life."""

    def __init__(self, throttle: Throttle, state: SourceState, *, intake: Intake, limits: SourceLimits) -> None:
        self.is_paused = False
        self.source = state.name
        self._throttle = throttle
        self._state = state
        self._intake = intake
        self._limits = limits
        self._events = EventLine(
            self,
            intake=intake,
            lane=state.lane,
            owed=state.owed,
            unreleased=state.unreleased,
            tally=state.tally,
        )
        self._line = self._events.acks
        self._window = WindowWatch()
        self._receiving = self._events.receiving

    @property
    def unacknowledged(self) -> int:
        """How many PUBLISHes wait for their acknowledgement."""
        return self._line.in_flight

    @property
    def has_held(self) -> bool:
        """Whether messages wait here for the intake to open."""
        return self._events.has_held

    # Settler

    def settled(self, first: int, count: int) -> None:
        """See `Settler`. After the end only a later connection of the same session can profit."""
        self._line.settled(first, count)

    def flush(self) -> None:
        """See `Settler`. A later connection may owe the acknowledgement of what was settled here."""
        self._throttle.kick()

    # ClientInbox

    def take(self, publishes: Sequence[Publish], now_s: float) -> None:
        """See `ClientInbox`."""
        del now_s
        batch = Batch(is_routed=False)
        try:
            self._sort(publishes, batch)
        finally:
            self._state.tally.received += len(publishes)
            self._state.last_seen.trim()
            self._events.close_run(batch)
            self._events.hand_over(batch.runs)
        self._check_window()

    def _sort(self, publishes: Sequence[Publish], batch: Batch) -> None:
        state, echo = self._state, self._state.echo
        hear, note, mark = batch.received.append, batch.codes.append, batch.content_ids.append
        place_of, seen = state.topics.known.get, state.last_seen.young
        seed_of_client, is_suspect = state.client_seed, looks_like_ours
        for packet in publishes:
            topic, payload = packet.topic, packet.payload
            code = packet_id = packet.packet_id
            place, expiry_s = place_of(topic), None
            if place is None or packet.qos == 2 or packet.dup or packet.retain or packet.properties is not None:
                verdict = self._judge(packet, batch)
                hear, note, mark = batch.received.append, batch.codes.append, batch.content_ids.append
                if verdict is None:
                    continue
                code, place = verdict
                if packet.properties is not None:
                    expiry_s = packet.properties.message_expiry_s
                    if packet.properties.user and batch.note_trace(packet.properties.user):
                        state.tally.bad_traces += 1
            if is_suspect(payload) and echo.is_in(payload):
                state.tally.looped += 1
                batch.forget_trace()
                self._pass_over(code, batch)
                hear, note, mark = batch.received.append, batch.codes.append, batch.content_ids.append
                continue
            seed, name = place
            hash_ = xxh3_64_intdigest(payload, seed ^ seed_of_client ^ packet_id)
            hear(Received(name, payload, hash_, len(name) + len(payload), expiry_s))
            note(code)
            mark(hash_)
            seen[topic] = (packet_id, hash_)

    def _judge(self, packet: Publish, batch: Batch) -> tuple[int, Place] | None:
        """Decide a PUBLISH that is not plain: its code and place if it is an event, None if it is done with."""
        state, properties = self._state, packet.properties
        if properties is not None and properties.topic_alias is not None:
            raise Violation(Reason.TOPIC_ALIAS_INVALID, "a topic alias, which was not offered")  # [MQTT-3.1.2-26]
        place = state.topics.place(packet.topic)
        packet_id = packet.packet_id
        code = -packet_id if packet.qos == 2 else packet_id
        own_id = self._content_id(place, packet_id, packet.payload) if packet.dup and place is not None else None
        if packet.qos and self._events.is_repeated(packet, code, own_id, batch):
            state.tally.joined += 1
            return None
        if packet.qos == 2:
            self._receiving.add(packet_id)
        if place is None and not state.topics.is_own(packet.topic):
            state.tally.not_events += 1
        elif place is None or (properties is not None and state.echo.is_marked(properties)):
            state.tally.looped += 1
        elif packet.retain and self._is_known(packet, place):
            state.tally.skipped_retained += 1
        else:
            return code, place
        self._pass_over(code, batch)
        return None

    def _pass_over(self, code: int, batch: Batch) -> None:
        """Acknowledge a message that is no event, in its turn."""
        if code:
            self._events.close_run(batch)
            self._line.add_ready(code)

    def _is_known(self, packet: Publish, place: Place) -> bool:
        last = self._state.last_seen.get(packet.topic)
        if last is None:
            return False
        packet_id, content_id = last
        return self._content_id(place, packet_id, packet.payload) == content_id

    def _content_id(self, place: Place, packet_id: int, payload: bytes) -> int:
        return xxh3_64_intdigest(payload, place[0] ^ self._state.client_seed ^ packet_id)

    def _check_window(self) -> None:
        line, limits = self._line, self._limits
        unreleased = len(self._state.unreleased)
        if unreleased > _MAX_UNRELEASED:
            raise Violation(Reason.QUOTA_EXCEEDED, "too many QoS 2 messages that were never released")
        if line.size_bytes > limits.max_unsettled_bytes or line.in_flight > limits.receive_maximum:
            if not self.is_paused:
                self.is_paused = True
                self._throttle.pause_reading()
            self._intake.stalled(is_far=True)
        elif self._window.is_full(line.in_flight) or line.in_flight + unreleased >= limits.receive_maximum > unreleased:
            self._intake.stalled(is_far=True)

    def release(self, packet_id: int) -> bool:
        """See `ClientInbox`."""
        is_known = packet_id in self._state.unreleased
        self._state.unreleased.discard(packet_id)
        return is_known

    def due(self) -> bytes:
        """See `ClientInbox`."""
        due, releases = self._line.take_due()
        if releases:
            self._receiving.difference_update(releases)
            self._state.unreleased.update(releases)
        if self.is_paused:
            line, limits = self._line, self._limits
            if line.size_bytes <= limits.max_unsettled_bytes // 2 and line.in_flight <= limits.receive_maximum // 2:
                self.is_paused = False
                self._throttle.resume_reading()
        return due

    def retry(self) -> None:
        """Hand over what was held, if the intake is open again."""
        self._events.retry()

    def end(self) -> None:
        """See `ClientInbox`. What was not handed over comes again, if its QoS lets it."""
        if self._events.end(keeps=self._limits.receive_maximum):
            self._state.last_seen.clear()  # it was heard and is not kept: what is sent again must count
