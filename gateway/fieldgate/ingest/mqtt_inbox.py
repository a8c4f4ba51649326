"""What one client publishes, on its way into the flow: events are numbered, handed over and acknowledged when safe.

Laws of this file:

- A PUBLISH that is an event is acknowledged only when the intake has settled it (P1), in order of receipt
  [MQTT-4.6.0-2]; one that is not, at once, but never before those that came before it.
- Local subscribers get a message before the flow sees it, and get it whether or not it is an event.
- A message sent again (DUP) while it still waits joins the one that waits; after its acknowledgement it is new. What
  is sent under a used packet id with other content is never mistaken for it.
- What is not taken is refused in its turn, where MQTT 5 has an acknowledgement that says so. PUBACK 0x10 ("no matching
  subscribers") is never said: the flow is a consumer of every event, whoever subscribes here.
- The payload format that a publisher claims is passed on and not checked [3.3.2.3.2]: bytes are stored as they came.
- What the client may not publish goes nowhere and is counted. MQTT 5 clients are told (0x87); 3.1.1 has no word for it
  and gets the acknowledgement [3.1.1: MQTT-3.3.5-2].
- While the intake is closed messages are held here, unacknowledged, and count against ``max_unsettled_bytes``; over it
  nothing more is read from this client.

No I/O, no clock. One pass per read, about half a microsecond per event: the loop in `take` binds its names
locally and leaves everything unusual to `_judge`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from xxhash import xxh3_64_intdigest

from fieldgate.ingest.echo import EchoGuard, EchoWatch
from fieldgate.ingest.event_filter import EventFilter, TopicRefused, client_seed, content_id
from fieldgate.ingest.event_line import EventLine
from fieldgate.ingest.inbox_batch import Batch
from fieldgate.ingest.inbox_terms import InboxLimits, InboxTally, Throttle
from fieldgate.ingest.publish_rights import PublishRights
from fieldgate.ingest.source import Intake, Received
from fieldgate.ingest.window_watch import WindowWatch
from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.local_broker import LocalBroker
from fieldgate.mqtt.message import Message
from fieldgate.mqtt.packets import Properties, PubAck, PubComp, Publish, PubRec, Reason, Will
from fieldgate.mqtt.session_state import SessionState
from fieldgate.mqtt.violation import Violation

__all__ = ["MqttInbox"]

_NOT_AUTHORIZED: Final = Reason.NOT_AUTHORIZED.name.lower()


class MqttInbox:
    """The `Settler` of one connection; its generation is its life."""

    def __init__(
        self,
        throttle: Throttle,
        state: SessionState,
        *,
        version: int,
        intake: Intake,
        event_filter: EventFilter,
        broker: LocalBroker,
        lane: int,
        limits: InboxLimits,
        tally: InboxTally,
        guard: EchoGuard | None = None,
        source: str = "",
    ) -> None:
        self.source = source
        self.is_paused = False
        self._throttle = throttle
        self._state = state
        self._is_v5 = version == 5
        self._intake = intake
        self._filter = event_filter
        self._rights = PublishRights(state.rights, event_filter)
        self._broker = broker
        self._lane = lane
        self._limits = limits
        self._tally = tally
        self._client_seed = client_seed(state.client_id)
        self._events = EventLine(
            self, intake=intake, lane=lane, owed=state.owed, unreleased=state.unreleased, tally=tally
        )
        self._line = self._events.acks
        self._window = WindowWatch()
        self._receiving = self._events.receiving
        self._released_early: set[int] = set()  # QoS 2 ids that the client released before their PUBREC
        self._uncompleted: set[int] = set()  # QoS 2 ids whose PUBREC this connection got, and which it holds
        self._aliases: dict[int, str] = {}
        self._echoes = EchoWatch(guard)

    @property
    def in_flight(self) -> int:
        """How many PUBLISHes wait for their acknowledgement."""
        return self._line.in_flight

    # Settler

    def settled(self, first: int, count: int) -> None:
        """See `Settler`. After the end only a later connection of the same session can profit."""
        self._line.settled(first, count)

    def flush(self) -> None:
        """See `Settler`."""
        if not self._events.is_over:
            self._throttle.flush()
        elif self._state.client is not None:
            self._state.client.flush()

    # Inbox

    def take(self, publishes: Sequence[Publish], now_s: float) -> None:
        """Take a run of PUBLISHes, in order.

        Raises:
            Violation: one of them breaks a rule; those before it were taken.
        """
        batch = Batch(self._broker.is_listening)
        try:
            self._sort(publishes, batch, now_s)
        finally:
            self._tally.publishes += len(publishes)
            self._events.close_run(batch)
            if batch.routed:
                self._broker.route(batch.routed, self._state.client_id, now_s)
            self._events.hand_over(batch.runs)
        self._check_window()

    def _sort(self, publishes: Sequence[Publish], batch: Batch, now_s: float) -> None:
        hear, note, mark = batch.received.append, batch.codes.append, batch.content_ids.append
        route = batch.routed.append if batch.is_routed else None
        known = self._echoes.seeds(publishes, self._rights.seeds)
        seed_of, seed_of_client = known.get, self._client_seed
        for packet in publishes:
            topic = packet.topic
            code = packet.packet_id
            seed = seed_of(topic)
            if seed is None or packet.qos == 2 or packet.dup or packet.retain or packet.properties is not None:
                verdict = self._judge(packet, batch, now_s)
                hear, note, mark = batch.received.append, batch.codes.append, batch.content_ids.append
                if verdict is None:
                    continue
                code, seed = verdict
                topic = packet.topic
            payload = packet.payload
            hash_ = xxh3_64_intdigest(payload, seed ^ seed_of_client ^ packet.packet_id)
            hear(Received(topic, payload, hash_, len(topic) + len(payload)))
            note(code)
            mark(hash_)
            if route is not None:
                route(packet)

    def _judge(self, packet: Publish, batch: Batch, now_s: float) -> tuple[int, int] | None:
        """Decide a PUBLISH that is not plain: (code, seed) if it is a new event, None if it is done with."""
        if packet.properties is not None:
            self._resolve_alias(packet)
        try:
            seed = self._filter.seed(packet.topic)
        except TopicRefused as refused:
            self._refuse(packet, batch, refused)
            return None
        is_permitted = self._rights.permit(packet.topic, seed)
        if is_permitted and seed is not None and self._echoes.is_ours(packet):
            self._tally.echoes += 1
            seed = None
        packet_id = packet.packet_id
        code = -packet_id if packet.qos == 2 else packet_id
        if packet.qos and self._is_repeated(packet, code, seed, batch):
            self._tally.joined += 1
            return None
        if packet.qos == 2:
            self._receiving.add(packet_id)
        if not is_permitted:
            self._deny(packet, code, batch)
            return None
        is_kept = not packet.retain or self._broker.keep_retained(
            Message(packet.topic, packet.payload, packet.qos, True, now_s, self._state.client_id, packet.properties)
        )
        if seed is not None:
            if packet.properties is not None:
                self._note(packet.properties, batch)
            return code, seed
        if batch.is_routed:
            batch.routed.append(packet)
        if code:
            self._events.close_run(batch)
            if is_kept or not self._is_v5:
                self._line.add_ready(code)
            else:
                self._say_no(packet, Reason.QUOTA_EXCEEDED, "no room for another retained message")
        return None

    def _note(self, properties: Properties, batch: Batch) -> None:
        """What the properties say of the event that comes next."""
        if properties.message_expiry_s is not None:
            batch.expiries[len(batch.received)] = properties.message_expiry_s
        if properties.user and batch.note_trace(properties.user):
            self._tally.bad_traces += 1

    def _deny(self, packet: Publish, code: int, batch: Batch) -> None:
        """Do not take what the client may not publish; MQTT 5 says so where there is an acknowledgement."""
        if code:
            self._events.close_run(batch)
        if code and self._is_v5:
            self._say_no(packet, Reason.NOT_AUTHORIZED, "the user may not publish to this topic")
            return
        self._tally.refused[_NOT_AUTHORIZED] += 1
        if code:
            self._line.add_ready(code)

    def _refuse(self, packet: Publish, batch: Batch, refused: TopicRefused) -> None:
        """Do not take a PUBLISH, and say so: by its acknowledgement where that has a reason code.

        Raises:
            TopicRefused: it has none (QoS 0, or 3.1.1), so the connection must end [3.1.1: MQTT-3.3.5-2].
        """
        if not (packet.qos and self._is_v5):
            raise refused
        self._events.close_run(batch)
        self._say_no(packet, refused.reason, str(refused))

    def _say_no(self, packet: Publish, reason: Reason, problem: str) -> None:
        """Acknowledge with a reason code; a QoS 2 id is free with that [MQTT-4.3.3-9]."""
        self._tally.refused[reason.name.lower()] += 1
        self._receiving.discard(packet.packet_id)
        properties = Properties(reason_string=problem)
        make = PubRec if packet.qos == 2 else PubAck
        self._line.add_refusal(packet.packet_id, self._throttle.fitting(make(packet.packet_id, reason, properties)))

    def rights_changed(self) -> None:
        """Every topic is judged anew."""
        self._rights.changed()

    def _is_repeated(self, packet: Publish, code: int, seed: int | None, batch: Batch) -> bool:
        if packet.qos == 2:
            self._uncompleted.discard(packet.packet_id)  # until its PUBREC leaves again
        own_id = None
        if packet.dup and seed is not None:
            own_id = content_id(
                client_seed=self._client_seed, topic_seed=seed, packet_id=packet.packet_id, payload=packet.payload
            )
        return self._events.is_repeated(packet, code, own_id, batch)

    def _resolve_alias(self, packet: Publish) -> None:
        alias = packet.properties.topic_alias if packet.properties is not None else None
        if alias is None:
            return
        if not 0 < alias <= self._limits.topic_alias_maximum:
            raise Violation(Reason.TOPIC_ALIAS_INVALID, f"topic alias {alias} is out of range")
        if packet.topic:
            self._aliases[alias] = packet.topic
        elif (topic := self._aliases.get(alias)) is not None:
            packet.topic = topic
        else:
            raise Violation(Reason.PROTOCOL_ERROR, f"topic alias {alias} was not set")

    def _check_window(self) -> None:
        line, limits = self._line, self._limits
        # [MQTT5 4.9]: of this connection; a QoS 2 PUBLISH counts until PUBCOMP or a PUBREC that refuses it.
        if self._is_v5 and line.in_flight + len(self._uncompleted) > limits.receive_maximum:
            raise Violation(Reason.RECEIVE_MAXIMUM_EXCEEDED, "more PUBLISHes on the way than Receive Maximum allows")
        if len(self._state.unreleased) > max(limits.max_unreleased, limits.receive_maximum):
            raise Violation(Reason.QUOTA_EXCEEDED, "too many QoS 2 messages that were never released")
        if line.size_bytes > limits.max_unsettled_bytes or line.in_flight > limits.receive_maximum:
            if not self.is_paused:
                self.is_paused = True
                self._throttle.pause_reading()
            self._intake.stalled()
        elif self._window.is_full(line.in_flight):
            self._intake.stalled()

    def release(self, packet_id: int) -> bool | None:
        """See `Inbox`."""
        if packet_id in self._receiving:  # sent without waiting for PUBREC
            self._released_early.add(packet_id)
            return None
        self._uncompleted.discard(packet_id)
        return self._state.release_id(packet_id)

    def due(self) -> bytes:
        """See `Inbox`."""
        due, releases = self._line.take_due()
        if releases:
            self._receiving.difference_update(releases)
            self._state.hold_ids(releases)
            self._uncompleted.update(releases)
            if self._released_early:
                due += self._complete_early(releases)
        if self.is_paused:
            limits = self._limits
            if (
                self._line.size_bytes <= limits.max_unsettled_bytes // 2
                and self._line.in_flight <= limits.receive_maximum // 2
            ):
                self.is_paused = False
                self._throttle.resume_reading()
        return due

    def _complete_early(self, received: Sequence[int]) -> bytes:
        """The PUBCOMPs that follow these PUBRECs at once."""
        early = [packet_id for packet_id in received if packet_id in self._released_early]
        self._released_early.difference_update(early)
        for packet_id in early:
            self.release(packet_id)
        return b"".join(encode(PubComp(packet_id), 5 if self._is_v5 else 4) for packet_id in early)

    def speak_will(self, will: Will, now_s: float) -> None:
        """See `Inbox`. An event like any other; nobody waits for its acknowledgement."""
        packet = Publish(will.topic, will.payload, will.qos, will.retain, properties=will.properties)
        seed = self._filter.seed(will.topic)
        if not self._rights.permit(will.topic, seed):  # it was permitted when the client connected
            self._tally.refused[_NOT_AUTHORIZED] += 1
            return
        client_id = self._state.client_id
        if will.retain:
            self._broker.keep_retained(
                Message(will.topic, will.payload, will.qos, True, now_s, client_id, will.properties)
            )
        if self._broker.is_listening:
            self._broker.route([packet], client_id, now_s)
        if seed is None:
            return
        if not self._intake.is_open():
            self._tally.unsaved += 1
            return
        hash_ = content_id(client_seed=self._client_seed, topic_seed=seed, packet_id=0, payload=will.payload)
        batch = Batch(is_routed=False)
        if will.properties is not None:
            self._note(will.properties, batch)
        expiry_s = batch.expiries.get(0)
        received = Received(will.topic, will.payload, hash_, len(will.topic) + len(will.payload), expiry_s)
        first = self._line.next_position
        self._line.next_position += 1
        self._tally.events += 1
        if batch.traces:
            self._intake.accept([received], self, first, lane=self._lane, traces=batch.traces)
        else:
            self._intake.accept([received], self, first, lane=self._lane)

    def retry(self) -> None:
        """Hand over what was held, if the intake is open again."""
        self._events.retry()

    def end(self) -> None:
        """See `Inbox`."""
        self._events.end(keeps=self._limits.receive_maximum if self._state.expiry_s > 0 else 0)
