"""What one client is to receive: QoS 0 and 1, in order, within its window and within bounded memory.

Laws of this file:

- One FIFO per client, so a message never passes an older one. QoS 1 waits for room in the client's Receive Maximum
  [MQTT5 4.9]; what was sent and not acknowledged is sent again, first and in order, with DUP and its old packet id,
  when the client resumes its session [MQTT-4.4.0-1].
- A client that does not read costs bounded memory: over half of ``max_bytes`` QoS 0 is dropped and counted, over all
  of it the client is cut off (`Violation`, quota exceeded). Retained messages belong to the store and count nothing.
- A message larger than the client's Maximum Packet Size is dropped as if it had been delivered [MQTT-3.1.2-25].
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Final

import msgspec

from fieldgate.mqtt.codec import encode_properties, encode_publish
from fieldgate.mqtt.packets import Properties, Reason
from fieldgate.mqtt.violation import Violation

__all__ = ["Message", "Outbound"]

_OVERHEAD_BYTES: Final = 200  # what a queued message costs beside its text
_MAX_PACKET_ID: Final = 65_535
_MAX_RETAINED_WAITING: Final = 20_000


class Message(msgspec.Struct):
    """A message on its way to subscribers; shared by all of them. ``origin`` is the client id of its publisher."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    heard_s: float
    origin: str | None = None
    properties: Properties | None = None
    topic_utf8: bytes = b""
    size_bytes: int = 0

    def __post_init__(self) -> None:
        self.topic_utf8 = self.topic.encode()
        self.size_bytes = len(self.topic_utf8) + len(self.payload) + _OVERHEAD_BYTES

    def is_expired(self, now_s: float) -> bool:
        """Whether the publisher's Message Expiry Interval has passed [MQTT-3.3.2-5]."""
        properties = self.properties
        return (
            properties is not None
            and properties.message_expiry_s is not None
            and now_s - self.heard_s >= properties.message_expiry_s
        )

    def v5_properties(self, now_s: float, subscription_ids: tuple[int, ...]) -> bytes:
        """The encoded properties that a subscriber gets: the publisher's, with what is left of the expiry."""
        own = self.properties
        if own is None:
            if not subscription_ids:
                return b"\x00"
            return encode_properties(Properties(subscription_ids=subscription_ids))
        left_s = own.message_expiry_s
        if left_s is not None:
            left_s = max(1, left_s - int(now_s - self.heard_s))
        return encode_properties(
            Properties(
                payload_format=own.payload_format,
                message_expiry_s=left_s,
                content_type=own.content_type,
                response_topic=own.response_topic,
                correlation_data=own.correlation_data,
                user=own.user,
                subscription_ids=subscription_ids,
            )
        )


class _Delivery(msgspec.Struct, gc=False):
    message: Message
    qos: int
    retain: bool
    subscription_ids: tuple[int, ...]
    weight: int


