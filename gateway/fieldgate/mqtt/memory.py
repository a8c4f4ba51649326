"""What of the local broker must outlive the process, and what of it has changed: sessions and retained messages.

Laws of this file:

- What a clean stop leaves behind is complete. What a crash leaves is at most a few seconds old, and never mixed up: a
  delivery comes back with the packet id that it was sent with, and new ones get ids from the other half of all ids,
  so that none is taken for one that the client still remembers [MQTT-4.3.3].
- What is on its way to a connected client is no work for the disk: it is stored once it has waited from one look to
  the next. What waits for a client that is away is stored at the next look.
- A retained message that is overwritten again and again is stored every ``_RETAINED_EVERY_S`` at most.
- Nothing here does I/O: `changes` says what to write, and takes it for written.

What it does not keep: wills that wait for their delay, and what a client published and was not acknowledged for.
"""

from __future__ import annotations

from math import inf
from typing import Final

from fieldgate.mqtt.delivery import Delivery
from fieldgate.mqtt.local_broker import LocalBroker
from fieldgate.mqtt.message import Message
from fieldgate.mqtt.packets import Subscription
from fieldgate.mqtt.session_state import SessionState
from fieldgate.mqtt.stored import (
    Changes,
    StoredDelivery,
    StoredMessage,
    StoredSession,
    StoredState,
    StoredSubscription,
)

__all__ = ["BrokerMemory"]

_RETAINED_EVERY_S: Final = 30.0


_Seen = dict[int, Delivery | None]
"""Deliveries by identity (the reference keeps that one from being reused), and packet ids, negative."""


class _Kept:
    """What is stored of one session. ``deliveries`` are by identity; the reference keeps that one from being reused."""

    __slots__ = ("deliveries", "half", "next_position", "number", "released", "row", "seen")

    def __init__(self, number: int, *, half: int = 0) -> None:
        self.number = number
        self.half = half
        self.row: StoredSession | None = None
        self.deliveries: dict[int, tuple[int, int, Delivery]] = {}  # position, packet id
        self.released: dict[int, int] = {}  # positions by packet id
        self.seen: _Seen = {}  # what was there at the last look and may be gone at the next
        self.next_position = 1


class _KeptMessage:
    """A stored message and how many stored deliveries need it."""

    __slots__ = ("message", "number", "users")

    def __init__(self, number: int, message: Message) -> None:
        self.number = number
        self.message = message
        self.users = 0


