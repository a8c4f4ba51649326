"""The broker inside the gateway: sessions, subscriptions, retained messages, wills, and the fan-out to all of them.

It delivers between local clients and from the gateway to them; what devices say reaches the flow beside it, never
through it. All listeners of a gateway share one broker. Sessions: ``sessions.py``, their state ``session_state.py``;
who gets what: ``subscriptions.py``; what waits for a client: ``outbound.py``; the last of each topic: ``retained.py``.

A session belongs to the user who opened it. What its `Rights` do not allow is not delivered, whatever was subscribed,
retained or queued before.

It will not do: anything per event while nobody subscribes (`is_listening` is the one check).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

import msgspec

from fieldgate.mqtt.delivery import Delivery, OutboundLimits
from fieldgate.mqtt.message import Fate, Message, Watch
from fieldgate.mqtt.packets import Connect, Properties, Publish, Reason, Subscription
from fieldgate.mqtt.reach import Reach, who_gets
from fieldgate.mqtt.retained import RetainedStore
from fieldgate.mqtt.session_roles import Accepted
from fieldgate.mqtt.session_state import Client, SessionState
from fieldgate.mqtt.sessions import Sessions
from fieldgate.mqtt.subscriptions import Audience, Subscriptions, Terms
from fieldgate.mqtt.violation import Violation

__all__ = ["BrokerLimits", "LocalBroker"]


_LEVELS_OF_ONE: Final = 8  # that a subscription's filter may have on average; a level costs 0.4 KB
_LEVELS_OF_ALL: Final = 10_000  # that all filters may have however few subscriptions are allowed


class BrokerLimits(msgspec.Struct, frozen=True):
    """What local clients together may cost; see ``LocalConfig``. Sessions are those whose client is away."""

    max_sessions: int = 1000
    max_session_s: float = 7 * 86_400.0
    max_subscriptions: int = 50_000
    max_retained: int = 10_000
    max_retained_bytes: int = 8 * 2**20
    max_away_bytes: int = 16 * 2**20


class LocalBroker:
    """Local delivery. ``drops`` counts messages that a subscriber did not get, ``refused`` what limits refused.

    ``returning`` is told a session that a client takes up again, before it is sent anything of what waits there.
    """

    def __init__(self, limits: BrokerLimits | None = None) -> None:
        self._limits = limits or BrokerLimits()
        self.subscriptions = Subscriptions()
        self.sessions = Sessions(
            max_away=self._limits.max_sessions, max_expiry_s=self._limits.max_session_s, forget=self._forget
        )
        self.retained = RetainedStore(max_count=self._limits.max_retained, max_bytes=self._limits.max_retained_bytes)
        self.returning: Callable[[SessionState], None] | None = None
        self.delivered = 0
        self.drops: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._touched: set[Client] = set()
        self._cuts: deque[Callable[[], None]] = deque()  # clients to be cut off, when their turn comes
        self._is_cutting = False

    @property
    def is_listening(self) -> bool:
        """Whether anybody subscribes to anything."""
        return not self.subscriptions.is_empty

    # sessions

    def attach(
        self, connect: Connect, client: Client, *, accepted: Accepted, max_bytes: int, now_s: float
    ) -> tuple[SessionState, bool]:
        """See `Sessions.attach`; ``max_bytes`` may wait for this client. What it may not receive does not wait on."""
        limits = self._outbound_limits(max_bytes)
        state, is_present = self.sessions.attach(
            connect, client, accepted=accepted, limits=limits, drops=self.drops, now_s=now_s
        )
        if is_present and accepted.rights is not None:
            self._pass_on(state.outbound.keep_only(accepted.rights.may_receive), now_s)
        if is_present and self.returning is not None:
            self.returning(state)
        return state, is_present

    def new_session(self, client_id: str, *, max_bytes: int) -> SessionState:
        """See `Sessions.make`; ``max_bytes`` may wait for this client."""
        return self.sessions.make(client_id, limits=self._outbound_limits(max_bytes), drops=self.drops)

    def _outbound_limits(self, max_bytes: int) -> OutboundLimits:
        return OutboundLimits(
            max_bytes=max_bytes,
            max_retained=2 * self._limits.max_retained,  # `#` and once more
            max_retained_bytes=max_bytes + self._limits.max_retained_bytes,
        )

    def detach(self, state: SessionState, now_s: float) -> None:
        """See `Sessions.detach`."""
        self.sessions.detach(state, now_s)

    def tick(self, now_s: float) -> None:
        """Speak wills, and forget sessions and retained messages, that are due; to be called about once a second."""
        self.retained.expire(now_s)
        self.sessions.tick(now_s)
        self.flush()

    def _forget(self, state: SessionState, now_s: float) -> None:
        """A session is over: its subscriptions end, and what a shared one gave it goes to another member."""
        for topic_filter in list(state.subscriptions):
            self.subscriptions.remove(state, topic_filter)
        self._pass_on(state.outbound.give_up(), now_s)

    def _pass_on(self, deliveries: Iterable[Delivery], now_s: float) -> None:
        """Deliver what shared subscriptions chose for one member to others."""
        for delivery in deliveries:
            assert delivery.share is not None
            self._deliver_to_one(delivery.share, delivery.message, now_s)
        self._cut_off()

    # subscriptions

    def subscribe(self, state: SessionState, options: Subscription, subscription_id: int) -> tuple[int, bool]:
        """Add or replace the subscription to a valid filter; returns the SUBACK's reason code and whether it is new."""
        if options.filter not in state.subscriptions and self._is_full_for(options.filter):
            self.refused["max_subscriptions"] += 1
            return Reason.QUOTA_EXCEEDED, False
        is_new = self.subscriptions.add(state, options, subscription_id)
        return options.qos, is_new

    def _is_full_for(self, topic_filter: str) -> bool:
        """Whether there are too many subscriptions for one more, or filters with too many levels."""
        most = self._limits.max_subscriptions
        levels = self.subscriptions.levels_with(topic_filter)
        return len(self.subscriptions) >= most or levels > max(_LEVELS_OF_ONE * most, _LEVELS_OF_ALL)

    def unsubscribe(self, state: SessionState, topic_filter: str) -> bool:
        """Remove one subscription; answers whether it existed."""
        return self.subscriptions.remove(state, topic_filter)

    def send_retained(self, state: SessionState, options: Subscription, subscription_id: int, *, now_s: float) -> int:
        """Queue the retained messages for a subscription just made; returns what the search cost.

        There are none for a shared subscription [MQTT5 4.8.2].
        """
        if options.filter.startswith("$share/"):
            return 0
        found, visited = self.retained.search(options.filter)
        ids = (subscription_id,) if subscription_id else ()
        rights = state.rights
        for message in found:
            if message.is_expired(now_s) or (options.no_local and message.origin == state.client_id):
                continue
            if rights is not None and not rights.may_receive(message.topic):
                self.drops["not_authorized"] += 1
                continue
            state.outbound.deliver_retained(message, qos=min(options.qos, message.qos), subscription_ids=ids)
        return visited

    # messages

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
        watch: Watch | None = None,
        now_s: float,
    ) -> Message:
        """Publish from the gateway to local clients; never an event. ``watch``: see `Message`."""
        message = Message(topic, payload, qos, retain, now_s, None, properties, watch=watch)
        if retain:
            self.keep_retained(message)
        self._fan_out(message, self.subscriptions.audience(topic), now_s)
        self.flush()
        return message

    def reach(self, topic: str, qos: int) -> list[Reach]:
        """Return who would get a message on ``topic``, of those that are nearest to it; see `who_gets`."""
        return who_gets(self.subscriptions, topic, qos, is_kept=self.sessions.is_kept)

    def withdraw(self, message: Message, client_ids: Iterable[str]) -> bool:
        """Take ``message`` back from these sessions as far as it has not left; return whether any of it has."""
        has_left = False
        for state in filter(None, map(self.sessions.find, client_ids)):
            before = state.outbound.kept_bytes
            has_left = state.outbound.withdraw(message) or has_left
            if self.sessions.is_kept(state):
                self.sessions.away_bytes += state.outbound.kept_bytes - before
        return has_left

    def go_on(self, state: SessionState, delivery: Delivery, now_s: float) -> None:
        """Deliver what was taken out of the queue of ``state`` by `withdraw`."""
        client, outbound = state.client, state.outbound
        is_permitted = state.rights is None or state.rights.may_receive(delivery.message.topic)
        if self.sessions.find(state.client_id) is not state or not is_permitted or delivery.message.is_expired(now_s):
            delivery.tell(Fate.LOST)
            return
        kept_bytes = outbound.kept_bytes
        try:
            if not outbound.deliver(delivery, now_s):
                delivery.tell(Fate.LOST)
        except Violation as violation:
            assert client is not None
            client.fail(violation.reason, str(violation))
            delivery.tell(Fate.LOST)
        if client is None:
            self.sessions.away_bytes += outbound.kept_bytes - kept_bytes
        else:
            self._touched.add(client)
        self.flush()

    def route(self, publishes: Sequence[Publish], origin: str, now_s: float) -> None:
        """Deliver what a client published to those who subscribe to it; the caller flushes."""
        audience_of = self.subscriptions.audience
        for packet in publishes:
            audience = audience_of(packet.topic)
            if audience.recipients or audience.shares:
                message = Message(
                    packet.topic,
                    packet.payload,
                    packet.qos,
                    packet.retain,
                    now_s,
                    origin,
                    packet.properties,
                    audience.topic_utf8,
                )
                self._fan_out(message, audience, now_s)

    def keep_retained(self, message: Message) -> bool:
        """Keep a message that is to be retained, or remove what is kept; answers whether there was room."""
        return self.retained.put(message)

    def flush(self) -> None:
        """Write what was gathered for subscribers since the last flush."""
        while self._touched:
            self._touched.pop().flush()

    def _fan_out(self, message: Message, audience: Audience, now_s: float) -> None:
        recipients = audience.recipients
        if len(recipients) + len(audience.shares) > 1:
            message.share()
        for one in recipients:
            terms: Terms | None = one.terms
            if one.own_terms is not terms and one.state.client_id == message.origin:
                terms = one.own_terms
            if terms is not None:
                self._deliver(one.state, message, terms, now_s)
        for share in audience.shares:
            self._deliver_to_one(share.full_filter, message, now_s)
        if self._cuts:
            self._cut_off()

    def _deliver_to_one(self, full_filter: str, message: Message, now_s: float) -> None:
        """Deliver to one member of a shared subscription."""
        share = self.subscriptions.share(full_filter)
        chosen = None if share is None else share.choose(message.topic, message.qos)
        if chosen is None:
            is_permitted = share is None or share.may_receive(message.topic)
            self.drops["share_away" if is_permitted else "not_authorized"] += 1
            if message.watch is not None:
                message.watch(full_filter, Fate.LOST)
        else:
            self._deliver(chosen.state, message, chosen.terms, now_s, share=full_filter)

    def _deliver(
        self, state: SessionState, message: Message, terms: Terms, now_s: float, *, share: str | None = None
    ) -> None:
        if state.rights is not None and not state.rights.may_receive(message.topic):
            self.drops["not_authorized"] += 1
            return
        told = None if message.watch is None else partial(message.watch, share or state.client_id)
        client, outbound, sessions = state.client, state.outbound, self.sessions
        kept_bytes = 0
        if client is None:
            if not sessions.is_kept(state) or sessions.away_bytes > self._limits.max_away_bytes:
                self.drops["client_away"] += 1
                if told is not None:
                    told(Fate.LOST)
                return
            kept_bytes = outbound.kept_bytes
        qos = message.qos if message.qos < terms.qos else terms.qos
        retain = message.retain and terms.retain_as_published
        try:
            is_taken = outbound.deliver(Delivery(message, qos, retain, terms.subscription_ids, share, told=told), now_s)
        except Violation as violation:
            assert client is not None
            self._cuts.append(partial(self._cut, client, violation, state, message, terms, now_s, share=share))
            return
        if is_taken:
            self.delivered += 1
        elif told is not None:
            told(Fate.LOST)
        if client is None:
            sessions.away_bytes += outbound.kept_bytes - kept_bytes
        else:
            self._touched.add(client)

    def _cut_off(self) -> None:
        """End the connections of those who fell behind, one after the other.

        Each may speak a will, or leave messages to others of its share, that are too much for the next one: a hundred
        clients behind one broken link would be a hundred calls deep.
        """
        if self._is_cutting:
            return
        self._is_cutting = True
        try:
            while self._cuts:
                self._cuts.popleft()()
        finally:
            self._is_cutting = False

    def _cut(
        self,
        client: Client,
        violation: Violation,
        state: SessionState,
        message: Message,
        terms: Terms,
        now_s: float,
        *,
        share: str | None,
    ) -> None:
        """Cut off a client; the message that was too much for it goes to another member, or waits with the session."""
        client.fail(violation.reason, str(violation))
        if share is not None:
            self._deliver_to_one(share, message, now_s)
        elif self.sessions.is_kept(state):
            self._deliver(state, message, terms, now_s)
        else:
            self.drops["client_cut_off"] += 1