class Outbound:
    """The deliveries of one session; lives on while its client is away. ``drops`` counts what it drops, by reason."""

    __slots__ = (
        "_drops",
        "_in_flight",
        "_in_flight_bytes",
        "_max_bytes",
        "_max_packet",
        "_next_id",
        "_queue",
        "_retained_waiting",
        "_unsent",
        "_version",
        "_window",
        "_write",
        "is_congested",
        "queued_bytes",
    )  # fmt: skip

    def __init__(self, *, max_bytes: int, drops: Counter[str]) -> None:
        self._drops = drops
        self.queued_bytes = 0
        self.is_congested = False  # the socket holds more than it should; the owner says so
        self._max_bytes = max_bytes
        self._queue: deque[_Delivery] = deque()
        self._in_flight: dict[int, _Delivery] = {}
        self._in_flight_bytes = 0
        self._retained_waiting = 0
        self._next_id = 1
        self._window = 0
        self._version = 4
        self._max_packet = 0
        self._write: Callable[[bytes], None] | None = None
        self._unsent: Callable[[], int] = int

    def attach(
        self, *, version: int, window: int, max_packet: int, write: Callable[[bytes], None], unsent: Callable[[], int]
    ) -> None:
        """A client took this session: ``write`` gathers bytes for it, ``unsent`` tells how many its socket holds."""
        self._version = version
        self._window = window
        self._max_packet = max_packet
        self._write = write
        self._unsent = unsent
        self.is_congested = False

    def resend(self, now_s: float) -> None:
        """Send again what was in flight when the client went, then what waited."""
        for packet_id, delivery in list(self._in_flight.items()):
            self._send(delivery, packet_id, now_s, dup=True)
        self.pump(now_s)

    def detach(self) -> None:
        """The client is away: QoS 1 waits for it, within the bound; QoS 0 is not kept."""
        self._write = None
        self.is_congested = False
        kept = [delivery for delivery in self._queue if delivery.qos]
        self.queued_bytes = sum(delivery.weight for delivery in kept)
        self._retained_waiting = sum(1 for delivery in kept if not delivery.weight)
        self._queue = deque(kept)

    def keep_only(self, may_receive: Callable[[str], bool]) -> None:
        """Drop what waits on topics that the client may not receive (any more)."""
        kept = [delivery for delivery in self._queue if may_receive(delivery.message.topic)]
        in_flight = {
            packet_id: delivery
            for packet_id, delivery in self._in_flight.items()
            if may_receive(delivery.message.topic)
        }
        if dropped := len(self._queue) - len(kept) + len(self._in_flight) - len(in_flight):
            self._drops["not_authorised"] += dropped
            self._queue = deque(kept)
            self._in_flight = in_flight
            self._in_flight_bytes = sum(delivery.message.size_bytes for delivery in in_flight.values())
            self.queued_bytes = sum(delivery.weight for delivery in kept)
            self._retained_waiting = sum(1 for delivery in kept if not delivery.weight)

    def deliver(
        self, message: Message, *, qos: int, retain: bool, subscription_ids: tuple[int, ...], now_s: float
    ) -> None:
        """Send a live message, or queue it.

        Raises:
            Violation: a connected client has fallen behind by more than it may.
        """
        if self._write is None:
            if qos == 0:
                return  # nobody is promised QoS 0 while away
            if self.queued_bytes + self._in_flight_bytes + message.size_bytes > self._max_bytes:
                self._drops["client_away"] += 1
                return
        elif qos == 0:
            if self.is_congested or self._queue:
                if self.queued_bytes + self._unsent() > self._max_bytes // 2:
                    self._drops["client_slow"] += 1
                    return
            else:
                self._send(_Delivery(message, 0, retain, subscription_ids, 0), 0, now_s, dup=False)
                return
        elif self.queued_bytes + self._unsent() > self._max_bytes:
            raise Violation(Reason.QUOTA_EXCEEDED, "client does not read what it subscribed to")
        self.queued_bytes += message.size_bytes
        self._queue.append(_Delivery(message, qos, retain, subscription_ids, message.size_bytes))
        if self._write is not None:
            self.pump(now_s)

    def deliver_retained(self, message: Message, *, qos: int, subscription_ids: tuple[int, ...]) -> None:
        """Queue a retained message for a new subscription; `pump` sends it as fast as the client reads.

        Raises:
            Violation: the client subscribes faster than it reads what it subscribed to.
        """
        if self._retained_waiting >= _MAX_RETAINED_WAITING:
            raise Violation(Reason.QUOTA_EXCEEDED, "too many retained messages wait for this client")
        self._retained_waiting += 1
        self._queue.append(_Delivery(message, qos, True, subscription_ids, 0))

    def acknowledged(self, packet_id: int, now_s: float) -> None:
        """The client has this delivery (PUBACK); an unknown id is ignored."""
        if self._forget(packet_id) and self._queue:
            self.pump(now_s)

    def pump(self, now_s: float) -> None:
        """Send of the queue what the client's window and its socket allow."""
        while self._queue and not self.is_congested and self._write is not None:
            delivery = self._queue[0]
            if delivery.qos and not self._has_room():
                return
            self._queue.popleft()
            self.queued_bytes -= delivery.weight
            if not delivery.weight:
                self._retained_waiting -= 1
            if delivery.message.is_expired(now_s):
                self._drops["expired"] += 1
                continue
            packet_id = 0
            if delivery.qos:
                packet_id = self._take_id()
                self._in_flight[packet_id] = delivery
                self._in_flight_bytes += delivery.message.size_bytes
            self._send(delivery, packet_id, now_s, dup=False)

    def _forget(self, packet_id: int) -> bool:
        delivery = self._in_flight.pop(packet_id, None)
        if delivery is not None:
            self._in_flight_bytes -= delivery.message.size_bytes
        return delivery is not None

    def _has_room(self) -> bool:
        in_flight = self._in_flight
        return len(in_flight) < self._window and (not in_flight or self._in_flight_bytes < self._max_bytes)

    def _take_id(self) -> int:
        packet_id = self._next_id
        while packet_id in self._in_flight:
            packet_id = packet_id % _MAX_PACKET_ID + 1
        self._next_id = packet_id % _MAX_PACKET_ID + 1
        return packet_id

    def _send(self, delivery: _Delivery, packet_id: int, now_s: float, *, dup: bool) -> None:
        message = delivery.message
        properties = message.v5_properties(now_s, delivery.subscription_ids) if self._version == 5 else b""
        encoded = encode_publish(
            message.topic_utf8,
            message.payload,
            packet_id,
            qos=delivery.qos,
            retain=delivery.retain,
            dup=dup,
            properties=properties,
        )
        if len(encoded) > self._max_packet:
            self._drops["too_large_for_client"] += 1
            self._forget(packet_id)
        elif self._write is not None:
            self._write(encoded)