class BrokerMemory:
    """Watches ``broker``, which has no client yet; implements `SessionWatch`.

    ``base_s`` plus a boot time is the time that is stored.
    """

    def __init__(self, broker: LocalBroker, *, base_s: float) -> None:
        self._broker = broker
        self._base_s = base_s
        self._kept: dict[SessionState, _Kept] = {}
        self._messages: dict[int, _KeptMessage] = {}  # by identity
        self._touched: dict[SessionState, None] = {}
        self._gone_sessions: list[int] = []
        self._gone_messages: list[int] = []
        self._touched_topics: dict[str, Message | None] = {}
        self._topics_at_s: dict[str, float] = {}  # when each stored topic was written
        self._next_session = 1
        self._next_message = 1
        broker.sessions.watch(self)
        broker.retained.on_change = self._topic_changed

    @property
    def is_behind(self) -> bool:
        """Whether anything has changed that `changes` has not given yet."""
        return bool(self._touched or self._touched_topics or self._gone_sessions or self._gone_messages)

    # SessionWatch

    def changed(self, state: SessionState) -> None:
        """See `SessionWatch`."""
        self._touched[state] = None

    def forgotten(self, state: SessionState) -> None:
        """See `SessionWatch`."""
        self._touched.pop(state, None)
        kept = self._kept.pop(state, None)
        if kept is not None:
            self._gone_sessions.append(kept.number)
            for _, _, delivery in kept.deliveries.values():
                self._drop_user(delivery.message)

    def _topic_changed(self, topic: str, message: Message | None) -> None:
        self._touched_topics[topic] = message

    # what to write

    def changes(self, now_s: float, *, is_last: bool = False) -> Changes:
        """Return what must be written now; it counts as written. ``is_last``: nothing may wait for a later look."""
        changes = Changes()
        touched, self._touched = self._touched, {}
        for state in touched:
            if state.expiry_s > 0:
                self._session(changes, state, now_s, is_last=is_last)
            else:
                self.forgotten(state)
        self._retained(changes, now_s, is_last=is_last)
        changes.sessions.update(dict.fromkeys(self._gone_sessions))
        changes.messages.update(dict.fromkeys(self._gone_messages))
        self._gone_sessions.clear()
        self._gone_messages.clear()
        return changes

    def everything(self, now_s: float, *, is_last: bool = False) -> Changes:
        """Return all there is, for an empty file; ``is_last`` as for `changes`."""
        self._kept = {
            state: _Kept(kept.number, half=kept.half) for state, kept in self._kept.items() if state.expiry_s > 0
        }
        self._messages.clear()
        self._gone_sessions.clear()
        self._gone_messages.clear()
        self._topics_at_s.clear()
        self._touched = dict.fromkeys(state for state in self._broker.sessions if state.expiry_s > 0)
        self._touched_topics = {message.topic: message for message in self._broker.retained.messages()}
        return self.changes(now_s, is_last=is_last)

    def _session(self, changes: Changes, state: SessionState, now_s: float, *, is_last: bool) -> None:
        kept = self._kept.get(state)
        if kept is None:
            kept = self._kept[state] = _Kept(self._next_session)
            self._next_session += 1
        row = self._row(state, kept, now_s, is_last=is_last)
        if row != kept.row:
            kept.row = changes.sessions[kept.number] = row
        may_wait = state.client is not None and not is_last
        seen: _Seen = {}
        self._deliveries(changes, state, kept, seen if may_wait else None)
        self._released(changes, state, kept, seen if may_wait else None)
        kept.seen = seen
        if seen:  # look again
            self._touched[state] = None

    def _row(self, state: SessionState, kept: _Kept, now_s: float, *, is_last: bool) -> StoredSession:
        away_since_s = None
        if state.client is None and state.forget_at_s is not None:
            away_since_s = self._base_s + state.forget_at_s - state.expiry_s
        return StoredSession(
            state.client_id,
            state.expiry_s,
            away_since_s,
            tuple(
                StoredSubscription(
                    one.options.filter,
                    one.options.qos,
                    one.options.no_local,
                    one.options.retain_as_published,
                    one.options.retain_handling,
                    one.subscription_id,
                )
                for one in state.subscriptions.values()
            ),
            tuple(sorted(state.unreleased)) if is_last else (),
            kept.half,
            state.user,
        )

    def _deliveries(self, changes: Changes, state: SessionState, kept: _Kept, seen: _Seen | None) -> None:
        """Write what waits for this client; what is new and may be gone soon goes to ``seen`` instead."""
        outbound = state.outbound
        waiting = [(packet_id, delivery) for packet_id, delivery in outbound.in_flight.items()]
        waiting += [(0, delivery) for delivery in outbound.queue if delivery.qos]
        there: set[int] = set()
        for packet_id, delivery in waiting:
            identity = id(delivery)
            there.add(identity)
            stored = kept.deliveries.get(identity)
            if stored is None:
                if seen is not None and identity not in kept.seen:
                    seen[identity] = delivery
                    if delivery.qos == 2:
                        seen[-packet_id] = None  # PUBREC may come before the next look
                    continue
                position = kept.next_position
                kept.next_position += 1
                message = self._add_user(changes, delivery.message)
            else:
                position, stored_id, _ = stored
                if stored_id == packet_id:
                    continue
                message = self._messages[id(delivery.message)].number
            kept.deliveries[identity] = position, packet_id, delivery
            changes.deliveries[kept.number, position] = StoredDelivery(
                message,
                delivery.qos,
                delivery.retain,
                delivery.subscription_ids,
                packet_id,
                delivery.is_stored,
                delivery.share,
            )
        for identity in kept.deliveries.keys() - there:
            position, packet_id, delivery = kept.deliveries.pop(identity)
            self._drop_user(delivery.message)
            if packet_id in outbound.released and packet_id not in kept.released:
                kept.released[packet_id] = position
                changes.deliveries[kept.number, position] = StoredDelivery(0, 2, False, (), packet_id)
            else:
                changes.deliveries[kept.number, position] = None

    def _released(self, changes: Changes, state: SessionState, kept: _Kept, seen: _Seen | None) -> None:
        """The same for what is left of a QoS 2 delivery after its PUBREC: the packet id."""
        released = state.outbound.released
        for packet_id in released:
            if packet_id in kept.released:
                continue
            if seen is not None and -packet_id not in kept.seen:
                seen[-packet_id] = None
                continue
            kept.released[packet_id] = kept.next_position
            changes.deliveries[kept.number, kept.next_position] = StoredDelivery(0, 2, False, (), packet_id)
            kept.next_position += 1
        for packet_id in kept.released.keys() - released.keys():
            changes.deliveries[kept.number, kept.released.pop(packet_id)] = None

    def _add_user(self, changes: Changes, message: Message) -> int:
        kept = self._messages.get(id(message))
        if kept is None:
            kept = self._messages[id(message)] = _KeptMessage(self._next_message, message)
            self._next_message += 1
            changes.messages[kept.number] = self._stored(message)
        kept.users += 1
        return kept.number

    def _drop_user(self, message: Message) -> None:
        kept = self._messages[id(message)]
        kept.users -= 1
        if not kept.users:
            del self._messages[id(message)]
            self._gone_messages.append(kept.number)

    def _stored(self, message: Message) -> StoredMessage:
        return StoredMessage(
            message.topic,
            message.payload,
            message.qos,
            message.retain,
            self._base_s + message.heard_s,
            message.origin,
            message.properties,
        )

    def _retained(self, changes: Changes, now_s: float, *, is_last: bool) -> None:
        later: dict[str, Message | None] = {}
        for topic, message in self._touched_topics.items():
            written_s = self._topics_at_s.get(topic)
            if message is None:
                if written_s is not None:
                    del self._topics_at_s[topic]
                    changes.retained[topic] = None
            elif written_s is not None and now_s - written_s < _RETAINED_EVERY_S and not is_last:
                later[topic] = message
            else:
                self._topics_at_s[topic] = now_s
                changes.retained[topic] = self._stored(message)
        self._touched_topics = later

    # what was written

    def restore(self, state: StoredState, *, max_bytes: int, now_s: float) -> None:
        """Give the broker back what an earlier process stored; ``max_bytes`` may wait for each client."""
        heard = {number: self._message(one) for number, one in state.messages.items()}
        for number, stored in sorted(state.sessions.items(), key=_away_since_s):
            deliveries = state.deliveries.get(number, {})
            self._restore_session(number, stored, deliveries, heard, max_bytes=max_bytes, now_s=now_s)
        for topic, one in state.retained.items():
            self._topics_at_s[topic] = now_s
            if self._broker.retained.put(self._message(one)):
                self._touched_topics.pop(topic, None)
            else:  # over a limit that is lower now
                self._touched_topics[topic] = None
        self._next_session = max(state.sessions, default=0) + 1
        self._next_message = max(state.messages, default=0) + 1

    def _message(self, stored: StoredMessage) -> Message:
        return Message(
            stored.topic,
            stored.payload,
            stored.qos,
            stored.retain,
            stored.heard_s - self._base_s,
            stored.origin,
            stored.properties,
        )

    def _restore_session(
        self,
        number: int,
        stored: StoredSession,
        deliveries: dict[int, StoredDelivery],
        heard: dict[int, Message],
        *,
        max_bytes: int,
        now_s: float,
    ) -> None:
        kept = _Kept(number, half=1 - stored.half)
        away_since_s = now_s if stored.away_since_s is None else stored.away_since_s - self._base_s
        state = self._broker.new_session(stored.client_id, max_bytes=max_bytes)
        state.user = stored.user  # its rights are not known: they are asked for when it is back
        state.keep_for(stored.expiry_s)
        state.forget_at_s = min(away_since_s, now_s) + stored.expiry_s
        state.unreleased.update(stored.unreleased)
        in_flight: dict[int, Delivery] = {}
        queue: list[Delivery] = []
        for position, one in deliveries.items():
            kept.next_position = position + 1
            if not one.message:
                kept.released[one.packet_id] = position
                continue
            message = heard[one.message]
            delivery = Delivery(
                message,
                one.qos,
                one.retain,
                one.subscription_ids,
                one.share,
                one.is_retained,
            )
            kept.deliveries[id(delivery)] = position, one.packet_id, delivery
            self._messages.setdefault(id(message), _KeptMessage(one.message, message)).users += 1
            if one.packet_id:
                in_flight[one.packet_id] = delivery
            else:
                queue.append(delivery)
        state.outbound.restore(queue, in_flight, kept.released, half=kept.half)
        self._kept[state] = kept
        self._touched[state] = None  # the other half is in use now
        for it in stored.subscriptions:
            options = Subscription(it.filter, it.qos, it.no_local, it.retain_as_published, it.retain_handling)
            self._broker.subscribe(state, options, it.subscription_id)
        self._broker.sessions.restore(state, now_s)


def _away_since_s(item: tuple[int, StoredSession]) -> float:
    """When the client went; who was there to the end went last."""
    since_s = item[1].away_since_s
    return inf if since_s is None else since_s
