"""Messages that a rule sends to an MQTT broker as they are (`Extra.publish`), among the events of any format.

Topic, payload, QoS and RETAIN are the rule's. Over MQTT 5 the user properties ``fieldgate-id`` and ``fieldgate-cause``
go along: a copy can be told, and what a bridge brings back is known for ours (`fieldgate.ingest.echo`). So do
``traceparent`` and ``tracestate``, where the cause is of a trace. At QoS 1 a message is as safe as an event; at QoS 0
it is delivered once it is written to a connection that is up [MQTT5 4.3.1]. What cannot be sent is parked with the
reason. No I/O.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from fieldgate.forward.encode import trace_texts
from fieldgate.forward.shape import too_large_text
from fieldgate.forward.uplink import Feed, Shipment
from fieldgate.mqtt.client_session import ClientSession
from fieldgate.mqtt.packets import Properties, Publish
from fieldgate.mqtt.topics import has_control, valid_topic
from fieldgate_devices.event import Event
from fieldgate_devices.event import Publish as Wish

__all__ = ["ONLY_BROKERS", "AsIs", "event_id", "pieces", "wish_problem"]

ONLY_BROKERS: Final = "a message of a rule goes to MQTT brokers only"
_MAX_QOS: Final = 1


def wish_problem(wish: Wish) -> str:
    """Return why no broker can be sent that; empty if it can."""
    if not valid_topic(wish.topic) or has_control(wish.topic):
        return "its topic is none: empty, longer than 65,535 bytes, or with '+', '#' or control characters"
    if wish.topic.startswith("$"):
        return f"its topic {wish.topic[:80]!r} begins with '$', which belongs to the broker itself"
    if wish.qos not in range(_MAX_QOS + 1):
        return f"its QoS is {wish.qos}; an uplink sends at QoS 0 or 1"
    return ""


def event_id(event: Event) -> str:
    """Return the id of an event, as envelopes have it."""
    return f"{event.stamp.run:016x}-{event.seq}"


def pieces(shipment: Shipment) -> Iterator[tuple[Shipment, Wish | None]]:
    """Yield the shipment in parts, in order: runs of events, and each message of a rule by itself."""
    begin = shipment.start
    for index in range(shipment.start, shipment.stop):
        extra = shipment.events[index].extra
        if extra is None or extra.publish is None:
            continue
        if begin < index:
            yield shipment._replace(start=begin, stop=index, has_publishes=False), None
        yield shipment._replace(start=index, stop=index + 1, has_publishes=False), extra.publish
        begin = index + 1
    if begin < shipment.stop:
        yield shipment._replace(start=begin, has_publishes=False), None


class AsIs:
    """What waits to be sent through ``session`` as it is; ``park`` is told of what cannot be, and why."""

    def __init__(self, session: ClientSession, feed: Feed, *, park: Callable[[object, int, int, str], None]) -> None:
        self._session = session
        self._feed = feed
        self._park = park
        self._waiting: deque[tuple[Shipment, Wish]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, shipment: Shipment, wish: Wish) -> None:
        """Take a shipment of one message."""
        self._waiting.append((shipment, wish))

    def clear(self) -> None:
        """Forget what waits; the feed hands it out again."""
        self._waiting.clear()

    def send(self, room: int, now_s: float) -> tuple[int, int]:
        """Send up to ``room`` of what waits; return how many messages and bytes."""
        sent = size_bytes = 0
        while self._waiting and sent < room:
            shipment, wish = self._waiting.popleft()
            event = shipment.events[shipment.start]
            message = Publish(wish.topic, event.data, wish.qos, wish.retain, properties=self._properties(event))
            if problem := wish_problem(wish) or self._problem_here(message):
                self._park(shipment.batch, shipment.start, shipment.stop, problem)
                continue
            size_bytes += self._session.publish_one(message, batch=shipment.batch, start=shipment.start, now_s=now_s)
            sent += 1
            if not wish.qos:
                self._feed.delivered(shipment.batch, shipment.start, shipment.stop)
        return sent, size_bytes

    def _properties(self, event: Event) -> Properties | None:
        if self._session.version != 5:
            return None
        user = [("fieldgate-id", event_id(event))]
        if event.extra is not None and event.extra.cause:
            user.append(("fieldgate-cause", event.extra.cause))
        if event.extra is not None and event.extra.trace is not None:
            user += trace_texts(event.extra.trace).items()
        return Properties(user=tuple(user))

    def _problem_here(self, message: Publish) -> str:
        """Why this server cannot be sent it."""
        terms = self._session.terms
        if message.retain and not terms.is_retain_available:
            return "the server keeps no retained messages"
        limit = terms.max_packet_bytes
        size_bytes = self._session.size_of(message)
        if limit is not None and size_bytes > limit:
            return too_large_text(limit)
        return ""
