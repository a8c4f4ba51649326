"""The broker inside the gateway: sessions by client id, subscriptions, retained messages, wills, fan-out.

It delivers between local clients and from the gateway to them; what devices say reaches the flow beside it, never
through it. Sessions live in memory, while the process lives. All listeners of a gateway share one broker.

A session belongs to the user who opened it. What its `Rights` do not allow is not delivered, whatever was subscribed,
retained or queued before.

It will not do: shared subscriptions, QoS 2 towards a subscriber (QoS 1 is granted), anything per event while
nobody subscribes (`is_listening` is the one check).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from fieldgate.mqtt.ack_line import Owed
from fieldgate.mqtt.outbound import Message, Outbound
from fieldgate.mqtt.packets import Connect, Properties, Publish, Reason, Subscription
from fieldgate.mqtt.retained import RetainedStore
from fieldgate.mqtt.session_roles import Accepted, Rights
from fieldgate.mqtt.topics import TopicTrie, valid_filter
from fieldgate.mqtt.violation import Violation

__all__ = ["BrokerLimits", "Client", "LocalBroker", "SessionState"]

_MATCH_CACHE: Final = 2048
_MATCH_CACHE_TOPIC: Final = 256  # longer topics are matched each time, so that the cache stays small
_MAX_FILTER_LEVELS: Final = 100


class BrokerLimits:
    """What local clients together may cost. Sessions are those whose client is away."""

    def __init__(
        self,
        *,
        max_sessions: int = 1000,
        max_session_s: float = 86_400.0,
        max_subscriptions: int = 1000,
        max_filter_bytes: int = 65_536,
        max_retained: int = 10_000,
        max_retained_bytes: int = 8 * 2**20,
        max_away_bytes: int = 16 * 2**20,
    ) -> None:
        self.max_sessions = max_sessions
        self.max_session_s = max_session_s
        self.max_subscriptions = max_subscriptions
        self.max_filter_bytes = max_filter_bytes
        self.max_retained = max_retained
        self.max_retained_bytes = max_retained_bytes
        self.max_away_bytes = max_away_bytes


class Client(Protocol):
    """The connection that a session has at the moment."""

    def flush(self) -> None:
        """Write what `Outbound` gathered."""

    def fail(self, reason: Reason, problem: str) -> None:
        """End this connection, now."""


class SessionState:
    """What the gateway remembers of a client from one connection to the next [MQTT5 4.1]."""

    __slots__ = (
        "client", "client_id", "expiry_s", "filter_bytes", "forget_at_s", "outbound", "owed", "rights", "subscriptions",
        "unreleased", "user", "will_at_s", "will_speaks",
    )  # fmt: skip

    def __init__(self, client_id: str, outbound: Outbound) -> None:
        self.client_id = client_id
        self.client: Client | None = None
        self.outbound = outbound
        self.subscriptions: dict[str, Subscription] = {}
        self.filter_bytes = 0
        self.owed: dict[int, Owed] = {}  # acknowledgements that earlier connections did not live to get
        self.unreleased: set[int] = set()  # QoS 2 ids between PUBREC and PUBREL
        self.expiry_s = 0.0
        self.forget_at_s: float | None = None
        self.will_at_s: float | None = None
        self.will_speaks: Callable[[float], None] | None = None
        self.user = ""  # whose session it is; empty: nobody's in particular
        self.rights: Rights | None = None


class _Subscriber:
    __slots__ = ("options", "state", "subscription_id")

    def __init__(self, state: SessionState, options: Subscription, subscription_id: int) -> None:
        self.state = state
        self.options = options
        self.subscription_id = subscription_id


class LocalBroker:
    """Local delivery. ``is_listening`` says whether anybody subscribes to anything."""

    def __init__(self, limits: BrokerLimits | None = None) -> None:
        self._limits = limits or BrokerLimits()
        self._states: dict[str, SessionState] = {}
        self._away: dict[str, SessionState] = {}  # without a connection, longest away first
        self._subscribers: TopicTrie[_Subscriber] = TopicTrie()
        self._matches: dict[str, list[_Subscriber]] = {}
        self._touched: set[Client] = set()
        self._subscription_count = 0
        self._away_bytes = 0  # queued for clients that are away
        self.retained = RetainedStore(max_count=self._limits.max_retained, max_bytes=self._limits.max_retained_bytes)
        self.is_listening = False
        self.delivered = 0
        self.drops: Counter[str] = Counter()  # messages that a subscriber did not get, by reason

    # sessions

    def is_connected(self, client_id: str) -> bool:
        """Whether a client of this id is connected."""
        state = self._states.get(client_id)
        return state is not None and state.client is not None

    def is_owned_by_another(self, client_id: str, user: str) -> bool:
        """Whether the session of this client id belongs to a user other than ``user``."""
        state = self._states.get(client_id)
        return state is not None and state.user not in ("", user)

    def attach(
        self, connect: Connect, client: Client, *, max_bytes: int, now_s: float, accepted: Accepted
    ) -> tuple[SessionState, bool]:
        """Give ``client`` the session of its client id, and say whether it existed (session present).

        Another connection of that id is ended first [MQTT-3.1.4-3]. What nobody in particular left is not handed to a
        user: that begins anew.
        """
        state = self._states.get(connect.client_id)
        if state is not None and state.client is not None:
            state.client.fail(Reason.SESSION_TAKEN_OVER, "another connection took this client id")
            state = self._states.get(connect.client_id)
        if state is not None:
            self._come_back(state)
            is_new = connect.clean_start or state.user != accepted.user
            self._settle_will(state, now_s, speak=is_new)
            if is_new:
                self._forget(state)
                state = None
            elif accepted.rights is not None:
                state.outbound.keep_only(accepted.rights.may_receive)
        is_present = state is not None
        if state is None:
            state = SessionState(connect.client_id, Outbound(max_bytes=max_bytes, drops=self.drops))
            self._states[connect.client_id] = state
        state.client = client
        state.user, state.rights = accepted.user, accepted.rights
        state.forget_at_s = None
        return state, is_present

    def detach(self, state: SessionState, now_s: float) -> None:
        """The client of ``state`` is gone; its session stays for as long as it asked, within the limits."""
        state.client = None
        state.outbound.detach()
        if state.expiry_s <= 0:
            self._settle_will(state, now_s, speak=True)
            self._forget(state)
            return
        state.forget_at_s = now_s + min(state.expiry_s, self._limits.max_session_s)
        self._away[state.client_id] = state
        self._away_bytes += state.outbound.queued_bytes
        while len(self._away) > self._limits.max_sessions:
            self._expire(next(iter(self._away.values())), now_s)

    def granted_expiry_s(self, asked_s: float) -> float:
        """How long a session may outlive its connection."""
        return min(asked_s, self._limits.max_session_s)

    def tick(self, now_s: float) -> None:
        """Speak the wills and forget the sessions that are due; to be called about once a second."""
        for state in list(self._away.values()):
            if state.will_at_s is not None and state.will_at_s <= now_s:
                self._settle_will(state, now_s, speak=True)
            if state.forget_at_s is not None and state.forget_at_s <= now_s:
                self._expire(state, now_s)
        self.flush()

    def _settle_will(self, state: SessionState, now_s: float, *, speak: bool) -> None:
        speaks = state.will_speaks
        state.will_speaks = None
        state.will_at_s = None
        if speak and speaks is not None:
            speaks(now_s)

    def _expire(self, state: SessionState, now_s: float) -> None:
        self._come_back(state)
        self._settle_will(state, now_s, speak=True)
        self._forget(state)

    def _come_back(self, state: SessionState) -> None:
        if self._away.pop(state.client_id, None) is not None:
            self._away_bytes -= state.outbound.queued_bytes

    def _forget(self, state: SessionState) -> None:
        for topic_filter in list(state.subscriptions):
            self.unsubscribe(state, topic_filter)
        if self._states.get(state.client_id) is state:
            del self._states[state.client_id]

    # subscriptions

    def subscribe(self, state: SessionState, options: Subscription, subscription_id: int) -> tuple[int, bool]:
        """Add or replace one subscription; returns the SUBACK's reason code and whether it is new."""
        topic_filter = options.filter
        if not valid_filter(topic_filter) or topic_filter.count("/") >= _MAX_FILTER_LEVELS:
            return Reason.TOPIC_FILTER_INVALID, False
        if topic_filter.startswith("$share/"):
            return Reason.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED, False
        if state.rights is not None and not state.rights.may_subscribe(topic_filter):
            return Reason.NOT_AUTHORIZED, False
        is_new = topic_filter not in state.subscriptions
        if is_new:
            size_bytes = len(topic_filter)
            if (
                len(state.subscriptions) >= self._limits.max_subscriptions
                or state.filter_bytes + size_bytes > self._limits.max_filter_bytes
            ):
                return Reason.QUOTA_EXCEEDED, False
            state.filter_bytes += size_bytes
            self._subscription_count += 1
        else:
            self._subscribers.remove(topic_filter, state.client_id)
        state.subscriptions[topic_filter] = options
        self._subscribers.add(topic_filter, state.client_id, _Subscriber(state, options, subscription_id))
        self._matches.clear()
        self.is_listening = True
        return min(options.qos, 1), is_new

    def send_retained(self, state: SessionState, options: Subscription, subscription_id: int, *, now_s: float) -> int:
        """Queue the retained messages for a subscription just made; returns what the search cost."""
        found, visited = self.retained.search(options.filter)
        ids = (subscription_id,) if subscription_id else ()
        rights = state.rights
        for message in found:
            if message.is_expired(now_s) or (options.no_local and message.origin == state.client_id):
                continue
            if rights is not None and not rights.may_receive(message.topic):
                self.drops["not_authorised"] += 1
                continue
            state.outbound.deliver_retained(message, qos=min(options.qos, message.qos, 1), subscription_ids=ids)
        return visited

    def unsubscribe(self, state: SessionState, topic_filter: str) -> bool:
        """Remove one subscription; answers whether it existed."""
        if state.subscriptions.pop(topic_filter, None) is None:
            return False
        self._subscribers.remove(topic_filter, state.client_id)
        state.filter_bytes -= len(topic_filter)
        self._subscription_count -= 1
        self._matches.clear()
        self.is_listening = self._subscription_count > 0
        return True

    # messages

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
        now_s: float,
    ) -> None:
        """Publish from the gateway to local clients; never an event."""
        message = Message(topic, payload, min(qos, 1), retain, now_s, None, properties)
        self.keep_retained(message)
        self._fan_out(message, self._find(topic), now_s)
        self.flush()

    def route(self, publishes: Sequence[Publish], origin: str, now_s: float) -> None:
        """Deliver what a client published to those who subscribe to it; the caller flushes."""
        for packet in publishes:
            topic = packet.topic
            if found := self._find(topic):
                self._fan_out(
                    Message(topic, packet.payload, packet.qos, packet.retain, now_s, origin, packet.properties),
                    found,
                    now_s,
                )

    def keep_retained(self, message: Message) -> None:
        """Keep ``message`` if it is to be retained."""
        if message.retain:
            self.retained.put(message)

    def flush(self) -> None:
        """Write what was gathered for subscribers since the last flush."""
        while self._touched:
            self._touched.pop().flush()

    def _find(self, topic: str) -> list[_Subscriber]:
        found = self._matches.get(topic)
        if found is None:
            found = self._subscribers.match(topic)
            if len(topic) <= _MATCH_CACHE_TOPIC:
                if len(self._matches) >= _MATCH_CACHE:
                    self._matches.clear()
                self._matches[topic] = found
        return found

    def _fan_out(self, message: Message, found: list[_Subscriber], now_s: float) -> None:
        if len(found) == 1:
            self._deliver(found, message, now_s)
            return
        by_client: dict[str, list[_Subscriber]] = {}
        for subscriber in found:
            by_client.setdefault(subscriber.state.client_id, []).append(subscriber)
        for subscribers in by_client.values():
            self._deliver(subscribers, message, now_s)

    def _deliver(self, subscribers: list[_Subscriber], message: Message, now_s: float) -> None:
        """Deliver once to one client, at the highest QoS of its matching subscriptions [MQTT-3.3.4-2]."""
        state = subscribers[0].state
        wanted = [one for one in subscribers if not (one.options.no_local and message.origin == state.client_id)]
        if not wanted:
            return
        if state.rights is not None and not state.rights.may_receive(message.topic):
            self.drops["not_authorised"] += 1
            return
        client = state.client
        if client is None and (state.client_id not in self._away or self._away_bytes > self._limits.max_away_bytes):
            self.drops["client_away"] += 1
            return
        queued_bytes = state.outbound.queued_bytes
        try:
            state.outbound.deliver(
                message,
                qos=min(message.qos, max(one.options.qos for one in wanted), 1),
                retain=message.retain and any(one.options.retain_as_published for one in wanted),
                subscription_ids=tuple(one.subscription_id for one in wanted if one.subscription_id),
                now_s=now_s,
            )
        except Violation as violation:
            self.drops["client_cut_off"] += 1
            if client is not None:
                client.fail(violation.reason, str(violation))
            return
        self.delivered += 1
        if client is None:
            self._away_bytes += state.outbound.queued_bytes - queued_bytes
        else:
            self._touched.add(client)
