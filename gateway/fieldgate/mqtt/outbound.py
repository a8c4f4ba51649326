"""What one client is to receive: QoS 0, 1 and 2, in order, within its window and within bounded memory.

Laws of this file:

- One FIFO per client, so a message never passes an older one [MQTT-4.6.0-5]. QoS 1 and 2 wait for room in the
  client's Receive Maximum [MQTT5 4.9]: a PUBLISH holds its place until PUBACK, PUBCOMP, or a PUBREC that refuses it.
- QoS 2 goes PUBLISH, PUBREC, PUBREL, PUBCOMP [MQTT-4.3.3]: from PUBREC on only the id is kept, and only PUBREL is sent.
- What was sent and not acknowledged is sent again when the client resumes its session, and then only: PUBRELs in the
  order of their PUBRECs, PUBLISHes in their order with DUP and their old packet ids [MQTT-4.4.0-1, MQTT-4.6.0-1, -4],
  no more at a time than the window of the new connection.
- A client that does not read costs bounded memory: over half of ``max_bytes`` QoS 0 is dropped and counted, over all
  of it the client is cut off (`Violation`, quota exceeded). Retained messages have a bound of their own.
- A message larger than the client's Maximum Packet Size is dropped as if it had been delivered [MQTT-3.1.2-25].
- A message whose Message Expiry Interval has passed is not sent [MQTT-3.3.2-5], nor sent again.

What of it belongs to the session, and would have to survive a restart: ``queue`` (never sent), ``in_flight`` (sent as
PUBLISH), ``released`` (sent as PUBREL) and ``next_id``. All else is the connection's. ``on_change`` is called after
each change of these, if somebody asked for it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Final

from fieldgate.mqtt.codec import encode, encode_publish
from fieldgate.mqtt.delivery import Delivery, OutboundLimits, Reader
from fieldgate.mqtt.message import Fate, Message
from fieldgate.mqtt.packets import PubRel, Reason
from fieldgate.mqtt.topic_aliases import TopicAliases
from fieldgate.mqtt.violation import Violation

__all__ = ["MAX_WINDOW", "Outbound"]

MAX_WINDOW: Final = 32_767  # with more on the way a half could have no free id
_ID_HALVES: Final = ((1, MAX_WINDOW), (MAX_WINDOW + 1, 65_535))


class Outbound:
    """The deliveries of one session; lives on while its client is away. ``drops`` counts what it drops, by reason."""

    __slots__ = (
        "_aliases", "_drops", "_ids", "_in_flight_bytes", "_is_v5", "_max_packet", "_resend", "_retained_bytes",
        "_retained_count", "_unsent", "_window", "_write", "in_flight", "is_congested", "limits", "next_id",
        "on_change", "queue", "queued_bytes", "released",
    )  # fmt: skip

    def __init__(self, *, limits: OutboundLimits, drops: Counter[str]) -> None:
        self.queue: deque[Delivery] = deque()
        self.in_flight: dict[int, Delivery] = {}  # by packet id, in the order of sending
        self.released: dict[int, None] = {}  # packet ids, in the order of their PUBRECs
        self.next_id = 1
        self._ids = _ID_HALVES[0]
        self.queued_bytes = 0
        self.is_congested = False  # the socket holds more than it should; the owner says so
        self.on_change: Callable[[], None] | None = None
        self.limits = limits
        self._drops = drops
        self._in_flight_bytes = 0
        self._retained_count = 0
        self._retained_bytes = 0
        self._resend: dict[int, None] = {}  # ids in flight that this connection has not seen yet
        self._window = 0
        self._is_v5 = False
        self._max_packet = 0
        self._aliases: TopicAliases | None = None
        self._write: Callable[[bytes], None] | None = None
        self._unsent: Callable[[], int] = int

    @property
    def kept_bytes(self) -> int:
        """What the deliveries of a client that is away cost."""
        return self.queued_bytes + self._retained_bytes + self._in_flight_bytes

    @property
    def is_ready(self) -> bool:
        """Whether a message would be sent at once."""
        return self._write is not None and not self.queue and not self.is_congested and self._has_room()

    # the connection

    def attach(self, reader: Reader) -> None:
        """A client took this session."""
        self._is_v5 = reader.version == 5
        self._window = min(reader.window, MAX_WINDOW)
        self._max_packet = reader.max_packet
        self._aliases = TopicAliases(reader.max_aliases) if reader.max_aliases else None
        self._write = reader.write
        self._unsent = reader.unsent
        self._resend = dict.fromkeys(self.in_flight)
        self.is_congested = False

    def resume(self, now_s: float) -> None:
        """Send again what was in flight when the client went, then what waited."""
        if self._write is not None and self.released:
            self._write(b"".join(self._pubrel(packet_id) for packet_id in self.released))
        self.pump(now_s)

    def detach(self) -> None:
        """The client is away: QoS 1 and 2 wait for it, within the bound; QoS 0 is not kept."""
        self._write = None
        self._aliases = None
        self.is_congested = False
        self._resend.clear()
        kept: deque[Delivery] = deque()
        room_bytes = self.limits.max_bytes - self._in_flight_bytes
        for delivery in self.queue:
            if delivery.qos:
                room_bytes -= delivery.message.size_bytes
                if room_bytes >= 0 or not delivery.is_stored:
                    kept.append(delivery)
                else:  # a connection may have had more of these than may wait for one that is away
                    self._drop(delivery, "client_away")
        if len(kept) == len(self.queue):
            return
        self.queue = kept
        self._count_queue()
        self._changed()

    def keep_only(self, may_receive: Callable[[str], bool]) -> list[Delivery]:
        """Drop what waits on topics that the client may not receive (any more), before it is back.

        Returns what of it shared subscriptions chose for it and may go to other members, as `give_up` does. What is in
        ``released`` has reached the client long ago.
        """
        in_flight = {key: one for key, one in self.in_flight.items() if may_receive(one.message.topic)}
        queue = [one for one in self.queue if may_receive(one.message.topic)]
        dropped = len(self.in_flight) - len(in_flight) + len(self.queue) - len(queue)
        if not dropped:
            return []
        given_up = [one for one in self.give_up() if not may_receive(one.message.topic)]
        self._drops["not_authorized"] += dropped - len(given_up)
        self.in_flight, self.queue = in_flight, deque(queue)
        self._in_flight_bytes = sum(delivery.message.size_bytes for delivery in in_flight.values())
        self._count_queue()
        self._changed()
        return given_up

    def restore(
        self, queue: Iterable[Delivery], in_flight: dict[int, Delivery], released: Iterable[int], *, half: int
    ) -> None:
        """Begin with what an earlier process left.

        ``half``: which half of the packet ids (0 or 1) is given out from now on, so that none is taken for one of
        that process.
        """
        self.queue.extend(queue)
        self.in_flight.update(in_flight)
        self.released.update(dict.fromkeys(released))
        self._ids = _ID_HALVES[half]
        self.next_id = self._ids[0]
        self._in_flight_bytes = sum(delivery.message.size_bytes for delivery in in_flight.values())
        self._count_queue()

    # what comes in

    def deliver(self, delivery: Delivery, now_s: float) -> bool:
        """Send a live message, or queue it; answers whether it was taken.

        Raises:
            Violation: a connected client has fallen behind by more than it may.
        """
        qos = delivery.qos
        if (
            self._write is not None
            and not (self.queue or self._resend or self.is_congested)
            and (not qos or self._has_room())
        ):
            self._start(delivery, now_s)
            return True
        size_bytes = delivery.message.size_bytes
        if self._write is None:
            if qos == 0:
                return False  # nobody is promised QoS 0 while away
            if self.queued_bytes + self._in_flight_bytes + size_bytes > self.limits.max_bytes:
                self._drops["client_away"] += 1
                return False
        elif qos == 0:
            if self.queued_bytes + self._unsent() > self.limits.max_bytes // 2:
                self._drops["client_slow"] += 1
                return False
        elif self.queued_bytes + self._unsent() > self.limits.max_bytes:
            raise Violation(Reason.QUOTA_EXCEEDED, "client does not read what it subscribed to")
        self.queued_bytes += size_bytes
        self.queue.append(delivery)
        if qos:
            self._changed()
        return True

    def deliver_retained(self, message: Message, *, qos: int, subscription_ids: tuple[int, ...]) -> None:
        """Queue a retained message for a new subscription; `pump` sends it as fast as the client reads.

        Raises:
            Violation: the client subscribes faster than it reads what it subscribed to.
        """
        limits = self.limits
        if self._retained_count >= limits.max_retained or self._retained_bytes > limits.max_retained_bytes:
            raise Violation(Reason.QUOTA_EXCEEDED, "too many retained messages wait for this client")
        self._retained_count += 1
        self._retained_bytes += message.size_bytes
        self.queue.append(Delivery(message, qos, True, subscription_ids, is_stored=True))
        if qos:
            self._changed()

    def give_up(self) -> list[Delivery]:
        """The session is over: return what was chosen for it by shared subscriptions and may go to other members.

        That is what was never sent and what was sent at QoS 1; a message sent at QoS 2 may not [MQTT-4.8.2-5].
        """
        sent = [one for one in self.in_flight.values() if one.share is not None and one.qos == 1]
        return sent + [one for one in self.queue if one.share is not None]

    def withdraw(self, message: Message) -> bool:
        """Take ``message`` back as far as it is not on the way on this connection; return whether it has ever left."""
        sent = {packet_id: one for packet_id, one in self.in_flight.items() if one.message is message}
        for packet_id, delivery in sent.items():
            if self._write is None or packet_id in self._resend:
                self._forget(packet_id, delivery)
        self.queue = deque(one for one in self.queue if one.message is not message)
        self._count_queue()
        self._changed()
        return bool(sent)

    # what the client answers

    def acknowledged(self, packet_id: int, now_s: float, *, is_refused: bool = False) -> None:
        """PUBACK: the client has this delivery, or does not want it; an unknown id is ignored.

        Raises:
            Violation: the delivery is one of QoS 2.
        """
        delivery = self.in_flight.get(packet_id)
        if packet_id in self.released or (delivery is not None and delivery.qos != 1):
            raise Violation(Reason.PROTOCOL_ERROR, f"PUBACK for the QoS 2 message {packet_id}")  # [MQTT-4.3.3]
        if delivery is not None:
            self._finish(packet_id, delivery, now_s, Fate.REFUSED if is_refused else Fate.ACKNOWLEDGED)

    def received(self, packet_id: int, now_s: float, *, is_refused: bool) -> None:
        """PUBREC: what follows is PUBREL, for an unknown id too [MQTT5 3.6.2.1]; a refusal ends the delivery.

        Raises:
            Violation: the delivery is one of QoS 1.
        """
        delivery = self.in_flight.get(packet_id)
        if delivery is not None:
            if delivery.qos != 2:
                raise Violation(Reason.PROTOCOL_ERROR, f"PUBREC for the QoS 1 message {packet_id}")  # [MQTT-4.3.2]
            if is_refused:
                self._finish(packet_id, delivery, now_s, Fate.REFUSED)
                return
            self._forget(packet_id, delivery)
            self.released[packet_id] = None
            self._changed()
            delivery.tell(Fate.ACKNOWLEDGED)
        if self._write is not None and not is_refused:
            self._write(self._pubrel(packet_id))

    def completed(self, packet_id: int, now_s: float) -> None:
        """PUBCOMP: the end of a QoS 2 delivery; an unknown id is ignored.

        Raises:
            Violation: no PUBREC came before it.
        """
        if packet_id in self.in_flight:
            raise Violation(Reason.PROTOCOL_ERROR, f"PUBCOMP for message {packet_id} before its PUBREC")
        if packet_id in self.released:
            del self.released[packet_id]
            self._changed()
            self.pump(now_s)

    # what goes out

    def pump(self, now_s: float) -> None:
        """Send what the client's window and its socket allow: first again what it may have, then of the queue."""
        if self._resend:
            self._send_again(now_s)
            if self._resend:
                return
        queue = self.queue
        while queue and not self.is_congested and self._write is not None:
            delivery = queue[0]
            if delivery.qos and not self._has_room():
                return
            queue.popleft()
            if delivery.is_stored:
                self._retained_count -= 1
                self._retained_bytes -= delivery.message.size_bytes
            else:
                self.queued_bytes -= delivery.message.size_bytes
            if delivery.message.is_expired(now_s):
                self._drop(delivery, "expired")
                if delivery.qos:
                    self._changed()
            else:
                self._start(delivery, now_s)

    def _send_again(self, now_s: float) -> None:
        while self._resend and not self.is_congested and self._write is not None and self._has_room():
            packet_id = next(iter(self._resend))
            del self._resend[packet_id]
            delivery = self.in_flight[packet_id]
            is_expired = delivery.message.is_expired(now_s)
            if not is_expired and (encoded := self._encode(delivery, packet_id, now_s, dup=True)):
                self._write(encoded)
                continue
            self._forget(packet_id, delivery)
            self._changed()
            self._drop(delivery, "expired" if is_expired else "too_large_for_client")

    def _start(self, delivery: Delivery, now_s: float) -> None:
        packet_id = 0
        if delivery.qos:
            first_id, last_id = self._ids
            packet_id = self.next_id
            while packet_id in self.in_flight or packet_id in self.released:
                packet_id = packet_id + 1 if packet_id < last_id else first_id
            self.next_id = packet_id + 1 if packet_id < last_id else first_id
            self.in_flight[packet_id] = delivery
            self._in_flight_bytes += delivery.message.size_bytes
        encoded = self._encode(delivery, packet_id, now_s, dup=False)
        if not encoded:
            if packet_id:
                self._forget(packet_id, delivery)
            self._drop(delivery, "too_large_for_client")
        elif self._write is not None:
            self._write(encoded)
            if not packet_id:
                delivery.tell(Fate.WRITTEN)
        if packet_id and self.on_change is not None:
            self.on_change()

    def _encode(self, delivery: Delivery, packet_id: int, now_s: float, *, dup: bool) -> bytes:
        """The PUBLISH of this delivery; nothing when that is larger than the client takes."""
        message, ids = delivery.message, delivery.subscription_ids
        if self._aliases is None:
            encoded = message.packet(
                packet_id,
                is_v5=self._is_v5,
                qos=delivery.qos,
                retain=delivery.retain,
                dup=dup,
                subscription_ids=ids,
                now_s=now_s,
            )
            if len(encoded) <= self._max_packet:
                return encoded
        else:
            alias, is_known = self._aliases.alias(message.topic_utf8)
            encoded = encode_publish(
                b"" if is_known else message.topic_utf8,
                message.payload,
                packet_id,
                qos=delivery.qos,
                retain=delivery.retain,
                dup=dup,
                properties=message.property_block(ids, now_s, topic_alias=alias or None),
            )
            if len(encoded) <= self._max_packet:
                return encoded
            if alias and not is_known:
                self._aliases.take_back(message.topic_utf8)
        return b""

    def _pubrel(self, packet_id: int) -> bytes:
        is_unknown = packet_id not in self.released and self._is_v5
        return encode(PubRel(packet_id, Reason.PACKET_ID_NOT_FOUND if is_unknown else 0), 5 if self._is_v5 else 4)

    # bookkeeping

    def _count_queue(self) -> None:
        stored_bytes = [delivery.message.size_bytes for delivery in self.queue if delivery.is_stored]
        self._retained_count, self._retained_bytes = len(stored_bytes), sum(stored_bytes)
        self.queued_bytes = sum(delivery.message.size_bytes for delivery in self.queue) - self._retained_bytes

    def _drop(self, delivery: Delivery, why: str) -> None:
        self._drops[why] += 1
        delivery.tell(Fate.LOST)

    def _finish(self, packet_id: int, delivery: Delivery, now_s: float, fate: Fate) -> None:
        self._forget(packet_id, delivery)
        self._changed()
        delivery.tell(fate)
        if self.queue or self._resend:
            self.pump(now_s)

    def _forget(self, packet_id: int, delivery: Delivery) -> None:
        del self.in_flight[packet_id]
        self._in_flight_bytes -= delivery.message.size_bytes
        self._resend.pop(packet_id, None)

    def _has_room(self) -> bool:
        on_the_way = len(self.in_flight) - len(self._resend)
        return on_the_way + len(self.released) < self._window and (
            not on_the_way or self._in_flight_bytes < self.limits.max_bytes
        )

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()
